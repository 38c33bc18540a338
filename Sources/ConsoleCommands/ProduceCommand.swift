import ByteBuffers
import CommandSyntax
import Glibc
import KafkaClient
import RecordFormat

/// `millrace produce`.
enum ProduceCommand {
    static func run(_ invocation: Invocation, _ console: Console) throws {
        let job = try Job(invocation, console)
        var failure: (any Error)?
        do { try job.writeAll() } catch { failure = error }
        // Whatever ended the input, what was read of it is written, and what became of it is told.
        let wasCut = console.interruption.finishInOrder()
        do { try job.producer.flush() } catch { failure = failure ?? error }
        job.report()
        if wasCut { throw console.interruption.failure }
        if let failure { throw failure }
        if job.outcome.failed + job.outcome.perhaps > 0 { throw CommandFailure("", .failed) }
    }
}

/// One run of the command: where records come from, where they go, and what is known of them.
private final class Job {
    private let invocation: Invocation
    private let console: Console
    private let topic: String
    private let partition: Int32?
    private let key: [UInt8]?
    private let headers: [RecordJSON.Header]
    private let acks: Int16
    private var input: ProduceInput
    let producer: Producer
    private var offsets: [PartitionName: (first: Int64, last: Int64)] = [:]
    private var read = 0
    private let began = MonotonicClock.milliseconds

    init(_ invocation: Invocation, _ console: Console) throws {
        self.invocation = invocation
        self.console = console
        topic = invocation.operands[0]
        partition = invocation[ProduceOptions.partition]
        key = invocation[ProduceOptions.key].map { Array($0.utf8) }
        headers = invocation[ProduceOptions.headers].map {
            RecordJSON.Header(key: Array($0.name.utf8), value: Array($0.value.utf8))
        }
        input = try ProduceInput(Self.mode(invocation), files: invocation[ProduceOptions.files], console)
        let options = Producer.Options(
            codec: invocation[ProduceOptions.codec], acks: invocation[CommonOptions.acks],
            isIdempotent: !invocation[ProduceOptions.noIdempotence],
            batchBytes: invocation[CommonOptions.batchBytes])
        acks = options.acks
        producer = try Producer(try ClusterConnection.open(invocation, console), options: options)
        producer.onDelivery = { [unowned self] in note($0) }
    }

    private static func mode(_ invocation: Invocation) -> ProduceInput.Mode {
        if invocation[ProduceOptions.json] { return .json }
        let null = invocation[ProduceOptions.null].map { Array($0.utf8) }
        if invocation[ProduceOptions.whole] { return .whole(null: null) }
        return .lines(separator: invocation[ProduceOptions.keySeparator], null: null)
    }

    // MARK: Writing

    /// Reads to the end of the input, or to a signal, and hands every record to the producer.
    func writeAll() throws {
        while !console.interruption.wasRequested {
            // Somebody types, or a pipe pauses: nothing is kept back meanwhile.
            if !input.hasInput { try producer.flush() }
            guard let record = try input.next() else { return }
            // Before anything can go wrong with it.
            read += 1
            try send(record)
            console.progress(
                "\(producer.acknowledgedRecords) of \(read) records acknowledged, \(input.bytesRead) bytes read")
        }
    }

    private func send(_ record: RecordJSON) throws {
        var encoded = EncodedRecordHeaders()
        for header in record.headers + headers {
            header.key.withUnsafeBytes { key in
                if let value = header.value {
                    value.withUnsafeBytes { encoded.append(key: key, value: $0) }
                } else {
                    encoded.append(key: key, value: nil)
                }
            }
        }
        let own = invocation[ProduceOptions.ignorePartitions] ? nil : record.partition
        try producer.send(
            topic: topic, partition: partition ?? own, key: key ?? record.key, value: record.value, headers: encoded,
            timestampMs: record.timestampMs ?? WallClock.milliseconds)
    }

    private func note(_ delivery: Producer.Delivery) {
        switch delivery.result {
        case .success(let base):
            guard base >= 0 else { return }
            let last = base + Int64(delivery.recordCount) - 1
            let known = offsets[delivery.partition]
            offsets[delivery.partition] = (min(known?.first ?? base, base), max(known?.last ?? last, last))
        case .failure(let error):
            let what = delivery.mayBeStored ? "perhaps not written" : "not written"
            console.complain("millrace: \(delivery.recordCount) records \(what): \(error)")
        }
    }

    // MARK: The report

    /// Every record that was read is in one of them.
    var outcome: (written: Int, failed: Int, perhaps: Int) {
        let written = producer.acknowledgedRecords
        let perhaps = producer.uncertainRecords + producer.outstandingRecords.uncertain
        // Also those that the producer did not even take: for a partition that is not there, or when a signal came first.
        return (written, read - written - perhaps, perhaps)
    }

    func report() {
        console.clearProgress()
        let milliseconds = MonotonicClock.milliseconds - began
        let (written, failed, perhaps) = outcome
        guard invocation[ProduceOptions.report] ?? (invocation[ProduceOptions.json] ? .json : .text) == .json else {
            // Without acknowledgements nobody has said that anything is written.
            var text = "\(written) records \(acks == 0 ? "sent" : "written") in \(milliseconds) ms"
            if failed > 0 { text += ", \(failed) not" }
            if perhaps > 0 { text += ", \(perhaps) perhaps (sent, and no answer says whether)" }
            return console.complain(text)
        }
        console.output.writeJSON { json in
            json.object { json in
                json.member("topic", topic)
                json.member("records", written)
                json.member("failed", failed)
                json.member("perhaps", perhaps)
                json.member("milliseconds", milliseconds)
                json.array("partitions") { json in
                    for (name, range) in offsets.sorted(by: { $0.key < $1.key }) {
                        json.object { json in
                            json.member("partition", name.partition)
                            json.member("first_offset", range.first)
                            json.member("last_offset", range.last)
                        }
                    }
                }
            }
        }
    }
}
