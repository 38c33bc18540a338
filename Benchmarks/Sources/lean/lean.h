// The lean driver: a client on librdkafka that does as little as a client can, so that the broker is what is measured.
// Every subcommand prints one line of JSON.
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_CLIENTS 1024

// What the command line asks for; which fields count depends on the subcommand.
#define MAX_EXTRA 8
struct options {
    const char *bootstrap, *topic, *path, *file, *codec, *acks, *linger;
    int partitions, clients;
    size_t size, body;
    // Of bodies by HTTP; coding NULL: as they are.
    const char *media, *coding;
    // What a file that is one whole body stands for; 0: bodies are made of its lines.
    size_t whole_events, whole_bytes;
    double seconds, warmup, rate;
    long long records;
    bool idempotent;
    // A transaction ends after so many records, or so many seconds; 0 and 0: no transactions.
    long transaction_records;
    double transaction_seconds;
    int broker;  // process whose CPU time is counted over the measured window, or 0
    // KEY=VALUE each.
    char *extra[MAX_EXTRA];
    int extra_count;
};

int topic_create(const struct options *);
int topic_delete(const struct options *);
int produce(const struct options *);
int consume(const struct options *);
int http_stream(const struct options *);
int sqs_send(const struct options *);
int sqs_drain(const struct options *);
int sqs_delete(const struct options *);

// MARK: Time, CPU, errors

int64_t now_ns(void);
void sleep_until_ns(int64_t);
// User and system time of the process and of its children that ended, in seconds; 0 without a process.
double cpu_seconds(int process);
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
// A client configuration with the broker's address; `pairs` are key, value, ..., NULL.
rd_kafka_conf_t *configuration(const struct options *, const char *const pairs[]);

// MARK: Sockets

// A connection to HOST:PORT.
int dial(const char *address);
void send_all(int socket, const char *bytes, size_t length);

// MARK: Payload

// `size` bytes each, cut one after the other from the file, or from generated JSON text when there is none.
struct payload {
    char *bytes;
    size_t size, count;
};
void payload_load(struct payload *, const struct options *);
static inline char *payload_piece(const struct payload *p, uint64_t number) {
    return p->bytes + (number % p->count) * p->size;
}
// JSON text of at least `length` bytes, one event a line, the same on every call. The caller frees it.
char *generated_text(size_t length);
char *read_file(const char *path, size_t *length);

// MARK: Histogram of waits: 32 steps in every doubling, so a value is at most 3 % off

#define HISTOGRAM_BUCKETS (64 * 32)
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    int64_t max;
};
void histogram_note(struct histogram *, int64_t ns);
void histogram_add(struct histogram *, const struct histogram *);
// The upper edge of the bucket that holds the quantile, in ms.
double histogram_ms(const struct histogram *, double quantile);
