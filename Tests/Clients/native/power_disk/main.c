// power_disk FOLDER [BYTES]: mounts the file system of disk.h at FOLDER, by the kernel's FUSE protocol (linux/fuse.h). Root only.
//
// The kernel keeps nothing back: its cache of pages is written through, its caches of names and attributes are off. So
// what a program wrote is here before its call returns, and a sync is here as FUSE_FSYNC, whether it came from fsync,
// fdatasync, O_DSYNC or RWF_DSYNC. Only syncfs is not told to a FUSE file system: a library to preload (syncfs.c) sends
// it as an ioctl.
//
// Commands on standard input, one answer line each:
//   off SEED nothing|all|some    the power fails: unsynced changes are dropped, kept, or a seeded part of each
//   arm N                        from the Nth change or sync on everything fails with EIO, until `off`
//   freeze                       everything fails with EIO, until `off`
//   deaf 0|1                     syncs succeed without doing anything: a disk that lies
//   buffered 0|1                 files cannot be opened with O_DIRECT (EINVAL), as on some file systems
//   full BYTES                   the size of the disk
//   count                        what has been done so far
// The end of standard input unmounts.
#define _GNU_SOURCE
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "syncfs.h"

enum { LARGEST_WRITE = 1 << 20 };

static Disk disk;
static int device;
static bool is_frozen, is_deaf, is_buffered;
static int64_t armed = -1;  // changes until the freeze

static Node *node_of(uint64_t id) { return id == FUSE_ROOT_ID ? disk.root : (Node *)(uintptr_t)id; }
static uint64_t id_of(Node *node) { return node == disk.root ? FUSE_ROOT_ID : (uint64_t)(uintptr_t)node; }

// MARK: Answers

static void answer(const struct fuse_in_header *request, int error, const void *body, size_t length) {
    struct fuse_out_header head = {.len = sizeof head + (error ? 0 : length), .error = -error, .unique = request->unique};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)body, error ? 0 : length}};
    // ENOENT: the caller was killed meanwhile.
    if (writev(device, parts, 2) < 0 && errno != ENOENT) perror("power disk: answer");
}

static void fill(Node *node, struct fuse_attr *attr) {
    *attr = (struct fuse_attr){
        .ino = node->number, .size = node->bytes.size, .blocks = (node->bytes.size + 511) / 512, .mode = node->mode,
        .nlink = node->is_folder ? 2 : 1, .blksize = 4096, .atime = node->seconds, .mtime = node->seconds, .ctime = node->seconds};
}

static void fill_entry(Node *node, struct fuse_entry_out *out) {
    memset(out, 0, sizeof *out);
    node->lookups++;
    out->nodeid = id_of(node);
    out->generation = node->number;
    fill(node, &out->attr);
}

static void answer_entry(const struct fuse_in_header *request, int error, Node *node) {
    struct fuse_entry_out out;
    if (!error) fill_entry(node, &out);
    answer(request, error, &out, sizeof out);
}

// MARK: Folders: a listing is taken when the folder is opened

typedef struct {
    size_t length, capacity;
    char *bytes;
} Listing;

static void list_name(Listing *listing, const char *name, Node *node) {
    size_t length = strlen(name), size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
    if (listing->length + size > listing->capacity) {
        listing->capacity = (listing->length + size) * 2;
        listing->bytes = realloc(listing->bytes, listing->capacity);
    }
    struct fuse_dirent *entry = (struct fuse_dirent *)(listing->bytes + listing->length);
    memset(entry, 0, size);
    listing->length += size;
    *entry = (struct fuse_dirent){.ino = node->number, .off = listing->length, .namelen = length, .type = node->mode >> 12};
    memcpy(entry->name, name, length);
}

static Listing *list(Node *folder) {
    Listing *listing = calloc(1, sizeof *listing);
    list_name(listing, ".", folder);
    list_name(listing, "..", folder);
    for (uint32_t n = 0; n < folder->names.count; n++)
        list_name(listing, folder->names.all[n].name, folder->names.all[n].node);
    return listing;
}

