import ByteBuffers
import CommandSyntax
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO

/// `millrace log dump`: every batch as it stands there, damaged or not.
enum LogDumpCommand {
    static func run(_ invocation: Invocation, _ console: Console) throws {
        let files = PosixFileSystem()
        var dump = Dump(invocation, console)
        for path in invocation.operands {
            for folder in try SegmentFolder.find(path, files, console) {
                for (place, name) in folder.names.enumerated() where !dump.isFull {
                    let isLast = place == folder.names.count - 1
                    try dump.show(Path.join(folder.path, name), files, isLast: isLast)
                }
            }
        }
        if dump.foundDamage { throw CommandFailure("", .damaged) }
    }

    private struct Dump {
        let invocation: Invocation
        let console: Console
        let from: Int64?
        let limit: Int
        var shown = 0
        var foundDamage = false

        init(_ invocation: Invocation, _ console: Console) {
            self.invocation = invocation
            self.console = console
            from = invocation[LogOptions.from]
            limit = invocation[LogOptions.max] ?? .max
        }

        var isFull: Bool { shown >= limit || !console.output.isIntact }

        mutating func show(_ path: String, _ files: some FileSystem, isLast: Bool) throws {
            let isJSON = invocation[CommonOptions.json]
            if !isJSON { console.output.write("\(path)\n") }
            let end: LogInspection.Place?
            do throws(StorageError) {
                let file = try files.open(path, .read)
                defer { file.close() }
                end = try LogInspection.batches(of: file, isLast: isLast) { batch, position in
                    if let from, batch.lastOffset.rawValue < from { return true }
                    LogDumpCommand.show(batch, position, path, invocation, console)
                    shown += 1
                    return !isFull
                }
            } catch {
                throw CommandFailure("\(error)")
            }
            guard let end else { return }
            if !isJSON { console.output.write("  at byte \(end.position): \(end.reason)\n") }
            guard end.kind == .damage else { return }
            foundDamage = true
            if isJSON { console.complain("millrace: \(path) at byte \(end.position): \(end.reason)") }
        }
    }

    // MARK: Batches

    private static func show(
        _ batch: RecordBatchHeader, _ position: Int64, _ path: String, _ invocation: Invocation, _ console: Console
    ) {
        let withRecords = invocation[LogOptions.records]
        if invocation[CommonOptions.json] {
            console.output.writeJSON { json in
                json.object { json in
                    json.member("segment", path)
                    json.member("position", position)
                    json.member("size", batch.totalSize)
                    json.member("base_offset", batch.baseOffset.rawValue)
                    json.member("last_offset", batch.lastOffset.rawValue)
                    json.member("records_count", batch.recordCount)
                    json.member("leader_epoch", batch.partitionLeaderEpoch.rawValue)
                    json.member("codec", batch.attributes.compression?.name)
                    json.member("control", batch.isControl)
                    json.member("transactional", batch.isTransactional)
                    json.member("producer_id", batch.producerID.rawValue)
                    json.member("producer_epoch", batch.producerEpoch.rawValue)
                    json.member("base_sequence", batch.baseSequence.rawValue)
                    json.member("max_timestamp", batch.maxTimestampMs)
                    json.member("crc_ok", batch.computedCRC() == batch.crc)
                    guard withRecords else { return }
                    json.array("records") { json in
                        forEachRecord(of: batch, console) { record in
                            json.object { json in RecordOutput.json(nil, record).write(to: &json) }
                        }
                    }
                }
            }
            return
        }
        var line = "  \(position): offsets \(batch.baseOffset.rawValue)-\(batch.lastOffset.rawValue)"
        line += ", \(batch.recordCount) records, \(batch.totalSize) bytes, epoch \(batch.partitionLeaderEpoch.rawValue)"
        line += ", \(batch.attributes.compression?.name ?? "unknown codec")"
        if batch.hasProducerID {
            line += ", producer \(batch.producerID.rawValue):\(batch.producerEpoch.rawValue) from "
            line += "\(batch.baseSequence.rawValue)"
        }
        if batch.isTransactional { line += ", transactional" }
        if batch.isControl { line += ", control" }
        line += ", \(TimeText.iso(batch.maxTimestampMs))"
        if batch.computedCRC() != batch.crc { line += ", WRONG CRC" }
        console.output.write(line + "\n")
        guard withRecords else { return }
        forEachRecord(of: batch, console) { record in
            let key = record.key.map(printable) ?? "(null)"
            let value = record.value.map(printable) ?? "(null)"
            console.output.write(
                "    \(record.offset.rawValue) \(TimeText.iso(record.timestampMs)) key \(key) value \(value)\n")
        }
    }

    private static func forEachRecord(
        of batch: RecordBatchHeader, _ console: Console, _ body: (RecordView) -> Void
    ) {
        var iterator = RecordIterator(outputLimit: 1 << 30)
        do {
            try iterator.open(batch)
            while let record = try iterator.next() { body(record) }
        } catch {
            console.complain("millrace: the batch at offset \(batch.baseOffset.rawValue) cannot be read: \(error)")
        }
    }

    /// Text as it is, with control characters and other bytes as \xNN.
    private static func printable(_ bytes: UnsafeRawBufferPointer) -> String {
        if let text = String(validating: bytes.bindMemory(to: UInt8.self), as: UTF8.self),
            !text.unicodeScalars.contains(where: TerminalText.isControl)
        {
            return text
        }
        let hex = Array("0123456789abcdef")
        var text = ""
        for byte in bytes {
            if byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "\\") {
                text.unicodeScalars.append(UnicodeScalar(byte))
            } else {
                text += "\\x\(hex[Int(byte >> 4)])\(hex[Int(byte & 15)])"
            }
        }
        return text
    }
}
