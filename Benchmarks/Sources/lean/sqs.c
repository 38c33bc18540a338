// `lean sqs-send`, `lean sqs-drain`: N connections that speak Amazon's SQS by its JSON protocol, each with one request under way. Requests are
// made before: a send is ready-made bytes, a deletion copies the receipts out of the reply before it. Nothing is signed.
#include "lean.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 10
#define EMPTY_SECONDS 10
// Bytes of a message: ten of them are no more than the service takes in a request.
#define MOST_BYTES 100000

struct connection {
    const struct options *options;
    pthread_t thread;
    int socket;
    char *reply;
    size_t room;
    // Messages that the service has said are done, and those that it has not.
    _Atomic uint64_t done, failed;
    int64_t window_begin, window_end;
    struct histogram waits;
};

static atomic_bool stopped;
// Messages that are still to be drained.
static _Atomic int64_t left;

// A request whole, with its head. The caller frees it.
static char *request(const struct options *o, const char *operation, const char *body, size_t *length) {
    size_t size = strlen(body);
    char *text = malloc(size + 512);
    int head = snprintf(text, 512,
                        "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.%s\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        o->bootstrap, operation, size);
    if (head >= 512) die("the head is too long");
    memcpy(text + head, body, size);
    *length = (size_t)head + size;
    return text;
}

// Sends a request and reads its reply, as text; its status.
static int ask(struct connection *c, const char *bytes, size_t length, char **body) {
    send_all(c->socket, bytes, length);
    size_t have = 0, wanted = 0;
    char *end = NULL;
    while (end == NULL || have < wanted) {
        if (have + 1 >= c->room) {
            c->room *= 2;
            size_t head = end == NULL ? 0 : (size_t)(end - c->reply);
            c->reply = realloc(c->reply, c->room);
            if (c->reply == NULL) die("no memory for a reply");
            if (end != NULL) end = c->reply + head;
        }
        ssize_t n = recv(c->socket, c->reply + have, c->room - 1 - have, 0);
        if (n <= 0) die("the server closed the connection");
        have += (size_t)n;
        c->reply[have] = 0;
        if (end != NULL || (end = strstr(c->reply, "\r\n\r\n")) == NULL) continue;
        char *field = strcasestr(c->reply, "\r\ncontent-length:");
        if (field == NULL || field > end) die("a reply without a length");
        wanted = (size_t)(end + 4 - c->reply) + strtoul(field + 17, NULL, 10);
    }
    *body = end + 4;
    return atoi(c->reply + 9);
}

static uint64_t count(const char *text, const char *word) {
    uint64_t found = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word)) found++;
    return found;
}

static void note(struct connection *c, int64_t begin) {
    if (begin >= c->window_begin && begin < c->window_end) histogram_note(&c->waits, now_ns() - begin);
}

static char *send_body(const struct options *o) {
    struct options cut = *o;
    struct payload payload;
    payload_load(&payload, &cut);
    char *body = malloc((o->size * 2 + 64) * BATCH + 512);
    size_t used = (size_t)sprintf(body, "{\"QueueUrl\":\"http://%s/000000000000/%s\",\"Entries\":[", o->bootstrap, o->topic);
    for (uint64_t entry = 0; entry < BATCH; entry++) {
        used += (size_t)sprintf(body + used, "%s{\"Id\":\"%llu\",\"MessageBody\":\"", entry > 0 ? "," : "", (unsigned long long)entry);
        const char *piece = payload_piece(&payload, entry);
        for (size_t at = 0; at < o->size; at++) {
            // Text of any file: what would have to be escaped otherwise, or is cut in the middle, is a space.
            char letter = piece[at];
            if (letter == '"' || letter == '\\') body[used++] = '\\';
            body[used++] = letter >= 0x20 && letter < 0x7f ? letter : ' ';
        }
        used += (size_t)sprintf(body + used, "\"}");
    }
    sprintf(body + used, "]}");
    return body;
}

static void *run_send(void *argument) {
    struct connection *c = argument;
    size_t length;
    char *body = send_body(c->options), *bytes = request(c->options, "SendMessageBatch", body, &length), *text;
    long long rest = c->options->records;
    while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
        if (c->options->records > 0 && rest <= 0) break;
        int64_t begin = now_ns();
        int status = ask(c, bytes, length, &text);
        uint64_t sent = status == 200 ? count(text, "\"MessageId\"") : 0;
        atomic_fetch_add_explicit(&c->done, sent, memory_order_relaxed);
        atomic_fetch_add_explicit(&c->failed, BATCH - sent, memory_order_relaxed);
        if (sent < BATCH) fprintf(stderr, "lean: status %d: %.300s\n", status, text);
        note(c, begin);
        rest -= BATCH;
    }
    free(bytes);
    free(body);
    return NULL;
}

// Makes the deletion of what a reply has; how many that are.
static uint64_t deletion(const struct options *o, const char *text, char **body) {
    static const char name[] = "\"ReceiptHandle\":\"";
    uint64_t entries = count(text, name);
    char *made = malloc(strlen(text) + 64 * (entries + 8) + strlen(o->topic) + strlen(o->bootstrap));
    size_t used = (size_t)sprintf(made, "{\"QueueUrl\":\"http://%s/000000000000/%s\",\"Entries\":[", o->bootstrap, o->topic);
    for (uint64_t entry = 0; entry < entries; entry++) {
        text = strstr(text, name) + sizeof name - 1;
        const char *end = strchr(text, '"');
        if (end == NULL) die("a receipt without an end");
        used += (size_t)sprintf(made + used, "%s{\"Id\":\"%llu\",\"ReceiptHandle\":\"%.*s\"}", entry > 0 ? "," : "",
                                (unsigned long long)entry, (int)(end - text), text);
        text = end;
    }
    sprintf(made + used, "]}");
    *body = made;
    return entries;
}

