// Which CRC-32C runs: chosen once, when the program is loaded.

#include "crc32c.h"

enum { MAX_IMPLEMENTATIONS = 5 };

static struct crc32c_implementation implementations[MAX_IMPLEMENTATIONS] = {{"portable", crc32c_portable}};
static int count = 1;
static crc32c_function chosen = crc32c_portable;

/// Lengths on both sides of every threshold and loop step, from an odd address.
static int agrees_with_portable(crc32c_function candidate) {
    static const size_t lengths[] = {1, 7, 16, 61, 255, 256, 300, 511, 512, 767, 768, 1055, 2300, 6143, 6144, 7001};
    static uint8_t sample[7008];
    uint32_t random = 0x2545f491;
    for (size_t at = 0; at < sizeof sample; at++) {
        random = random * 1664525 + 1013904223;
        sample[at] = (uint8_t)(random >> 24);
    }
    for (size_t at = 0; at < sizeof lengths / sizeof *lengths; at++)
        if (candidate(random, sample + 3, lengths[at]) != crc32c_portable(random, sample + 3, lengths[at])) return 0;
    return 1;
}

/// Runs before `main`, in the one thread there is, so that nothing here needs a lock or an atomic.
__attribute__((constructor)) static void choose(void) {
    crc32c_portable_prepare();
    struct crc32c_implementation hardware[MAX_IMPLEMENTATIONS];
    int available = crc32c_hardware(hardware, 0);
    for (int index = 0; index < available; index++)
        if (agrees_with_portable(hardware[index].run)) implementations[count++] = hardware[index];
    chosen = implementations[count - 1].run;
}

uint32_t millrace_crc32c(uint32_t seed, const void *data, size_t length) { return ~chosen(~seed, data, length); }

const char *millrace_crc32c_name(void) { return implementations[count - 1].name; }

int millrace_crc32c_count(void) { return count; }

const char *millrace_crc32c_name_at(int index) { return implementations[index].name; }

uint32_t millrace_crc32c_run(int index, uint32_t seed, const void *data, size_t length) {
    return ~implementations[index].run(~seed, data, length);
}
