import ByteBuffers
import CommandSyntax
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO

/// `millrace log dump` and `millrace log verify`.
enum LogCommands {
    // MARK: verify

    private struct Finding {
        var path: String
        var scan: SegmentScan
        /// What is wrong besides the scan's defect: places between segments.
        var gap: String?

        /// The defect lies in a range that `log repair` has set aside.
        var isRepaired = false

        var isDamaged: Bool { gap != nil || !isRepaired && scan.defect.map { !$0.isHarmless } ?? false }
    }

    static func verify(_ invocation: Invocation, _ console: Console) throws {
        let files = PosixFileSystem()
        var findings: [Finding] = []
        /// What the broker has quarantined already.
        var known: [String] = []
        for path in invocation.operands {
            for folder in try folders(path, files, console) {
                known += try quarantined(folder.path, files)
                var expected: Int64?
                for (place, name) in folder.names.enumerated() {
                    let path = Path.join(folder.path, name)
                    console.progress("\(findings.count) segments verified; \(path)")
                    let file = try open(path, files)
                    let scan = try SegmentScan.run(file, isLast: place == folder.names.count - 1, verifies: true)
                    let base = SegmentFiles.baseOffset(ofName: name)!
                    var finding = Finding(path: path, scan: scan, gap: gap(base, scan, expected: expected))
                    finding.isRepaired = try isRepaired(folder.path, base, scan, files)
                    findings.append(finding)
                    expected = scan.lastOffset.map { $0 + 1 } ?? base
                }
            }
        }
        console.clearProgress()
        let damaged = findings.filter(\.isDamaged).count
        if invocation[CommonOptions.json] {
            console.output.writeJSON { json in
                json.object { json in
                    json.member("segments", findings.count)
                    json.member("damaged", damaged)
                    json.member("batches", findings.reduce(0) { $0 + $1.scan.batches })
                    json.member("records", findings.reduce(Int64(0)) { $0 + $1.scan.records })
                    json.member("bytes", findings.reduce(Int64(0)) { $0 + $1.scan.size })
                    json.array("quarantined") { json in
                        for line in known { json.object { json in json.member("what", line) } }
                    }
                    json.array("findings") { json in
                        for finding in findings where finding.gap != nil || finding.scan.defect != nil {
                            write(finding, to: &json)
                        }
                    }
                }
            }
        } else {
            for line in known { console.output.write("DAMAGED \(line)\n") }
            for finding in findings {
                if let gap = finding.gap { console.output.write("DAMAGED \(finding.path): \(gap)\n") }
                if let defect = finding.scan.defect {
                    console.output.write(
                        "\(defect.isHarmless || finding.isRepaired ? "note   " : "DAMAGED") \(finding.path) at byte \(defect.position): "
                            + "\(defect.reason)\n")
                }
            }
            let records = findings.reduce(Int64(0)) { $0 + $1.scan.records }
            console.output.write(
                "\(findings.count) segments, \(findings.reduce(0) { $0 + $1.scan.batches }) batches, \(records) records: "
                    + (damaged == 0 ? "no damage\n" : "\(damaged) damaged\n"))
        }
        if damaged > 0 || !known.isEmpty { throw CommandFailure("", .damaged) }
    }

    private static func isRepaired(
        _ folder: String, _ base: Int64, _ scan: SegmentScan, _ files: some FileSystem
    ) throws -> Bool {
        guard let position = scan.defect?.position, let known = try Quarantine.load(files, folder: folder) else {
            return false
        }
        return known.ranges.contains {
            $0.isRepaired && $0.segmentBase == base && $0.startPosition <= position && position < $0.endPosition
        }
    }

