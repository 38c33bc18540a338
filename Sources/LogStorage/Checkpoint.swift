import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// From where recovery has to look, for every partition: written to the file `checkpoint`, whole and atomically.
///
/// ```
/// "MLCP" | version u16 | 0 u16 | partition count u32 | CRC-32C of what follows u32 | journalGeneration u64
/// per partition: topicID | partitionIndex i32 | logStartOffset i64 | endOffset i64 | segmentBase i64 | position i64
///                | leader epochs | producer states
/// ```
/// It promises: every record below `endOffset` is in the segments, synced; the newest of them ends at byte `position` of
/// segment `segmentBase`; the producer states are those after `endOffset`. Nothing of the journal's generations up to
/// `journalGeneration` is needed any more.
struct Checkpoint {
    static let fileName = "checkpoint"
    static let magic: UInt32 = 0x4d4c_4350
    static let version: UInt16 = 1
    /// A checkpoint larger than this is not ours.
    static let maxBytes = 1 << 30

    struct Entry {
        var logStartOffset: Int64 = 0
        var endOffset: Int64 = 0
        var segmentBase: Int64 = 0
        var position: Int64 = 0
        var epochs = LeaderEpochs()
        var producers = ProducerStates()
    }

    var entries: [TopicPartition: Entry] = [:]
    var journalGeneration: UInt64 = 0

    static func encodeEntry(_ partition: TopicPartition, _ entry: Entry, to writer: inout ByteWriter) {
        writer.integer(partition.topicID.high)
        writer.integer(partition.topicID.low)
        writer.int32(partition.partitionIndex)
        writer.int64(entry.logStartOffset)
        writer.int64(entry.endOffset)
        writer.int64(entry.segmentBase)
        writer.int64(entry.position)
        entry.epochs.encode(to: &writer)
        entry.producers.encode(to: &writer)
    }

    /// Puts the header before encoded entries.
    static func seal(_ body: borrowing ByteWriter, count: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: body.count + 24)
        writer.uint32(magic)
        writer.uint16(version)
        writer.uint16(0)
        writer.uint32(UInt32(count))
        writer.uint32(CRC32C.checksum(body.bytes))
        writer.bytes(body.bytes)
        return writer.array
    }

    /// The checkpoint of a data folder; an empty one when there is none yet.
    static func load(_ fileSystem: any FileSystem, folder: String) throws(StorageError) -> Checkpoint {
        let path = Path.join(folder, fileName)
        guard fileSystem.exists(path) else { return Checkpoint() }
        let bytes = try fileSystem.readWhole(path, limit: maxBytes)
        do {
            return try bytes.withUnsafeBytes { raw throws(DecodeError) in try Checkpoint(decoding: raw) }
        } catch {
            throw StorageError(.corrupt("not a checkpoint of this version: \(error)"), .read, path: path)
        }
    }

    init() {}

    private init(decoding bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.uint32() == Self.magic else { throw .invalid("magic", position: 0) }
        guard try reader.uint16() == Self.version else { throw .invalid("version", position: 4) }
        try reader.skip(2)
        let count = try reader.uint32()
        let crc = try reader.uint32()
        guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[reader.position...])) == crc else {
            throw .invalid("CRC", position: 12)
        }
        journalGeneration = try reader.integer()
        for _ in 0..<count {
            let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
            let index = try reader.int32()
            var entry = Entry()
            entry.logStartOffset = try reader.int64()
            entry.endOffset = try reader.int64()
            entry.segmentBase = try reader.int64()
            entry.position = try reader.int64()
            entry.epochs = try LeaderEpochs(from: &reader)
            entry.producers = try ProducerStates(from: &reader)
            entries[TopicPartition(topicID: topicID, partitionIndex: index)] = entry
        }
    }
}
