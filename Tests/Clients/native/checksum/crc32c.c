// CRC-32C by table, for harness/wire.py: byte by byte in Python it takes most of a test's time.
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const unsigned char *bytes, size_t length) {
    static uint32_t table[256];
    if (!table[1]) {
        for (uint32_t n = 256; n-- > 0;) {
            uint32_t crc = n;
            for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
            table[n] = crc;
        }
    }
    uint32_t crc = ~0u;
    for (size_t n = 0; n < length; n++) crc = table[(crc ^ bytes[n]) & 0xff] ^ crc >> 8;
    return ~crc;
}
