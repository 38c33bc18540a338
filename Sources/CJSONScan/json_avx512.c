// The scan for processors with AVX-512: a block is one register, and comparisons give its marks.

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define JSON_SPACES(bytes) spaces(__builtin_bit_cast(__m512i, bytes))
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,bmi2,popcnt"))), apply_to = function)

/// Whitespace is what a table of 16 has at its low four bits. Bytes above 0x7f find 0 there.
static inline __attribute__((always_inline)) uint64_t spaces(__m512i bytes) {
    const __m128i table = _mm_setr_epi8(' ', -1, -1, -1, -1, -1, -1, -1, -1, '\t', '\n', -1, -1, '\r', -1, -1);
    return _mm512_cmpeq_epi8_mask(_mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), bytes), bytes);
}

#include "json_walk.h"

enum millrace_json_end json_avx512(struct millrace_json_scan *scan, enum millrace_json_mode mode) {
    return json_find(scan, mode);
}

#pragma clang attribute pop

#endif
