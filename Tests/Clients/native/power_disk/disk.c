#define _GNU_SOURCE
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

// MARK: Bytes

static void bytes_resize(Bytes *bytes, uint64_t size) {
    if (size > bytes->capacity) {
        uint64_t capacity = bytes->capacity ? bytes->capacity : 1 << 16;
        while (capacity < size) capacity *= 2;
        void *base = bytes->base
            ? mremap(bytes->base, bytes->capacity, capacity, MREMAP_MAYMOVE)
            : mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED) {
            perror("power disk: memory");
            exit(1);
        }
        bytes->base = base;
        bytes->capacity = capacity;
    }
    // What lies behind the end is always zero, so that growing shows zeros.
    if (size < bytes->size) memset(bytes->base + size, 0, bytes->size - size);
    bytes->size = size;
}

static void bytes_write(Bytes *bytes, uint64_t offset, const void *source, uint64_t length) {
    if (offset + length > bytes->size) bytes_resize(bytes, offset + length);
    memcpy(bytes->base + offset, source, length);
}

static void bytes_free(Bytes *bytes) {
    if (bytes->base) munmap(bytes->base, bytes->capacity);
}

// MARK: Names

static struct Name *names_find(const Names *names, const char *name) {
    for (uint32_t n = 0; n < names->count; n++)
        if (strcmp(names->all[n].name, name) == 0) return &names->all[n];
    return NULL;
}

static void names_set(Names *names, const char *name, Node *node) {
    struct Name *found = names_find(names, name);
    if (found && node) {
        found->node = node;
    } else if (found) {
        free(found->name);
        *found = names->all[--names->count];
    } else if (node) {
        if (names->count == names->capacity) {
            names->capacity = names->capacity ? names->capacity * 2 : 8;
            names->all = realloc(names->all, names->capacity * sizeof *names->all);
        }
        names->all[names->count++] = (struct Name){strdup(name), node};
    }
}

static void names_clear(Names *names) {
    for (uint32_t n = 0; n < names->count; n++) free(names->all[n].name);
    names->count = 0;
}

// MARK: Programs' view

static int64_t now(void) { return time(NULL); }

static Node *make_node(Disk *disk, uint32_t mode, bool is_folder) {
    Node *node = calloc(1, sizeof *node);
    node->number = ++disk->numbers;
    node->mode = (mode & 07777) | (is_folder ? S_IFDIR : S_IFREG);
    node->is_folder = is_folder;
    node->seconds = now();
    node->next = disk->all;
    disk->all = node;
    return node;
}

void disk_make(Disk *disk, uint64_t limit) {
    memset(disk, 0, sizeof *disk);
    disk->limit = limit;
    disk->root = make_node(disk, 0755, true);
}

Node *disk_find(Node *folder, const char *name) {
    struct Name *found = names_find(&folder->names, name);
    return found ? found->node : NULL;
}

static Change *note_change(Disk *disk, Node *folder, const char *name, Node *node) {
    Change *change = calloc(1, sizeof *change);
    change->count = 1;
    change->names[0] = (struct Name){strdup(name), node};
    if (folder->last_change) folder->last_change->next = change;
    else folder->first_change = change;
    folder->last_change = change;
    names_set(&folder->names, name, node);
    folder->seconds = now();
    if (++disk->name_changes % 4096 == 0) disk_collect(disk);
    return change;
}

int disk_create(Disk *disk, Node *folder, const char *name, uint32_t mode, bool is_folder, Node **made) {
    if (disk_find(folder, name)) return EEXIST;
    Node *node = make_node(disk, mode, is_folder);
    node->lookups = 1;  // not to be collected before its caller has it
    note_change(disk, folder, name, node);
    node->lookups = 0;
    node->is_named = !is_folder;
    *made = node;
    return 0;
}

// A node whose name is gone takes no more space, whoever has it open.
static void release(Disk *disk, Node *node) {
    if (node->is_named) disk->used -= node->bytes.size;
    node->is_named = false;
}

int disk_remove(Disk *disk, Node *folder, const char *name, bool is_folder) {
    Node *node = disk_find(folder, name);
    if (!node) return ENOENT;
    if (is_folder && !node->is_folder) return ENOTDIR;
    if (!is_folder && node->is_folder) return EISDIR;
    if (is_folder && node->names.count) return ENOTEMPTY;
    release(disk, node);
    note_change(disk, folder, name, NULL);
    return 0;
}

