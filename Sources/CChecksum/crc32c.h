#pragma once

#include "CChecksum.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the loads below take the byte order of the CRC's bit order: little-endian"
#endif

// Inside, a "state" is the CRC without the inversion before and after that the public call adds.

typedef uint32_t (*crc32c_function)(uint32_t state, const uint8_t *data, size_t length);

/// Builds the tables; called once, before anything else.
void crc32c_portable_prepare(void);
uint32_t crc32c_portable(uint32_t state, const uint8_t *data, size_t length);

/// x^n modulo the polynomial, bit-reflected: the constant that moves a CRC n bits on.
uint32_t crc32c_power(unsigned n);

struct crc32c_implementation {
    const char *name;
    crc32c_function run;
};

/// Appends what this CPU can run, slowest first, and gives the new count. At most 4 are added.
int crc32c_hardware(struct crc32c_implementation *list, int count);
