import KafkaModel
import Security

/// The attributes of a queue, by their names.
public enum SQSQueueAttribute: String, Sendable, CaseIterable {
    // Those that can be set.
    case policy = "Policy"
    case visibilityTimeout = "VisibilityTimeout"
    case maximumMessageSize = "MaximumMessageSize"
    case messageRetentionPeriod = "MessageRetentionPeriod"
    case delaySeconds = "DelaySeconds"
    case receiveMessageWaitTimeSeconds = "ReceiveMessageWaitTimeSeconds"
    case redrivePolicy = "RedrivePolicy"
    case redriveAllowPolicy = "RedriveAllowPolicy"
    case fifoQueue = "FifoQueue"
    case contentBasedDeduplication = "ContentBasedDeduplication"
    case deduplicationScope = "DeduplicationScope"
    case fifoThroughputLimit = "FifoThroughputLimit"
    case kmsMasterKeyID = "KmsMasterKeyId"
    case kmsKeyReuseSeconds = "KmsDataKeyReusePeriodSeconds"
    case sqsManagedSSEEnabled = "SqsManagedSseEnabled"
    // Those that are told.
    case approximateNumberOfMessages = "ApproximateNumberOfMessages"
    case approximateNumberOfMessagesNotVisible = "ApproximateNumberOfMessagesNotVisible"
    case approximateNumberOfMessagesDelayed = "ApproximateNumberOfMessagesDelayed"
    case createdTimestamp = "CreatedTimestamp"
    case lastModifiedTimestamp = "LastModifiedTimestamp"
    case queueARN = "QueueArn"

    /// What a queue has that was told nothing; nil: it has no such attribute then.
    public var standard: String? {
        switch self {
        case .visibilityTimeout: "30"
        case .maximumMessageSize: "\(SQSLimits.maxMessageBytes)"
        case .messageRetentionPeriod: "345600"
        case .delaySeconds, .receiveMessageWaitTimeSeconds: "0"
        case .sqsManagedSSEEnabled: "false"
        default: nil
        }
    }

    fileprivate var range: ClosedRange<Int>? {
        switch self {
        case .visibilityTimeout: 0...SQSLimits.maxVisibilitySeconds
        case .maximumMessageSize: SQSLimits.minMessageBytes...SQSLimits.maxMessageBytes
        case .messageRetentionPeriod: SQSLimits.minRetentionSeconds...SQSLimits.maxRetentionSeconds
        case .delaySeconds: 0...SQSLimits.maxDelaySeconds
        case .receiveMessageWaitTimeSeconds: 0...SQSLimits.maxWaitSeconds
        case .kmsKeyReuseSeconds: 60...86_400
        default: nil
        }
    }

    fileprivate var words: [String]? {
        switch self {
        case .contentBasedDeduplication, .sqsManagedSSEEnabled: ["true", "false"]
        case .fifoQueue: ["true"]
        case .deduplicationScope: ["messageGroup", "queue"]
        case .fifoThroughputLimit: ["perQueue", "perMessageGroupId"]
        default: nil
        }
    }

    fileprivate var isOfFIFO: Bool {
        switch self {
        case .fifoQueue, .contentBasedDeduplication, .deduplicationScope, .fifoThroughputLimit: true
        default: false
        }
    }

    fileprivate var isTold: Bool {
        switch self {
        case .approximateNumberOfMessages, .approximateNumberOfMessagesNotVisible,
            .approximateNumberOfMessagesDelayed, .createdTimestamp, .lastModifiedTimestamp, .queueARN:
            true
        default: false
        }
    }
}

/// Attributes that a request sets, each checked. They are kept as they came, byte for byte: tools compare what they read with what
/// they set.
///
/// An empty text takes a policy away, or a key.
public struct SQSQueueAttributes: Hashable, Sendable {
    public private(set) var values: [SQSQueueAttribute: String] = [:]
    /// What `RedrivePolicy` says; nil: it is not set here, or taken away.
    public private(set) var redrive: SQSRedrive?
    /// What `RedriveAllowPolicy` says, likewise.
    public private(set) var redrivePermission: SQSRedrivePermission?

    public subscript(_ attribute: SQSQueueAttribute) -> String? { values[attribute] }

    /// Reads a map, as requests have it, and as it was kept.
    public init(_ pairs: [SQSPair]) throws(SQSError) {
        for pair in pairs {
            guard let attribute = SQSQueueAttribute(rawValue: pair.name), !attribute.isTold else {
                throw SQSError(.invalidAttributeName, "Unknown Attribute \(SQSText.quoted(pair.name)).")
            }
            try check(attribute, pair.value)
            values[attribute] = pair.value
        }
    }

