// What may stand in a string, by the marks of a block: escapes, characters beyond ASCII. Included as json_marks.h is.

#pragma once

#include "json_marks.h"

struct json_strings {
    /// 1: the block's first byte is escaped.
    uint64_t escaped;
    /// The block's first bytes that must be hexadecimal digits.
    uint64_t hex;
    /// The block's first bytes that must continue a character.
    uint64_t continued;
    /// 1: the byte before the block was the one of the name.
    uint64_t e0, ed, f0, f4;
};

/// Marks the bytes behind the first, third, fifth backslash of each row: what is escaped.
JSON_INLINE uint64_t json_escaped(uint64_t backslash, uint64_t *carry) {
    const uint64_t even = 0x5555555555555555;
    // An escaped backslash is none.
    backslash &= ~*carry;
    uint64_t first = backslash & ~(backslash << 1);
    // Of rows that begin at an even place the addition clears all.
    uint64_t from_even = backslash & ~(backslash + (first & even));
    uint64_t from_odd = backslash & ~from_even;
    uint64_t escaped = (from_even << 1 & ~even) | (from_odd << 1 & even) | *carry;
    *carry = from_odd >> 63;
    return escaped;
}

/// Marks what is wrong with the escapes.
JSON_INLINE uint64_t json_bad_escapes(json_bytes bytes, uint64_t escaped, uint64_t *hex) {
    json_bytes lower = bytes | 0x20;
    uint64_t unicode = json_equal(bytes, 'u') & escaped;
    uint64_t single = json_equal(bytes, '"') | json_equal(bytes, '\\') | json_equal(bytes, '/') | json_equal(bytes, 'b') |
                      json_equal(bytes, 'f') | json_equal(bytes, 'n') | json_equal(bytes, 'r') | json_equal(bytes, 't');
    uint64_t bad = escaped & ~(single | unicode);
    if (unicode | *hex) {
        uint64_t digits = json_below(bytes - '0', 10) | json_below(lower - 'a', 6);
        uint64_t wanted = unicode << 1 | unicode << 2 | unicode << 3 | unicode << 4 | *hex;
        *hex = unicode >> 63 | unicode >> 62 | unicode >> 61 | unicode >> 60;
        bad |= wanted & ~digits;
    }
    return bad;
}

/// The marks of a byte moved up by one.
JSON_INLINE uint64_t json_behind_byte(uint64_t marks, uint64_t *carry) {
    uint64_t next = marks << 1 | *carry;
    *carry = marks >> 63;
    return next;
}

/// Marks what is not UTF-8: no overlong form, no surrogate, nothing above U+10FFFF. (RFC 3629, section 4.)
JSON_INLINE uint64_t json_bad_characters(json_bytes bytes, uint64_t high, struct json_strings *carry) {
    uint64_t below_c0 = json_below(bytes, 0xc0), below_e0 = json_below(bytes, 0xe0), below_f0 = json_below(bytes, 0xf0);
    uint64_t below_a0 = json_below(bytes, 0xa0), below_90 = json_below(bytes, 0x90);
    // Each first byte says how many more there are.
    uint64_t wanted = ~below_c0 << 1 | ~below_e0 << 2 | ~below_f0 << 3 | carry->continued;
    carry->continued = ~below_c0 >> 63 | ~below_e0 >> 62 | ~below_f0 >> 61;
    uint64_t never = json_equal(bytes & 0xfe, 0xc0) | ~json_below(bytes, 0xf5);
    // And some of them narrow what the second one may be.
    uint64_t too_low = (json_behind_byte(json_equal(bytes, 0xe0), &carry->e0) & below_a0) |
                       (json_behind_byte(json_equal(bytes, 0xf0), &carry->f0) & below_90);
    uint64_t too_high = (json_behind_byte(json_equal(bytes, 0xed), &carry->ed) & ~below_a0) |
                        (json_behind_byte(json_equal(bytes, 0xf4), &carry->f4) & ~below_90);
    return (wanted ^ (high & below_c0)) | never | too_low | too_high;
}

/// Marks the quotes of strings, both of each. What is wrong is added to `bad`.
JSON_INLINE uint64_t json_quotes(json_bytes bytes, uint64_t *bad, struct json_strings *carry) {
    uint64_t backslash = json_equal(bytes, '\\'), quote = json_equal(bytes, '"');
    if (backslash | carry->escaped | carry->hex) {
        uint64_t escaped = json_escaped(backslash, &carry->escaped);
        *bad |= json_bad_escapes(bytes, escaped, &carry->hex);
        quote &= ~escaped;
    }
    uint64_t high = ~json_below(bytes, 0x80);
    if (high | carry->continued) *bad |= json_bad_characters(bytes, high, carry);
    return quote;
}
