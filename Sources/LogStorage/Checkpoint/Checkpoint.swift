import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO

/// Tells recovery where to begin, for every partition. It is written to the file `checkpoint`, whole and atomically, and then to
/// `checkpoint.copy`, which serves when the first is damaged. Journal generations and segments that it does not need are
/// given up when both files are on disk, so either of them is enough.
///
/// ```
/// "MLCP" | version u16 | flags u16 | partition count u32 | CRC-32C of what follows u32 | journalGeneration u64
/// flags again u16, so that the CRC covers them: bit 0: the broker stopped in order, and nothing came after this
/// per partition: topicID | partitionIndex i32 | logStartOffset i64 | endOffset i64 | segmentBase i64 | position i64
///                | truncations u32 | marks u8 (bit 0: the log was compacted at some time; bit 1: nothing is promised, as the
///                checkpoint was lost and the partition could not be opened since) | leader epochs | producer states
/// ```
/// LogStorage.md, *What a checkpoint promises*, says what each of these is relied on for.
///
/// Version 1 had no `truncations`, version 2 nothing of transactions. They are read and not written. The version stands for the whole folder: a program refuses to
/// open one that a later program has written (`version`), and serves a folder of an earlier version only once a checkpoint of
/// its own version is on disk.
struct Checkpoint {
    static let fileName = "checkpoint"
    static let copyName = "checkpoint.copy"
    static let magic: UInt32 = 0x4d4c_4350
    /// Raised with every change of any file of the folder that an older program could misread. 2: `truncations`, here and in
    /// the journal. 3: transactions, in the producers' states.
    static let version: UInt16 = 3
    /// Largest checkpoint that is written or read, in bytes. At the limits of partitions (200,000) and producer states
    /// (`ProducerLimit`) one has 53 MB; a larger one is not ours, or of a release that bounded nothing.
    static let maxBytes = 1 << 30

    struct Entry {
        var logStartOffset: Int64 = 0
        var endOffset: Int64 = 0
        var segmentBase: Int64 = 0
        var position: Int64 = 0
        /// How often the log's end was truncated before this checkpoint.
        var truncations: UInt32 = 0
        var mayHaveGaps = false
        /// This entry promises nothing. There was one that did, and it was lost with its checkpoint; so when the partition is
        /// opened, whenever that is, nothing but the very end of its log may be cut.
        var isLost = false
        var epochs = LeaderEpochs()
        var producers = ProducerStates()

        /// Itself where it promises anything.
        var promise: Entry? { isLost ? nil : self }
    }

    var entries: [TopicPartition: Entry] = [:]
    var journalGeneration: UInt64 = 0
    /// The version that it was read in.
    private(set) var readVersion = Checkpoint.version
    /// The broker stopped in order after this: the segments are as it says, and the journal is not needed.
    var isClean = false

    static func encodeEntry(_ partition: TopicPartition, _ entry: Entry, to writer: inout ByteWriter) {
        writer.integer(partition.topicID.high)
        writer.integer(partition.topicID.low)
        writer.int32(partition.partitionIndex)
        writer.int64(entry.logStartOffset)
        writer.int64(entry.endOffset)
        writer.int64(entry.segmentBase)
        writer.int64(entry.position)
        writer.uint32(entry.truncations)
        writer.int8((entry.mayHaveGaps ? 1 : 0) | (entry.isLost ? 2 : 0))
        entry.epochs.encode(to: &writer)
        entry.producers.encode(to: &writer)
    }

    /// Puts the header before encoded entries.
    static func seal(_ body: borrowing ByteWriter, count: Int, isClean: Bool = false) -> [UInt8] {
        var writer = ByteWriter(capacity: body.count + 24)
        writer.uint32(magic)
        writer.uint16(version)
        writer.uint16(isClean ? 1 : 0)
        writer.uint32(UInt32(count))
        writer.uint32(CRC32C.checksum(body.bytes))
        writer.bytes(body.bytes)
        return writer.array
    }

    struct Loaded {
        var checkpoint = Checkpoint()
        /// There was one and neither file can be read, or both are gone: everything has to be found again.
        var isLost = false
        /// There is none and no segment: nothing was ever written here.
        var isNew = false
        /// An earlier release wrote it, which may be started again on this folder until it has a checkpoint of this version.
        var isOfEarlierVersion: Bool { checkpoint.readVersion < Checkpoint.version }
        var notices: [String] = []

        /// What is known of a partition; with the checkpoint lost, a mark that says so.
        func entry(of partition: TopicPartition) -> Entry? {
            isLost ? Entry(isLost: true) : checkpoint.entries[partition]
        }
    }

