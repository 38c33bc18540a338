// The scan: the grammar by marks of whole blocks. Included by each implementation, as json_marks.h is.
//
// Tokens are brackets, commas, colons, strings and scalars (numbers and literals). What may follow what is looked at for a
// whole block at once: the first token behind each bracket, comma and colon is found by one addition (`json_behind`), and all
// other tokens stand behind the end of a value. Only brackets are gone through one by one, for they tell in what the tokens
// behind them are; and what ends events.
//
//     behind an opening bracket, a comma, a colon     a value begins, or a bracket closes, that one not behind the last two
//     behind the end of a value                       a comma, a closing bracket; a colon behind a key, and nothing else there
//     in an object, behind its bracket or a comma     a string, which is a key
//
// A line feed that ends a line is an opening bracket to what follows it: a value begins, or the next line feed ends an empty
// line. One stands behind the text in any mode, so that what is open there is seen.
//
// Source of the idea: G. Langdale, D. Lemire, "Parsing Gigabytes of JSON per Second", VLDB Journal 28, 2019.

#pragma once

#include "json_scan.h"
#include "json_strings.h"

/// Bytes of each name in a group, those within strings among them.
struct json_classes {
    json_group quote, control, open, close, comma, colon, feed, space, digit, dot, minus, zero;
    /// What is wrong within strings.
    json_group bad;
};

/// Tokens of a group.
struct json_tokens {
    json_group open, close, comma, colon, feed;
    /// All bytes of scalars, the first ones, and those that are for `json_other_scalars`.
    json_group scalar, first, other;
    /// The first bytes of keys and values.
    json_group values;
    /// The first bytes of strings, and all but the closing quotes.
    json_marks string, inside;
    /// Whitespace outside of strings.
    json_marks space;
    /// Tokens behind what is named.
    json_group after_open;
    json_marks after_comma;
    /// What is wrong with all of these.
    json_marks bad;
};

/// What a group takes from the one before it.
struct json_state {
    struct json_strings strings;
    /// All ones: the group begins within a string.
    unsigned inside;
    struct json_behind fraction, after_open, after_comma, after_colon, key, after_key;
    json_marks in_scalar, digit, dot, sign, leading_zero;
    /// Behind the last scalar that was looked at by itself.
    size_t scalar_end;
    /// Bit 0 belongs to the innermost container: 1 for an object.
    uint64_t containers;
    int32_t depth;
    /// Events that were found.
    size_t count;
    /// The place behind what ended the last of them, where the next one's bytes begin.
    size_t start;
    /// Keys and values, and keys alone, of the text before the block at hand, and of the text before `start`.
    size_t tokens, keys, tokens_before, keys_before;
};

