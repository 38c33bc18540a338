import ByteBuffers
import RecordFormat
public import StorageIO

/// What is known of a partition's damage: kept in its folder as the file `quarantine`, until `log repair` has set the
/// damaged bytes aside.
///
/// ```
/// "MLQR" | version u16 | 0 u16 | range count u32 | CRC-32C of what follows u32
/// end reason length u16 | end reason, empty when the end is known
/// per range: segmentBase i64 | startPosition i64 | endPosition i64 | baseOffset i64 | endOffset i64
///            | repaired u8 | reason length u16 | reason
/// ```
public struct Quarantine: Sendable, Equatable {
    public static let fileName = "quarantine"
    static let magic: UInt32 = 0x4d4c_5152
    static let version: UInt16 = 1
    /// Beyond this many ranges of one partition neighbours in a segment are joined, with what stands between them. The
    /// joined range is damage, even where a part of it was repaired: a reader is refused, never led past good records.
    static let maxRanges = 256
    private static let maxReason = 512

    /// By ascending offset, apart from each other.
    public internal(set) var ranges: [DamagedRange] = []
    /// Why acknowledged records may be missing behind the log's end. Appends are refused then: they would give the lost
    /// records' offsets a second time.
    public internal(set) var endReason: String?

    public init() {}

    /// Nothing is damaged now; repaired ranges may stand here all the same.
    public var isEmpty: Bool { endReason == nil && ranges.allSatisfy(\.isRepaired) }
    public var damaged: [DamagedRange] { ranges.filter { !$0.isRepaired } }

    /// The range that holds `offset`.
    func range(holding offset: Int64) -> DamagedRange? {
        ranges.first { $0.baseOffset <= offset && offset < $0.endOffset }
    }

    /// Offsets that do not exist any more.
    var gaps: [Range<Int64>] { ranges.isEmpty ? [] : ranges.filter(\.isRepaired).map { $0.baseOffset..<$0.endOffset } }

    /// Adds a range, joined with those it touches. Gives whether anything changed.
    mutating func add(_ range: DamagedRange) -> Bool {
        var joined = range
        if ranges.contains(where: {
            $0.isRepaired && $0.baseOffset <= range.baseOffset && range.endOffset <= $0.endOffset
        }) {
            return false
        }
        for other in damaged where other.segmentBase == range.segmentBase && other.overlaps(joined) {
            joined.startPosition = min(joined.startPosition, other.startPosition)
            joined.endPosition = max(joined.endPosition, other.endPosition)
            joined.baseOffset = min(joined.baseOffset, other.baseOffset)
            joined.endOffset = max(joined.endOffset, other.endOffset)
            joined.reason = other.reason
        }
        if ranges.contains(joined) { return false }
        ranges.removeAll { !$0.isRepaired && $0.segmentBase == joined.segmentBase && $0.overlaps(joined) }
        ranges.append(joined)
        ranges.sort { ($0.baseOffset, $0.startPosition) < ($1.baseOffset, $1.startPosition) }
        if ranges.count > Self.maxRanges { joinNearest() }
        return true
    }

    private mutating func joinNearest() {
        for index in ranges.indices.dropLast() where ranges[index].segmentBase == ranges[index + 1].segmentBase {
            ranges[index].endPosition = ranges[index + 1].endPosition
            ranges[index].endOffset = ranges[index + 1].endOffset
            ranges[index].isRepaired = false
            ranges.remove(at: index + 1)
            return
        }
    }

    /// Forgets what lies wholly below the log's start.
    mutating func removeBelow(_ logStartOffset: Int64, segmentBase: Int64) -> Bool {
        let before = ranges.count
        ranges.removeAll { $0.endOffset <= logStartOffset && $0.segmentBase < segmentBase }
        return ranges.count != before
    }

    // MARK: File form

    func encode() -> [UInt8] {
        var body = ByteWriter(capacity: 256)
        Self.write(endReason ?? "", to: &body)
        for range in ranges {
            body.int64(range.segmentBase)
            body.int64(range.startPosition)
            body.int64(range.endPosition)
            body.int64(range.baseOffset)
            body.int64(range.endOffset)
            body.int8(range.isRepaired ? 1 : 0)
            Self.write(range.reason, to: &body)
        }
        var writer = ByteWriter(capacity: body.count + 16)
        writer.uint32(Self.magic)
        writer.uint16(Self.version)
        writer.uint16(0)
        writer.uint32(UInt32(ranges.count))
        writer.uint32(CRC32C.checksum(body.bytes))
        writer.bytes(body.bytes)
        return writer.array
    }

    private static func write(_ text: String, to writer: inout ByteWriter) {
        let bytes = Array(text.utf8.prefix(maxReason))
        writer.uint16(UInt16(bytes.count))
        writer.bytes(bytes)
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.uint32() == Self.magic else { throw .invalid("magic", position: 0) }
        guard try reader.uint16() == Self.version else { throw .invalid("version", position: 4) }
        try reader.skip(2)
        let count = try reader.uint32()
        let crc = try reader.uint32()
        guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[reader.position...])) == crc else {
            throw .invalid("CRC", position: 12)
        }
        let end = try Self.text(&reader)
        endReason = end.isEmpty ? nil : end
        for _ in 0..<count {
            var range = DamagedRange(
                segmentBase: try reader.int64(), startPosition: try reader.int64(),
                endPosition: try reader.int64(), baseOffset: try reader.int64(), endOffset: try reader.int64(),
                reason: "")
            range.isRepaired = try reader.int8() != 0
            range.reason = try Self.text(&reader)
            ranges.append(range)
        }
    }

    private static func text(_ reader: inout ByteReader) throws(DecodeError) -> String {
        String(decoding: try reader.bytes(Int(try reader.uint16())), as: UTF8.self)
    }

    /// The quarantine of a partition's folder; nil when there is none. A damaged file quarantines the log's end, as
    /// nothing else can be said.
    public static func load(_ fileSystem: any FileSystem, folder: String) throws(StorageError) -> Quarantine? {
        let path = Path.join(folder, fileName)
        guard try fileSystem.exists(path) else { return nil }
        let bytes = try fileSystem.readWhole(path, limit: 1 << 24)
        do {
            return try bytes.withUnsafeBytes { raw throws(DecodeError) in try Quarantine(decoding: raw) }
        } catch {
            var unknown = Quarantine()
            unknown.endReason = "the file \(fileName), which told of damage, is itself damaged (\(error))"
            return unknown
        }
    }

    public func store(_ fileSystem: any FileSystem, folder: String) throws(StorageError) {
        try fileSystem.createDirectoryDurably(folder)
        try fileSystem.writeAtomically(Path.join(folder, Self.fileName), encode())
    }
}
