// Streams of requests at a fixed pace, and how long each waited: what tools/tail-test measures with.
//
//   tail HOST PORT SECONDS STREAM...        a STREAM is one word, fields divided by commas:
//     produce,NAME,FRAMES,TOPIC_LENGTH,RECORDS,INTERVAL_US    one request every so often, whatever the broker does
//     follow,NAME,FRAME,TOPIC_LENGTH,PRODUCER,OFFSET_AT       a reader at the end of what that producer writes
//     read,NAME,FRAME,TOPIC_LENGTH,END,OFFSET_AT,BYTES_PER_S  a reader of what is there, round and round
//
// FRAMES and FRAME are files with one request or several, which are sent in turn, each a whole Kafka frame: Produce version 7 of one
// partition, RECORDS records each, to a topic that nobody else writes to; Fetch version 4 of one partition, with its offset at byte
// OFFSET_AT. A wait counts from when a request was due: of a producer up to its reply, of a follower up to the arrival of the
// records, so that a broker that stalls is charged for all that should have come meanwhile. What the client itself began late is
// told beside it. Prints one line of JSON for each stream; times of `stalls` are microseconds since 1970.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_STREAMS 64
#define BUCKETS (64 * 32)
// Waits of this length and longer are told one by one; those that follow each other within as much are one.
#define STALL_NS 5000000
#define MAX_STALLS 4096
// Requests of a stream whose times are remembered until their reply: minutes of the fastest stream.
#define MAX_REQUESTS (1 << 21)

struct stall {
    int64_t due, wait, late;
    long count;
};

struct stream {
    char kind[16], name[64], topic_producer[64];
    uint8_t *frames[64];
    size_t lengths[64];
    int frame_count, topic_length, socket;
    long records, end, offset_at;
    int64_t interval, pace, begin;
    struct stream *producer;
    pthread_t thread, receiver;
    // By the number of the request: when the client was ready to send it, if that was later than it was due.
    int32_t *late_us;
    _Atomic long sent;
    uint64_t buckets[BUCKETS], count, bytes;
    int64_t longest, latest;
    struct stall stalls[MAX_STALLS];
    int stall_count;
};

static struct stream streams[MAX_STREAMS];
static int stream_count;
static int64_t begin, end;
static int64_t to_wall;  // ns from the monotonic clock to 1970

