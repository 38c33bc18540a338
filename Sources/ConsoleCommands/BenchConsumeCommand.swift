import ByteBuffers
import CommandSyntax
import KafkaClient
import RecordFormat

/// `millrace bench consume`.
enum BenchConsumeCommand {
    static func run(_ invocation: Invocation, _ console: Console) throws {
        let start = invocation[BenchConsumeOptions.from] ?? .beginning
        let topic = invocation[BenchConsumeOptions.topic] ?? BenchRun.defaultTopic
        let seconds = invocation[BenchConsumeOptions.duration].map(BenchRun.seconds(milliseconds:))
        let limit = invocation[BenchConsumeOptions.records]
        let connection = try ClusterConnection(invocation, console)
        let cluster = connection.open()
        let names = try cluster.topic(topic).partitions.map { PartitionName(topic, $0.index) }
        let ends = try cluster.offsets(of: names, .latest)
        let positions = try ConsumeCommand.positions(names, start, ends, cluster)
        let stopsAtEnd = seconds == nil && limit == nil
        let consumers = invocation[BenchConsumeOptions.consumers] ?? 1
        let counts = BenchCounts(console.interruption)
        let began = MonotonicClock.nanoseconds
        counts.run(threads: consumers, seconds: seconds, console) { _ in
            let reader = RecordReader(connection.open(), from: positions)
            var seen = 0
            while !counts.isStopped {
                if stopsAtEnd {
                    for name in names where reader.positions[name] ?? .max >= ends[name] ?? 0 { reader.drop(name) }
                    if reader.positions.isEmpty { break }
                }
                var records = 0
                var bytes = 0
                // A short wait, so that the end of the time is seen.
                try reader.poll(maxWaitMs: 200) { _, record in
                    records += 1
                    bytes += (record.key?.count ?? 0) + (record.value?.count ?? 0)
                    return seen + records != limit
                }
                seen += records
                if records > 0 { counts.counts.withLock { $0.done(records: records, bytes: bytes) } }
                if seen == limit { break }
            }
        }
        try counts.finish(invocation, console, began: began)
    }
}
