public import KafkaModel

/// A producer session of a destination. Source: KIP-98.
public struct ForwardProducer: Hashable, Sendable {
    public var id: ProducerID
    public var epoch: ProducerEpoch

    public init(id: ProducerID, epoch: ProducerEpoch) {
        self.id = id
        self.epoch = epoch
    }
}

/// One batch as it is going to be sent, and sent again until it is known what became of it: always with the same producer,
/// sequence and messages. It is on disk before the batch leaves.
public struct ForwardIntent: Hashable, Sendable {
    /// Bytes of `destination`.
    public static let destinationBytes = 16
    /// Messages of one batch at most, whatever the settings say.
    public static let maxMessages = 10_000

    /// Names the topic that the batch goes to, so that it is sent to no other one: `destinationBytes` bytes.
    public var destination: [UInt8]
    /// The partition of the destination.
    public var partitionIndex: Int32
    public var producer: ForwardProducer
    /// Of the first record; the others follow.
    public var baseSequence: Sequence32
    /// Of the messages in the queue's log, in the order of the records; not empty.
    public var offsets: [Offset]

    public init(
        destination: [UInt8], partitionIndex: Int32, producer: ForwardProducer, baseSequence: Sequence32,
        offsets: [Offset]
    ) {
        precondition(destination.count == Self.destinationBytes, "a destination of \(destination.count) bytes")
        precondition((1...Self.maxMessages).contains(offsets.count), "a batch of \(offsets.count) messages")
        self.destination = destination
        self.partitionIndex = partitionIndex
        self.producer = producer
        self.baseSequence = baseSequence
        self.offsets = offsets
    }
}
