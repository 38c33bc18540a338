// Marks: one bit for each of a block's 64 bytes, the first one's lowest. Eight blocks are a group, and what is said of its
// marks is said of all eight at once. Included by each implementation, which is compiled for the instructions of its own:
// vectors of 64 bytes become as many registers as that takes.

#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { JSON_BLOCK = 64, JSON_LANES = 8, JSON_GROUP = JSON_BLOCK * JSON_LANES };

typedef uint8_t json_bytes __attribute__((ext_vector_type(JSON_BLOCK)));
typedef bool json_bools __attribute__((ext_vector_type(JSON_BLOCK)));
/// The marks of a group, a block in each lane.
typedef uint64_t json_marks __attribute__((ext_vector_type(JSON_LANES)));
typedef bool json_flags __attribute__((ext_vector_type(JSON_LANES)));
/// The same, to be looked at block by block.
typedef union {
    json_marks all;
    uint64_t of[JSON_LANES];
} json_group;

// Vectors are never handed over in a call: all of this is inlined.
#pragma clang diagnostic ignored "-Wpsabi"

#define JSON_INLINE static inline __attribute__((always_inline))

// MARK: A block

JSON_INLINE json_bytes json_load(const uint8_t *at) {
    json_bytes bytes;
    memcpy(&bytes, at, sizeof bytes);
    return bytes;
}

/// Bytes that are `byte`.
JSON_INLINE uint64_t json_equal(json_bytes bytes, uint8_t byte) {
    return __builtin_bit_cast(uint64_t, __builtin_convertvector(bytes == byte, json_bools));
}

/// Bytes below `limit`.
JSON_INLINE uint64_t json_below(json_bytes bytes, uint8_t limit) {
    return __builtin_bit_cast(uint64_t, __builtin_convertvector(bytes < limit, json_bools));
}

/// Whitespace.
JSON_INLINE uint64_t json_spaces(json_bytes bytes) {
#ifdef JSON_SPACES
    return JSON_SPACES(bytes);
#else
    return __builtin_bit_cast(
        uint64_t, __builtin_convertvector(
                      (bytes == ' ') | (bytes == '\t') | (bytes == '\r') | (bytes == '\n'), json_bools));
#endif
}

// MARK: A group

/// One bit for each lane that is true.
#define json_lanes(condition) __builtin_bit_cast(uint8_t, __builtin_convertvector(condition, json_flags))

/// The marks moved up by one byte. `last` is what was moved before, of the group before this one.
JSON_INLINE json_marks json_next(json_marks marks, json_marks *last) {
    json_marks before = __builtin_shufflevector(*last, marks, 7, 8, 9, 10, 11, 12, 13, 14);
    *last = marks;
    return marks << 1 | before >> 63;
}

struct json_behind {
    json_marks last;
    /// 1: a run that was added to reaches over the end of the group.
    unsigned carry;
};

/// For each byte of `before`, the first byte behind it that is not in `run`.
///
/// A run is a row of ones: adding one to its first bit clears it and sets the bit behind it. What was not added to stays ones,
/// and is masked away. The carry of a lane goes to the next one, and through it if that is ones.
JSON_INLINE json_marks json_behind(json_marks before, json_marks run, struct json_behind *state) {
    json_marks sum = json_next(before, &state->last) + run;
    unsigned made = json_lanes(sum < run), passed = json_lanes(sum == ~(json_marks)0);
    unsigned into = ((made << 1 | state->carry) + passed) ^ passed;
    state->carry = into >> JSON_LANES;
    sum += __builtin_convertvector(__builtin_bit_cast(json_flags, (uint8_t)into), json_marks);
    return sum & ~run;
}

/// Marks of all bytes from each odd one of `marks` to before the next: each bit is the sum of those up to it. `inside`, all
/// ones or 0: whether the group begins with such bytes.
JSON_INLINE json_marks json_spans(json_marks marks, unsigned *inside) {
    for (int distance = 1; distance < JSON_BLOCK; distance *= 2) marks ^= marks << distance;
    // A lane begins as the one before it has ended.
    unsigned odd = json_lanes((marks >> 63) != 0), ended = odd;
    for (int distance = 1; distance < JSON_LANES; distance *= 2) ended ^= ended << distance;
    ended ^= *inside;
    unsigned began = ended << 1 | (*inside & 1);
    *inside = -(ended >> (JSON_LANES - 1) & 1);
    return marks ^ -__builtin_convertvector(__builtin_bit_cast(json_flags, (uint8_t)began), json_marks);
}
