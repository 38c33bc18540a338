import ByteBuffers
import CommandSyntax
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO

/// `millrace log verify`: says of every segment what recovery would, and whether each batch's records can be read.
enum LogVerifyCommand {
    static func run(_ invocation: Invocation, _ console: Console) throws {
        let files = PosixFileSystem()
        var report = Report()
        for path in invocation.operands {
            for folder in try SegmentFolder.find(path, files, console) {
                do throws(StorageError) { try report.add(folder, files, console) } catch {
                    throw CommandFailure("\(error)")
                }
            }
        }
        report.tellWhatIsNotKnown(console)
        console.clearProgress()
        if invocation[CommonOptions.json] {
            report.writeJSON(to: console.output)
        } else {
            report.writeText(to: console.output)
        }
        if report.damaged > 0 || !report.known.isEmpty { throw CommandFailure("", .damaged) }
    }

    /// One segment, with what was found in it.
    private struct Segment {
        var path: String
        var finding: LogInspection.SegmentFinding
        /// Batches that are as they were written, and whose records cannot be read.
        var unreadable: [LogInspection.Place] = []

        var places: [LogInspection.Place] { (finding.places + unreadable).sorted { $0.position < $1.position } }
        var isDamaged: Bool { finding.isDamaged || !unreadable.isEmpty }
    }

    private struct Report {
        var segments: [Segment] = []
        /// What the broker has quarantined already, one line each.
        var known: [String] = []
        /// Folders whose logs no checkpoint vouches for.
        private var withoutCheckpoint: [String] = []
        private var inspections: [String: LogInspection] = [:]

        var damaged: Int { segments.count(where: \.isDamaged) }

        mutating func add(
            _ folder: SegmentFolder, _ files: PosixFileSystem, _ console: Console
        ) throws(StorageError) {
            if let quarantine = try Quarantine.load(files, folder: folder.path) {
                known += quarantine.damaged.map { "\(folder.path)/\($0.description)" }
                if let reason = quarantine.endReason {
                    known.append("\(folder.path): appends are refused: \(reason)")
                }
            }
            // The checkpoint is found by the names of a partition's folder and those above it, which the words of a command
            // need not have.
            let path = SegmentFolder.resolved(folder.path)
            let inspection = try inspection(of: path, files)
            if !inspection.vouches(for: path) { withoutCheckpoint.append(folder.path) }
            let count = segments.count
            var records = RecordCheck()
            let findings = try inspection.segments(of: path, only: folder.only) { batch, position, base in
                console.progress("\(count) segments verified; \(folder.path), offset \(batch.baseOffset.rawValue)")
                records.check(batch, position, base)
            }
            segments += findings.map { finding in
                Segment(
                    path: Path.join(folder.path, finding.name), finding: finding,
                    unreadable: records.unreadable[finding.baseOffset] ?? [])
            }
        }

        /// The look at a data folder, whose checkpoint is read once for all of its partitions.
        private mutating func inspection(
            of folder: String, _ files: PosixFileSystem
        ) throws(StorageError) -> LogInspection {
            let parent = Path.parent(folder)
            if let known = inspections[parent] { return known }
            let made = try LogInspection(files, partitionFolder: folder)
            inspections[parent] = made
            return made
        }

        /// Says what could not be found, because nothing tells how far a log was written.
        func tellWhatIsNotKnown(_ console: Console) {
            guard let first = withoutCheckpoint.first else { return }
            let others = withoutCheckpoint.count == 1 ? "" : " and \(withoutCheckpoint.count - 1) more"
            console.complain("note: no checkpoint vouches for \(first)\(others): a missing end would not be found")
        }

        // MARK: Writing

        func writeText(to output: Output) {
            for line in known { output.write("DAMAGED \(line)\n") }
            for segment in segments {
                for place in segment.places {
                    let word = place.kind == .damage ? "DAMAGED" : "note   "
                    output.write("\(word) \(segment.path) at byte \(place.position): \(place.reason)\n")
                }
            }
            output.write(
                "\(segments.count) segments, \(batches) batches, \(records) records: "
                    + (damaged == 0 ? "no damage\n" : "\(damaged) damaged\n"))
        }

        func writeJSON(to output: Output) {
            output.writeJSON { json in
                json.object { json in
                    json.member("segments", segments.count)
                    json.member("damaged", damaged)
                    json.member("batches", batches)
                    json.member("records", records)
                    json.member("bytes", segments.reduce(Int64(0)) { $0 + $1.finding.size })
                    json.array("quarantined") { json in
                        for line in known { json.object { json in json.member("what", line) } }
                    }
                    json.array("findings") { json in
                        for segment in segments {
                            for place in segment.places { write(place, of: segment, to: &json) }
                        }
                    }
                }
            }
        }

        private func write(_ place: LogInspection.Place, of segment: Segment, to json: inout JSONWriter) {
            json.object { json in
                json.member("path", segment.path)
                json.member("damaged", place.kind == .damage)
                json.member("position", place.position)
                json.member("reason", place.reason)
            }
        }

        private var batches: Int { segments.reduce(0) { $0 + $1.finding.batches } }
        private var records: Int64 { segments.reduce(0) { $0 + $1.finding.records } }
    }

    /// Unpacks the records of each batch, which recovery has no reason to do.
    private struct RecordCheck: ~Copyable {
        var unreadable: [Int64: [LogInspection.Place]] = [:]
        private let validator = RecordBatchValidator(origin: .broker)
        /// A batch may unpack to this much: far more than a broker takes, and little enough for a tool.
        private var iterator = RecordIterator(outputLimit: 1 << 30)

        mutating func check(_ batch: RecordBatchHeader, _ position: Int64, _ base: Int64) {
            do throws(RecordBatchError) {
                // Length and CRC are what recovery looks at.
                try validator.checkFields(batch)
                try iterator.open(batch)
                try iterator.verifyRemaining()
            } catch {
                unreadable[base, default: []].append(
                    LogInspection.Place(kind: .damage, position: position, reason: "\(error)"))
            }
        }
    }
}
