#pragma once

/// Names the calling thread; the system keeps 15 bytes.
void millrace_thread_set_name(const char *name);

/// Gives the calling thread's name, ended by a zero.
void millrace_thread_get_name(char name[16]);

/// The calling thread is not ended by a write to a socket whose peer is gone (SIGPIPE): the call fails with EPIPE.
void millrace_thread_block_sigpipe(void);

/// Gives freed heap memory back to the operating system, as far as whole pages are free.
void millrace_return_free_memory(void);

/// Blocks of so many bytes are mappings of their own, which end when they are freed; at most so much free memory is kept at
/// the end of each thread's heap. By itself the C library raises both, up to 32 and 64 MiB, with the blocks it has seen.
void millrace_bound_kept_memory(int large_block_bytes, int kept_bytes);
