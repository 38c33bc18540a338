import ByteBuffers
import KafkaModel

/// The bytes of a record. The key is what a compacted log keeps one value of, so it keeps the newest of each job.
///
/// ```
/// key      version 1 │ id 16
/// value    version 1 │ kind 1 │ state 1 │ created ms │ changed ms │ bytes │ accepted │ rejected │ line
///          │ route │ topic │ quarantine │ owner │ file name │ reason │ ends of the topic │ ends of the quarantine
///          │ count, {line, column (0: none), reason}…
///          │ of a redrive: source │ destination │ a second (0: any number) │ expected
///          │ of a pull: its name │ pages │ place (may be missing)
///          │ of a file of a watched directory: inode 8 │ size │ modified ns 8
///
/// text     length, UTF-8; of one that may be missing the length is one more, and 0 where it is
/// ends     0 where there are none │ 1, topic id 16, count, {offset}…
/// ```
/// Numbers without a width are zigzag varints of at most 64 bits, the others big-endian. A value without bytes is none: the job is
/// forgotten. A decoder refuses what is out of range, which is 2^60 and more for what is counted (bytes to line, and pages), or has bytes left.
extension JobChange {
    private static let version: UInt8 = 1

    public var key: [UInt8] {
        let id: JobID
        switch self {
        case .put(let job): id = job.id
        case .forgotten(let gone): id = gone
        }
        var out = ByteWriter(capacity: 24)
        out.integer(Self.version)
        out.integer(id.high)
        out.integer(id.low)
        return out.array
    }

    /// Null: the key is deleted.
    public var value: [UInt8]? {
        guard case .put(let job) = self else { return nil }
        var out = ByteWriter(capacity: 256)
        out.integer(Self.version)
        out.integer(job.kind.rawValue)
        out.integer(job.state.rawValue)
        for number in [
            job.createdMs, job.changedMs, job.progress.bytes, job.progress.accepted, job.progress.rejected,
            job.progress.line,
        ] { out.varlong(number) }
        for text in [job.route, job.topic, job.quarantine] { Self.write(text, &out) }
        for text in [job.owner, job.fileName, job.reason] { Self.write(text, &out) }
        Self.write(job.floors.topic, &out)
        Self.write(job.floors.quarantine, &out)
        out.varlong(Int64(job.rejected.count))
        for row in job.rejected {
            out.varlong(row.line)
            out.varlong(row.column ?? 0)
            Self.write(row.reason, &out)
        }
        if let redrive = job.redrive {
            Self.write(redrive.source, &out)
            Self.write(redrive.destination, &out)
            out.varlong(Int64(redrive.perSecond ?? 0))
            out.varlong(Int64(redrive.expected))
        }
        if let pull = job.pull {
            Self.write(pull.name, &out)
            out.varlong(pull.pages)
            // As one that may be missing.
            Self.write(pull.place, &out)
        }
        if let source = job.source {
            out.integer(source.inode)
            out.varlong(source.size)
            out.integer(UInt64(bitPattern: source.modifiedNs))
        }
        return out.array
    }

    private static func write(_ text: String, _ out: inout ByteWriter) {
        out.varlong(Int64(text.utf8.count))
        out.utf8(text)
    }

    private static func write(_ text: String?, _ out: inout ByteWriter) {
        guard let text else { return out.varlong(0) }
        out.varlong(Int64(text.utf8.count) + 1)
        out.utf8(text)
    }

    private static func write(_ ends: JobFloors.Ends?, _ out: inout ByteWriter) {
        guard let ends else { return out.integer(UInt8(0)) }
        out.integer(UInt8(1))
        out.integer(ends.topicID.high)
        out.integer(ends.topicID.low)
        out.varlong(Int64(ends.offsets.count))
        for offset in ends.offsets { out.varlong(offset.rawValue) }
    }

    // MARK: Reading

    init(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?) throws(DecodeError) {
        var reader = ByteReader(key)
        guard try reader.integer(UInt8.self) == Self.version else {
            throw .invalid("version of a job's key", position: 0)
        }
        let id = JobID(high: try reader.integer(), low: try reader.integer())
        guard reader.isAtEnd else { throw .invalid("bytes behind a job's key", position: reader.position) }
        guard let value else {
            self = .forgotten(id)
            return
        }
        reader = ByteReader(value)
        self = .put(try Self.job(id, &reader))
        guard reader.isAtEnd else { throw .invalid("bytes behind a job", position: reader.position) }
    }

