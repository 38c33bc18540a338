public import ByteBuffers
public import KafkaModel

/// What an accepted append is told. The write is durable once the store's commits have reached `ticket`.
public struct AppendReceipt: Sendable, Equatable {
    /// Offset of the batch's first record.
    public var baseOffset: Offset
    /// Offset of its last record, inclusive.
    public var lastOffset: Offset
    /// The broker's timestamp where the topic uses LogAppendTime, else -1; a repeat is told that of the first append.
    public var logAppendTimeMs: Int64
    public var logStartOffset: Offset
    /// The group commit that covers this append; 0 when it is already on disk.
    public var ticket: UInt64
    /// The batch had been appended before (an idempotent producer's retry) and was not written again.
    public var isDuplicate: Bool

    public init(
        baseOffset: Offset, lastOffset: Offset, logAppendTimeMs: Int64, logStartOffset: Offset, ticket: UInt64,
        isDuplicate: Bool
    ) {
        self.baseOffset = baseOffset
        self.lastOffset = lastOffset
        self.logAppendTimeMs = logAppendTimeMs
        self.logStartOffset = logStartOffset
        self.ticket = ticket
        self.isDuplicate = isDuplicate
    }
}

/// Why a batch was not appended: the code for the wire and a sentence for a person. Nothing was changed.
public struct AppendRefusal: Error, Sendable, Equatable {
    /// One record of the batch that is at fault.
    public struct RecordError: Sendable, Equatable {
        /// From 0, within the batch.
        public var index: Int32
        /// Nil: the refusal's own message says it.
        public var message: String?
    }

    public var code: ErrorCode
    public var message: String
    /// The records at fault, where it is single records. Source: KIP-467.
    public var recordErrors: [RecordError] = []
    /// The disk is nearly full: room has to be made, then it goes on by itself.
    public var isDiskFull = false

    public init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// Who wants to be told when a partition's high watermark has moved: an event loop, a name of the loop's choosing, and
/// which of the partitions that it waits for this is.
public struct ReadWaiter: Sendable, Hashable {
    public var loop: Int32
    public var place: Int32
    public var id: UInt64

    public init(loop: Int32, id: UInt64, place: Int32 = 0) {
        self.loop = loop
        self.place = place
        self.id = id
    }
}

/// Hears of group commits, on the committing thread; returns quickly and does not call back into the store.
public protocol CommitObserver: AnyObject, Sendable {
    /// Every append with a ticket up to and including `ticket` is on disk and readable; `woken` waited for some of it,
    /// or for a partition that has changed otherwise: then the ticket may be an old one, and the thread any.
    func committed(through ticket: UInt64, woken: [ReadWaiter])
    /// Appends with these tickets will never be acknowledged: the data folder is offline (`last` is `.max`), or of this
    /// one commit some partition's files did not take their part. Comes before `committed` of a later ticket.
    func commitFailed(from first: UInt64, through last: UInt64)
}

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

/// Why a read gave no records.
public enum ReadRefusal: Error, Sendable {
    /// The offset lies outside `logStartOffset ... highWatermark`.
    case outOfRange(logStartOffset: Offset, highWatermark: Offset)
    /// The bytes on disk are not what was written.
    case corrupt(String)
    /// The file system failed.
    case storage(String)
    /// It would have to wait for the disk, and was asked not to (`mayWait`): to be made again where it may.
    case wouldWait
}
