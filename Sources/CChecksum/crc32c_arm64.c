// CRC-32C on 64-bit ARM: the CRC extension, optional in ARMv8.0 and part of every later version.

#include "crc32c.h"

#if defined(__aarch64__)

#include <arm_acle.h>
#include <string.h>

#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
static int has_crc32(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#elif defined(__APPLE__)
static int has_crc32(void) { return 1; }
#else
static int has_crc32(void) { return 0; }
#endif

__attribute__((target("crc")))
static uint32_t crc32c_arm64(uint32_t state, const uint8_t *data, size_t length) {
    for (; length >= 8; data += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        state = __crc32cd(state, word);
    }
    for (; length > 0; data++, length--) state = __crc32cb(state, *data);
    return state;
}

int crc32c_hardware(struct crc32c_implementation *list, int count) {
    if (has_crc32()) list[count++] = (struct crc32c_implementation){"arm64-crc", crc32c_arm64};
    return count;
}

#elif !defined(__x86_64__)

int crc32c_hardware(struct crc32c_implementation *list, int count) {
    (void)list;
    return count;
}

#endif
