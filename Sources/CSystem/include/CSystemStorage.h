#pragma once

// File calls that StorageIO makes. Swift cannot see the ones that need _GNU_SOURCE, and errno is safest read next to
// the call; so every function here returns a negative errno on failure, and never retries (StorageIO decides that).

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    // Which calls may be made on the descriptor.
    CSTORAGE_READ_ONLY = 0,
    CSTORAGE_READ_WRITE = 1,
    // Added to them.
    CSTORAGE_CREATE = 2,
    CSTORAGE_EXCLUSIVE = 4,
    CSTORAGE_DIRECT = 8,
};

/// A descriptor (close-on-exec), or -errno.
int cstorage_open(const char *path, int flags);
int cstorage_close(int descriptor);

/// Bytes moved (0: end of file), or -errno.
int64_t cstorage_pread(int descriptor, void *buffer, uint64_t length, int64_t at);
/// Like pread, but only what is in the page cache (RWF_NOWAIT): -EAGAIN where it is not, -EOPNOTSUPP where the file system
/// cannot tell.
int64_t cstorage_pread_at_once(int descriptor, void *buffer, uint64_t length, int64_t at);
int64_t cstorage_pwrite(int descriptor, const void *bytes, uint64_t length, int64_t at);
/// `durable`: RWF_DSYNC, the bytes are on the device when this returns.
int64_t cstorage_pwritev(int descriptor, const struct iovec *pieces, int count, int64_t at, bool durable);

int cstorage_fdatasync(int descriptor);
/// syncfs(2): every dirty page of the file system that holds the descriptor.
int cstorage_syncfs(int descriptor);
/// Opens, fsyncs and closes a directory.
int cstorage_sync_directory(const char *path);

int64_t cstorage_size(int descriptor);
int cstorage_truncate(int descriptor, int64_t size);
/// fallocate(2) of [from, from + length), which extends the file's size.
int cstorage_allocate(int descriptor, int64_t from, int64_t length);

/// posix_fadvise(POSIX_FADV_DONTNEED / POSIX_FADV_WILLNEED).
int cstorage_advise(int descriptor, int64_t from, int64_t length, bool will_need);
/// sync_file_range(SYNC_FILE_RANGE_WRITE): starts writing dirty pages, waits for none, promises nothing.
int cstorage_start_writing(int descriptor, int64_t from, int64_t length);

/// Alignment that O_DIRECT needs for memory and for offset and length, or 0 where the kernel does not tell.
int cstorage_direct_alignment(int descriptor, uint32_t *memory, uint32_t *offset);

int cstorage_rename(const char *from, const char *to);
int cstorage_unlink(const char *path);
int cstorage_rmdir(const char *path);
int cstorage_mkdir(const char *path);
/// 1: directory, 0: something else. The size goes to `size`.
int cstorage_stat(const char *path, int64_t *size);
/// When its bytes last changed, since 1970.
int cstorage_modified(const char *path, int64_t *milliseconds);
/// Calls `each` for every entry but "." and "..".
int cstorage_list(const char *path, void *context, void (*each)(void *context, const char *name));

/// flock(LOCK_EX | LOCK_NB) on the descriptor.
int cstorage_lock(int descriptor);
int cstorage_free_bytes(const char *path, int64_t *available, int64_t *total);

/// Raises the soft limit of open descriptors as far as `wanted` and the hard limit allow; gives the limit then.
int64_t cstorage_raise_descriptor_limit(int64_t wanted);