    private mutating func check(_ attribute: SQSQueueAttribute, _ value: String) throws(SQSError) {
        let invalid = SQSError(.invalidAttributeValue, "Invalid value for the parameter \(attribute.rawValue).")
        guard value.utf8.count <= SQSLimits.maxAttributeBytes, SQSText.firstForbidden(value) == nil else {
            throw invalid
        }
        if let range = attribute.range {
            guard let number = SQSText.number(value), range.contains(number) else { throw invalid }
        } else if let words = attribute.words {
            guard words.contains(value) else { throw invalid }
        } else if value.isEmpty {
            return
        } else if attribute == .redrivePolicy {
            redrive = try SQSRedrive(value)
        } else if attribute == .redriveAllowPolicy {
            redrivePermission = try SQSRedrivePermission(value)
        } else if attribute == .policy {
            guard case .object? = StrictJSON(parsing: Array(value.utf8)) else { throw invalid }
        }
    }

    /// Refuses what the kind of queue has no place for.
    func check(isFIFO: Bool) throws(SQSError) {
        if isFIFO { return }
        for attribute in values.keys where attribute.isOfFIFO && values[attribute] != "false" {
            throw SQSError(.invalidAttributeName, "Unknown Attribute \(attribute.rawValue).")
        }
    }
}

/// `RedrivePolicy`: where messages go that were delivered too often.
public struct SQSRedrive: Hashable, Sendable {
    public let deadLetterQueue: SQSQueueName
    public let maxReceiveCount: Int

    init(_ text: String) throws(SQSError) {
        let refusal = { (reason: String) in
            SQSError.invalid(text, SQSQueueAttribute.redrivePolicy.rawValue, reason)
        }
        guard let json = StrictJSON(parsing: Array(text.utf8)), case .object = json else {
            throw refusal("Redrive policy is not a valid JSON map.")
        }
        guard let target = json["deadLetterTargetArn"]?.text else {
            throw refusal("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
        }
        guard let queue = SQSResourceName.queue(target) else {
            throw refusal("The deadLetterTargetArn is not the resource name of a queue.")
        }
        guard let value = json["maxReceiveCount"] else {
            throw refusal("Redrive policy does not contain mandatory attribute: maxReceiveCount.")
        }
        // A number, or a text of one: clients send both.
        let digits: String? = if case .number(let number) = value { number } else { value.text }
        guard let count = digits.flatMap(SQSText.number), (1...SQSLimits.maxReceiveCount).contains(count) else {
            throw refusal("Invalid value for maxReceiveCount: it must be between 1 and \(SQSLimits.maxReceiveCount).")
        }
        deadLetterQueue = queue
        maxReceiveCount = count
    }
}

/// `RedriveAllowPolicy`: which queues may have this one for their dead letters.
public enum SQSRedrivePermission: Hashable, Sendable {
    case all
    case none
    case queues([SQSQueueName])

    init(_ text: String) throws(SQSError) {
        let refusal = { (reason: String) in
            SQSError.invalid(text, SQSQueueAttribute.redriveAllowPolicy.rawValue, reason)
        }
        guard let json = StrictJSON(parsing: Array(text.utf8)), case .object = json else {
            throw refusal("Amazon SQS can't create the redrive allow policy, as it's in an unsupported format.")
        }
        let sources = json["sourceQueueArns"]
        switch (json["redrivePermission"]?.text, sources) {
        case ("allowAll", nil): self = .all
        case ("denyAll", nil): self = .none
        case ("byQueue", .array(let values)?):
            guard (1...SQSLimits.maxSourceQueues).contains(values.count) else {
                throw refusal("sourceQueueArns has 1 to \(SQSLimits.maxSourceQueues) queues.")
            }
            let queues = values.compactMap { $0.text.flatMap(SQSResourceName.queue) }
            guard queues.count == values.count else {
                throw refusal("sourceQueueArns has what is not the resource name of a queue.")
            }
            self = .queues(queues)
        default:
            throw refusal("redrivePermission is allowAll, denyAll, or byQueue with sourceQueueArns.")
        }
    }

    /// Whether a queue may send its dead letters here.
    public func allows(_ queue: SQSQueueName) -> Bool {
        switch self {
        case .all: true
        case .none: false
        case .queues(let queues): queues.contains(queue)
        }
    }
}
