#include "lean.h"

#include <stdio.h>
#include <string.h>

static rd_kafka_t *admin(const struct options *options) {
    char error[512];
    rd_kafka_t *client = rd_kafka_new(
        RD_KAFKA_PRODUCER, configuration(options, (const char *const[]){NULL}), error, sizeof error);
    if (client == NULL) die("%s", error);
    return client;
}

static void answer(const struct options *options, const rd_kafka_topic_result_t **results, size_t count, const char *done) {
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            die("%s: %s", options->topic, rd_kafka_err2str(rd_kafka_topic_result_error(results[i])));
    printf("{\"%s\": \"%s\"}\n", done, options->topic);
}

static rd_kafka_event_t *wait_for(rd_kafka_queue_t *queue) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 60000);
    if (event == NULL) die("no answer within 60 s");
    if (rd_kafka_event_error(event)) die("%s", rd_kafka_event_error_string(event));
    return event;
}

// A node may say "not leader" for a moment after it made a topic: one record of a byte goes into every partition, which
// librdkafka tries until it is taken. A client that is measured afterwards meets partitions that work.
static void touch(rd_kafka_t *client, const struct options *options) {
    // Asked for here, or librdkafka's timer asks for the new topic after a second.
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, options->topic, NULL);
    for (int try = 0; try < 500; try++) {
        const struct rd_kafka_metadata *metadata;
        if (rd_kafka_metadata(client, 0, topic, &metadata, 30000) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            int known = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
            rd_kafka_metadata_destroy(metadata);
            if (known == options->partitions) break;
        }
        sleep_until_ns(now_ns() + 10000000);
    }
    for (int partition = 0; partition < options->partitions; partition++) {
        rd_kafka_resp_err_t code = rd_kafka_producev(
            client, RD_KAFKA_V_TOPIC(options->topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_VALUE("{", 1),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (code) die("%s: %s", options->topic, rd_kafka_err2str(code));
    }
    if (rd_kafka_flush(client, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR) die("%s took no records within 60 s", options->topic);
}

int topic_create(const struct options *options) {
    char error[512];
    rd_kafka_t *client = admin(options);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(options->topic, options->partitions, 1, error, sizeof error);
    if (topic == NULL) die("%s", error);
    rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = wait_for(queue);
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(
        rd_kafka_event_CreateTopics_result(event), &count);
    answer(options, results, count, "created");
    fflush(stdout);
    touch(client, options);
    return 0;
}

int topic_delete(const struct options *options) {
    rd_kafka_t *client = admin(options);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(options->topic);
    rd_kafka_DeleteTopics(client, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = wait_for(queue);
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_DeleteTopics_result_topics(
        rd_kafka_event_DeleteTopics_result(event), &count);
    answer(options, results, count, "deleted");
    return 0;
}
