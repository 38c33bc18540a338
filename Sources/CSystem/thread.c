#define _GNU_SOURCE
#include "CSystemThread.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <malloc.h>

void millrace_thread_set_name(const char *name) {
    char cut[16];
    strncpy(cut, name, sizeof cut - 1);
    cut[sizeof cut - 1] = 0;
    pthread_setname_np(pthread_self(), cut);
}

void millrace_thread_get_name(char name[16]) {
    if (pthread_getname_np(pthread_self(), name, 16) != 0) name[0] = 0;
}

void millrace_thread_block_sigpipe(void) {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
}

void millrace_return_free_memory(void) {
    malloc_trim(0);
}

void millrace_bound_kept_memory(int large_block_bytes, int kept_bytes) {
    mallopt(M_MMAP_THRESHOLD, large_block_bytes);
    mallopt(M_TRIM_THRESHOLD, kept_bytes);
}
