// How syncfs reaches a power disk: as this ioctl, by the library of syncfs.c.
#pragma once
#include <linux/ioctl.h>
#define POWER_DISK_SYNC_ALL _IO('M', 0x50)
