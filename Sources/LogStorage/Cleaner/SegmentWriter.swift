import KafkaModel
import RecordFormat
import StorageIO

/// Writes the batches that stay to a file of their own, which takes the place of old segments when it is whole.
struct SegmentWriter {
    let segment: Segment
    private let file: any StorageFile
    private let indexInterval: Int64
    private var buffer: [UInt8] = []
    private var written: Int64 = 0

    static let bufferBytes = 1 << 20

    /// Begins `path` anew.
    init(
        _ fileSystem: any FileSystem, path: String, baseOffset: Int64, indexInterval: Int64
    ) throws(StorageError) {
        file = try fileSystem.open(path, .readWrite(create: true))
        // What an earlier attempt left.
        try file.truncate(to: 0)
        segment = Segment(baseOffset: baseOffset, file: file)
        self.indexInterval = indexInterval
    }

    mutating func append(_ batch: UnsafeRawBufferPointer) throws(StorageError) {
        let header = RecordBatchHeader(unchecked: batch.baseAddress!)
        segment.count(
            batchAt: segment.size, baseOffset: header.baseOffset.rawValue, size: Int64(batch.count),
            maxTimestamp: header.maxTimestampMs, interval: indexInterval)
        if header.isControl { segment.noteMarker(header) }
        buffer.append(contentsOf: batch)
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    private mutating func flush() throws(StorageError) {
        guard !buffer.isEmpty else { return }
        try file.write(buffer, at: written)
        // Spreads the work of the sync at the end.
        file.startWriting(from: written, length: Int64(buffer.count))
        written += Int64(buffer.count)
        buffer.removeAll(keepingCapacity: true)
    }

    /// Everything is on disk, under the name that the file has.
    mutating func finish() throws(StorageError) {
        try flush()
        try file.sync()
        buffer = []
    }
}
