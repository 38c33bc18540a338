import CommandSyntax
import Glibc
import KafkaClient
import RecordFormat

/// `millrace produce`.
enum ProduceCommand {
    static func run(_ invocation: Invocation) throws {
        let topic = invocation.operands[0]
        let partition = try invocation.integer("partition", in: Int32(0)...Int32.max)
        var separator: [UInt8]?
        if let text = invocation.value("key-separator") {
            guard let bytes = RecordTemplate.unescape(text), !bytes.isEmpty else {
                throw UsageError(
                    "--key-separator \(text): a \\ must be followed by n, t, r, 0 or \\", command: invocation.name)
            }
            separator = bytes
        }
        let headers = EncodedRecordHeaders(
            try invocation.pairs("header").map { RecordHeader(key: $0.name, value: Array($0.value.utf8)) })
        let null = invocation.value("null").map { Array($0.utf8) }
        let options = try producerOptions(invocation)

        var descriptor = STDIN_FILENO
        if let path = invocation.value("file") {
            descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else {
                throw CommandFailure("cannot read \(path): " + String(cString: strerror(errno)))
            }
        }
        let cluster = try ClusterConnection.open(invocation)
        let producer = try Producer(cluster, options: options)
        var offsets: [PartitionName: (first: Int64, last: Int64)] = [:]
        producer.onDelivery = { delivery in
            switch delivery.result {
            case .success(let base):
                guard base >= 0 else { return }
                let last = base + Int64(delivery.recordCount) - 1
                let known = offsets[delivery.partition]
                offsets[delivery.partition] = (min(known?.first ?? base, base), max(known?.last ?? last, last))
            case .failure(let error):
                Terminal.complain("millrace: \(delivery.recordCount) records not written: \(error)")
            }
        }

        var lines = LineReader(descriptor: descriptor)
        var sent = 0
        let began = Clock.milliseconds
        do {
            while !Interruption.wasRequested {
                // Somebody types, or a pipe pauses: nothing is kept back meanwhile.
                if !lines.hasInput { try producer.flush() }
                guard let line = try lines.next() else { break }
                let (key, value) = try split(line, separator, number: sent + 1)
                try producer.send(
                    topic: topic, partition: partition, key: key, value: value == null ? nil : value,
                    headers: headers, timestampMs: WallClock.milliseconds)
                sent += 1
                Terminal.progress(
                    "\(producer.acknowledgedRecords) of \(sent) records acknowledged, \(lines.bytesRead) bytes read")
            }
            // What was read before an interruption is still written.
            Interruption.clear()
            try producer.flush()
        } catch let error as ClientError {
            report(invocation, producer, sent, offsets, Clock.milliseconds - began)
            throw error
        }
        let isCut = Interruption.wasRequested
        report(invocation, producer, sent, offsets, Clock.milliseconds - began)
        if producer.failedRecords > 0 { throw CommandFailure("", .failed) }
        if isCut { throw CommandFailure("", .interrupted) }
    }

    private static func producerOptions(_ invocation: Invocation) throws -> Producer.Options {
        var options = Producer.Options()
        if let name = invocation.value("codec"), let codec = Compression(name: name) { options.compression = codec }
        switch invocation.value("acks") {
        case "0": options.acks = 0
        case "1": options.acks = 1
        default: options.acks = -1
        }
        options.isIdempotent = options.acks == -1 && !invocation.has("no-idempotence")
        if let bytes = try invocation.integer("batch-bytes", in: 1...(64 << 20)) { options.batchBytes = bytes }
        return options
    }

    private static func split(
        _ line: [UInt8], _ separator: [UInt8]?, number: Int
    ) throws -> (key: [UInt8]?, value: [UInt8]) {
        guard let separator else { return (nil, line) }
        var start = 0
        while start + separator.count <= line.count {
            if line[start..<start + separator.count].elementsEqual(separator) {
                return (Array(line[..<start]), Array(line[(start + separator.count)...]))
            }
            start += 1
        }
        throw CommandFailure("line \(number) has no key separator; the lines before it were written")
    }

    private static func report(
        _ invocation: Invocation, _ producer: Producer, _ sent: Int,
        _ offsets: [PartitionName: (first: Int64, last: Int64)], _ milliseconds: Int64
    ) {
        Terminal.clearProgress()
        guard invocation.has("json") else {
            let unknown = sent - producer.acknowledgedRecords - producer.failedRecords
            var text = "\(producer.acknowledgedRecords) records written in \(milliseconds) ms"
            if producer.failedRecords > 0 { text += ", \(producer.failedRecords) not" }
            if unknown > 0 { text += ", \(unknown) perhaps" }
            return Terminal.complain(text)
        }
        Output.standard.writeJSON { json in
            json.object { json in
                json.member("topic", invocation.operands[0])
                json.member("records", producer.acknowledgedRecords)
                json.member("failed", producer.failedRecords)
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