static void *run_drain(void *argument) {
    struct connection *c = argument;
    char query[512], *text, *body;
    snprintf(query, sizeof query, "{\"QueueUrl\":\"http://%s/000000000000/%s\",\"MaxNumberOfMessages\":%d}", c->options->bootstrap,
             c->options->topic, BATCH);
    size_t length, size;
    char *bytes = request(c->options, "ReceiveMessage", query, &length);
    int64_t progress = now_ns();
    while (atomic_load_explicit(&left, memory_order_relaxed) > 0) {
        int64_t begin = now_ns();
        int status = ask(c, bytes, length, &text);
        if (status != 200) die("status %d: %.300s", status, text);
        uint64_t received = deletion(c->options, text, &body);
        if (received > 0) {
            char *order = request(c->options, "DeleteMessageBatch", body, &size);
            status = ask(c, order, size, &text);
            uint64_t gone = status == 200 ? count(text, "\"Id\"") : 0;
            if (status != 200 || strstr(text, "\"Code\"") != NULL) {
                fprintf(stderr, "lean: status %d: %.300s\n", status, text);
                atomic_fetch_add_explicit(&c->failed, received, memory_order_relaxed);
                gone = 0;
            }
            atomic_fetch_add_explicit(&c->done, gone, memory_order_relaxed);
            atomic_fetch_sub_explicit(&left, (int64_t)received, memory_order_relaxed);
            note(c, begin);
            progress = now_ns();
            free(order);
        } else if (now_ns() - progress > EMPTY_SECONDS * 1000000000ll) {
            die("%lld messages are missing", (long long)atomic_load(&left));
        }
        free(body);
    }
    free(bytes);
    return NULL;
}

static uint64_t total(struct connection *c, int number, bool failed) {
    uint64_t sum = 0;
    for (int i = 0; i < number; i++) sum += atomic_load(failed ? &c[i].failed : &c[i].done);
    return sum;
}

// A call that is no part of what is measured.
static void call(const struct options *o, const char *operation, const char *body) {
    struct connection c = {.options = o, .socket = dial(o->bootstrap), .room = 1 << 16, .reply = malloc(1 << 16)};
    size_t length;
    char *bytes = request(o, operation, body, &length), *text;
    int status = ask(&c, bytes, length, &text);
    if (status != 200) die("%s: status %d: %.300s", operation, status, text);
    close(c.socket);
    free(bytes);
    free(c.reply);
}

// Runs all connections: for the seconds that count, or until they end by themselves.
static int measure(const struct options *o, void *(*run)(void *), bool endsItself) {
    char body[512];
    if (o->size > MOST_BYTES) die("-s is %d at most", MOST_BYTES);
    snprintf(body, sizeof body, "{\"QueueName\":\"%s\"}", o->topic);
    call(o, "CreateQueue", body);
    struct connection *c = calloc((size_t)o->clients, sizeof *c);
    double lead = endsItself ? 0 : o->warmup;
    int64_t begin = now_ns(), window_begin = begin + (int64_t)(lead * 1e9);
    int64_t window_end = endsItself ? INT64_MAX : window_begin + (int64_t)(o->seconds * 1e9);
    for (int i = 0; i < o->clients; i++) {
        c[i] = (struct connection){.options = o, .socket = dial(o->bootstrap), .room = 1 << 16, .reply = malloc(1 << 16),
                                   .window_begin = window_begin, .window_end = window_end};
        if (pthread_create(&c[i].thread, NULL, run, &c[i]) != 0) die("no thread");
    }
    sleep_until_ns(window_begin);
    double cpu = cpu_seconds(o->broker);
    uint64_t before = total(c, o->clients, false);
    int64_t from = now_ns();
    if (!endsItself) {
        sleep_until_ns(window_end);
    } else {
        for (int i = 0; i < o->clients; i++) pthread_join(c[i].thread, NULL);
    }
    uint64_t messages = total(c, o->clients, false) - before;
    double seconds = (double)(now_ns() - from) / 1e9;
    cpu = cpu_seconds(o->broker) - cpu;
    atomic_store(&stopped, true);
    struct histogram *waits = calloc(1, sizeof *waits);
    for (int i = 0; i < o->clients; i++) {
        if (!endsItself) pthread_join(c[i].thread, NULL);
        histogram_add(waits, &c[i].waits);
    }
    printf("{\"messages\": %llu, \"seconds\": %.3f, \"messages_per_s\": %.1f, \"failed\": %llu, \"broker_cpu_s\": %.2f, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f}\n",
           (unsigned long long)messages, seconds, (double)messages / seconds, (unsigned long long)total(c, o->clients, true), cpu,
           histogram_ms(waits, 0.5), histogram_ms(waits, 0.99), histogram_ms(waits, 0.999));
    fflush(stdout);
    _Exit(total(c, o->clients, true) > 0 ? 1 : 0);
}

int sqs_send(const struct options *o) {
    if (o->bootstrap == NULL) die("-b HOST:PORT is missing");
    return measure(o, run_send, o->records > 0);
}

int sqs_drain(const struct options *o) {
    if (o->bootstrap == NULL || o->records <= 0) die("-b HOST:PORT and -m N are needed");
    atomic_store(&left, o->records);
    return measure(o, run_drain, true);
}

int sqs_delete(const struct options *o) {
    char body[512];
    if (o->bootstrap == NULL) die("-b HOST:PORT is missing");
    snprintf(body, sizeof body, "{\"QueueUrl\":\"http://%s/000000000000/%s\"}", o->bootstrap, o->topic);
    call(o, "DeleteQueue", body);
    puts("{}");
    return 0;
}
