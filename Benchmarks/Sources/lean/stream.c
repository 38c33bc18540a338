// `lean http-stream`: N connections, each of which posts bodies of lines (NDJSON, CSV), or one that is ready-made, one after the other. A body is sent whole, and the
// next one goes out when its reply is in.
#include "lean.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct streamer {
    const struct options *options;
    const char *head, *body;
    size_t head_length, body_length;
    pthread_t thread;
    _Atomic uint64_t accepted, refused;
    int64_t window_begin, window_end;
    struct histogram waits;
};

static atomic_bool stopped;

// Reads one reply with a Content-Length; its status.
static int reply(int s) {
    char text[1 << 16];
    size_t have = 0;
    char *end = NULL;
    while (end == NULL) {
        if (have == sizeof text - 1) die("the head of a reply is too long");
        ssize_t n = recv(s, text + have, sizeof text - 1 - have, 0);
        if (n <= 0) die("the server closed the connection");
        have += (size_t)n;
        text[have] = 0;
        end = strstr(text, "\r\n\r\n");
    }
    char *field = strcasestr(text, "\r\ncontent-length:");
    size_t length = field != NULL && field < end ? strtoul(field + 17, NULL, 10) : 0;
    size_t got = have - (size_t)(end + 4 - text);
    int status = atoi(text + 9);
    while (got < length) {
        ssize_t n = recv(s, text, sizeof text, 0);
        if (n <= 0) die("the server closed the connection within a reply");
        got += (size_t)n;
    }
    return status;
}

static void *run(void *argument) {
    struct streamer *c = argument;
    int s = dial(c->options->bootstrap);
    while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
        int64_t begin = now_ns();
        send_all(s, c->head, c->head_length);
        send_all(s, c->body, c->body_length);
        int status = reply(s);
        if (status >= 200 && status < 300 && status != 207)
            atomic_fetch_add_explicit(&c->accepted, 1, memory_order_relaxed);
        else
            atomic_fetch_add_explicit(&c->refused, 1, memory_order_relaxed);
        if (begin >= c->window_begin && begin < c->window_end) histogram_note(&c->waits, now_ns() - begin);
    }
    close(s);
    return NULL;
}

static uint64_t total(struct streamer *c, int count, bool refused) {
    uint64_t sum = 0;
    for (int i = 0; i < count; i++) sum += atomic_load(refused ? &c[i].refused : &c[i].accepted);
    return sum;
}

int http_stream(const struct options *options) {
    if (options->path == NULL) die("-u PATH is missing");
    size_t length = 4 << 20;
    char *text = options->file != NULL ? read_file(options->file, &length) : generated_text(length);
    // Whole lines, repeated up to the body's size; or the file as it is.
    bool whole = options->whole_events > 0;
    char *body = whole ? text : malloc(options->body + length);
    size_t used = whole ? length : 0, events = options->whole_events;
    for (size_t at = 0; !whole && used < options->body;) {
        char *end = memchr(text + at, '\n', length - at);
        if (end == NULL) {
            if (at == 0) die("%s has no lines", options->file);
            at = 0;
            continue;
        }
        size_t line = (size_t)(end + 1 - (text + at));
        memcpy(body + used, text + at, line);
        used += line;
        at += line;
        events++;
    }
    // Bytes of text, which count.
    size_t counted = whole ? options->whole_bytes : used;
    char coding[64] = "", head[1024];
    if (options->coding != NULL) snprintf(coding, sizeof coding, "Content-Encoding: %s\r\n", options->coding);
    int head_length = snprintf(
        head, sizeof head, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n",
        options->path, options->bootstrap, options->media, coding, used);
    if (head_length >= (int)sizeof head) die("the head is too long");
    struct streamer *c = calloc((size_t)options->clients, sizeof *c);
    int64_t begin = now_ns(), window_begin = begin + (int64_t)(options->warmup * 1e9);
    int64_t window_end = window_begin + (int64_t)(options->seconds * 1e9);
    for (int i = 0; i < options->clients; i++) {
        c[i] = (struct streamer){.options = options, .head = head, .body = body, .head_length = (size_t)head_length,
                                 .body_length = used, .window_begin = window_begin, .window_end = window_end};
        if (pthread_create(&c[i].thread, NULL, run, &c[i]) != 0) die("no thread");
    }
    sleep_until_ns(window_begin);
    double cpu = cpu_seconds(options->broker);
    uint64_t before = total(c, options->clients, false);
    int64_t from = now_ns();
    sleep_until_ns(window_end);
    uint64_t bodies = total(c, options->clients, false) - before;
    double seconds = (double)(now_ns() - from) / 1e9;
    cpu = cpu_seconds(options->broker) - cpu;
    atomic_store(&stopped, true);
    struct histogram *waits = calloc(1, sizeof *waits);
    for (int i = 0; i < options->clients; i++) {
        pthread_join(c[i].thread, NULL);
        histogram_add(waits, &c[i].waits);
    }
    printf("{\"requests\": %llu, \"seconds\": %.3f, \"requests_per_s\": %.1f, \"events_per_s\": %.0f, \"MB_per_s\": %.2f, "
           "\"failed\": %llu, \"broker_cpu_s\": %.2f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f}\n",
           (unsigned long long)bodies, seconds, (double)bodies / seconds, (double)bodies * (double)events / seconds,
           (double)bodies * (double)counted / seconds / 1e6, (unsigned long long)total(c, options->clients, true), cpu,
           histogram_ms(waits, 0.5), histogram_ms(waits, 0.99), histogram_ms(waits, 0.999));
    fflush(stdout);
    _Exit(total(c, options->clients, true) > 0 ? 1 : 0);
}
