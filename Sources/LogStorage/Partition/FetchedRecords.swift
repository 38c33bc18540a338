public import ByteBuffers
public import KafkaModel

/// Records as they stand on disk: whole batches, contiguous in offsets.
public struct FetchedRecords: Sendable {
    /// Where they are.
    public enum Place: Sendable {
        case memory([ByteSlice])
        /// In a segment's file, which keeps these bytes as they are.
        case file(FileSlice)
    }

    public var place = Place.memory([])
    public var byteCount = 0
    /// Exclusive end of the last batch; nil without one.
    public var endOffset: Offset?
    public var highWatermark: Offset
    public var logStartOffset: Offset
    public var logEndOffset: Offset
    /// What belongs to `highWatermark`; see `PartitionLog.Watermark.position`.
    public var watermarkPosition: Int64 = 0
    /// More records stand behind these, in the same place, than the limit let through.
    public var isCut = false

    /// The records, for who has not asked for files.
    public var slices: [ByteSlice] {
        guard case .memory(let slices) = place else { preconditionFailure("the records are in a file") }
        return slices
    }
}
