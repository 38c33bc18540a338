public import QueueLedger

/// The rules of one queue. They are kept in the metadata store (`queues/<name>`), not among the settings of its topic: those
/// are Kafka's own words, which its clients list, and replace as a whole.
public struct QueueSettings: Equatable, Sendable {
    /// `standard`, `fair` (message groups share a standard queue) or `fifo`; for the life of the queue.
    public var order = DeliveryOrder.standard
    /// FIFO: within what a de-duplication id counts. `queue` needs a queue of one partition.
    public var deduplicationScope = DeduplicationScope.queue
    /// FIFO: a message without a de-duplication id has the SHA-256 of its body as one.
    public var deduplicatesByContent = false
    /// Milliseconds that a message which was received is nobody else's, unless the receive says otherwise.
    public var visibilityMs: Int64 = 30_000
    /// Milliseconds that a message waits before it can be received, unless it says otherwise; 0: not at all.
    public var delayMs: Int64 = 0
    /// Milliseconds after which a message is gone, received or not. The topic's `retention.ms` follows it.
    public var retentionMs: Int64 = 345_600_000
    /// Bytes of a message at most: its body, and names, types and values of its attributes.
    public var maxMessageBytes = 1 << 20
    /// Milliseconds that a receive waits for a message, unless it says otherwise; 0: not at all.
    public var receiveWaitMs: Int64 = 0
    /// Milliseconds by which a message that is given back waits, by the number of its deliveries; the last one for all beyond.
    public var backoffMs: [Int64] = []
    /// The queue that gets what has had its last delivery, or was rejected; nil: such messages end.
    public var deadLetterQueue: String?
    /// Deliveries that a message has at most; nil: any number.
    public var maxReceives: Int?
    /// The queue gives out nothing for a minute where of the messages that ended within one more than so many of a hundred had their last
    /// delivery, or were rejected; nil: whatever happens.
    public var deadLetterBreaker: Int?
    /// What a surface keeps for its clients and the queue itself makes no use of, by name: an access policy, say.
    public var attributes: [String: String] = [:]

    public enum DeduplicationScope: String, Sendable { case queue, messageGroup }

    public init() {}

    /// Source: SQS quotas, and its SetQueueAttributes.
    public static let maxDelayMs: Int64 = 900_000
    public static let retentionLimitsMs: ClosedRange<Int64> = 60_000...1_209_600_000
    public static let messageBytesLimits = 1024...(1 << 20)
    public static let maxReceiveWaitMs: Int64 = 20_000
    public static let maxReceivesLimit = 1000
    /// Of a hundred messages that end.
    public static let breakerLimits = 1...99
    /// Steps of a backoff at most: behind so many deliveries nobody tells one more step from the last.
    public static let maxBackoffSteps = 64
    /// Bytes of all names and values in `attributes`, and in a queue's tags.
    public static let maxAttributeBytes = 64 << 10

    /// What is wrong with it, in words; nil: nothing.
    public var problem: String? {
        let visibility = 0...LedgerSettings.maxVisibilityMs
        if !visibility.contains(visibilityMs) { return "the visibility is 0 to 12 hours" }
        if !(0...Self.maxDelayMs).contains(delayMs) { return "the delay is 0 to 15 minutes" }
        if !Self.retentionLimitsMs.contains(retentionMs) { return "the retention is a minute to 14 days" }
        if !Self.messageBytesLimits.contains(maxMessageBytes) { return "the largest message is 1 KiB to 1 MiB" }
        if !(0...Self.maxReceiveWaitMs).contains(receiveWaitMs) { return "a receive waits for 0 to 20 seconds" }
        if backoffMs.count > Self.maxBackoffSteps || !backoffMs.allSatisfy({ visibility.contains($0) }) {
            return "a backoff is up to \(Self.maxBackoffSteps) steps of 0 to 12 hours"
        }
        if let maxReceives, !(1...Self.maxReceivesLimit).contains(maxReceives) {
            return "a message is received 1 to \(Self.maxReceivesLimit) times"
        }
        if let deadLetterBreaker, !Self.breakerLimits.contains(deadLetterBreaker) {
            return "a queue is paused by 1 to 99 of a hundred messages"
        }
        let bytes = attributes.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        return bytes <= Self.maxAttributeBytes ? nil : "attributes have \(Self.maxAttributeBytes) bytes at most"
    }
}
