// Which scan runs: chosen once, when the program is loaded. And what all of them share.

#include "json_scan.h"

#include <string.h>

struct json_implementation {
    const char *name;
    json_function run;
};

enum { MAX_IMPLEMENTATIONS = 3 };

static struct json_implementation implementations[MAX_IMPLEMENTATIONS] = {{"portable", json_portable}};
static int count = 1;
static json_function chosen = json_portable;

/// A text with a token of each kind, as it is and with one byte or another changed.
static int agrees_with_portable(json_function candidate) {
    static const char text[] =
        "{\"name\":\"a \\\"quoted\\\" \\u00e9 text\",\"na\xc3\xafve\":\"\xe2\x82\xac \xf0\x9f\x98\x80\",\"list\":[1,-2.5,3e-7,[],{}],\n"
        "\"yes\" : true, \"no\":false ,\"none\":null, \"deep\":[[{\"a\":[0.25]}]], \"long\":\"abcdefghijklmnopqrstuvwxyz0123456789\"}\n";
    static const char wrong[] = {'"', '\\', '{', ']', ',', ':', 'x', '0', '.', '-', '\x01', '\n', '\x80', '\xed'};
    static uint8_t sample[sizeof text];
    struct millrace_json_range ranges[2][MILLRACE_JSON_ROOM];
    for (size_t turn = 0, at = 0; at < sizeof text; turn++, at = turn * 9) {
        memcpy(sample, text, sizeof text);
        // The first turn leaves it as it is.
        if (turn > 0) sample[at] = (uint8_t)wrong[turn % sizeof wrong];
        struct millrace_json_scan scans[2];
        enum millrace_json_end ends[2];
        for (int index = 0; index < 2; index++) {
            scans[index] = (struct millrace_json_scan){
                .text = sample, .length = sizeof text - 1, .max_depth = 64, .max_tokens = 100, .max_keys = 100,
                .ranges = ranges[index], .capacity = MILLRACE_JSON_ROOM};
            ends[index] = (index == 0 ? json_portable : candidate)(&scans[index], MILLRACE_JSON_VALUE);
        }
        if (turn == 0 && (ends[1] != MILLRACE_JSON_FINISHED || scans[1].count != 1)) return 0;
        if (ends[0] != ends[1] || scans[0].count != scans[1].count) return 0;
        if (memcmp(ranges[0], ranges[1], scans[0].count * sizeof **ranges) != 0) return 0;
    }
    return 1;
}

/// Runs before `main`, in the one thread there is, so that nothing here needs a lock or an atomic.
__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                   __builtin_cpu_supports("popcnt");
    if (has_avx2 && agrees_with_portable(json_avx2))
        implementations[count++] = (struct json_implementation){"avx2", json_avx2};
    int has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (has_avx512 && agrees_with_portable(json_avx512))
        implementations[count++] = (struct json_implementation){"avx512", json_avx512};
#endif
    chosen = implementations[count - 1].run;
}

enum millrace_json_end millrace_json_find(struct millrace_json_scan *scan, enum millrace_json_mode mode) {
    return chosen(scan, mode);
}

const char *millrace_json_name(void) { return implementations[count - 1].name; }

struct millrace_json_range *millrace_json_room(void) {
    static _Thread_local struct millrace_json_range room[2 * MILLRACE_JSON_ROOM];
    return room;
}

int millrace_json_count(void) { return count; }

const char *millrace_json_name_at(int index) { return implementations[index].name; }

enum millrace_json_end millrace_json_find_by(int index, struct millrace_json_scan *scan, enum millrace_json_mode mode) {
    return implementations[index].run(scan, mode);
}

// MARK: Scalars

static size_t digits(const uint8_t *text, size_t at, size_t length) {
    while (at < length && (uint8_t)(text[at] - '0') < 10) at++;
    return at;
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`; 0 for anything else.
static size_t number(const uint8_t *text, size_t start, size_t length) {
    size_t integer = start + (text[start] == '-'), at = digits(text, integer, length);
    if (at == integer || (at > integer + 1 && text[integer] == '0')) return 0;
    if (at < length && text[at] == '.') {
        size_t fraction = at + 1;
        at = digits(text, fraction, length);
        if (at == fraction) return 0;
    }
    if (at < length && (text[at] | 0x20) == 'e') {
        size_t exponent = at + 1;
        if (exponent < length && (text[exponent] == '+' || text[exponent] == '-')) exponent++;
        at = digits(text, exponent, length);
        if (at == exponent) return 0;
    }
    return at;
}

size_t json_scalar(const uint8_t *text, size_t start, size_t length) {
    size_t end = 0;
    if (length - start >= 4 && memcmp(text + start, "true", 4) == 0) end = start + 4;
    else if (length - start >= 4 && memcmp(text + start, "null", 4) == 0) end = start + 4;
    else if (length - start >= 5 && memcmp(text + start, "false", 5) == 0) end = start + 5;
    else end = number(text, start, length);
    if (end == 0 || end == length) return end;
    switch (text[end]) {
    case ' ': case '\t': case '\n': case '\r': case ',': case ':': case '[': case ']': case '{': case '}': case '"': return end;
    default: return 0;
    }
}
