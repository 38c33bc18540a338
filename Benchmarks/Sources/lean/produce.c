// `lean produce`: N producers, each a librdkafka instance and a thread, send pieces of the payload to the partitions in turn.
//
// Three ways to send. Flat out: batches of messages as fast as the local queue takes them; a wait counts from the call. At a
// fixed rate (-R): message k of a producer is due at start + k / rate whatever the broker does, and its wait counts from
// then on, so a broker that stalls is charged for every message that should have been sent meanwhile. In transactions (-T):
// flat out, but for the commits, each of which is waited for. What is queued here then is little, as a commit waits for all of it.
#include "lean.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BURST 500

struct producer {
    const struct options *options;
    const struct payload *payload;
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    pthread_t thread;
    int number;
    int64_t begin;  // ns, as the two
    _Atomic int64_t window_begin, window_end;
    _Atomic uint64_t acknowledged, failed;
    uint64_t sent;
    struct histogram waits;  // of messages due in the window; only the producer's own thread, which also polls
};

static atomic_bool stopped;

static bool in_transactions(const struct options *o) { return o->transaction_records > 0 || o->transaction_seconds > 0; }

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client;
    struct producer *p = opaque;
    if (message->err) {
        atomic_fetch_add_explicit(&p->failed, 1, memory_order_relaxed);
        return;
    }
    // Of a transaction all count, or none, when it is committed.
    if (in_transactions(p->options)) return;
    atomic_store_explicit(
        &p->acknowledged, atomic_load_explicit(&p->acknowledged, memory_order_relaxed) + 1, memory_order_relaxed);
    int64_t due = (int64_t)(intptr_t)message->_private;
    if (due >= p->window_begin && due < p->window_end) histogram_note(&p->waits, now_ns() - due);
}

static int32_t next_partition(const struct producer *p, uint64_t turn) {
    return (int32_t)((turn + (uint64_t)p->number) % (uint64_t)p->options->partitions);
}

// The burst goes to one partition and the next burst to the next one, as a sticky partitioner does it.
static void send_flat_out(struct producer *p) {
    rd_kafka_message_t *messages = calloc(BURST, sizeof *messages);
    uint64_t turn = 0;
    while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
        int count = BURST;
        if (p->options->records > 0) {
            uint64_t left = (uint64_t)p->options->records - p->sent;
            if (left == 0) break;
            if (left < BURST) count = (int)left;
        }
        int64_t now = now_ns();
        for (int i = 0; i < count; i++)
            messages[i] = (rd_kafka_message_t){.payload = payload_piece(p->payload, p->sent + (uint64_t)i),
                                               .len = p->payload->size,
                                               ._private = (void *)(intptr_t)now};
        int from = 0;
        int32_t partition = next_partition(p, turn++);
        while (from < count && !atomic_load_explicit(&stopped, memory_order_relaxed)) {
            int taken = rd_kafka_produce_batch(p->topic, partition, 0, messages + from, count - from);
            from += taken;
            p->sent += (uint64_t)taken;
            // Messages are taken in order until the queue is full.
            rd_kafka_poll(p->client, from < count ? 1 : 0);
        }
    }
    free(messages);
}

static void expect_none(rd_kafka_error_t *error, const char *what) {
    if (error) die("%s: %s", what, rd_kafka_error_string(error));
}

