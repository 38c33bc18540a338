#pragma once

#include "CJSONScan.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a block's first byte has the lowest bit of its marks: little-endian"
#endif

typedef enum millrace_json_end (*json_function)(struct millrace_json_scan *scan, enum millrace_json_mode mode);

enum millrace_json_end json_portable(struct millrace_json_scan *scan, enum millrace_json_mode mode);

#if defined(__x86_64__)
enum millrace_json_end json_avx2(struct millrace_json_scan *scan, enum millrace_json_mode mode);
enum millrace_json_end json_avx512(struct millrace_json_scan *scan, enum millrace_json_mode mode);
#endif

/// Scans the number, `true`, `false` or `null` at `start`, which must end before a byte that can follow it. Gives the position
/// behind it, 0 for anything else.
size_t json_scalar(const uint8_t *text, size_t start, size_t length);
