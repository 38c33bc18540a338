/// What a request is answered with, before it is written in one of the two forms.
public enum SQSReply: Sendable {
    case empty
    case queueURL(String)
    case queueURLs([String], next: String?)
    case deadLetterSources([String], next: String?)
    case attributes([SQSPair])
    case tags([SQSPair])
    case sent(SQSSentResult)
    /// Each entry of a batch, in the order of the request.
    case batch([SQSEntryResult])
    case messages([SQSReceivedMessage], SQSSystemAttributes)
    case moveStarted(handle: String)
    case moveTasks([SQSMoveTask])
    case moveCancelled(moved: Int)
}

/// A message that was stored.
public struct SQSSentResult: Hashable, Sendable {
    public let id: String
    public let bodyDigest: String?
    public let attributesDigest: String?
    public let systemAttributesDigest: String?
    /// Of a message of a FIFO queue.
    public let sequenceNumber: String?

    public init(_ message: SQSSentMessage, id: String, sequenceNumber: String?) {
        self.id = id
        bodyDigest = message.bodyDigest
        attributesDigest = message.attributesDigest
        systemAttributesDigest = message.systemAttributesDigest
        self.sequenceNumber = sequenceNumber
    }
}

/// What became of one entry of a batch.
public struct SQSEntryResult: Sendable {
    public let id: String
    /// Of one that is to be sent the message, else nil.
    public let outcome: Result<SQSSentResult?, SQSError>

    public init(id: String, _ outcome: Result<SQSSentResult?, SQSError>) {
        self.id = id
        self.outcome = outcome
    }
}

/// A message that is given out.
public struct SQSReceivedMessage: Sendable {
    public var id: String
    public var receipt: String
    /// UTF-8.
    public var body: [UInt8]
    /// Those that were asked for.
    public var messageAttributes: [SQSMessageAttribute] = []
    public var senderID: String?
    /// Milliseconds since 1970.
    public var sentMs: Int64
    public var firstReceivedMs: Int64
    public var receiveCount: Int
    public var sequenceNumber: String?
    public var deduplicationID: String?
    public var groupID: String?
    public var traceHeader: String?
    public var deadLetterSource: String?

    public init(
        id: String, receipt: String, body: [UInt8], sentMs: Int64, firstReceivedMs: Int64, receiveCount: Int
    ) {
        self.id = id
        self.receipt = receipt
        self.body = body
        self.sentMs = sentMs
        self.firstReceivedMs = firstReceivedMs
        self.receiveCount = receiveCount
    }

    /// The system attributes that it has.
    func value(_ attribute: SQSSystemAttributes) -> String? {
        switch attribute {
        case .senderID: senderID
        case .sentTimestamp: "\(sentMs)"
        case .receiveCount: "\(receiveCount)"
        case .firstReceived: "\(firstReceivedMs)"
        case .sequenceNumber: sequenceNumber
        case .deduplicationID: deduplicationID
        case .groupID: groupID
        case .traceHeader: traceHeader
        case .deadLetterSource: deadLetterSource
        default: nil
        }
    }
}

/// A move of dead letters, as lists tell of it.
public struct SQSMoveTask: Hashable, Sendable {
    public enum Status: String, Sendable {
        case running = "RUNNING"
        case completed = "COMPLETED"
        case cancelling = "CANCELLING"
        case cancelled = "CANCELLED"
        case failed = "FAILED"
    }

    /// Of one that runs: what it is cancelled by.
    public var handle: String?
    public var status: Status
    public var sourceARN: String
    public var destinationARN: String?
    public var rate: Int?
    public var moved: Int
    public var toMove: Int?
    public var failure: String?
    /// Milliseconds since 1970.
    public var startedMs: Int64

    public init(status: Status, sourceARN: String, moved: Int, startedMs: Int64) {
        self.status = status
        self.sourceARN = sourceARN
        self.moved = moved
        self.startedMs = startedMs
    }
}
