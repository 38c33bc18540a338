// To be preloaded: the kernel has no FUSE request for syncfs (virtiofs and block devices apart), so it goes as an ioctl.
#define _GNU_SOURCE
#include "syncfs.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int syncfs(int descriptor) {
    if (ioctl(descriptor, POWER_DISK_SYNC_ALL) == 0) return 0;
    return (int)syscall(SYS_syncfs, descriptor);
}