static void die(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("tail: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    _exit(1);
}

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static int64_t now(void) { return clock_ns(CLOCK_MONOTONIC); }

static void sleep_until(int64_t time) {
    struct timespec t = {.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

static void note(struct stream *s, int64_t due, int64_t wait, int64_t late) {
    if (wait < 0) wait = 0;
    uint64_t v = (uint64_t)wait;
    int doubling = v < 64 ? 0 : 63 - __builtin_clzll(v);
    s->buckets[v < 64 ? v : (uint64_t)(doubling - 5) * 32 + (v >> (doubling - 5))]++;
    s->count++;
    if (wait > s->longest) s->longest = wait;
    if (late > s->latest) s->latest = late;
    if (wait < STALL_NS) return;
    struct stall *last = s->stall_count > 0 ? &s->stalls[s->stall_count - 1] : NULL;
    if (last != NULL && due <= last->due + last->wait + STALL_NS) {
        // The first that was due has waited longest, as a rule; its window is the episode's.
        if (due + wait > last->due + last->wait) last->wait = due + wait - last->due;
        if (late > last->late) last->late = late;
        last->count++;
    } else if (s->stall_count < MAX_STALLS) {
        s->stalls[s->stall_count++] = (struct stall){due, wait, late, 1};
    }
}

static double quantile_ms(const struct stream *s, double quantile) {
    uint64_t wanted = (uint64_t)((double)s->count * quantile), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += s->buckets[i];
        if (seen <= wanted && seen < s->count) continue;
        if (i < 64) return i / 1e6;
        int doubling = i / 32 + 4;
        double edge = (double)((((uint64_t)(i % 32) + 33) << (doubling - 5)) - 1);
        return (edge < (double)s->longest ? edge : (double)s->longest) / 1e6;
    }
    return 0;
}

// MARK: Sockets

static int dial(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("%s is no IPv4 address", host);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (s < 0 || connect(s, (struct sockaddr *)&address, sizeof address) != 0) die("connect: %s", strerror(errno));
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return s;
}

static bool send_all(int socket, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t count = send(socket, bytes, length, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

static bool receive_all(int socket, uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t count = recv(socket, bytes, length, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

static uint32_t big32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return be32toh(value);
}
static int64_t big64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, 8);
    return (int64_t)be64toh(value);
}

struct reply {
    uint8_t *bytes;
    size_t length, capacity;
};

static bool receive_reply(int socket, struct reply *reply) {
    uint8_t head[4];
    if (!receive_all(socket, head, 4)) return false;
    reply->length = big32(head);
    if (reply->length > reply->capacity) {
        reply->capacity = reply->length * 2;
        reply->bytes = realloc(reply->bytes, reply->capacity);
    }
    return receive_all(socket, reply->bytes, reply->length);
}

static int error_of(const struct reply *reply, size_t at) { return (int16_t)(reply->bytes[at] << 8 | reply->bytes[at + 1]); }

// MARK: Producers

static void *produce(void *argument) {
    struct stream *s = argument;
    for (long number = 0; number < MAX_REQUESTS; number++) {
        int64_t due = s->begin + number * s->interval;
        if (due >= end) break;
        // Ready: when the request is due, and the one before has been handed over, which waits for the broker to read.
        int64_t ready = now();
        if (ready < due) ready = due;
        sleep_until(due);
        s->late_us[number] = (int32_t)((now() - ready) / 1000);
        if (!send_all(s->socket, s->frames[number % s->frame_count], s->lengths[number % s->frame_count]))
            die("%s: the broker takes nothing any more", s->name);
        atomic_store(&s->sent, number + 1);
    }
    shutdown(s->socket, SHUT_WR);
    return NULL;
}

static void *receive(void *argument) {
    struct stream *s = argument;
    struct reply reply = {0};
    size_t error_at = 4 + 4 + 2 + (size_t)s->topic_length + 4 + 4;
    for (long number = 0; receive_reply(s->socket, &reply); number++) {
        if (error_of(&reply, error_at) != 0) die("%s: request %ld gives error %d", s->name, number, error_of(&reply, error_at));
        int64_t due = s->begin + number * s->interval;
        note(s, due, now() - due, (int64_t)s->late_us[number] * 1000);
        s->bytes += s->lengths[number % s->frame_count];
    }
    return NULL;
}

// MARK: Readers

// Where the records begin in a Fetch reply, and their length.
static size_t records_of(const struct stream *s, const struct reply *reply, size_t *length) {
    size_t at = 4 + 4 + 4 + 2 + (size_t)s->topic_length + 4 + 4;
    int error = error_of(reply, at);
    if (error != 0) die("%s: a Fetch gives error %d", s->name, error);
    at += 2 + 8 + 8;
    int32_t aborted = (int32_t)big32(reply->bytes + at);
    at += 4 + (aborted > 0 ? (size_t)aborted * 16 : 0);
    int32_t count = (int32_t)big32(reply->bytes + at);
    *length = count > 0 ? (size_t)count : 0;
    return at + 4;
}

static bool fetch(struct stream *s, int64_t offset, struct reply *reply) {
    uint64_t patched = htobe64((uint64_t)offset);
    memcpy(s->frames[0] + s->offset_at, &patched, 8);
    return send_all(s->socket, s->frames[0], s->lengths[0]) && receive_reply(s->socket, reply);
}

// Calls `note` for each batch of the producer, and gives the offset behind the last whole one.
static int64_t follow_reply(struct stream *s, const struct reply *reply, int64_t offset, int64_t asked) {
    size_t length, at = records_of(s, reply, &length), stop = at + length;
    int64_t time = now();
    while (at + 61 <= stop) {
        int64_t base = big64(reply->bytes + at);
        size_t whole = 12 + big32(reply->bytes + at + 8);
        if (at + whole > stop) break;
        int64_t next = base + (int32_t)big32(reply->bytes + at + 23) + 1;
        if (s->producer != NULL && base >= offset) {
            long number = base / s->producer->records;
            int64_t due = s->producer->begin + number * s->producer->interval;
            // What was due before the reader asked waited for the reader.
            int64_t late = asked > due ? asked - due : 0;
            if (due < end) note(s, due, time - due, late > (int64_t)s->producer->late_us[number] * 1000 ? late : (int64_t)s->producer->late_us[number] * 1000);
        }
        offset = next;
        at += whole;
    }
    s->bytes += length;
    return offset;
}

static void *follow(void *argument) {
    struct stream *s = argument;
    struct reply reply = {0};
    int64_t offset = 0;
    while (now() < end + 2000000000) {
        int64_t asked = now();
        if (!fetch(s, offset, &reply)) die("%s: the broker has gone", s->name);
        offset = follow_reply(s, &reply, offset, asked);
        if (now() >= end && offset >= atomic_load(&s->producer->sent) * s->producer->records) break;
    }
    return NULL;
}

static void *read_again(void *argument) {
    struct stream *s = argument;
    struct reply reply = {0};
    int64_t offset = 0, due = now();
    while (now() < end) {
        int64_t asked = now();
        uint64_t before = s->bytes;
        if (!fetch(s, offset, &reply)) die("%s: the broker has gone", s->name);
        int64_t next = follow_reply(s, &reply, offset, asked);
        note(s, asked, now() - asked, 0);
        offset = next == offset || next >= s->end ? 0 : next;
        due += (int64_t)((double)(s->bytes - before) * 1e9 / (double)s->pace);
        if (due < now() - 100000000) due = now() - 100000000;
        sleep_until(due);
    }
    return NULL;
}

// MARK: What is asked for

static void load(struct stream *s, const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) die("cannot read %s", path);
    uint8_t head[4];
    while (fread(head, 1, 4, file) == 4) {
        if (s->frame_count == 64) die("%s has more than 64 requests", path);
        size_t length = 4 + big32(head);
        uint8_t *frame = malloc(length);
        memcpy(frame, head, 4);
        if (fread(frame + 4, 1, length - 4, file) != length - 4) die("%s ends within a request", path);
        s->frames[s->frame_count] = frame;
        s->lengths[s->frame_count++] = length;
    }
    fclose(file);
}

static void parse(struct stream *s, char *word) {
    char *fields[8] = {0};
    int count = 0;
    for (char *field = strtok(word, ","); field != NULL && count < 8; field = strtok(NULL, ",")) fields[count++] = field;
    if (count < 6) die("a stream of %d fields", count);
    snprintf(s->kind, sizeof s->kind, "%s", fields[0]);
    snprintf(s->name, sizeof s->name, "%s", fields[1]);
    load(s, fields[2]);
    s->topic_length = atoi(fields[3]);
    if (strcmp(s->kind, "produce") == 0) {
        s->records = atol(fields[4]);
        s->interval = atoll(fields[5]) * 1000;
        s->late_us = calloc(MAX_REQUESTS, sizeof *s->late_us);
    } else if (strcmp(s->kind, "follow") == 0) {
        snprintf(s->topic_producer, sizeof s->topic_producer, "%s", fields[4]);
        s->offset_at = atol(fields[5]);
    } else if (strcmp(s->kind, "read") == 0 && count == 7) {
        s->end = atol(fields[4]);
        s->offset_at = atol(fields[5]);
        s->pace = atoll(fields[6]);
    } else {
        die("no stream is a '%s' of %d fields", s->kind, count);
    }
}

static void print(const struct stream *s) {
    printf("{\"kind\": \"%s\", \"name\": \"%s\", \"count\": %llu, \"bytes\": %llu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, "
           "\"max_ms\": %.3f, \"late_ms\": %.3f, \"stalls\": [",
           s->kind, s->name, (unsigned long long)s->count, (unsigned long long)s->bytes, quantile_ms(s, 0.5), quantile_ms(s, 0.99),
           quantile_ms(s, 0.999), (double)s->longest / 1e6, (double)s->latest / 1e6);
    for (int i = 0; i < s->stall_count; i++)
        printf("%s[%lld, %lld, %lld, %ld]", i > 0 ? ", " : "", (long long)(s->stalls[i].due + to_wall) / 1000, (long long)s->stalls[i].wait / 1000,
               (long long)s->stalls[i].late / 1000, s->stalls[i].count);
    puts("]}");
}

int main(int count, char **words) {
    if (count < 5 || count - 4 > MAX_STREAMS) die("tail HOST PORT SECONDS STREAM...");
    for (int i = 4; i < count; i++) parse(&streams[stream_count++], words[i]);
    for (int i = 0; i < stream_count; i++) {
        struct stream *s = &streams[i];
        s->socket = dial(words[1], atoi(words[2]));
        for (int j = 0; j < stream_count; j++)
            if (strcmp(streams[j].name, s->topic_producer) == 0 && strcmp(s->kind, "follow") == 0) s->producer = &streams[j];
        if (strcmp(s->kind, "follow") == 0 && s->producer == NULL) die("%s follows nobody", s->name);
    }
    to_wall = clock_ns(CLOCK_REALTIME) - now();
    begin = now() + 200000000;
    end = begin + (int64_t)(atof(words[3]) * 1e9);
    // Not all at the same moment.
    for (int i = 0; i < stream_count; i++) streams[i].begin = begin + (streams[i].interval > 0 ? i * 137000 % streams[i].interval : 0);
    for (int i = 0; i < stream_count; i++) {
        struct stream *s = &streams[i];
        bool produces = strcmp(s->kind, "produce") == 0;
        void *(*body)(void *) = produces ? produce : strcmp(s->kind, "follow") == 0 ? follow : read_again;
        if (pthread_create(&s->thread, NULL, body, s) != 0) die("no thread");
        if (produces && pthread_create(&s->receiver, NULL, receive, s) != 0) die("no thread");
    }
    for (int i = 0; i < stream_count; i++) {
        pthread_join(streams[i].thread, NULL);
        if (strcmp(streams[i].kind, "produce") == 0) pthread_join(streams[i].receiver, NULL);
        print(&streams[i]);
    }
    fflush(stdout);
    return 0;
}
