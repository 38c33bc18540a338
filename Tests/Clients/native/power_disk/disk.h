// A file system in memory that knows what was synced, so that a power failure can be made while a real program runs on it.
//
// Every file and folder is kept twice: as programs see it, and as the disk holds it. What lies between the two are the
// changes since the last sync, in order. `disk_cut` makes the power fail: of the unsynced changes it keeps a seeded part,
// drops the rest, and what is left is what programs see from then on.
//
//   bytes and size of a file    are on the disk after fsync, fdatasync or a write with O_DSYNC or RWF_DSYNC of that file
//   a name                      is on the disk after fsync of its folder; fsync of the file does not help
//   everything                  is on the disk after syncfs
//
// No real file system is that strict with names; a program that is right on this one does not rely on any of them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// A size that grows and shrinks, in memory that is only taken when it is written to.
typedef struct {
    unsigned char *base;
    uint64_t size, capacity;
} Bytes;

typedef struct Node Node;

// The content of a folder.
typedef struct {
    struct Name {
        char *name;
        Node *node;
    } *all;
    uint32_t count, capacity;
} Names;

// One unsynced change of a file: bytes written, or (`is_size`) the size set to `offset`.
typedef struct Write {
    struct Write *next;
    uint64_t offset, length;
    bool is_size;
    unsigned char bytes[];
} Write;

// One unsynced change of a folder: names that get a node or lose it (NULL), in one step. Two of them are a rename.
typedef struct Change {
    struct Change *next;
    int count;
    struct Name names[2];
} Change;

struct Node {
    uint64_t number;   // as st_ino
    uint64_t lookups;  // references of the kernel
    bool is_folder, is_reached;
    bool is_named;     // counts for the space in use
    uint32_t mode;
    int64_t seconds;   // of the last change, since 1970
    Bytes bytes, durable_bytes;
    Write *first_write, *last_write;
    Names names, durable_names;
    Change *first_change, *last_change;
    Node *next;        // in the list of all
};

// How much of the unsynced a cut keeps.
typedef enum { KEEP_NOTHING, KEEP_ALL, KEEP_SOME } Keeping;

typedef struct {
    Node *root, *all;
    uint64_t numbers;
    uint64_t limit;  // bytes of all files together, as programs see them
    uint64_t used;
    uint64_t writes, written_bytes, file_syncs, folder_syncs, all_syncs, name_changes, cuts, dropped_bytes, dropped_names;
} Disk;

void disk_make(Disk *disk, uint64_t limit);

Node *disk_find(Node *folder, const char *name);
// All of these give 0 or an errno.
int disk_create(Disk *disk, Node *folder, const char *name, uint32_t mode, bool is_folder, Node **made);
int disk_remove(Disk *disk, Node *folder, const char *name, bool is_folder);
int disk_rename(Disk *disk, Node *from, const char *old_name, Node *to, const char *new_name);
int disk_write(Disk *disk, Node *file, uint64_t offset, const void *bytes, uint64_t length);
int disk_resize(Disk *disk, Node *file, uint64_t size);

void disk_sync_file(Disk *disk, Node *file);
void disk_sync_folder(Disk *disk, Node *folder);
void disk_sync_all(Disk *disk);
// The power fails.
void disk_cut(Disk *disk, uint64_t seed, Keeping keeping);
// Frees what neither a name, nor the disk, nor the kernel knows any more.
void disk_collect(Disk *disk);