static void answer_listing(const struct fuse_in_header *request, const struct fuse_read_in *in) {
    Listing *listing = (Listing *)(uintptr_t)in->fh;
    size_t from = in->offset, to = from;
    while (to < listing->length) {
        struct fuse_dirent *entry = (struct fuse_dirent *)(listing->bytes + to);
        size_t size = FUSE_DIRENT_SIZE(entry);
        if (to + size - from > in->size) break;
        to += size;
    }
    answer(request, 0, listing->bytes + from, to - from);
}

// MARK: Requests

static void set_attributes(const struct fuse_in_header *request, Node *node, const struct fuse_setattr_in *in) {
    int error = 0;
    if (in->valid & FATTR_SIZE) error = disk_resize(&disk, node, in->size);
    // Modes and times are durable at once: nothing is tested by them.
    if (in->valid & FATTR_MODE) node->mode = (node->mode & S_IFMT) | (in->mode & 07777);
    struct fuse_attr_out out = {0};
    fill(node, &out.attr);
    answer(request, error, &out, sizeof out);
}

static void answer_space(const struct fuse_in_header *request) {
    struct fuse_statfs_out out = {0};
    uint64_t free = disk.limit > disk.used ? disk.limit - disk.used : 0;
    out.st = (struct fuse_kstatfs){.blocks = disk.limit / 4096, .bfree = free / 4096, .bavail = free / 4096, .files = 1 << 20, .ffree = 1 << 20, .bsize = 4096, .namelen = 255, .frsize = 4096};
    answer(request, 0, &out, sizeof out);
}

static void greet(const struct fuse_in_header *request, const struct fuse_init_in *in) {
    // Without FUSE_WRITEBACK_CACHE the kernel keeps no dirty page. FUSE_HANDLE_KILLPRIV_V2 saves a question before each write.
    uint32_t wanted = FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC | FUSE_HANDLE_KILLPRIV_V2 | FUSE_ASYNC_READ;
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_readahead = in->max_readahead, .flags = wanted & in->flags,
        .max_background = 64, .congestion_threshold = 48, .max_write = LARGEST_WRITE, .time_gran = 1, .max_pages = LARGEST_WRITE / 4096};
    answer(request, 0, &out, sizeof out);
}

static void write_file(const struct fuse_in_header *request, Node *node, const struct fuse_write_in *in) {
    struct fuse_write_out out = {.size = in->size};
    answer(request, disk_write(&disk, node, in->offset, in + 1, in->size), &out, sizeof out);
}

static void read_file(const struct fuse_in_header *request, Node *node, const struct fuse_read_in *in) {
    uint64_t left = in->offset < node->bytes.size ? node->bytes.size - in->offset : 0;
    answer(request, 0, node->bytes.base + in->offset, in->size < left ? in->size : left);
}

static void allocate(const struct fuse_in_header *request, Node *node, const struct fuse_fallocate_in *in) {
    uint64_t end = in->offset + in->length;
    int error = in->mode ? EOPNOTSUPP : 0;
    if (!error && end > node->bytes.size) error = disk_resize(&disk, node, end);
    answer(request, error, NULL, 0);
}

static void open_file(const struct fuse_in_header *request, Node *node, const struct fuse_open_in *in) {
    struct fuse_open_out out = {0};
    int error = is_buffered && in->flags & O_DIRECT ? EINVAL : in->flags & O_TRUNC ? disk_resize(&disk, node, 0) : 0;
    answer(request, error, &out, sizeof out);
}

static void create_file(const struct fuse_in_header *request, Node *folder, const struct fuse_create_in *in) {
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = {0};
    Node *node = NULL;
    int error = is_buffered && in->flags & O_DIRECT
        ? EINVAL : disk_create(&disk, folder, (const char *)(in + 1), in->mode, false, &node);
    if (error == EEXIST && !(in->flags & O_EXCL)) {
        node = disk_find(folder, (const char *)(in + 1));
        error = in->flags & O_TRUNC ? disk_resize(&disk, node, 0) : 0;
    }
    if (!error) fill_entry(node, &out.entry);
    answer(request, error, &out, sizeof out);
}

static void rename_node(const struct fuse_in_header *request, Node *from, uint64_t to, const char *names, uint32_t flags) {
    int error = flags ? EINVAL : disk_rename(&disk, from, names, node_of(to), names + strlen(names) + 1);
    answer(request, error, NULL, 0);
}

