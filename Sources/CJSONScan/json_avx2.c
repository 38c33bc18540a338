// The scan for processors with AVX2: a block is two registers.

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt"))), apply_to = function)

#include "json_walk.h"

enum millrace_json_end json_avx2(struct millrace_json_scan *scan, enum millrace_json_mode mode) {
    return json_find(scan, mode);
}

#pragma clang attribute pop

#endif
