// CRC-32C with eight tables of 256 entries, eight bytes a step ("slice by 8").

#include "crc32c.h"

#include <string.h>

/// The Castagnoli polynomial 0x1edc6f41, bit-reflected.
static const uint32_t polynomial = 0x82f63b78;

/// tables[k][b]: the CRC of byte b followed by k zero bytes.
static uint32_t tables[8][256];

void crc32c_portable_prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; bit++) state = (state >> 1) ^ (state & 1 ? polynomial : 0);
        tables[0][byte] = state;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++)
            tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
}

uint32_t crc32c_power(unsigned n) {
    // Reflected: the highest bit is x^0, and multiplying by x shifts right.
    uint32_t power = 0x80000000;
    for (; n > 0; n--) power = (power >> 1) ^ (power & 1 ? polynomial : 0);
    return power;
}

uint32_t crc32c_portable(uint32_t state, const uint8_t *data, size_t length) {
    for (; length >= 8; data += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        word ^= state;
        state = tables[7][word & 0xff] ^ tables[6][(word >> 8) & 0xff] ^ tables[5][(word >> 16) & 0xff] ^
                tables[4][(word >> 24) & 0xff] ^ tables[3][(word >> 32) & 0xff] ^ tables[2][(word >> 40) & 0xff] ^
                tables[1][(word >> 48) & 0xff] ^ tables[0][word >> 56];
    }
    for (; length > 0; data++, length--) state = (state >> 8) ^ tables[0][(state ^ *data) & 0xff];
    return state;
}
