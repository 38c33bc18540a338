// A disk that hiccups, for a program that this library is preloaded into: its syncs and reads take longer, as the control
// file says that SLOW_DISK_CONTROL names. Whoever tests maps the same file and changes it while the program runs.
//
// A sync that is durable in the call (RWF_DSYNC) counts as one. While reads are slow, nothing is at hand: a read that must
// not wait (RWF_NOWAIT) gets EAGAIN.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// All times are in milliseconds. The order is known to harness/disks/slow_disk.py.
struct control {
    _Atomic int64_t sync_ms;         // how long a slow sync takes; 0: none is slow
    _Atomic int64_t sync_every_ms;   // from the beginning of one slow sync to the next
    _Atomic int64_t read_ms;         // how long every read takes
    _Atomic int64_t slow_syncs, slow_reads;  // counted here
    _Atomic int64_t last_slow_sync;
};

static struct control none, *control = &none;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("SLOW_DISK_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) control = mapped;
    close(file);
}

static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void wait_ms(int64_t milliseconds) {
    struct timespec rest = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {}
}

static void slow_sync(void) {
    int64_t length = control->sync_ms, last = control->last_slow_sync, now = now_ms();
    if (length <= 0 || now - last < control->sync_every_ms) return;
    if (!atomic_compare_exchange_strong(&control->last_slow_sync, &last, now)) return;
    control->slow_syncs++;
    wait_ms(length);
}

static void slow_read(void) {
    int64_t length = control->read_ms;
    if (length <= 0) return;
    control->slow_reads++;
    wait_ms(length);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int file) { slow_sync(); return REAL(fsync)(file); }
int fdatasync(int file) { slow_sync(); return REAL(fdatasync)(file); }
int syncfs(int file) { slow_sync(); return REAL(syncfs)(file); }

ssize_t pwritev2(int file, const struct iovec *pieces, int count, off_t at, int flags) {
    if (flags & (RWF_DSYNC | RWF_SYNC)) slow_sync();
    return REAL(pwritev2)(file, pieces, count, at, flags);
}

ssize_t pread(int file, void *buffer, size_t length, off_t at) {
    slow_read();
    return REAL(pread)(file, buffer, length, at);
}

ssize_t preadv2(int file, const struct iovec *pieces, int count, off_t at, int flags) {
    if ((flags & RWF_NOWAIT) && control->read_ms > 0) {
        errno = EAGAIN;
        return -1;
    }
    slow_read();
    return REAL(preadv2)(file, pieces, count, at, flags);
}
