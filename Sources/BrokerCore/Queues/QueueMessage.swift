public import KafkaModel
public import QueueLedger
public import RecordFormat

/// A message to be sent.
public struct QueueMessage: Sendable {
    public var body: [UInt8]
    /// Kept with the message and given to whoever receives it. Names that begin with `queue.` or `dead_letter.` are the
    /// service's own, and refused.
    public var headers: [RecordHeader] = []
    /// Bytes of `headers` that do not count against the queue's largest message: what a surface notes in its own way of a message whose
    /// size it has checked by its own rules.
    public var uncountedBytes = 0
    /// The record's key, for Kafka's consumers; nil: the group, where it has one.
    public var key: [UInt8]?
    /// Of a `fifo` queue required, of a `fair` one the group that shares with others; `standard` keeps it alone.
    public var groupID: String?
    /// FIFO: a message with the id of one that was sent in the last five minutes is that one.
    public var deduplicationID: String?
    /// Milliseconds until it can be received; nil: the queue's. FIFO queues take none, as a group would get out of order.
    public var delayMs: Int64?

    public init(body: [UInt8]) { self.body = body }

    /// Messages of one call at most.
    public static let maxBatch = 1000
    /// Bytes of a group's, a de-duplication's or an attempt's id. Source: SQS, SendMessage.
    public static let maxIDBytes = 128
    /// Headers of one message, the service's own not counted.
    public static let maxHeaders = 64
}

/// Where a message is.
public struct SentMessage: Equatable, Sendable {
    /// A UUID in its usual text form: the same for as long as the message is there, whoever asks.
    public var id: String
    public var partitionIndex: Int32
    public var offset: Offset
    /// It was sent before, under its de-duplication id; nothing was appended.
    public var isDuplicate: Bool
}

/// What one receive asks for.
public struct QueueReceive: Sendable {
    /// 1 to `LedgerRecord.maxLeased`.
    public var maxMessages = 1
    /// Bytes of bodies, keys, headers and what the service notes as such; the first message comes however large it is. Up to `maxBytesLimit`.
    public var maxBytes = 1 << 20
    /// Nil: the queue's.
    public var visibilityMs: Int64?
    /// Milliseconds that it waits for the first message; nil: the queue's.
    public var waitMs: Int64?
    /// FIFO: the same id gives the same messages again, while nothing was done with them. Up to `QueueMessage.maxIDBytes`.
    public var attemptID: String?
    /// False: it is no delivery of any message (`ReceiveRequest.isCounted`).
    var isCounted = true

    public init() {}

    public static let maxBytesLimit = 4 << 20
}

/// A message as it was received.
public struct ReceivedMessage: Sendable {
    public var id: String
    /// What it is acknowledged, extended and given back by.
    public var handle: String
    public var body: [UInt8]
    /// Those of the sender. `groupID`, `deduplicationID` and `deadLetter` have what the service's own say.
    public var headers: [RecordHeader]
    public var key: [UInt8]?
    public var groupID: String?
    public var deduplicationID: String?
    /// This delivery included.
    public var receiveCount: Int
    /// Milliseconds since 1970 of its first delivery, of the time at which it was sent, and of the end of this lease.
    public var firstReceivedMs: Int64
    public var sentMs: Int64
    public var deadlineMs: Int64
    public var topicName: String
    public var partitionIndex: Int32
    public var offset: Offset
    /// Of a message that was moved to the dead letters.
    public var deadLetter: DeadLetterOrigin?
}

/// Where a dead letter was before, as its headers say.
public struct DeadLetterOrigin: Equatable, Sendable {
    public var queue: String
    public var partitionIndex: Int32
    public var offset: Offset
    /// Milliseconds since 1970 at which it was sent first.
    public var sentMs: Int64
    public var receiveCount: Int
    /// `max_receives`, `rejected`, or `forward_refused`: a forwarder's destination did not take it.
    public var reason: String
    /// How often it was moved back already.
    public var redriveCount: Int
    /// Bytes of its body, where the log of dead letters had no room for it: the letter has none, and is not moved back.
    public var omittedBytes: Int?
}

public enum QueueReceiveReply: Sendable {
    /// In the order in which they are to be given; none: nothing came in time.
    case messages([ReceivedMessage])
    /// As many messages are in flight as may be (SQS: OverLimit).
    case overLimit
    case refused(QueueRefusal)
}

/// What became of one handle that was handed back.
public enum QueueSettlement: Equatable, Sendable {
    case settled(SettleOutcome)
    /// It is no handle of this queue (ReceiptHandleIsInvalid).
    case invalidHandle
    /// Its partition takes nothing just now: to be tried again.
    case refused(QueueRefusal)
}

/// Messages of a queue by state, of all its partitions.
public struct QueueCounts: Equatable, Sendable {
    public var visible = 0
    public var inFlight = 0
    public var delayed = 0
    /// On their way to the dead letters.
    public var ending = 0
    /// Milliseconds since 1970 at which the oldest message that is not ended was sent; nil: there is none.
    public var oldestSentMs: Int64?
    /// Milliseconds for which the queue gives out nothing yet (`QueueSettings.deadLetterBreaker`); 0: it does.
    public var pausedMs: Int64 = 0

    public init() {}
}

/// How messages come to a queue and go of late, over all its partitions, with those that are there now.
public struct QueueFlow: Equatable, Sendable {
    public var counts = QueueCounts()
    /// Messages a second that came, and that were acknowledged, of the last minute; nil: not observed for long enough.
    public var arrivedPerSecond: Double?
    public var acknowledgedPerSecond: Double?
    /// Milliseconds over which they were observed, of the partition that was for longest; 0: none was.
    public var spanMs: Int64 = 0
    /// From a receive to the acknowledgement, of the last one to two minutes.
    public var work = WorkTimes()

    public init() {}
}
