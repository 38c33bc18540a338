import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// How far a log has been compacted.
struct CleanerProgress: Sendable, Equatable {
    /// Below it no key has two records, and no data of aborted transactions is left.
    var firstDirtyOffset: Int64 = 0
    /// The earliest time at which a tombstone or marker below `firstDirtyOffset` may be removed; `Int64.max` if there
    /// is none.
    var earliestHorizonMs = Int64.max

    // MARK: The file

    /// ```
    /// "MLCL" | version u16 | 0 u16 | count u32 | CRC-32C of what follows u32
    /// per partition: topicID | partitionIndex i32 | firstDirtyOffset i64 | earliestHorizonMs i64
    /// ```
    /// Written after the segments that it tells of have been exchanged. When it is lost or damaged, the logs are
    /// compacted from their start once more.
    static let fileName = "cleaner"
    private static let magic: UInt32 = 0x4d4c_434c
    private static let version: UInt16 = 1
    private static let maxBytes = 64 << 20

    static func encode(_ entries: [(TopicPartition, CleanerProgress)]) -> [UInt8] {
        var body = ByteWriter(capacity: entries.count * 36)
        for (partition, progress) in entries {
            body.integer(partition.topicID.high)
            body.integer(partition.topicID.low)
            body.int32(partition.partitionIndex)
            body.int64(progress.firstDirtyOffset)
            body.int64(progress.earliestHorizonMs)
        }
        var writer = ByteWriter(capacity: body.count + 16)
        writer.uint32(magic)
        writer.uint16(version)
        writer.uint16(0)
        writer.uint32(UInt32(entries.count))
        writer.uint32(CRC32C.checksum(body.bytes))
        writer.bytes(body.bytes)
        return writer.array
    }

    /// Loads the stored progress; empty when the file is missing or unreadable.
    static func load(_ fileSystem: any FileSystem, folder: String) -> [TopicPartition: CleanerProgress] {
        let path = Path.join(folder, fileName)
        guard let bytes = try? fileSystem.readWhole(path, limit: maxBytes) else { return [:] }
        return decode(bytes) ?? [:]
    }

    static func decode(_ bytes: [UInt8]) -> [TopicPartition: CleanerProgress]? {
        bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            do {
                guard try reader.uint32() == magic, try reader.uint16() == version else { return nil }
                try reader.skip(2)
                let count = try reader.uint32()
                let crc = try reader.uint32()
                guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[reader.position...])) == crc else {
                    return nil
                }
                var entries: [TopicPartition: CleanerProgress] = [:]
                for _ in 0..<count {
                    let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
                    let partition = TopicPartition(topicID: topicID, partitionIndex: try reader.int32())
                    entries[partition] = CleanerProgress(
                        firstDirtyOffset: try reader.int64(), earliestHorizonMs: try reader.int64())
                }
                return reader.remaining == 0 ? entries : nil
            } catch {
                return nil
            }
        }
    }
}
