import ByteBuffers
import CommandSyntax
import KafkaClient
import KafkaModel
import RecordFormat
import Telemetry

/// `millrace bench produce`.
enum BenchProduceCommand {
    /// Between two looks at the clock and the sockets, when nothing is due: the resolution of waits at a fixed rate.
    private static let pauseNs: Int64 = 100_000

    private struct Plan: Sendable {
        var connection: ClusterConnection
        var topic: String
        var partitions: Int32
        var pieces: [[UInt8]]
        var options: Producer.Options
        var producers: Int
        /// Of all producers.
        var records: Int?
        /// Records a second of all producers; 0: as fast as it goes.
        var rate: Double
        var lingerNs: Int64
    }

    static func run(_ invocation: Invocation, _ console: Console) throws {
        let options = Producer.Options(
            codec: invocation[BenchProduceOptions.compression], acks: invocation[CommonOptions.acks],
            isIdempotent: !invocation[BenchProduceOptions.noIdempotence],
            batchBytes: invocation[CommonOptions.batchBytes])
        let size = invocation[BenchProduceOptions.size] ?? 1024
        let connection = try ClusterConnection(invocation, console)
        var plan = Plan(
            connection: connection, topic: invocation[BenchOptions.topic] ?? BenchRun.defaultTopic, partitions: 0,
            pieces: try BenchPayload.pieces(invocation[BenchProduceOptions.payloadFile], size: size), options: options,
            producers: invocation[BenchProduceOptions.producers] ?? 1, records: invocation[BenchOptions.records],
            rate: Double(invocation[BenchOptions.rate] ?? 0),
            lingerNs: (invocation[BenchProduceOptions.linger] ?? 5) * 1_000_000)
        plan.partitions = try prepareTopic(
            plan.topic, partitions: invocation[BenchProduceOptions.partitions], connection.open(), console)
        let counts = BenchCounts(console.interruption)
        let began = MonotonicClock.nanoseconds
        let ready = plan
        counts.run(threads: plan.producers, seconds: BenchRun.seconds(invocation), console) {
            try produce($0, ready, counts, began)
        }
        try counts.finish(invocation, console, began: began)
    }

    /// How many partitions the topic has, after making it if it is missing.
    private static func prepareTopic(
        _ name: String, partitions: Int32?, _ cluster: Cluster, _ console: Console
    ) throws -> Int32 {
        var wanted = Cluster.NewTopic(name: name)
        wanted.partitions = partitions ?? 1
        do throws(ClientError) {
            _ = try cluster.create(wanted)
            console.complain("created topic \(name), partitions: \(wanted.partitions)")
        } catch {
            guard error.code == .topicAlreadyExists else { throw error }
        }
        let count = Int32(try cluster.topic(name).partitions.count)
        if let partitions, partitions != count {
            throw CommandFailure("topic \(name) is there already, partitions: \(count); leave out --partitions")
        }
        return count
    }

    private static func produce(_ number: Int, _ plan: Plan, _ counts: BenchCounts, _ began: Int64) throws {
        let producer = try Producer(plan.connection.open(), options: plan.options)
        let size = plan.pieces[0].count
        var due = [TimeQueue](repeating: TimeQueue(), count: Int(plan.partitions))
        producer.onDelivery = { delivery in
            let now = MonotonicClock.nanoseconds
            counts.counts.withLock { state in
                let times = due[Int(delivery.partition.partition)].take(delivery.recordCount)
                switch delivery.result {
                case .success:
                    for time in times { state.waits.observe(nanoseconds: now - time) }
                    state.done(records: delivery.recordCount, bytes: delivery.recordCount * size)
                case .failure(let error): state.failed(records: delivery.recordCount, "\(error)")
                }
            }
        }
        let headers = EncodedRecordHeaders([])
        let mine = plan.records.map { $0 / plan.producers + (number < $0 % plan.producers ? 1 : 0) } ?? .max
        // One batch for a partition, the next batch for the next one.
        let run = max(1, plan.options.batchBytes / (size + 16))
        let interval = plan.rate > 0 ? 1e9 * Double(plan.producers) / plan.rate : 0
        // Together the producers send evenly.
        let first = began + Int64(interval * Double(number) / Double(plan.producers))
        var sent = 0
        var oldest: Int64 = 0
        while sent < mine, !counts.isStopped {
            var now = MonotonicClock.nanoseconds
            var time = now
            if plan.rate > 0 {
                time = first + Int64(Double(sent) * interval)
                if oldest != 0, now - oldest >= plan.lingerNs {
                    try producer.push()
                    oldest = 0
                }
                if time > now {
                    try producer.advance()
                    now = MonotonicClock.nanoseconds
                    if time > now { MonotonicClock.sleep(nanoseconds: min(time - now, pauseNs)) }
                    continue
                }
                if oldest == 0 { oldest = now }
            }
            let partition = (sent / run + number) % Int(plan.partitions)
            due[partition].append(time)
            try producer.send(
                topic: plan.topic, partition: Int32(partition), key: nil, value: plan.pieces[sent % plan.pieces.count],
                headers: headers, timestampMs: WallClock.milliseconds)
            sent += 1
        }
        try producer.flush()
    }
}

/// When the records of a partition were due, until they are acknowledged in the same order.
struct TimeQueue {
    private var times: [Int64] = []
    private var start = 0

    mutating func append(_ time: Int64) { times.append(time) }

    mutating func take(_ count: Int) -> [Int64] {
        let taken = Array(times[start..<start + count])
        start += count
        if start > 4096, start * 2 > times.count {
            times.removeFirst(start)
            start = 0
        }
        return taken
    }
}