    /// The checkpoint of a data folder; an empty one when there is none yet. Errors: `.corrupt` for a newer version; want
    /// of descriptors or memory, or of rights, with which nothing is lost that a later start would not find.
    /// `keepsDamaged`: one that is damaged is copied beside it, as it will be written over.
    static func load(
        _ fileSystem: any FileSystem, folder: String, keepsDamaged: Bool = true
    ) throws(StorageError) -> Loaded {
        var loaded = Loaded()
        var newer: [StorageError] = []
        var barred: StorageError?
        var found = 0
        var read = 0
        for name in [fileName, copyName] {
            let path = Path.join(folder, name)
            let bytes: [UInt8]
            do throws(StorageError) {
                bytes = try fileSystem.readWhole(path, limit: maxBytes)
            } catch {
                // The very first checkpoint may have been interrupted between the two.
                if error.isNotFound { continue }
                if error.isNotNow { throw error }
                if error.errno == EACCES || error.errno == EPERM { barred = barred ?? error }
                found += 1
                loaded.notices.append("\(error)")
                continue
            }
            found += 1
            read += 1
            do {
                loaded.checkpoint = try bytes.withUnsafeBytes { raw throws(DecodeError) in
                    try Checkpoint(decoding: raw)
                }
                if !loaded.notices.isEmpty { loaded.notices.append("\(path) is used instead") }
                return loaded
            } catch {
                loaded.notices.append("\(path) is damaged: \(error)")
                if keepsDamaged { try? fileSystem.writeAtomically(path + ".damaged", bytes) }
                if let version = version(of: bytes), version > Self.version {
                    newer.append(
                        StorageError(
                            .corrupt(
                                "it has format version \(version); this program reads version \(Self.version). Start "
                                    + "it with the release that wrote it, or a later one"),
                            .read, path: path))
                }
            }
        }
        // A bit that makes one file look newer is damage; both say so only when it is true.
        if let first = newer.first, newer.count == read { throw first }
        if let barred { throw barred }
        if found == 0 { loaded.isNew = try !hasSegments(fileSystem, folder: folder) }
        if loaded.isNew { return loaded }
        loaded.isLost = true
        loaded.notices.append(
            "\(found == 0 ? "the checkpoints are gone" : "no checkpoint can be read"): all segments are scanned; records "
                + "removed by DeleteRecords from a segment that is still there are readable again")
        return loaded
    }

    /// Whether anything was ever written here. A start makes both checkpoints before it takes appends, so segments without
    /// one had one.
    private static func hasSegments(_ fileSystem: any FileSystem, folder: String) throws(StorageError) -> Bool {
        let partitions = Path.join(folder, "partitions")
        guard try fileSystem.exists(partitions) else { return false }
        for name in try fileSystem.list(partitions) {
            let path = Path.join(partitions, name)
            guard try fileSystem.isDirectory(path) else { continue }
            do throws(StorageError) {
                if try fileSystem.list(path).contains(where: { Segment.baseOffset(ofLogName: $0) != nil }) {
                    return true
                }
            } catch {
                // One that cannot be looked at concerns itself alone. It may have some: that is the safe side.
                return true
            }
        }
        return false
    }

    private static func version(of bytes: [UInt8]) -> UInt16? {
        bytes.withUnsafeBytes { raw in
            guard raw.count >= 8, UInt32(bigEndian: raw.loadUnaligned(as: UInt32.self)) == magic else { return nil }
            return UInt16(bigEndian: raw.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        }
    }

    init() {}

    private init(decoding bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.uint32() == Self.magic else { throw .invalid("magic", position: 0) }
        let version = try reader.uint16()
        guard 1...Self.version ~= version else { throw .invalid("version", position: 4) }
        readVersion = version
        let flags = try reader.uint16()
        let count = try reader.uint32()
        let crc = try reader.uint32()
        guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[reader.position...])) == crc else {
            throw .invalid("CRC", position: 12)
        }
        journalGeneration = try reader.integer()
        guard try reader.uint16() == flags else { throw .invalid("flags", position: 6) }
        isClean = flags & 1 != 0
        for _ in 0..<count {
            let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
            let index = try reader.int32()
            var entry = Entry()
            entry.logStartOffset = try reader.int64()
            entry.endOffset = try reader.int64()
            entry.segmentBase = try reader.int64()
            entry.position = try reader.int64()
            entry.truncations = version >= 2 ? try reader.uint32() : 0
            let marks = try reader.int8()
            entry.mayHaveGaps = marks & 1 != 0
            entry.isLost = marks & 2 != 0
            entry.epochs = try LeaderEpochs(from: &reader)
            entry.producers = try ProducerStates(from: &reader)
            entries[TopicPartition(topicID: topicID, partitionIndex: index)] = entry
        }
        guard entries.count == Int(count), reader.remaining == 0 else { throw .invalid("count", position: 8) }
    }
}
