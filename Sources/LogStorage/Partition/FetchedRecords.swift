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
    public var lastStableOffset: Offset
    public var logEndOffset: Offset
    /// What belongs to `highWatermark`, or to `lastStableOffset` for its readers; see `PartitionLog.Watermark.position`.
    public var watermarkPosition: Int64 = 0
    /// The limit cut the records off: more of them follow in the same place.
    public var isCut = false

    /// The records in memory. For callers that did not ask for places in files.
    public var slices: [ByteSlice] {
        guard case .memory(let slices) = place else { preconditionFailure("the records are in a file") }
        return slices
    }
}
