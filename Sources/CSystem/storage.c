#define _GNU_SOURCE
#include "include/CSystemStorage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESULT(call)                                                                                                   \
    ({                                                                                                                 \
        __typeof__(call) result_ = (call);                                                                             \
        result_ < 0 ? -errno : result_;                                                                                \
    })

int cstorage_open(const char *path, int flags) {
    int mode = O_CLOEXEC | ((flags & CSTORAGE_READ_WRITE) ? O_RDWR : O_RDONLY);
    if (flags & CSTORAGE_CREATE) mode |= O_CREAT;
    if (flags & CSTORAGE_EXCLUSIVE) mode |= O_EXCL;
    if (flags & CSTORAGE_DIRECT) mode |= O_DIRECT;
    // For the owner alone: records are somebody's, and the metadata has what passwords are checked by.
    return RESULT(open(path, mode, 0600));
}

int cstorage_close(int descriptor) { return RESULT(close(descriptor)); }

int64_t cstorage_pread(int descriptor, void *buffer, uint64_t length, int64_t at) {
    return RESULT(pread(descriptor, buffer, length, at));
}

int64_t cstorage_pread_at_once(int descriptor, void *buffer, uint64_t length, int64_t at) {
    struct iovec piece = {buffer, length};
    return RESULT(preadv2(descriptor, &piece, 1, at, RWF_NOWAIT));
}

int64_t cstorage_pwrite(int descriptor, const void *bytes, uint64_t length, int64_t at) {
    return RESULT(pwrite(descriptor, bytes, length, at));
}

int64_t cstorage_pwritev(int descriptor, const struct iovec *pieces, int count, int64_t at, bool durable) {
    return RESULT(pwritev2(descriptor, pieces, count, at, durable ? RWF_DSYNC : 0));
}

int cstorage_fdatasync(int descriptor) { return RESULT(fdatasync(descriptor)); }

int cstorage_syncfs(int descriptor) { return RESULT(syncfs(descriptor)); }

int cstorage_sync_directory(const char *path) {
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    int result = RESULT(fsync(descriptor));
    close(descriptor);
    return result;
}

int64_t cstorage_size(int descriptor) {
    struct stat state;
    if (fstat(descriptor, &state) < 0) return -errno;
    return state.st_size;
}

int cstorage_truncate(int descriptor, int64_t size) { return RESULT(ftruncate(descriptor, size)); }

int cstorage_allocate(int descriptor, int64_t from, int64_t length) {
    return RESULT(fallocate(descriptor, 0, from, length));
}

int cstorage_advise(int descriptor, int64_t from, int64_t length, bool will_need) {
    // Returns the error instead of setting errno.
    return -posix_fadvise(descriptor, from, length, will_need ? POSIX_FADV_WILLNEED : POSIX_FADV_DONTNEED);
}

int cstorage_start_writing(int descriptor, int64_t from, int64_t length) {
    return RESULT(sync_file_range(descriptor, from, length, SYNC_FILE_RANGE_WRITE));
}

int cstorage_direct_alignment(int descriptor, uint32_t *memory, uint32_t *offset) {
    *memory = 0;
    *offset = 0;
#ifdef STATX_DIOALIGN
    struct statx state;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &state) < 0) return -errno;
    if (state.stx_mask & STATX_DIOALIGN) {
        *memory = state.stx_dio_mem_align;
        *offset = state.stx_dio_offset_align;
    }
#else
    (void)descriptor;
#endif
    return 0;
}

int cstorage_rename(const char *from, const char *to) { return RESULT(rename(from, to)); }

int cstorage_unlink(const char *path) { return RESULT(unlink(path)); }

int cstorage_rmdir(const char *path) { return RESULT(rmdir(path)); }

int cstorage_mkdir(const char *path) { return RESULT(mkdir(path, 0750)); }

int cstorage_stat(const char *path, int64_t *size) {
    struct stat state;
    // Not following a link: a tree is removed link by link, never through one.
    if (lstat(path, &state) < 0) return -errno;
    *size = state.st_size;
    return S_ISDIR(state.st_mode) ? 1 : 0;
}

int cstorage_modified(const char *path, int64_t *milliseconds) {
    struct stat state;
    if (stat(path, &state) < 0) return -errno;
    *milliseconds = (int64_t)state.st_mtim.tv_sec * 1000 + state.st_mtim.tv_nsec / 1000000;
    return 0;
}

int cstorage_list(const char *path, void *context, void (*each)(void *context, const char *name)) {
    DIR *directory = opendir(path);
    if (directory == NULL) return -errno;
    int result = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        each(context, entry->d_name);
    }
    closedir(directory);
    return result;
}

int cstorage_lock(int descriptor) { return RESULT(flock(descriptor, LOCK_EX | LOCK_NB)); }

int cstorage_free_bytes(const char *path, int64_t *available, int64_t *total) {
    struct statvfs state;
    if (statvfs(path, &state) < 0) return -errno;
    *available = (int64_t)state.f_bavail * (int64_t)state.f_frsize;
    *total = (int64_t)state.f_blocks * (int64_t)state.f_frsize;
    return 0;
}

int64_t cstorage_raise_descriptor_limit(int64_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < (rlim_t)wanted) {
        rlim_t target = (rlim_t)wanted;
        if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < target) target = limit.rlim_max;
        limit.rlim_cur = target;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    }
    return limit.rlim_cur == RLIM_INFINITY ? INT64_MAX : (int64_t)limit.rlim_cur;
}