int disk_rename(Disk *disk, Node *from, const char *old_name, Node *to, const char *new_name) {
    Node *node = disk_find(from, old_name), *replaced = disk_find(to, new_name);
    if (!node) return ENOENT;
    if (replaced == node) return 0;
    if (replaced && replaced->is_folder && replaced->names.count) return ENOTEMPTY;
    if (replaced && replaced->is_folder != node->is_folder) return node->is_folder ? ENOTDIR : EISDIR;
    if (replaced) release(disk, replaced);
    Change *change = note_change(disk, to, new_name, node);
    if (from == to) {
        // One step: the disk has both or neither.
        change->count = 2;
        change->names[1] = (struct Name){strdup(old_name), NULL};
        names_set(&from->names, old_name, NULL);
    } else {
        note_change(disk, from, old_name, NULL);
    }
    return 0;
}

static Write *note_write(Node *file, uint64_t offset, uint64_t length) {
    Write *write = malloc(sizeof *write + length);
    *write = (Write){.offset = offset, .length = length};
    if (file->last_write) file->last_write->next = write;
    else file->first_write = write;
    file->last_write = write;
    file->seconds = now();
    return write;
}

static int take_space(Disk *disk, Node *file, uint64_t size) {
    if (!file->is_named) return 0;
    if (size > file->bytes.size && disk->used + (size - file->bytes.size) > disk->limit) return ENOSPC;
    disk->used += size - file->bytes.size;
    return 0;
}

int disk_write(Disk *disk, Node *file, uint64_t offset, const void *bytes, uint64_t length) {
    if (offset + length > file->bytes.size) {
        int error = take_space(disk, file, offset + length);
        if (error) return error;
    }
    memcpy(note_write(file, offset, length)->bytes, bytes, length);
    bytes_write(&file->bytes, offset, bytes, length);
    disk->writes++;
    disk->written_bytes += length;
    return 0;
}

int disk_resize(Disk *disk, Node *file, uint64_t size) {
    if (size == file->bytes.size) return 0;
    int error = take_space(disk, file, size);
    if (error) return error;
    note_write(file, size, 0)->is_size = true;
    bytes_resize(&file->bytes, size);
    return 0;
}

// MARK: Syncs

static void drop_writes(Node *file) {
    for (Write *write = file->first_write, *next; write; write = next) {
        next = write->next;
        free(write);
    }
    file->first_write = file->last_write = NULL;
}

static void free_change(Change *change) {
    for (int n = 0; n < change->count; n++) free(change->names[n].name);
    free(change);
}

static void apply_change(Node *folder, Change *change) {
    for (int n = 0; n < change->count; n++)
        names_set(&folder->durable_names, change->names[n].name, change->names[n].node);
}

void disk_sync_file(Disk *disk, Node *file) {
    for (Write *write = file->first_write; write; write = write->next) {
        if (write->is_size) bytes_resize(&file->durable_bytes, write->offset);
        else bytes_write(&file->durable_bytes, write->offset, write->bytes, write->length);
    }
    drop_writes(file);
    disk->file_syncs++;
}

void disk_sync_folder(Disk *disk, Node *folder) {
    for (Change *change = folder->first_change, *next; change; change = next) {
        next = change->next;
        apply_change(folder, change);
        free_change(change);
    }
    folder->first_change = folder->last_change = NULL;
    disk->folder_syncs++;
}

void disk_sync_all(Disk *disk) {
    uint64_t files = disk->file_syncs, folders = disk->folder_syncs;
    for (Node *node = disk->all; node; node = node->next) {
        if (node->is_folder) disk_sync_folder(disk, node);
        else disk_sync_file(disk, node);
    }
    disk->file_syncs = files;
    disk->folder_syncs = folders;
    disk->all_syncs++;
}

// MARK: The cut

static uint64_t chance_state;