    private static func job(_ id: JobID, _ reader: inout ByteReader) throws(DecodeError) -> Job {
        guard try reader.integer(UInt8.self) == Self.version else { throw .invalid("version of a job", position: 0) }
        guard let kind = Job.Kind(rawValue: try reader.integer(UInt8.self)) else {
            throw .invalid("kind of a job", position: 1)
        }
        guard let state = Job.State(rawValue: try reader.integer(UInt8.self)) else {
            throw .invalid("state of a job", position: 2)
        }
        let createdMs = try number(&reader)
        let changedMs = try number(&reader)
        let progress = JobProgress(
            bytes: try amount(&reader), accepted: try amount(&reader), rejected: try amount(&reader),
            line: try amount(&reader))
        let (route, topic, quarantine) = (try text(&reader), try text(&reader), try text(&reader))
        let (owner, fileName, reason) = (try textIfAny(&reader), try textIfAny(&reader), try textIfAny(&reader))
        let floors = JobFloors(topic: try ends(&reader), quarantine: try ends(&reader))
        // Each row takes three bytes at least: nothing is allocated for what is not there.
        var rejected: [RejectedRow] = []
        for _ in 0..<(try count(&reader, each: 3)) {
            let (line, column) = (try number(&reader), try number(&reader))
            rejected.append(RejectedRow(line: line, column: column == 0 ? nil : column, reason: try text(&reader)))
        }
        var job: Job
        switch kind {
        case .upload:
            job = Job(
                id: id, route: route, topic: topic, quarantine: quarantine, owner: owner, fileName: fileName,
                createdMs: createdMs)
        case .watch:
            job = Job(
                id: id, route: route, topic: topic, quarantine: quarantine, owner: owner, fileName: fileName,
                source: try source(&reader), createdMs: createdMs)
        case .pull:
            job = Job(
                id: id, route: route, topic: topic, quarantine: quarantine, owner: owner, fileName: fileName,
                createdMs: createdMs)
            job.pull = PullProgress(
                name: try text(&reader), pages: try amount(&reader), place: try textIfAny(&reader))
        case .redrive:
            job = Job(id: id, try redrive(&reader), route: route, topic: topic, owner: owner, createdMs: createdMs)
        }
        (job.state, job.changedMs, job.progress, job.reason) = (state, changedMs, progress, reason)
        (job.floors, job.rejected) = (floors, rejected)
        return job
    }

    private static func redrive(_ reader: inout ByteReader) throws(DecodeError) -> Job.Redrive {
        let (source, destination) = (try text(&reader), try textIfAny(&reader))
        let perSecond = try amount(&reader)
        return Job.Redrive(
            source: source, destination: destination, perSecond: perSecond == 0 ? nil : Int(perSecond),
            expected: Int(try amount(&reader)))
    }

    private static func source(_ reader: inout ByteReader) throws(DecodeError) -> FileIdentity {
        let inode = try reader.integer(UInt64.self)
        let size = try number(&reader)
        return FileIdentity(
            inode: inode, size: size, modifiedNs: Int64(bitPattern: try reader.integer(UInt64.self)))
    }

    private static func number(_ reader: inout ByteReader) throws(DecodeError) -> Int64 {
        let position = reader.position
        let value = try reader.varlong()
        guard value >= 0 else { throw .invalid("number of a job", position: position) }
        return value
    }

    /// One that others are added to.
    private static func amount(_ reader: inout ByteReader) throws(DecodeError) -> Int64 {
        let position = reader.position
        let value = try number(&reader)
        guard value < 1 << 60 else { throw .invalid("progress of a job", position: position) }
        return value
    }

    private static func count(_ reader: inout ByteReader, each bytes: Int) throws(DecodeError) -> Int {
        let position = reader.position
        let count = try number(&reader)
        guard count <= Int64(reader.remaining / bytes) else { throw .invalid("count of a job", position: position) }
        return Int(count)
    }

    private static func text(_ reader: inout ByteReader) throws(DecodeError) -> String {
        try reader.string(try count(&reader, each: 1))
    }

    private static func textIfAny(_ reader: inout ByteReader) throws(DecodeError) -> String? {
        let position = reader.position
        let length = try number(&reader)
        if length == 0 { return nil }
        guard length - 1 <= Int64(reader.remaining) else { throw .invalid("text of a job", position: position) }
        return try reader.string(Int(length - 1))
    }

    private static func ends(_ reader: inout ByteReader) throws(DecodeError) -> JobFloors.Ends? {
        let position = reader.position
        switch try reader.integer(UInt8.self) {
        case 0: return nil
        case 1: break
        default: throw .invalid("ends of a job's topic", position: position)
        }
        let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
        let count = try count(&reader, each: 1)
        var offsets: [Offset] = []
        offsets.reserveCapacity(count)
        for _ in 0..<count { offsets.append(Offset(try number(&reader))) }
        return JobFloors.Ends(topicID: topicID, offsets: offsets)
    }
}