JSON_INLINE bool json_is_space(uint8_t byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

// MARK: Classes

/// Writes what a block says into its lane.
JSON_INLINE void json_classify(
    struct json_classes *classes, int lane, const uint8_t *block, bool is_lines, struct json_strings *strings
) {
    json_bytes bytes = json_load(block), lower = bytes | 0x20;
    uint64_t bad = 0;
    classes->quote.of[lane] = json_quotes(bytes, &bad, strings);
    classes->bad.of[lane] = bad;
    classes->control.of[lane] = json_below(bytes, 0x20);
    // Brackets differ from braces in this bit alone.
    classes->open.of[lane] = json_equal(lower, '{');
    classes->close.of[lane] = json_equal(lower, '}');
    classes->comma.of[lane] = json_equal(bytes, ',');
    classes->colon.of[lane] = json_equal(bytes, ':');
    classes->feed.of[lane] = is_lines ? json_equal(bytes, '\n') : 0;
    classes->space.of[lane] = json_spaces(bytes);
    classes->digit.of[lane] = json_below(bytes - '0', 10);
    classes->dot.of[lane] = json_equal(bytes, '.');
    classes->minus.of[lane] = json_equal(bytes, '-');
    classes->zero.of[lane] = json_equal(bytes, '0');
}

// MARK: Scalars

/// The length of the literal at a place of a block, 0 when there is none or it comes near the block's end.
JSON_INLINE int json_literal(const uint8_t *block, int place) {
    if (place > JSON_BLOCK - 6) return 0;
    uint32_t word;
    memcpy(&word, block + place, sizeof word);
    // "true", "null" and "fals" as little-endian words.
    if (word == 0x65757274 || word == 0x6c6c756e) return 4;
    return word == 0x736c6166 && block[place + 4] == 'e' ? 5 : 0;
}

/// Looks at scalars of a block by themselves that have more than digits, a dot and a sign in front. False: something is wrong
/// with one.
JSON_INLINE bool json_other_scalars(
    const struct json_tokens *tokens, int lane, const struct millrace_json_scan *scan, const uint8_t *block, size_t base,
    size_t *scalar_end
) {
    const uint64_t scalar = tokens->scalar.of[lane], first = tokens->first.of[lane];
    uint64_t other = tokens->other.of[lane];
    while (other) {
        int place = __builtin_ctzll(other), length = json_literal(block, place);
        if (length > 0 && first >> place & 1 && !(scalar >> place >> length & 1)) {
            other &= ~(uint64_t)0 << place << length;
            continue;
        }
        size_t at = base + (size_t)place;
        if (at >= *scalar_end) {
            // What of it lies in front is digits, a dot, a sign: anything else would have been looked at already.
            while (at > scan->position) {
                uint8_t before = scan->text[at - 1];
                if (before != '.' && before != '-' && (uint8_t)(before - '0') > 9) break;
                at--;
            }
            *scalar_end = json_scalar(scan->text, at, scan->length);
            if (*scalar_end == 0) return false;
        }
        if (*scalar_end - base >= JSON_BLOCK) return true;
        other &= ~(uint64_t)0 << (*scalar_end - base);
    }
    return true;
}

/// Marks what is wrong with numbers; `scalar` is all bytes of scalars. Those that are to be looked at by themselves, with
/// exponents, and literals, have bytes in `other`.
JSON_INLINE json_marks json_bad_numbers(
    const struct json_classes *classes, json_marks scalar, json_marks first, json_marks *other, struct json_state *state
) {
    json_marks digit = classes->digit.all & scalar, dot = classes->dot.all & scalar, sign = classes->minus.all & first;
    json_marks behind_fraction = json_behind(dot, digit, &state->fraction);
    json_marks behind_sign = json_next(sign, &state->sign), behind_dot = json_next(dot, &state->dot);
    json_marks behind_zero = json_next(classes->zero.all & scalar & (first | behind_sign), &state->leading_zero);
    *other = scalar & ~(digit | dot | sign);
    return ((behind_sign | behind_dot) & ~digit) | (dot & ~json_next(digit, &state->digit)) | (behind_fraction & dot) |
           (behind_zero & digit);
}

// MARK: Tokens

/// Makes tokens of a group, and looks at what stands behind what.
JSON_INLINE void json_tokenize(
    struct json_tokens *tokens, const struct json_classes *classes, struct json_state *state
) {
    json_marks quote = classes->quote.all, inside = json_spans(quote, &state->inside), outside = ~inside;
    json_marks open = classes->open.all & outside, close = classes->close.all & outside;
    json_marks comma = classes->comma.all & outside, colon = classes->colon.all & outside;
    json_marks feed = classes->feed.all, space = classes->space.all & outside & ~feed, string = quote & inside;
    json_marks scalar = outside & ~(quote | open | close | comma | colon | feed | space);
    json_marks first = scalar & ~json_next(scalar, &state->in_scalar), values = open | string | first;

    json_marks after_open = json_behind(open | feed, space, &state->after_open);
    json_marks after_comma = json_behind(comma, space, &state->after_comma);
    json_marks after_colon = json_behind(colon, space, &state->after_colon);
    json_marks after = after_open | after_comma | after_colon;
    json_marks bad = classes->bad.all | ((classes->control.all | feed) & inside) | (values & ~after) |
                     ((comma | colon) & after) | (close & (after_comma | after_colon));
    bad |= json_bad_numbers(classes, scalar, first, &tokens->other.all, state);

    tokens->open.all = open;
    tokens->close.all = close;
    tokens->comma.all = comma;
    tokens->colon.all = colon;
    tokens->feed.all = feed;
    tokens->scalar.all = scalar;
    tokens->first.all = first;
    tokens->values.all = values;
    tokens->string = string;
    tokens->inside = inside;
    tokens->space = space;
    tokens->after_open.all = after_open;
    tokens->after_comma = after_comma;
    tokens->bad = bad;
}

/// Marks what is wrong with the keys of objects: one is behind each opening bracket and comma, and a colon behind each and
/// nowhere else. `object`: the bytes that are in an object and in nothing within.
JSON_INLINE json_marks json_bad_keys(const struct json_tokens *tokens, json_marks object, struct json_state *state) {
    json_marks places = (tokens->after_open.all | tokens->after_comma) & object, keys = places & tokens->string;
    // The byte behind an opening quote is in the string or ends it.
    json_marks ends = json_behind(keys, tokens->inside & ~tokens->string, &state->key);
    json_marks behind = json_behind(ends, tokens->space, &state->after_key);
    return (places & ~(tokens->string | tokens->close.all)) | (behind ^ tokens->colon.all);
}

// MARK: Brackets

/// What was taken when a block began.
struct json_mark {
    size_t count, start;
};

/// Takes the event that ends before a place of the block. False: it is beyond the limits.
JSON_INLINE bool json_take(
    const struct millrace_json_scan *scan, size_t base, int place, const struct json_tokens *tokens, int lane,
    struct json_state *state
) {
    const uint8_t *text = scan->text;
    size_t start = state->start, end = base + (size_t)place;
    state->start = end + 1;
    while (start < end && json_is_space(text[start])) start++;
    while (end > start && json_is_space(text[end - 1])) end--;
    scan->ranges[state->count++] = (struct millrace_json_range){(uint32_t)start, (uint32_t)end};

    uint64_t below = ((uint64_t)1 << place) - 1;
    size_t all = state->tokens + (size_t)__builtin_popcountll(tokens->values.of[lane] & below);
    size_t keys = state->keys + (size_t)__builtin_popcountll(tokens->colon.of[lane] & below);
    bool is_within = all - state->tokens_before <= scan->max_tokens && keys - state->keys_before <= scan->max_keys;
    state->tokens_before = all;
    state->keys_before = keys;
    return is_within;
}

/// Goes through the brackets of a block, takes the events that end, and marks the bytes that are in an object. False: brackets
/// do not match, are nested too deeply, or something is between the lines or behind the text's value.
JSON_INLINE bool json_nest(
    const struct millrace_json_scan *scan, const uint8_t *block, size_t base, const struct json_tokens *tokens, int lane,
    bool are_elements, uint64_t *object, struct json_state *state
) {
    const uint64_t open = tokens->open.of[lane], close = tokens->close.of[lane];
    const uint64_t comma = tokens->comma.of[lane];
    const uint64_t after_open = tokens->after_open.of[lane];
    const uint64_t brackets = open | close | tokens->feed.of[lane], with_commas = brackets | comma;
    uint64_t containers = state->containers, objects = -(containers & 1), passed = 0, marks, mismatch = 0;
    int32_t depth = state->depth;
    // Bytes outside of all brackets.
    uint64_t outside = depth <= 0 ? ~(uint64_t)0 : 0;
    // Commas end elements of the list; within those they say nothing here.
    while ((marks = (are_elements && depth <= 1 ? with_commas : brackets) & ~passed) != 0) {
        int place = __builtin_ctzll(marks);
        // Braces have this bit, brackets have not.
        uint64_t is_brace = block[place] >> 5 & 1;
        passed = marks ^ (marks - 1);
        if (open >> place & 1) {
            if (depth == 0) outside &= passed;
            if (depth++ == (int32_t)scan->max_depth) return false;
            containers = containers << 1 | is_brace;
        } else if (close >> place & 1) {
            // One too many makes the depth negative, and is seen where the event ends.
            mismatch |= is_brace ^ (containers & 1);
            containers >>= 1;
            if (--depth == 0) {
                outside |= ~passed;
                if (are_elements) {
                    // Behind the outer bracket: there are none.
                    bool is_empty = after_open >> place & 1;
                    if (!is_empty && !json_take(scan, base, place, tokens, lane, state)) return false;
                    // Nothing but whitespace follows.
                }
            }
        } else {
            // The end of the line, the text, an element.
            bool is_comma = are_elements && comma >> place & 1;
            if (depth != is_comma) return false;
            bool is_empty = are_elements ? !is_comma : after_open >> place & 1;
            if (is_empty) state->start = base + (size_t)place + 1;
            else if (!json_take(scan, base, place, tokens, lane, state)) return false;
            continue;
        }
        objects = (objects & passed) | (-(containers & 1) & ~passed);
    }
    state->containers = containers;
    state->depth = depth;
    *object = objects;
    state->tokens += (size_t)__builtin_popcountll(tokens->values.of[lane]);
    state->keys += (size_t)__builtin_popcountll(tokens->colon.of[lane]);
    return mismatch == 0 && (outside & comma) == 0;
}

// MARK: The scan

/// Follows the grammar through the blocks of a group; the one in lane `last` lies at `tail`. Returns in how many all is right.
/// `began` says what was taken when each began.
JSON_INLINE int json_follow(
    const struct millrace_json_scan *scan, size_t base, int blocks, int last, const uint8_t *tail,
    const struct json_tokens *tokens, bool are_elements, struct json_mark *began, struct json_state *state
) {
    json_group object = {.all = 0};
    unsigned wrong = json_lanes(tokens->bad != 0), others = json_lanes(tokens->other.all != 0);
    int lane = 0;
    for (size_t place = base; lane < blocks; lane++, place += JSON_BLOCK) {
        const uint8_t *block = lane == last ? tail : scan->text + place;
        began[lane] = (struct json_mark){state->count, state->start};
        if (wrong >> lane & 1) break;
        if (!json_nest(scan, block, place, tokens, lane, are_elements, &object.of[lane], state)) break;
        if (others >> lane & 1 && !json_other_scalars(tokens, lane, scan, block, place, &state->scalar_end)) break;
    }
    unsigned bad = json_lanes(json_bad_keys(tokens, object.all, state) != 0) & ((1u << lane) - 1);
    return bad ? __builtin_ctz(bad) : lane;
}

/// Scans in one of the modes for lines, elements and a value; `has_comma`: elements go on behind a comma.
JSON_INLINE enum millrace_json_end json_walk(
    struct millrace_json_scan *result, const enum millrace_json_mode mode, bool has_comma
) {
    // What is written to the ranges is none of it.
    const struct millrace_json_scan scan = *result;
    const bool is_lines = mode == MILLRACE_JSON_LINES, are_elements = mode == MILLRACE_JSON_ELEMENTS;
    struct json_state state = {.depth = are_elements, .start = scan.position};
    (has_comma ? &state.after_comma : &state.after_open)->carry = 1;
    for (size_t base = scan.position;; base += JSON_GROUP) {
        struct json_classes classes;
        struct json_tokens tokens;
        struct json_mark began[JSON_LANES];
        uint8_t tail[JSON_BLOCK];
        size_t left = scan.length - base;
        int blocks = JSON_LANES, last = -1;
        // Nothing ends behind the array.
        if (scan.capacity - state.count < MILLRACE_JSON_ROOM && !(are_elements && state.depth == 0)) {
            result->count = state.count;
            result->position = state.start;
            return MILLRACE_JSON_FULL;
        }
        if (left < JSON_GROUP) {
            // Whitespace follows the text, and behind its last byte what ends a line.
            last = (int)(left / JSON_BLOCK);
            blocks = last + 1;
            size_t rest = left % JSON_BLOCK;
            memset(tail, ' ', sizeof tail);
            memcpy(tail, scan.text + base + (left - rest), rest);
            memset(&classes, 0, sizeof classes);
            classes.space.all = ~(json_marks)0;
        }
        for (int lane = 0; lane < blocks; lane++) {
            const uint8_t *block = lane == last ? tail : scan.text + base + (size_t)lane * JSON_BLOCK;
            json_classify(&classes, lane, block, is_lines, &state.strings);
        }
        if (last >= 0) classes.feed.of[last] |= (uint64_t)1 << (left % JSON_BLOCK);
        json_tokenize(&tokens, &classes, &state);
        int sound = json_follow(&scan, base, blocks, last, tail, &tokens, are_elements, began, &state);
        if (sound < blocks) {
            result->count = began[sound].count;
            result->position = began[sound].start;
            return MILLRACE_JSON_UNSOUND;
        }
        if (last >= 0) {
            result->count = state.count;
            result->position = scan.length;
            return MILLRACE_JSON_FINISHED;
        }
    }
}

/// The scan, for an implementation to be: each kind of events has code of its own.
JSON_INLINE enum millrace_json_end json_find(struct millrace_json_scan *scan, enum millrace_json_mode mode) {
    switch (mode) {
    case MILLRACE_JSON_LINES: return json_walk(scan, MILLRACE_JSON_LINES, false);
    case MILLRACE_JSON_VALUE: return json_walk(scan, MILLRACE_JSON_VALUE, false);
    default: return json_walk(scan, MILLRACE_JSON_ELEMENTS, mode == MILLRACE_JSON_MORE_ELEMENTS);
    }
}