static void send_in_transactions(struct producer *p) {
    const struct options *o = p->options;
    expect_none(rd_kafka_init_transactions(p->client, 30000), "init_transactions");
    rd_kafka_message_t *messages = calloc(BURST, sizeof *messages);
    uint64_t turn = 0;
    while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
        uint64_t end = o->records > 0 ? (uint64_t)o->records : UINT64_MAX, first = p->sent;
        if (first == end) break;
        if (o->transaction_records > 0 && first + (uint64_t)o->transaction_records < end) end = first + (uint64_t)o->transaction_records;
        int64_t until = o->transaction_seconds > 0 ? now_ns() + (int64_t)(o->transaction_seconds * 1e9) : INT64_MAX;
        expect_none(rd_kafka_begin_transaction(p->client), "begin_transaction");
        while (p->sent < end && now_ns() < until && !atomic_load_explicit(&stopped, memory_order_relaxed)) {
            int count = end - p->sent < BURST ? (int)(end - p->sent) : BURST;
            for (int i = 0; i < count; i++)
                messages[i] = (rd_kafka_message_t){.payload = payload_piece(p->payload, p->sent + (uint64_t)i), .len = p->payload->size};
            int taken = rd_kafka_produce_batch(p->topic, next_partition(p, turn++), 0, messages, count);
            p->sent += (uint64_t)taken;
            rd_kafka_poll(p->client, taken < count ? 1 : 0);
        }
        int64_t asked = now_ns();
        expect_none(rd_kafka_commit_transaction(p->client, 60000), "commit_transaction");
        int64_t now = now_ns();
        atomic_store_explicit(
            &p->acknowledged, atomic_load_explicit(&p->acknowledged, memory_order_relaxed) + (p->sent - first),
            memory_order_relaxed);
        if (asked >= p->window_begin && asked < p->window_end) histogram_note(&p->waits, now - asked);
    }
    free(messages);
}

static void send_at_rate(struct producer *p) {
    double interval = 1e9 * p->options->clients / p->options->rate;
    // Producers are spread over one interval, so that together they send evenly.
    int64_t first = p->begin + (int64_t)(interval * p->number / p->options->clients);
    int64_t give_up = p->options->records > 0 ? INT64_MAX : p->window_end + 30000000000;
    while (p->options->records == 0 || p->sent < (uint64_t)p->options->records) {
        int64_t due = first + (int64_t)((double)p->sent * interval), now = now_ns();
        // What was due in the window is sent, however late: the waits of a broker that stalls at the end belong to it.
        if (due >= p->window_end || now > give_up) break;
        if (due > now) {
            // librdkafka's wait has a resolution of 1 ms; what is due within one is waited for by the clock.
            if (due - now > 2000000) {
                rd_kafka_poll(p->client, 1);
            } else {
                if (rd_kafka_poll(p->client, 0) == 0) sleep_until_ns(due);
            }
            continue;
        }
        if (rd_kafka_produce(p->topic, next_partition(p, p->sent / BURST), 0, payload_piece(p->payload, p->sent),
                             p->payload->size, NULL, 0, (void *)(intptr_t)due) == 0)
            p->sent++;
        else
            rd_kafka_poll(p->client, 1);
        if (p->sent % 64 == 0) rd_kafka_poll(p->client, 0);
    }
}

static void *run(void *argument) {
    struct producer *p = argument;
    if (in_transactions(p->options))
        send_in_transactions(p);
    else if (p->options->rate > 0)
        send_at_rate(p);
    else
        send_flat_out(p);
    if (p->options->records > 0 || p->options->rate > 0) {
        // The waits of the last messages belong to the result.
        int64_t deadline = now_ns() + 30000000000;
        while (rd_kafka_outq_len(p->client) > 0 && now_ns() < deadline) rd_kafka_poll(p->client, 10);
        atomic_fetch_add(&p->failed, (uint64_t)rd_kafka_outq_len(p->client));
    }
    return NULL;
}

static void make(struct producer *p) {
    char error[512];
    const struct options *o = p->options;
    rd_kafka_conf_t *conf = configuration(
        o, (const char *const[]){"linger.ms", o->linger, "compression.codec", o->codec, "acks", o->acks, "enable.idempotence",
                                 o->idempotent || in_transactions(o) ? "true" : "false", "queue.buffering.max.messages",
                                 "1000000", "queue.buffering.max.kbytes", in_transactions(o) ? "16384" : "262144", "batch.num.messages", "10000", NULL});
    if (in_transactions(o)) {
        // An id of its own: another run's transaction is none of this one's.
        char id[64];
        snprintf(id, sizeof id, "lean-%d-%d", (int)getpid(), p->number);
        if (rd_kafka_conf_set(conf, "transactional.id", id, error, sizeof error) != RD_KAFKA_CONF_OK) die("%s", error);
    }
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, p);
    p->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (p->client == NULL) die("%s", error);
    p->topic = rd_kafka_topic_new(p->client, o->topic, NULL);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = rd_kafka_metadata(p->client, 0, p->topic, &metadata, 30000);
    if (code) die("metadata of %s: %s", o->topic, rd_kafka_err2str(code));
    rd_kafka_metadata_destroy(metadata);
}

