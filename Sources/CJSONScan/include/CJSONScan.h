#pragma once

#include <stddef.h>
#include <stdint.h>

// Checks that bytes are JSON (RFC 8259, strictly, in UTF-8) in blocks of 64, and tells where events begin and end.
//
// What is found sound is JSON within the limits, for sure. What is not found sound is told apart by a scan that goes byte by
// byte, which knows what is wrong and where; that scan is the caller's.
//
// The widest implementation that this CPU has is chosen once, when the program is loaded, and only after it has agreed with
// the portable one on a self-check; everything here may be called from any thread.

/// A range of the text: where it begins, and the first byte behind it.
struct millrace_json_range {
    uint32_t start, end;
};

/// Why a scan came back.
enum millrace_json_end {
    /// All of the text was looked at.
    MILLRACE_JSON_FINISHED,
    /// The ranges are used up. Another call goes on at `position`.
    MILLRACE_JSON_FULL,
    /// What begins at `position` is not sound, or something within the 64 bytes behind its end is not.
    MILLRACE_JSON_UNSOUND,
};

struct millrace_json_scan {
    /// At most 4 GiB.
    const uint8_t *text;
    size_t length;

    /// Nested containers, at most 64, those around what is scanned included.
    uint32_t max_depth;
    /// Values and keys of one event.
    uint32_t max_tokens;
    /// Keys of one event.
    uint32_t max_keys;

    /// Where the ranges go: at least `MILLRACE_JSON_ROOM` of them.
    struct millrace_json_range *ranges;
    size_t capacity;

    /// Where to begin, and, afterwards, behind the last event that was found and what ended it.
    size_t position;
    /// How many were found.
    size_t count;
};

/// At least as many events as end in eight blocks.
enum { MILLRACE_JSON_ROOM = 256 };

/// Room for twice as many ranges, the calling thread's own: for scans that end before the next one on the thread begins.
struct millrace_json_range *millrace_json_room(void);

/// What the events of a text are. Whitespace around them is none of theirs.
enum millrace_json_mode {
    /// The lines of newline-delimited JSON but for empty ones. `position` is the beginning of a line.
    MILLRACE_JSON_LINES,
    /// The elements of an array, from behind its opening bracket. Behind the array is nothing but whitespace.
    MILLRACE_JSON_ELEMENTS,
    /// The same, from behind a comma.
    MILLRACE_JSON_MORE_ELEMENTS,
    /// The one value of the text; none is found in a text of whitespace.
    MILLRACE_JSON_VALUE,
};

/// Finds the events of a text.
enum millrace_json_end millrace_json_find(struct millrace_json_scan *scan, enum millrace_json_mode mode);

/// The name of the chosen implementation, e.g. "avx512".
const char *millrace_json_name(void);

/// How many implementations this CPU can run. Index 0 is the portable one, the last is the chosen one.
int millrace_json_count(void);

/// For tests and measurements: the name of one implementation, `index` below `millrace_json_count()`.
const char *millrace_json_name_at(int index);

/// For tests and measurements: does what `millrace_json_find` does by one implementation.
enum millrace_json_end millrace_json_find_by(int index, struct millrace_json_scan *scan, enum millrace_json_mode mode);
