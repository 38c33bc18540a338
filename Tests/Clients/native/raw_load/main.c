// raw_load -p PORT -t TOPIC [-n PARTITIONS] [-c CONNECTIONS] [-f IN_FLIGHT] [-s VALUE_BYTES] [-d SECONDS] [-w WARMUP] [-r REQUESTS]
//
// A producer that costs almost nothing, so that what is measured is the broker: one ready-made record batch of one record
// (Produce version 7, acks=all, no producer ID), sent again and again to one partition after the other. Each connection has
// at most IN_FLIGHT requests without an answer. Ends after SECONDS, or after REQUESTS answers (warm-up included). One line
// of JSON: acknowledgements a second and percentiles of the wait in microseconds, both after the warm-up.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MOST_IN_FLIGHT = 64, LARGEST_HEAD = 400, BUCKETS = 64 * 16 };

typedef struct {
    int socket;
    unsigned char head[LARGEST_HEAD];
    size_t sent;         // of the request being sent
    int waiting;         // sent in full or in part, not answered
    int first;           // of the ring of times
    uint64_t began[MOST_IN_FLIGHT];
    unsigned char reply[1024];
    size_t received;
    bool wants_to_write;
} Connection;

static const char *topic;
static int port, partitions = 1, connections = 1, in_flight = 1, value_bytes = 100, seconds = 5, warmup = 1;
static long requests;
static unsigned char *batch;
static size_t batch_length, head_length, partition_at;
static uint32_t next_partition;
static uint64_t sent_requests, answers, measured, histogram[BUCKETS];
static int queue;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "raw_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

// MARK: Bytes

static unsigned char *put(unsigned char *at, const void *bytes, size_t length) { return (unsigned char *)memcpy(at, bytes, length) + length; }
static unsigned char *put16(unsigned char *at, uint16_t n) { return n = htobe16(n), put(at, &n, 2); }
static unsigned char *put32(unsigned char *at, uint32_t n) { return n = htobe32(n), put(at, &n, 4); }
static unsigned char *put64(unsigned char *at, uint64_t n) { return n = htobe64(n), put(at, &n, 8); }

static unsigned char *put_varint(unsigned char *at, int64_t signed_number) {
    uint64_t n = ((uint64_t)signed_number << 1) ^ (uint64_t)(signed_number >> 63);
    for (; n > 0x7f; n >>= 7) *at++ = (n & 0x7f) | 0x80;
    *at++ = n;
    return at;
}

