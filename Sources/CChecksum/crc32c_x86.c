// CRC-32C on x86-64: the SSE4.2 instruction, alone and three-way interleaved, and folding with VPCLMULQDQ.
//
// Folding, in short. A CRC is the remainder of the message as a polynomial over GF(2). A register of the message's
// bits may be multiplied by x^D modulo the polynomial and added to the register D bits later without changing that
// remainder. Bits are reflected: bit i of a 128-bit register R stands for x^(127-i), its low half L is the higher one:
//
//     R * x^D  =  L * x^(D+64)  +  H * x^D
//
// A carry-less product of two 64-bit registers lands one bit lower than the reflected reading wants, and a 32-bit
// constant stands in the upper end of its 64-bit reading; together that is x^33. So L is multiplied by
// x^(D+64-33) = x^(D+31) and H by x^(D-33), both modulo the polynomial. What is left at the end, 128 bits, is given to
// the crc32 instruction, which takes the remainder.
//
// Source: V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009.

#include "crc32c.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

static uint64_t load64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/// Constants of one folding distance: the multiplier of the low half, then of the high half.
struct fold { uint64_t low, high; };

static struct fold fold16, fold32, fold64, fold128, fold256;

/// Multipliers that move a CRC over the second and third stream of a three-way step.
static uint64_t shift_long_1, shift_long_2, shift_short_1, shift_short_2;

/// Bytes a stream in a three-way step. Long: the merge is noise. Short: three streams fit in a 1 KiB batch.
enum { LONG = 2048, SHORT = 256 };

static struct fold fold_by(unsigned bytes) {
    struct fold fold = { crc32c_power(bytes * 8 + 31), crc32c_power(bytes * 8 - 33) };
    return fold;
}

__attribute__((target("sse4.2")))
static uint32_t crc32c_sse42(uint32_t state, const uint8_t *data, size_t length) {
    uint64_t wide = state;
    for (; length >= 8; data += 8, length -= 8) wide = _mm_crc32_u64(wide, load64(data));
    state = (uint32_t)wide;
    if (length & 4) {
        uint32_t word;
        memcpy(&word, data, 4);
        state = _mm_crc32_u32(state, word);
        data += 4;
    }
    if (length & 2) {
        uint16_t word;
        memcpy(&word, data, 2);
        state = _mm_crc32_u16(state, word);
        data += 2;
    }
    if (length & 1) state = _mm_crc32_u8(state, *data);
    return state;
}

/// `state` moved on by the distance of `multiplier` (x^(8 * bytes - 33)).
__attribute__((target("sse4.2,pclmul")))
static uint32_t shifted(uint32_t state, uint64_t multiplier) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(state), _mm_cvtsi64_si128((int64_t)multiplier), 0x00);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/// The instruction takes a new operand each cycle but answers after three: three streams keep it busy.
__attribute__((target("sse4.2,pclmul")))
static inline const uint8_t *three_way(
    uint32_t *state, const uint8_t *data, size_t stream, uint64_t shift_1, uint64_t shift_2
) {
    uint64_t a = *state, b = 0, c = 0;
    for (size_t at = 0; at < stream; at += 8) {
        a = _mm_crc32_u64(a, load64(data + at));
        b = _mm_crc32_u64(b, load64(data + stream + at));
        c = _mm_crc32_u64(c, load64(data + 2 * stream + at));
    }
    *state = shifted((uint32_t)a, shift_2) ^ shifted((uint32_t)b, shift_1) ^ (uint32_t)c;
    return data + 3 * stream;
}

__attribute__((target("sse4.2,pclmul")))
static uint32_t crc32c_sse42_three_way(uint32_t state, const uint8_t *data, size_t length) {
    for (; length >= 3 * LONG; length -= 3 * LONG) data = three_way(&state, data, LONG, shift_long_1, shift_long_2);
    for (; length >= 3 * SHORT; length -= 3 * SHORT)
        data = three_way(&state, data, SHORT, shift_short_1, shift_short_2);
    return crc32c_sse42(state, data, length);
}