    /// What a partition's folder says of its damage, one line each.
    private static func quarantined(_ folder: String, _ files: some FileSystem) throws -> [String] {
        do throws(StorageError) {
            guard let quarantine = try Quarantine.load(files, folder: folder) else { return [] }
            var lines = quarantine.damaged.map { "\(folder)/\($0.description)" }
            if let reason = quarantine.endReason { lines.append("\(folder): appends are refused: \(reason)") }
            return lines
        } catch {
            throw CommandFailure("\(error)")
        }
    }

    /// What is wrong with a segment's place: its records must begin where its name says, behind those of the last one.
    private static func gap(_ base: Int64, _ scan: SegmentScan, expected: Int64?) -> String? {
        if let first = scan.firstOffset, first < base {
            return "begins with offset \(first), before its name's \(base)"
        }
        if let expected, base < expected {
            return "begins at \(base), within the segment before, which ends at \(expected)"
        }
        return nil
    }

    private static func write(_ finding: Finding, to json: inout JSONWriter) {
        json.object { json in
            json.member("path", finding.path)
            json.member("damaged", finding.isDamaged)
            if let gap = finding.gap { json.member("place", gap) }
            if let defect = finding.scan.defect {
                json.member("position", defect.position)
                json.member("reason", defect.reason)
            }
        }
    }

    // MARK: dump

    static func dump(_ invocation: Invocation, _ console: Console) throws {
        let from = invocation[LogOptions.from]
        let limit = invocation[LogOptions.max] ?? .max
        let asJSON = invocation[CommonOptions.json]
        let files = PosixFileSystem()
        var shown = 0
        var damaged = false
        for path in invocation.operands {
            for folder in try folders(path, files, console) {
                for (place, name) in folder.names.enumerated() where shown < limit {
                    let path = Path.join(folder.path, name)
                    if !asJSON { console.output.write("\(path)\n") }
                    let file = try open(path, files)
                    let isLast = place == folder.names.count - 1
                    let scan = try SegmentScan.run(file, isLast: isLast, verifies: false) { batch, position in
                        if let from, batch.lastOffset.rawValue < from { return true }
                        try show(batch, position, path, invocation, console)
                        shown += 1
                        return shown < limit && console.output.isIntact
                    }
                    if let defect = scan.defect {
                        if !asJSON { console.output.write("  at byte \(defect.position): \(defect.reason)\n") }
                        if !defect.isHarmless {
                            damaged = true
                            if asJSON {
                                console.complain("millrace: \(path) at byte \(defect.position): \(defect.reason)")
                            }
                        }
                    }
                }
            }
        }
        if damaged { throw CommandFailure("", .damaged) }
    }

    private static func show(
        _ batch: RecordBatchHeader, _ position: Int64, _ path: String, _ invocation: Invocation, _ console: Console
    ) throws {
        let withRecords = invocation[LogOptions.records]
        if invocation[CommonOptions.json] {
            try console.output.writeJSON { json in
                try json.object { json in
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
                    try json.array("records") { json in
                        try forEachRecord(of: batch, console) { record in
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
        try forEachRecord(of: batch, console) { record in
            let key = record.key.map(printable) ?? "(null)"
            let value = record.value.map(printable) ?? "(null)"
            console.output.write(
                "    \(record.offset.rawValue) \(TimeText.iso(record.timestampMs)) key \(key) value \(value)\n")
        }
    }

    private static func forEachRecord(
        of batch: RecordBatchHeader, _ console: Console, _ body: (RecordView) -> Void
    ) throws {
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

    // MARK: Files

    private static func folders(
        _ path: String, _ files: some FileSystem, _ console: Console
    ) throws -> [SegmentFiles.Folder] {
        do {
            let folders = try SegmentFiles.find(path, files)
            if folders.isEmpty { console.complain("millrace: \(path): no segments") }
            return folders
        } catch let error as StorageError {
            throw CommandFailure("\(error)")
        }
    }

    private static func open(_ path: String, _ files: some FileSystem) throws -> any StorageFile {
        do { return try files.open(path, .read) } catch { throw CommandFailure("\(error)") }
    }
}
