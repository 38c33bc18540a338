public import KafkaModel

/// The rules of one forwarder.
public struct ForwardSettings: Equatable, Sendable {
    /// Records of a batch at most, 1 to `ForwardIntent.maxMessages`.
    public var maxRecords = ForwardIntent.maxMessages
    /// Bytes of a batch at most, before compression; a single record may have more.
    public var maxBytes = 6 << 20
    /// Milliseconds that a message waits for others of its batch.
    public var windowMs: Int64 = 1000
    /// Messages of one group go to the destination in their order: those of a FIFO queue.
    public var isOrdered = false

    public static let bytesLimits = 1024...(64 << 20)
    public static let windowLimitsMs: ClosedRange<Int64> = 0...300_000
    /// How long is waited until a batch is sent again: so many milliseconds, doubled with each failure up to the second, each time between
    /// half of it and all.
    public static let firstRetryMs: Int64 = 100
    public static let maxRetryMs: Int64 = 30_000
    /// Messages and bytes that a lane takes beyond the batch which it is at: the next batch is collected while one is under way.
    static let bufferedBatches = 2

    public init() {}

    /// Messages, and their bytes, that one lane holds at most: a message more where it is large.
    var maxBuffered: (messages: Int, bytes: Int) {
        (Self.bufferedBatches * maxRecords, Self.bufferedBatches * maxBytes)
    }
}

/// A message that a lane has taken from its queue.
public struct ForwardMessage: Equatable, Sendable {
    /// In the queue's log.
    public var offset: Offset
    /// Bytes that its record has in a batch, about.
    public var bytes: Int
    /// What chooses the partition; nil: any will do.
    public var keyHash: UInt32?

    public init(offset: Offset, bytes: Int, keyHash: UInt32?) {
        self.offset = offset
        self.bytes = bytes
        self.keyHash = keyHash
    }
}