static uint32_t crc32c(const unsigned char *bytes, size_t length) {
    uint32_t crc = ~0u;
    for (size_t n = 0; n < length; n++) {
        crc ^= bytes[n];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void make_batch(void) {
    batch = malloc(value_bytes + 200);
    unsigned char *record = malloc(value_bytes + 40), *at = record;
    *at++ = 0;                  // attributes
    at = put_varint(at, 0);     // timestamp delta
    at = put_varint(at, 0);     // offset delta
    at = put_varint(at, -1);    // no key
    at = put_varint(at, value_bytes);
    for (int n = 0; n < value_bytes; n++) *at++ = 'a' + n % 23;
    at = put_varint(at, 0);     // headers
    size_t record_length = at - record;

    at = put64(batch, 0);       // base offset
    unsigned char *length_at = at;
    at = put32(at + 4, 0);      // leader epoch
    *at++ = 2;                  // magic
    unsigned char *crc_at = at, *checked = at + 4;
    at = put16(checked, 0);     // attributes
    at = put32(at, 0);          // last offset delta
    uint64_t ms = (uint64_t)time(NULL) * 1000;
    at = put64(put64(at, ms), ms);
    at = put64(at, -1);         // producer ID
    at = put16(at, -1);
    at = put32(at, -1);
    at = put32(at, 1);          // records
    at = put(put_varint(at, record_length), record, record_length);
    batch_length = at - batch;
    put32(length_at, batch_length - 12);
    put32(crc_at, crc32c(checked, at - checked));
    free(record);
}

static void make_head(Connection *connection) {
    unsigned char *at = connection->head + 4;
    at = put16(put16(at, 0), 7);           // Produce, version 7
    at = put32(at, 0);                     // correlation ID: replies come in order
    at = put16(at, -1);                    // client ID
    at = put16(at, -1);                    // transactional ID
    at = put16(at, -1);                    // acks=all
    at = put32(at, 30000);
    at = put32(at, 1);
    at = put(put16(at, strlen(topic)), topic, strlen(topic));
    at = put32(at, 1);
    partition_at = at - connection->head;
    at = put32(at, 0);
    at = put32(at, batch_length);
    head_length = at - connection->head;
    put32(connection->head, head_length - 4 + batch_length);
}

// MARK: A connection

static void watch(Connection *connection, bool writing) {
    if (writing == connection->wants_to_write) return;
    connection->wants_to_write = writing;
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = connection};
    epoll_ctl(queue, EPOLL_CTL_MOD, connection->socket, &event);
}

static void send_more(Connection *connection) {
    size_t whole = head_length + batch_length;
    for (;;) {
        if (connection->sent == 0) {
            if (connection->waiting == in_flight || (requests && sent_requests == (uint64_t)requests)) break;
            put32(connection->head + partition_at, next_partition++ % partitions);
            connection->began[(connection->first + connection->waiting++) % MOST_IN_FLIGHT] = now();
            sent_requests++;
        }
        struct iovec parts[2] = {{connection->head, head_length}, {batch, batch_length}};
        if (connection->sent < head_length) {
            parts[0].iov_base = connection->head + connection->sent;
            parts[0].iov_len = head_length - connection->sent;
        } else {
            parts[0].iov_len = 0;
            parts[1].iov_base = batch + (connection->sent - head_length);
            parts[1].iov_len = whole - connection->sent;
        }
        ssize_t put = writev(connection->socket, parts, 2);
        if (put < 0 && errno == EAGAIN) return watch(connection, true);
        if (put < 0) fail("send");
        connection->sent += put;
        if (connection->sent == whole) connection->sent = 0;
    }
    watch(connection, false);
}

// Sixteen buckets to each doubling of microseconds.
static int bucket(uint64_t us) {
    if (us < 16) return us;
    int power = 63 - __builtin_clzll(us);
    return (power - 3) * 16 + (us >> (power - 4) & 15);
}

static uint64_t bucket_start(int bucket) { return bucket < 16 ? (uint64_t)bucket : (uint64_t)(16 + bucket % 16) << (bucket / 16 - 1); }

static void note_answer(Connection *connection, const unsigned char *reply, bool measures) {
    // correlation ID, topics, name, partitions, index, error
    size_t at = 4 + 4 + 2 + strlen(topic) + 4 + 4;
    uint16_t error;
    memcpy(&error, reply + at, 2);
    if (error) {
        fprintf(stderr, "raw_load: the broker answers with error %d\n", be16toh(error));
        exit(1);
    }
    uint64_t began = connection->began[connection->first];
    connection->first = (connection->first + 1) % MOST_IN_FLIGHT;
    connection->waiting--;
    answers++;
    if (!measures) return;
    measured++;
    histogram[bucket((now() - began) / 1000)]++;
}

static void receive(Connection *connection, bool measures) {
    ssize_t got = read(connection->socket, connection->reply + connection->received, sizeof connection->reply - connection->received);
    if (got == 0) errno = ECONNRESET;
    if (got <= 0) fail("receive");
    connection->received += got;
    size_t at = 0;
    while (connection->received - at >= 4) {
        uint32_t length;
        memcpy(&length, connection->reply + at, 4);
        length = be32toh(length);
        if (length > sizeof connection->reply - 4) {
            fprintf(stderr, "raw_load: a reply of %u bytes\n", length);
            exit(1);
        }
        if (connection->received - at < 4 + length) break;
        note_answer(connection, connection->reply + at + 4, measures);
        at += 4 + length;
    }
    memmove(connection->reply, connection->reply + at, connection->received - at);
    connection->received -= at;
}

// MARK: The whole

static uint64_t percentile(double share) {
    uint64_t wanted = measured * share, passed = 0;
    for (int n = 0; n < BUCKETS; n++)
        if ((passed += histogram[n]) > wanted) return bucket_start(n);
    return 0;
}

static Connection *connect_one(void) {
    Connection *connection = calloc(1, sizeof *connection);
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(connection->socket, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    int on = 1;
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(connection->socket, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(queue, EPOLL_CTL_ADD, connection->socket, &event);
    make_head(connection);
    return connection;
}

int main(int count, char **arguments) {
    for (int option; (option = getopt(count, arguments, "p:t:n:c:f:s:d:w:r:")) != -1;) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 't': topic = optarg; break;
        case 'n': partitions = atoi(optarg); break;
        case 'c': connections = atoi(optarg); break;
        case 'f': in_flight = atoi(optarg); break;
        case 's': value_bytes = atoi(optarg); break;
        case 'd': seconds = atoi(optarg); break;
        case 'w': warmup = atoi(optarg); break;
        case 'r': requests = atol(optarg); break;
        default: return 2;
        }
    }
    if (!port || !topic || strlen(topic) > 249 || in_flight < 1 || in_flight > MOST_IN_FLIGHT || partitions < 1 || connections < 1) {
        fprintf(stderr, "raw_load: -p PORT and -t TOPIC are needed, -f is at most %d\n", MOST_IN_FLIGHT);
        return 2;
    }
    make_batch();
    queue = epoll_create1(0);
    for (int n = 0; n < connections; n++) send_more(connect_one());
    uint64_t began = now(), measures_from = began + (uint64_t)warmup * 1000000000;
    uint64_t end = requests ? UINT64_MAX : measures_from + (uint64_t)seconds * 1000000000;
    struct epoll_event events[256];
    uint64_t time;
    while ((time = now()) < end && (!requests || answers < (uint64_t)requests)) {
        int ready = epoll_wait(queue, events, 256, 100);
        for (int n = 0; n < ready; n++) {
            Connection *connection = events[n].data.ptr;
            if (events[n].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(connection, time >= measures_from);
            send_more(connection);
        }
    }
    double took = (now() - (requests ? began : measures_from)) / 1e9;
    uint64_t all = requests ? answers : measured;
    printf("{\"acknowledged\": %lu, \"seconds\": %.3f, \"per_second\": %.0f, \"mb_per_second\": %.1f, \"p50_us\": %lu, \"p99_us\": %lu, \"p999_us\": %lu}\n",
           all, took, all / took, all * (double)batch_length / took / 1e6, percentile(0.5), percentile(0.99), percentile(0.999));
    return 0;
}
