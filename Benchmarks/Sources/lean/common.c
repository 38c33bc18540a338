#include "lean.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sleep_until_ns(int64_t time) {
    struct timespec t = {.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

double cpu_seconds(int process) {
    if (process == 0) return 0;
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *file = fopen(path, "r");
    if (file == NULL) die("no process %d", process);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    // The name, in brackets, may hold anything; fields are counted from behind it: 14 utime, 15 stime, 16 and 17 children.
    char *rest = strrchr(text, ')');
    unsigned long long user = 0, system = 0;
    long long child_user = 0, child_system = 0;
    if (rest == NULL
        || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld", &user, &system,
                  &child_user, &child_system) != 4)
        die("cannot read %s", path);
    return (double)(user + system + (unsigned long long)(child_user + child_system)) / (double)sysconf(_SC_CLK_TCK);
}

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("lean: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1);
}

rd_kafka_conf_t *configuration(const struct options *options, const char *const pairs[]) {
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (options->bootstrap == NULL) die("-b HOST:PORT is missing");
    if (rd_kafka_conf_set(conf, "bootstrap.servers", options->bootstrap, error, sizeof error) != RD_KAFKA_CONF_OK)
        die("%s", error);
    for (; pairs[0] != NULL; pairs += 2)
        if (rd_kafka_conf_set(conf, pairs[0], pairs[1], error, sizeof error) != RD_KAFKA_CONF_OK) die("%s", error);
    for (int index = 0; index < options->extra_count; index++) {
        char key[128];
        const char *value = strchr(options->extra[index], '=') + 1;
        snprintf(key, sizeof key, "%.*s", (int)(value - 1 - options->extra[index]), options->extra[index]);
        if (rd_kafka_conf_set(conf, key, value, error, sizeof error) != RD_KAFKA_CONF_OK) die("%s", error);
    }
    return conf;
}

int dial(const char *address) {
    char host[256];
    snprintf(host, sizeof host, "%s", address);
    char *colon = strrchr(host, ':');
    if (colon == NULL) die("%s is not HOST:PORT", address);
    *colon = 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) die("no address %s", address);
    int s = socket(found->ai_family, SOCK_STREAM, 0), on = 1;
    if (s < 0 || connect(s, found->ai_addr, found->ai_addrlen) != 0) die("cannot connect to %s: %s", address, strerror(errno));
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    freeaddrinfo(found);
    return s;
}

void send_all(int s, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = send(s, bytes, length, MSG_NOSIGNAL);
        if (n <= 0) die("send: %s", strerror(errno));
        bytes += n;
        length -= (size_t)n;
    }
}

char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "r");
    if (file == NULL) die("cannot read %s: %s", path, strerror(errno));
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*length + 1);
    if (fread(text, 1, *length, file) != *length) die("cannot read %s", path);
    text[*length] = 0;
    fclose(file);
    return text;
}

char *generated_text(size_t length) {
    static const char *const kinds[] = {"click", "view", "purchase", "scroll", "login"};
    static const char *const cities[] = {"Lisbon", "Oslo", "Nairobi", "Lima", "Hanoi", "Quito", "Graz"};
    char *text = malloc(length + 512);
    size_t used = 0;
    uint64_t state = 42;
    for (uint64_t number = 0; used < length; number++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t r = state >> 16;
        used += (size_t)sprintf(
            text + used,
            "{\"event_id\":\"%012llx\",\"type\":\"%s\",\"user\":%llu,\"city\":\"%s\",\"at\":\"2026-11-%02lluT%02llu:%02llu:%02llu"
            "Z\",\"amount\":%llu.%02llu,\"session\":\"s-%08llx\",\"ok\":%s}\n",
            (unsigned long long)r, kinds[r % 5], (unsigned long long)(r % 100000), cities[r / 7 % 7],
            (unsigned long long)(1 + number / 86400 % 28), (unsigned long long)(number / 3600 % 24),
            (unsigned long long)(number / 60 % 60), (unsigned long long)(number % 60), (unsigned long long)(r / 11 % 500),
            (unsigned long long)(r / 13 % 100), (unsigned long long)(r / 17 & 0xffffffff), r & 64 ? "true" : "false");
    }
    return text;
}

void payload_load(struct payload *payload, const struct options *options) {
    size_t length = 4 << 20;
    if (length < options->size * 64) length = options->size * 64;
    char *text = options->file != NULL ? read_file(options->file, &length) : generated_text(length);
    if (length < options->size) die("%s is shorter than one record", options->file);
    payload->bytes = text;
    payload->size = options->size;
    payload->count = length / options->size;
}

static int bucket_of(uint64_t value) {
    if (value < 64) return (int)value;
    int doubling = 63 - __builtin_clzll(value);
    return (doubling - 5) * 32 + (int)(value >> (doubling - 5));
}

static uint64_t edge_of(int bucket) {
    if (bucket < 64) return (uint64_t)bucket;
    int doubling = bucket / 32 + 4;
    return (((uint64_t)(bucket % 32) + 33) << (doubling - 5)) - 1;
}

void histogram_note(struct histogram *h, int64_t ns) {
    if (ns < 0) ns = 0;
    h->buckets[bucket_of((uint64_t)ns)]++;
    h->count++;
    if (ns > h->max) h->max = ns;
}

void histogram_add(struct histogram *h, const struct histogram *other) {
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) h->buckets[i] += other->buckets[i];
    h->count += other->count;
    if (other->max > h->max) h->max = other->max;
}

double histogram_ms(const struct histogram *h, double quantile) {
    uint64_t wanted = (uint64_t)((double)h->count * quantile), seen = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > wanted || (seen == h->count && seen > 0)) {
            uint64_t edge = edge_of(i);
            return (double)(edge < (uint64_t)h->max ? edge : (uint64_t)h->max) / 1e6;
        }
    }
    return 0;
}
