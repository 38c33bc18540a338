public import KafkaModel

/// What an accepted append is told. The write is durable once the store's commits have reached `ticket`.
public struct AppendReceipt: Sendable, Equatable {
    /// Offset of the batch's first record.
    public var baseOffset: Offset
    /// Offset of its last record, inclusive.
    public var lastOffset: Offset
    /// The broker's timestamp if the topic uses LogAppendTime, else -1. For a duplicate, the timestamp of the first
    /// append.
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