static void control(const struct fuse_in_header *request, const struct fuse_ioctl_in *in) {
    struct fuse_ioctl_out out = {0};
    if (in->cmd != POWER_DISK_SYNC_ALL) return answer(request, ENOTTY, NULL, 0);
    if (!is_deaf) disk_sync_all(&disk);
    answer(request, 0, &out, sizeof out);
}

static void forget(uint64_t id, uint64_t count) {
    Node *node = node_of(id);
    node->lookups -= count < node->lookups ? count : node->lookups;
}

static bool is_change(uint32_t opcode) {
    switch (opcode) {
    case FUSE_WRITE: case FUSE_FSYNC: case FUSE_FSYNCDIR: case FUSE_SETATTR: case FUSE_CREATE: case FUSE_MKNOD: case FUSE_MKDIR:
    case FUSE_UNLINK: case FUSE_RMDIR: case FUSE_RENAME: case FUSE_RENAME2: case FUSE_FALLOCATE: case FUSE_IOCTL:
        return true;
    default:
        return false;
    }
}

// The change with which the power fails may have reached the disk in part, so a write is still taken.
static bool refuses(const struct fuse_in_header *request, const void *body) {
    if (is_change(request->opcode) && armed > 0 && --armed == 0) {
        is_frozen = true;
        if (request->opcode == FUSE_WRITE) {
            const struct fuse_write_in *in = body;
            disk_write(&disk, node_of(request->nodeid), in->offset, in + 1, in->size);
        }
    }
    if (!is_frozen) return false;
    switch (request->opcode) {
    case FUSE_RELEASE: case FUSE_RELEASEDIR: case FUSE_FORGET: case FUSE_BATCH_FORGET: case FUSE_INTERRUPT: case FUSE_DESTROY:
        return false;
    default:
        return true;
    }
}

static void serve(const struct fuse_in_header *request) {
    const void *body = request + 1;
    if (refuses(request, body)) return answer(request, EIO, NULL, 0);
    Node *node = request->nodeid ? node_of(request->nodeid) : NULL;
    Node *made = NULL;
    int error;
    switch (request->opcode) {
    case FUSE_INIT: return greet(request, body);
    case FUSE_LOOKUP:
        made = disk_find(node, body);
        return answer_entry(request, made ? 0 : ENOENT, made);
    case FUSE_FORGET: return forget(request->nodeid, ((const struct fuse_forget_in *)body)->nlookup);
    case FUSE_BATCH_FORGET: {
        const struct fuse_batch_forget_in *in = body;
        const struct fuse_forget_one *one = (const void *)(in + 1);
        for (uint32_t n = 0; n < in->count; n++) forget(one[n].nodeid, one[n].nlookup);
        return;
    }
    case FUSE_GETATTR: {
        struct fuse_attr_out out = {0};
        fill(node, &out.attr);
        return answer(request, 0, &out, sizeof out);
    }
    case FUSE_SETATTR: return set_attributes(request, node, body);
    case FUSE_MKNOD: {
        const struct fuse_mknod_in *in = body;
        error = S_ISREG(in->mode) ? disk_create(&disk, node, (const char *)(in + 1), in->mode, false, &made) : EPERM;
        return answer_entry(request, error, made);
    }
    case FUSE_MKDIR: {
        const struct fuse_mkdir_in *in = body;
        error = disk_create(&disk, node, (const char *)(in + 1), in->mode, true, &made);
        return answer_entry(request, error, made);
    }
    case FUSE_UNLINK: return answer(request, disk_remove(&disk, node, body, false), NULL, 0);
    case FUSE_RMDIR: return answer(request, disk_remove(&disk, node, body, true), NULL, 0);
    case FUSE_RENAME: {
        const struct fuse_rename_in *in = body;
        return rename_node(request, node, in->newdir, (const char *)(in + 1), 0);
    }
    case FUSE_RENAME2: {
        const struct fuse_rename2_in *in = body;
        return rename_node(request, node, in->newdir, (const char *)(in + 1), in->flags);
    }
    case FUSE_CREATE: return create_file(request, node, body);
    case FUSE_OPEN: return open_file(request, node, body);
    case FUSE_READ: return read_file(request, node, body);
    case FUSE_WRITE: return write_file(request, node, body);
    case FUSE_FALLOCATE: return allocate(request, node, body);
    case FUSE_FSYNC:
        if (!is_deaf) disk_sync_file(&disk, node);
        return answer(request, 0, NULL, 0);
    case FUSE_FSYNCDIR:
        if (!is_deaf) disk_sync_folder(&disk, node);
        return answer(request, 0, NULL, 0);
    case FUSE_STATFS: return answer_space(request);
    case FUSE_OPENDIR: {
        struct fuse_open_out out = {.fh = (uint64_t)(uintptr_t)list(node)};
        return answer(request, 0, &out, sizeof out);
    }
    case FUSE_READDIR: return answer_listing(request, body);
    case FUSE_RELEASEDIR: {
        Listing *listing = (Listing *)(uintptr_t)((const struct fuse_release_in *)body)->fh;
        free(listing->bytes);
        free(listing);
        return answer(request, 0, NULL, 0);
    }
    case FUSE_RELEASE: case FUSE_DESTROY: return answer(request, 0, NULL, 0);
    case FUSE_IOCTL: return control(request, body);
    case FUSE_INTERRUPT: return;  // nothing here waits
    default: return answer(request, ENOSYS, NULL, 0);
    }
}

