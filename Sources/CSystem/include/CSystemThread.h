#pragma once

/// Names the calling thread; the system keeps 15 bytes.
void millrace_thread_set_name(const char *name);
