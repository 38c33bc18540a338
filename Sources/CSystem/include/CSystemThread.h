#pragma once

/// Names the calling thread; the system keeps 15 bytes.
void millrace_name_thread(const char *name);