static uint64_t total(struct producer *producers, int count, bool failed) {
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += atomic_load_explicit(failed ? &producers[i].failed : &producers[i].acknowledged, memory_order_relaxed);
    return sum;
}

int produce(const struct options *options) {
    if (options->clients > MAX_CLIENTS) die("at most %d producers", MAX_CLIENTS);
    if (in_transactions(options) && options->rate > 0) die("-T and -R exclude one another");
    struct payload payload;
    payload_load(&payload, options);
    struct producer *producers = calloc((size_t)options->clients, sizeof *producers);
    for (int i = 0; i < options->clients; i++) {
        producers[i].options = options;
        producers[i].payload = &payload;
        producers[i].number = i;
        make(&producers[i]);
    }
    int64_t begin = now_ns();
    int64_t window_begin = begin + (int64_t)(options->warmup * 1e9);
    int64_t window_end = options->records > 0 ? INT64_MAX : window_begin + (int64_t)(options->seconds * 1e9);
    for (int i = 0; i < options->clients; i++) {
        producers[i].begin = begin;
        producers[i].window_begin = window_begin;
        producers[i].window_end = window_end;
        if (pthread_create(&producers[i].thread, NULL, run, &producers[i]) != 0) die("no thread");
    }
    sleep_until_ns(window_begin);
    if (options->records == 0 && options->rate == 0) {
        // Many producers can keep this thread from its core for longer than the whole window: it begins now.
        window_begin = now_ns();
        window_end = window_begin + (int64_t)(options->seconds * 1e9);
        for (int i = 0; i < options->clients; i++) {
            atomic_store(&producers[i].window_end, window_end);
            atomic_store(&producers[i].window_begin, window_begin);
        }
    }
    double cpu = cpu_seconds(options->broker);
    uint64_t before = total(producers, options->clients, false);
    int64_t from = now_ns();
    if (options->records > 0) {
        for (int i = 0; i < options->clients; i++) pthread_join(producers[i].thread, NULL);
    } else {
        sleep_until_ns(window_end);
    }
    uint64_t records = total(producers, options->clients, false) - before;
    double seconds = (double)(now_ns() - from) / 1e9;
    cpu = cpu_seconds(options->broker) - cpu;
    atomic_store(&stopped, true);
    struct histogram *waits = calloc(1, sizeof *waits);
    for (int i = 0; i < options->clients; i++) {
        if (options->records == 0) pthread_join(producers[i].thread, NULL);
        histogram_add(waits, &producers[i].waits);
    }
    printf("{\"records\": %llu, \"seconds\": %.3f, \"records_per_s\": %.0f, \"MB_per_s\": %.2f, \"failed\": %llu, "
           "\"broker_cpu_s\": %.2f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f, \"waits\": %llu}\n",
           (unsigned long long)records, seconds, (double)records / seconds,
           (double)records * (double)options->size / seconds / 1e6,
           (unsigned long long)total(producers, options->clients, true), cpu, histogram_ms(waits, 0.5),
           histogram_ms(waits, 0.99), histogram_ms(waits, 0.999), (double)waits->max / 1e6,
           (unsigned long long)waits->count);
    fflush(stdout);
    // What is still queued is nobody's: the process ends without librdkafka's orderly flush.
    _Exit(total(producers, options->clients, true) > 0 ? 1 : 0);
}
