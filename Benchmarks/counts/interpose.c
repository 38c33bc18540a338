// Loaded before a broker's own libraries (LD_PRELOAD), counts its allocations and the system calls of its code in a file that
// COUNTS_FILE names: one 64-bit number for each entry of the enumeration, mapped by whoever wants to read them meanwhile.
//
// The numbers behind them are written by that reader. While the first is not zero, the broker's monotonic clock stands still but for
// a microsecond a look: no timer falls due then, and every disk looks equally quick to what chooses its way by a measured time. The
// second says how many bytes a turn's requests have: while it is not zero, sockets are not readable before so many have come. A
// request that is longer than a segment would else be read in as many pieces as the load of the machine makes of it, and each
// costs a system call, and retains and releases around it. Threads that work behind the requests, when they come round to it, are
// not counted.
//
// With SCHEDULE_ONLY nothing is counted: for valgrind, which counts by itself.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// The order is check.py's too.
enum { ALLOCATIONS, BYTES, EPOLL_WAIT, EPOLL_CTL, RECEIVE, SEND, READ, WRITE, SYNC, EVENTFD, OTHER, COUNT, CLOCK_IS_HELD = COUNT, TURN_BYTES, PLACES };

static _Atomic uint64_t before[PLACES];  // until the file is mapped
static _Atomic uint64_t *counts = before;

#ifndef SCHEDULE_ONLY
// Of check.py's BACKGROUND, too.
static const char *const background[] = {"maintenance", "cleaner", "window"};
static __thread int is_background __attribute__((tls_model("initial-exec")));

static inline void count(int which, uint64_t by) {
    if (!is_background) atomic_fetch_add_explicit(&counts[which], by, memory_order_relaxed);
}

/// How a thread of the broker says what it is.
int pthread_setname_np(pthread_t thread, const char *name) {
    for (size_t i = 0; i < sizeof background / sizeof *background; i++)
        if (pthread_equal(thread, pthread_self()) && strcmp(name, background[i]) == 0) is_background = 1;
    static int (*real)(pthread_t, const char *);
    if (real == NULL) real = (int (*)(pthread_t, const char *))dlsym(RTLD_NEXT, "pthread_setname_np");
    return real(thread, name);
}
#endif

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("COUNTS_FILE");
    if (path == NULL) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) abort();
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (place == MAP_FAILED) abort();
    close(file);
    counts = place;
}

// MARK: The clock

/// The held clock's next look in nanoseconds; zero while the clock runs.
static _Atomic int64_t held;

static int64_t running(clockid_t clock) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    struct timespec time;
    real(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int64_t now(clockid_t clock) {
    int64_t next = atomic_load(&held);
    int is_held = clock == CLOCK_MONOTONIC && atomic_load_explicit(&counts[CLOCK_IS_HELD], memory_order_relaxed) != 0;
    if (!is_held) {
        if (next != 0 && clock == CLOCK_MONOTONIC) atomic_store(&held, 0);
        return running(clock);
    }
    // Who looks first holds it at the time it is; another may have been quicker.
    if (next == 0) atomic_compare_exchange_strong(&held, &next, running(clock));
    return atomic_fetch_add(&held, 1000);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int64_t nanoseconds = now(clock);
    time->tv_sec = nanoseconds / 1000000000;
    time->tv_nsec = nanoseconds % 1000000000;
    return 0;
}

/// No deadline passes while the clock is held: what ends early is told as a wake-up for nothing, which every caller has to expect, and
/// not waited on from here again. A signal may come between a wait's end and the lock that follows it; it wakes nobody, and only the
/// caller can see that what it stands for has happened.
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (real == NULL) real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    if (atomic_load_explicit(&counts[CLOCK_IS_HELD], memory_order_relaxed) == 0) return real(condition, mutex, deadline);
    // In slices, for nobody wakes the thread when the clock is let go.
    int64_t end = running(CLOCK_MONOTONIC) + 500000000;
    struct timespec slice = {end / 1000000000, end % 1000000000};
    int result = real(condition, mutex, &slice);
    return result == ETIMEDOUT ? 0 : result;
}

// MARK: Arrival

enum { SOCKETS = 4096, ROOM = 256 << 10, LONGEST_WAIT_MS = 5000 };

/// Bytes of a socket's turn that were not read yet.
static int left[SOCKETS];

static ssize_t took(int socket, ssize_t got) {
    if (got > 0 && socket >= 0 && socket < SOCKETS) left[socket] = left[socket] > got ? left[socket] - (int)got : 0;
    return got;
}

