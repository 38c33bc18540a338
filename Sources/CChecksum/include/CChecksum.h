#pragma once

#include <stddef.h>
#include <stdint.h>

// CRC-32C (Castagnoli; RFC 3720 appendix B.4), the checksum of a record batch.
//
// The fastest implementation that this CPU has is chosen once, when the program is loaded, and only after it has agreed
// with the portable one on a self-check; everything here may be called from any thread.

/// Continues `seed` (0, or the result for the bytes before) over `length` bytes at `data`. With length 0, `data` may be
/// null.
uint32_t millrace_crc32c(uint32_t seed, const void *data, size_t length);

/// The name of the chosen implementation, e.g. "avx512-vpclmulqdq".
const char *millrace_crc32c_name(void);

/// How many implementations this CPU can run. Index 0 is the portable one, the last is the chosen one.
int millrace_crc32c_count(void);

/// For tests and measurements: the name of one implementation, `index` below `millrace_crc32c_count()`.
const char *millrace_crc32c_name_at(int index);

/// For tests and measurements: runs one implementation, `index` below `millrace_crc32c_count()`.
uint32_t millrace_crc32c_run(int index, uint32_t seed, const void *data, size_t length);
