#pragma once

/// Names the calling thread; the system keeps 15 bytes.
void millrace_thread_set_name(const char *name);

/// The calling thread is not ended by a write to a socket whose peer is gone (SIGPIPE): the call fails with EPIPE.
void millrace_thread_block_sigpipe(void);

/// Gives freed heap memory back to the operating system, as far as whole pages are free.
void millrace_return_free_memory(void);