/// Lets a socket be readable from now on when a whole turn is there, and waits for the rest of one that has begun: a read that follows
/// an answer at once, without a look whether there is something, may meet the first part of the next turn. What it left of that would be
/// less than makes the socket readable, and nobody would come for it.
static void expect_whole_turns(int socket) {
    static int expected[SOCKETS];
    int wanted = (int)atomic_load_explicit(&counts[TURN_BYTES], memory_order_relaxed), there = 0;
    if (wanted == 0 || socket < 0 || socket >= SOCKETS) return;
    if (expected[socket] != wanted) {
        expected[socket] = wanted;
        // The window grows with what is asked for. One that is nearly full counts as readable, so more is asked for first.
        int ample = wanted + ROOM;
        setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &ample, sizeof ample);
        setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted);
    }
    for (int waited = 0; left[socket] == 0 && waited < LONGEST_WAIT_MS; waited++) {
        if (ioctl(socket, FIONREAD, &there) != 0 || there == 0) return;
        if (there >= wanted) left[socket] = wanted;
        else usleep(1000);
    }
}

#ifndef SCHEDULE_ONLY

// MARK: Allocations

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static inline void allocated(size_t size) {
    count(ALLOCATIONS, 1);
    count(BYTES, size);
}

void *malloc(size_t size) {
    allocated(size);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    allocated(number * size);
    return __libc_calloc(number, size);
}

void *realloc(void *place, size_t size) {
    allocated(size);
    return __libc_realloc(place, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    allocated(size);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **place, size_t alignment, size_t size) {
    allocated(size);
    *place = __libc_memalign(alignment, size);
    return *place == NULL ? ENOMEM : 0;
}

// MARK: System calls

#define FORWARD(which, result, name, parameters, arguments)                        \
    result name parameters {                                                        \
        static result(*real) parameters;                                            \
        if (real == NULL) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);     \
        count(which, 1);                                                            \
        return real arguments;                                                      \
    }

FORWARD(EPOLL_WAIT, int, epoll_wait, (int f, struct epoll_event *e, int n, int t), (f, e, n, t))
FORWARD(EPOLL_CTL, int, epoll_ctl, (int f, int o, int d, struct epoll_event *e), (f, o, d, e))
FORWARD(SEND, ssize_t, send, (int f, const void *b, size_t n, int o), (f, b, n, o))
FORWARD(SEND, ssize_t, sendmsg, (int f, const struct msghdr *m, int o), (f, m, o))
FORWARD(SEND, ssize_t, writev, (int f, const struct iovec *v, int n), (f, v, n))
FORWARD(SEND, ssize_t, sendfile, (int o, int i, off_t *p, size_t n), (o, i, p, n))
FORWARD(READ, ssize_t, pread, (int f, void *b, size_t n, off_t o), (f, b, n, o))
FORWARD(WRITE, ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o))
FORWARD(WRITE, ssize_t, pwritev, (int f, const struct iovec *v, int n, off_t o), (f, v, n, o))
FORWARD(WRITE, ssize_t, pwritev2, (int f, const struct iovec *v, int n, off_t o, int g), (f, v, n, o, g))
FORWARD(SYNC, int, fdatasync, (int f), (f))
FORWARD(SYNC, int, fsync, (int f), (f))
FORWARD(SYNC, int, syncfs, (int f), (f))
// Sockets are received from by recv and readv; read and write of eight bytes are wakes through an eventfd.
FORWARD(EVENTFD, ssize_t, read, (int f, void *b, size_t n), (f, b, n))
FORWARD(EVENTFD, ssize_t, write, (int f, const void *b, size_t n), (f, b, n))
FORWARD(OTHER, int, fstat, (int f, struct stat *s), (f, s))
FORWARD(OTHER, int, poll, (void *p, unsigned long n, int t), (p, n, t))
FORWARD(OTHER, int, fallocate, (int f, int m, off_t o, off_t n), (f, m, o, n))
FORWARD(OTHER, int, ftruncate, (int f, off_t n), (f, n))
FORWARD(OTHER, int, sync_file_range, (int f, off_t o, off_t n, unsigned g), (f, o, n, g))
FORWARD(OTHER, int, posix_fadvise, (int f, off_t o, off_t n, int a), (f, o, n, a))

#endif

/// The first call for a turn. What follows it in the turn is read by readv, and through TLS by this, a record at a time.
ssize_t recv(int socket, void *place, size_t size, int flags) {
    static ssize_t (*real)(int, void *, size_t, int);
    if (real == NULL) real = (ssize_t (*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
    expect_whole_turns(socket);
#ifndef SCHEDULE_ONLY
    count(RECEIVE, 1);
#endif
    return took(socket, real(socket, place, size, flags));
}

ssize_t readv(int socket, const struct iovec *places, int number) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (real == NULL) real = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "readv");
#ifndef SCHEDULE_ONLY
    count(RECEIVE, 1);
#endif
    return took(socket, real(socket, places, number));
}