// MARK: Commands

static void obey(char *line) {
    unsigned long long number = 0;
    char word[16] = "";
    if (sscanf(line, "off %llu %15s", &number, word) == 2) {
        disk_cut(&disk, number, strcmp(word, "nothing") == 0 ? KEEP_NOTHING : strcmp(word, "all") == 0 ? KEEP_ALL : KEEP_SOME);
        is_frozen = false;
        armed = -1;
    } else if (sscanf(line, "arm %llu", &number) == 1) {
        armed = (int64_t)number;
    } else if (strncmp(line, "freeze", 6) == 0) {
        is_frozen = true;
    } else if (sscanf(line, "deaf %llu", &number) == 1) {
        is_deaf = number;
    } else if (sscanf(line, "buffered %llu", &number) == 1) {
        is_buffered = number;
    } else if (sscanf(line, "full %llu", &number) == 1) {
        disk.limit = number;
    } else if (strncmp(line, "count", 5) != 0) {
        printf("unknown: %s", line);
        fflush(stdout);
        return;
    }
    printf("writes %lu written_bytes %lu file_syncs %lu folder_syncs %lu all_syncs %lu name_changes %lu cuts %lu dropped_bytes %lu "
           "dropped_names %lu used %lu frozen %d\n",
           disk.writes, disk.written_bytes, disk.file_syncs, disk.folder_syncs, disk.all_syncs, disk.name_changes, disk.cuts,
           disk.dropped_bytes, disk.dropped_names, disk.used, is_frozen);
    fflush(stdout);
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "power_disk FOLDER [BYTES]\n");
        return 2;
    }
    // Whoever ends the whole process group ends the one that holds our standard input, too; then we unmount.
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    disk_make(&disk, count > 2 ? strtoull(arguments[2], NULL, 10) : 8ULL << 30);
    device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        perror("/dev/fuse");
        return 3;
    }
    char options[128];
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
    if (mount("power_disk", arguments[1], "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
        perror("mount");
        return 3;
    }
    printf("mounted\n");
    fflush(stdout);

    size_t size = LARGEST_WRITE + (64 << 10);
    char *buffer = aligned_alloc(4096, size);
    char line[256];
    setvbuf(stdin, NULL, _IONBF, 0);  // a command kept in a buffer would not wake poll
    struct pollfd both[] = {{device, POLLIN, 0}, {0, POLLIN, 0}};
    for (;;) {
        if (poll(both, 2, -1) < 0 && errno != EINTR) break;
        if (both[1].revents) {
            if (!fgets(line, sizeof line, stdin)) break;
            obey(line);
        }
        if (!both[0].revents) continue;
        ssize_t got = read(device, buffer, size);
        if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
        if (got < 0) break;  // unmounted
        serve((const struct fuse_in_header *)buffer);
    }
    umount2(arguments[1], MNT_DETACH);
    return 0;
}