__attribute__((target("sse4.2,pclmul")))
static inline __m128i folded128(__m128i value, struct fold by, __m128i next) {
    __m128i k = _mm_set_epi64x((int64_t)by.high, (int64_t)by.low);
    __m128i low = _mm_clmulepi64_si128(value, k, 0x00), high = _mm_clmulepi64_si128(value, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/// The last steps of every folding: 16 bytes at a time, then the remainder of the register, then the odd bytes.
__attribute__((target("sse4.2,pclmul")))
static inline uint32_t finish(__m128i value, const uint8_t *data, size_t length) {
    for (; length >= 16; data += 16, length -= 16)
        value = folded128(value, fold16, _mm_loadu_si128((const __m128i *)data));
    uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(value));
    state = _mm_crc32_u64(state, (uint64_t)_mm_extract_epi64(value, 1));
    return crc32c_sse42((uint32_t)state, data, length);
}

#define AVX2 "sse4.2,pclmul,avx2,vpclmulqdq"

__attribute__((target(AVX2)))
static inline __m256i folded256(__m256i value, __m256i k, __m256i next) {
    __m256i low = _mm256_clmulepi64_epi128(value, k, 0x00), high = _mm256_clmulepi64_epi128(value, k, 0x11);
    return _mm256_xor_si256(_mm256_xor_si256(low, high), next);
}

__attribute__((target(AVX2)))
static inline __m256i constants256(struct fold by) {
    return _mm256_broadcastsi128_si256(_mm_set_epi64x((int64_t)by.high, (int64_t)by.low));
}

__attribute__((target(AVX2)))
static uint32_t crc32c_avx2_fold(uint32_t state, const uint8_t *data, size_t length) {
    if (length < 256) return crc32c_sse42(state, data, length);
    const __m256i *from = (const __m256i *)data;
    __m256i a = _mm256_xor_si256(_mm256_loadu_si256(from), _mm256_zextsi128_si256(_mm_cvtsi32_si128((int)state)));
    __m256i b = _mm256_loadu_si256(from + 1);
    __m256i c = _mm256_loadu_si256(from + 2);
    __m256i d = _mm256_loadu_si256(from + 3);
    __m256i k = constants256(fold128);
    for (data += 128, length -= 128; length >= 128; data += 128, length -= 128) {
        from = (const __m256i *)data;
        a = folded256(a, k, _mm256_loadu_si256(from));
        b = folded256(b, k, _mm256_loadu_si256(from + 1));
        c = folded256(c, k, _mm256_loadu_si256(from + 2));
        d = folded256(d, k, _mm256_loadu_si256(from + 3));
    }
    // Four registers into one: neighbours are 32 bytes apart, then pairs 64.
    k = constants256(fold32);
    b = folded256(a, k, b);
    d = folded256(c, k, d);
    d = folded256(b, constants256(fold64), d);
    for (; length >= 32; data += 32, length -= 32) d = folded256(d, k, _mm256_loadu_si256((const __m256i *)data));
    return finish(folded128(_mm256_castsi256_si128(d), fold16, _mm256_extracti128_si256(d, 1)), data, length);
}

#define AVX512 "sse4.2,pclmul,avx2,vpclmulqdq,avx512f,avx512dq,avx512vl"

__attribute__((target(AVX512)))
static inline __m512i folded512(__m512i value, __m512i k, __m512i next) {
    __m512i low = _mm512_clmulepi64_epi128(value, k, 0x00), high = _mm512_clmulepi64_epi128(value, k, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

__attribute__((target(AVX512)))
static inline __m512i constants512(struct fold by) {
    return _mm512_broadcast_i32x4(_mm_set_epi64x((int64_t)by.high, (int64_t)by.low));
}

__attribute__((target(AVX512)))
static uint32_t crc32c_avx512_fold(uint32_t state, const uint8_t *data, size_t length) {
    if (length < 256) return crc32c_sse42(state, data, length);
    __m512i a = _mm512_xor_si512(_mm512_loadu_si512(data), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    __m512i b = _mm512_loadu_si512(data + 64);
    __m512i c = _mm512_loadu_si512(data + 128);
    __m512i d = _mm512_loadu_si512(data + 192);
    __m512i k = constants512(fold256);
    for (data += 256, length -= 256; length >= 256; data += 256, length -= 256) {
        a = folded512(a, k, _mm512_loadu_si512(data));
        b = folded512(b, k, _mm512_loadu_si512(data + 64));
        c = folded512(c, k, _mm512_loadu_si512(data + 128));
        d = folded512(d, k, _mm512_loadu_si512(data + 192));
    }
    // Four registers into one: neighbours are 64 bytes apart, then pairs 128.
    k = constants512(fold64);
    b = folded512(a, k, b);
    d = folded512(c, k, d);
    d = folded512(b, constants512(fold128), d);
    for (; length >= 64; data += 64, length -= 64) d = folded512(d, k, _mm512_loadu_si512(data));
    __m256i half = folded256(
        _mm512_castsi512_si256(d), constants256(fold32), _mm512_extracti64x4_epi64(d, 1));
    __m128i quarter = folded128(_mm256_castsi256_si128(half), fold16, _mm256_extracti128_si256(half, 1));
    return finish(quarter, data, length);
}

int crc32c_hardware(struct crc32c_implementation *list, int count) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2")) return count;
    list[count++] = (struct crc32c_implementation){"sse4.2", crc32c_sse42};
    if (!__builtin_cpu_supports("pclmul")) return count;

    shift_long_1 = crc32c_power(LONG * 8 - 33);
    shift_long_2 = crc32c_power(LONG * 16 - 33);
    shift_short_1 = crc32c_power(SHORT * 8 - 33);
    shift_short_2 = crc32c_power(SHORT * 16 - 33);
    list[count++] = (struct crc32c_implementation){"sse4.2-three-way", crc32c_sse42_three_way};
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("vpclmulqdq")) return count;

    fold16 = fold_by(16);
    fold32 = fold_by(32);
    fold64 = fold_by(64);
    fold128 = fold_by(128);
    fold256 = fold_by(256);
    list[count++] = (struct crc32c_implementation){"avx2-vpclmulqdq", crc32c_avx2_fold};
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return count;

    list[count++] = (struct crc32c_implementation){"avx512-vpclmulqdq", crc32c_avx512_fold};
    return count;
}

#endif