// splitmix64 (public domain, Sebastiano Vigna).
static uint64_t chance(uint64_t below) {
    uint64_t z = (chance_state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % below;
}

// Writes reach a disk in pieces and in any order. A piece that is lost behind the old end may still have made the file
// longer: zeros are read there then.
static void tear(Disk *disk, Node *file) {
    uint64_t piece = (uint64_t[]){512, 4096, 1 << 30}[chance(3)];
    uint64_t percent = (uint64_t[]){0, 10, 50, 90, 100}[chance(5)];
    bool grows = chance(3) == 0;
    // Half of the time the writes arrive in order up to some moment, and only the last of them is torn.
    uint64_t count = 0;
    for (Write *write = file->first_write; write; write = write->next) count++;
    bool in_order = chance(2);
    uint64_t last = chance(count + 1);
    uint64_t index = 0;
    for (Write *write = file->first_write; write; write = write->next, index++) {
        uint64_t kept = in_order ? (index < last ? 100 : index == last ? percent : 0) : percent;
        if (write->is_size) {
            if (chance(100) < kept) bytes_resize(&file->durable_bytes, write->offset);
            continue;
        }
        for (uint64_t at = write->offset, end = at + write->length; at < end;) {
            uint64_t next = (at / piece + 1) * piece;
            if (next > end) next = end;
            if (chance(100) < kept) {
                bytes_write(&file->durable_bytes, at, write->bytes + (at - write->offset), next - at);
            } else {
                disk->dropped_bytes += next - at;
                if (grows && next > file->durable_bytes.size) bytes_resize(&file->durable_bytes, next);
            }
            at = next;
        }
    }
}

// Programs see what the disk holds. Only what was written is copied, as a file may be a disk's large image.
static void restore(Node *file) {
    const Bytes *durable = &file->durable_bytes;
    bool is_resized = false;
    for (Write *write = file->first_write; write; write = write->next) is_resized |= write->is_size;
    bytes_resize(&file->bytes, durable->size);
    if (is_resized && durable->size) memcpy(file->bytes.base, durable->base, durable->size);
    for (Write *write = file->first_write; write && !is_resized; write = write->next) {
        uint64_t end = write->offset + write->length;
        if (end > durable->size) end = durable->size;
        if (write->offset < end) memcpy(file->bytes.base + write->offset, durable->base + write->offset, end - write->offset);
    }
}

static void cut_file(Disk *disk, Node *file, Keeping keeping) {
    if (!file->first_write) return;
    if (keeping == KEEP_ALL) {
        disk_sync_file(disk, file);
        return;
    }
    if (keeping == KEEP_NOTHING) {
        for (Write *write = file->first_write; write; write = write->next) disk->dropped_bytes += write->length;
    } else {
        tear(disk, file);
    }
    restore(file);
    drop_writes(file);
}

// A folder's changes reach the disk in order, up to some moment that is its own.
static void cut_folder(Disk *disk, Node *folder, Keeping keeping) {
    uint64_t count = 0;
    for (Change *change = folder->first_change; change; change = change->next) count++;
    uint64_t kept = keeping == KEEP_ALL ? count : keeping == KEEP_NOTHING ? 0 : chance(count + 1);
    disk->dropped_names += count - kept;
    for (Change *change = folder->first_change, *next; change; change = next) {
        next = change->next;
        if (kept > 0) {
            apply_change(folder, change);
            kept--;
        }
        free_change(change);
    }
    folder->first_change = folder->last_change = NULL;
    names_clear(&folder->names);
    for (uint32_t n = 0; n < folder->durable_names.count; n++)
        names_set(&folder->names, folder->durable_names.all[n].name, folder->durable_names.all[n].node);
}

static void reach(Node *node) {
    if (node->is_reached) return;
    node->is_reached = true;
    for (uint32_t n = 0; n < node->names.count; n++) reach(node->names.all[n].node);
    for (uint32_t n = 0; n < node->durable_names.count; n++) reach(node->durable_names.all[n].node);
    for (Change *change = node->first_change; change; change = change->next)
        for (int n = 0; n < change->count; n++)
            if (change->names[n].node) reach(change->names[n].node);
}

void disk_cut(Disk *disk, uint64_t seed, Keeping keeping) {
    chance_state = seed;
    for (Node *node = disk->all; node; node = node->next) {
        if (node->is_folder) cut_folder(disk, node, keeping);
        else cut_file(disk, node, keeping);
    }
    disk->cuts++;
    disk_collect(disk);
    disk->used = 0;
    for (Node *node = disk->all; node; node = node->next) node->is_reached = false;
    reach(disk->root);
    for (Node *node = disk->all; node; node = node->next) {
        node->is_named = node->is_reached && !node->is_folder;
        if (node->is_named) disk->used += node->bytes.size;
    }
}

void disk_collect(Disk *disk) {
    for (Node *node = disk->all; node; node = node->next) node->is_reached = false;
    reach(disk->root);
    for (Node *node = disk->all; node; node = node->next)
        if (node->lookups) reach(node);
    for (Node **at = &disk->all; *at;) {
        Node *node = *at;
        if (node->is_reached) {
            at = &node->next;
            continue;
        }
        *at = node->next;
        drop_writes(node);
        for (Change *change = node->first_change, *next; change; change = next) {
            next = change->next;
            free_change(change);
        }
        names_clear(&node->names);
        names_clear(&node->durable_names);
        free(node->names.all);
        free(node->durable_names.all);
        bytes_free(&node->bytes);
        bytes_free(&node->durable_bytes);
        free(node);
    }
}
