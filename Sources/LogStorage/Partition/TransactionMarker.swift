public import KafkaModel

/// What ends a producer's transaction in a partition.
public struct TransactionMarker: Equatable, Sendable {
    public var producerID: ProducerID
    public var epoch: ProducerEpoch
    public var isCommit: Bool
    /// Of the coordinator that says so: one that was replaced is refused.
    public var coordinatorEpoch: Int32
    /// The epoch is above that of the transaction's batches (KIP-890).
    public var isVersion2: Bool

    public init(
        producerID: ProducerID, epoch: ProducerEpoch, isCommit: Bool, coordinatorEpoch: Int32, isVersion2: Bool
    ) {
        self.producerID = producerID
        self.epoch = epoch
        self.isCommit = isCommit
        self.coordinatorEpoch = coordinatorEpoch
        self.isVersion2 = isVersion2
    }
}

/// Where a marker is. It is on disk once the store's commits reach the ticket and `PartitionLog.isFlushed` says so.
public struct MarkerReceipt: Equatable, Sendable {
    public var offset: Offset
    public var ticket: UInt64
    /// It had been appended before.
    public var isRepeated: Bool

    public init(offset: Offset, ticket: UInt64, isRepeated: Bool) {
        self.offset = offset
        self.ticket = ticket
        self.isRepeated = isRepeated
    }
}
