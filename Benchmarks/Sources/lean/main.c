#include "lean.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: lean produce|consume|create|delete|http-stream|sqs-send|sqs-drain|sqs-delete [OPTIONS]      prints one line of JSON\n"
    "  -b HOST:PORT  broker, or gateway            -t TOPIC          (default: lean)\n"
    "  -p N   partitions (default: 1)              -n N   producers, consumers or connections (default: 1)\n"
    "  -s N   bytes of a record (default: 1024)    -f FILE  text to cut records from (default: generated JSON)\n"
    "  -d S   seconds that count (default: 5)      -w S   seconds before them (default: 1)\n"
    "  -m N   records of each client, instead of -d and -w\n"
    "  -c CODEC  none, gzip, snappy, lz4, zstd     -a ACKS  all (default), 1, 0\n"
    "  -l MS  linger (default: 5)                  -i     idempotent\n"
    "  -T N, -T Nms  transactions, which are committed after N records or N milliseconds; what is committed counts, and\n"
    "         a wait is that of a commit\n"
    "  -R N   records a second over all producers, waits counted from when a record was due\n"
    "  -u PATH, -B BYTES  of http-stream: where to post, and bytes of one body (default: 1 MiB)\n"
    "  -M TYPE, -C CODING  of http-stream: Content-Type (default: application/x-ndjson) and Content-Encoding of bodies\n"
    "  -W N,BYTES  of http-stream: FILE is one whole body, of so many events and so many bytes of text\n"
    "  sqs-send, sqs-drain, sqs-delete: Amazon's SQS at the gateway -b, of the queue -t, which is made; messages of -s bytes by\n"
    "         tens; sqs-send -m N: so many of each connection; sqs-drain -m N: so many in all are received and deleted\n"
    "  -x KEY=VALUE  a setting of librdkafka's, such as security.protocol=ssl; up to 8\n"
    "  -P PID  count this process's CPU time over the same window\n";

int main(int count, char **words) {
    struct options o = {.topic = "lean", .codec = "none", .acks = "all", .linger = "5", .partitions = 1, .clients = 1,
                        .size = 1024, .body = 1 << 20, .media = "application/x-ndjson", .seconds = 5, .warmup = 1};
    if (count < 2 || words[1][0] == '-') {
        fputs(usage, stderr);
        return 2;
    }
    const char *command = words[1];
    optind = 2;
    for (int letter; (letter = getopt(count, words, "b:t:p:n:s:f:d:w:m:c:a:l:iT:R:u:B:P:x:M:C:W:")) != -1;) {
        switch (letter) {
            case 'b': o.bootstrap = optarg; break;
            case 't': o.topic = optarg; break;
            case 'p': o.partitions = atoi(optarg); break;
            case 'n': o.clients = atoi(optarg); break;
            case 's': o.size = strtoul(optarg, NULL, 10); break;
            case 'f': o.file = optarg; break;
            case 'd': o.seconds = atof(optarg); break;
            case 'w': o.warmup = atof(optarg); break;
            case 'm': o.records = atoll(optarg); o.warmup = 0; break;
            case 'c': o.codec = optarg; break;
            case 'a': o.acks = optarg; break;
            case 'l': o.linger = optarg; break;
            case 'i': o.idempotent = true; break;
            case 'T': {
                char *end;
                double every = strtod(optarg, &end);
                if (every < 1 || (*end != 0 && strcmp(end, "ms") != 0)) die("-T N or -T Nms, not %s", optarg);
                if (*end == 0) o.transaction_records = (long)every;
                else o.transaction_seconds = every / 1000;
                break;
            }
            case 'R': o.rate = atof(optarg); break;
            case 'u': o.path = optarg; break;
            case 'B': o.body = strtoul(optarg, NULL, 10); break;
            case 'M': o.media = optarg; break;
            case 'C': o.coding = optarg; break;
            case 'W':
                if (sscanf(optarg, "%zu,%zu", &o.whole_events, &o.whole_bytes) != 2 || o.whole_events == 0) die("-W N,BYTES, not %s", optarg);
                break;
            case 'P': o.broker = atoi(optarg); break;
            case 'x':
                if (o.extra_count == MAX_EXTRA || strchr(optarg, '=') == NULL) die("-x KEY=VALUE, up to %d", MAX_EXTRA);
                o.extra[o.extra_count++] = optarg;
                break;
            default: fputs(usage, stderr); return 2;
        }
    }
    if (o.partitions < 1 || o.clients < 1 || o.size < 1 || optind != count) {
        fputs(usage, stderr);
        return 2;
    }
    if (strcmp(command, "produce") == 0) return produce(&o);
    if (strcmp(command, "consume") == 0) return consume(&o);
    if (strcmp(command, "create") == 0) return topic_create(&o);
    if (strcmp(command, "delete") == 0) return topic_delete(&o);
    if (strcmp(command, "http-stream") == 0) return http_stream(&o);
    if (strcmp(command, "sqs-send") == 0) return sqs_send(&o);
    if (strcmp(command, "sqs-drain") == 0) return sqs_drain(&o);
    if (strcmp(command, "sqs-delete") == 0) return sqs_delete(&o);
    fputs(usage, stderr);
    return 2;
}
