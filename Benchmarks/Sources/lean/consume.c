// `lean consume`: N consumers, each of which reads every partition from its start, without a group, until it has counted
// the wanted records. The clock runs from the first record to the last of all.
#include "lean.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 10000

struct consumer {
    const struct options *options;
    pthread_t thread;
    rd_kafka_t *client;
    uint64_t records, bytes;
    int64_t first, last;
};

static void *run(void *argument) {
    struct consumer *c = argument;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(c->client);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(c->options->partitions);
    for (int i = 0; i < c->options->partitions; i++)
        rd_kafka_topic_partition_list_add(all, c->options->topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(c->client, all);
    rd_kafka_message_t **messages = calloc(BATCH, sizeof *messages);
    int64_t quiet_since = now_ns();
    while (c->records < (uint64_t)c->options->records) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages, BATCH);
        int64_t now = now_ns();
        uint64_t before = c->records;
        for (ssize_t i = 0; i < count; i++) {
            if (messages[i]->err == 0) {
                c->records++;
                c->bytes += messages[i]->len;
            } else if (messages[i]->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                       || messages[i]->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
                die("%s", rd_kafka_message_errstr(messages[i]));
            }  // Anything else librdkafka tries again; what never comes ends in the silence below.
            rd_kafka_message_destroy(messages[i]);
        }
        if (c->records > before) {
            if (before == 0) c->first = now;
            c->last = quiet_since = now;
        } else if (now - quiet_since > 20000000000) {
            die("nothing came for 20 s after %llu records", (unsigned long long)c->records);
        }
    }
    return NULL;
}

int consume(const struct options *options) {
    if (options->records <= 0) die("-m COUNT is missing");
    char error[512];
    struct consumer *consumers = calloc((size_t)options->clients, sizeof *consumers);
    for (int i = 0; i < options->clients; i++) {
        rd_kafka_conf_t *conf = configuration(
            options, (const char *const[]){"group.id", "lean", "enable.auto.commit", "false", "queued.min.messages", "1000000",
                                           "queued.max.messages.kbytes", "131072", NULL});
        consumers[i].options = options;
        consumers[i].client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
        if (consumers[i].client == NULL) die("%s", error);
        rd_kafka_poll_set_consumer(consumers[i].client);
    }
    double cpu = cpu_seconds(options->broker);
    for (int i = 0; i < options->clients; i++)
        if (pthread_create(&consumers[i].thread, NULL, run, &consumers[i]) != 0) die("no thread");
    uint64_t records = 0, bytes = 0;
    int64_t first = INT64_MAX, last = 0;
    for (int i = 0; i < options->clients; i++) {
        pthread_join(consumers[i].thread, NULL);
        records += consumers[i].records;
        bytes += consumers[i].bytes;
        if (consumers[i].first < first) first = consumers[i].first;
        if (consumers[i].last > last) last = consumers[i].last;
    }
    cpu = cpu_seconds(options->broker) - cpu;
    double seconds = (double)(last > first ? last - first : 1) / 1e9;
    printf("{\"records\": %llu, \"bytes\": %llu, \"seconds\": %.3f, \"records_per_s\": %.0f, \"MB_per_s\": %.2f, "
           "\"failed\": 0, \"broker_cpu_s\": %.2f}\n",
           (unsigned long long)records, (unsigned long long)bytes, seconds, (double)records / seconds,
           (double)bytes / seconds / 1e6, cpu);
    fflush(stdout);
    _Exit(0);
}
