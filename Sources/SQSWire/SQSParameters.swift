import ByteBuffers
import KafkaModel

/// What a request, or an entry of a batch, has in it: every member that some operation knows, read in one pass, and judged by
/// nothing but the kind of its value. What it means is `SQSRequest`'s.
///
/// A member that stands twice is refused: two readers could act on different ones.
struct SQSParameters {
    // Of queues.
    var queueURL: String?
    var queueName: String?
    var prefix: String?
    var nextToken: String?
    var maxResults: Int?
    var attributes: [SQSPair]?
    var tags: [SQSPair]?
    var tagKeys: [String]?
    var attributeNames: [String]?
    var label: String?
    var accounts: [String]?
    var actions: [String]?
    // Of messages.
    var body: [UInt8]?
    var delaySeconds: Int?
    var messageAttributes: [RawMessageAttribute]?
    var systemAttributes: [RawMessageAttribute]?
    var deduplicationID: String?
    var groupID: String?
    // Of receives and receipts.
    var maxMessages: Int?
    var visibilityTimeout: Int?
    var waitSeconds: Int?
    var attemptID: String?
    var systemAttributeNames: [String]?
    var messageAttributeNames: [String]?
    var receipt: String?
    // Of batches: the first ones, and how many there are.
    var entryID: String?
    var entries: [SQSParameters]?
    var entryCount = 0
    // Of move tasks.
    var sourceARN: String?
    var destinationARN: String?
    var moveRate: Int?
    var taskHandle: String?

    /// A message attribute as it came.
    struct RawMessageAttribute {
        var name: String
        var type: String?
        var text: [UInt8]?
        var binary: [UInt8]?
        var hasLists = false
    }

    init() {}

    /// Reads a request's body.
    init(_ body: UnsafeRawBufferPointer) throws(SQSError) {
        var input = SQSInput(body)
        var parameters = SQSParameters()
        try input.document { input, key throws(SQSError) in
            if try parameters.readBatch(&input, key) { return }
            if try parameters.readMessage(&input, key) { return }
            if try parameters.readReceive(&input, key) { return }
            if try parameters.readQueue(&input, key) { return }
            if try !parameters.readRequest(&input, key) { try input.skip() }
        }
        self = parameters
    }

    // MARK: Members, by what they are of. False: the key is none of these.

    private mutating func readMessage(_ input: inout SQSInput, _ key: SQSKey) throws(SQSError) -> Bool {
        if key.equals("MessageBody") {
            try Self.once(&body, try input.stringBytes(), "MessageBody")
        } else if key.equals("DelaySeconds") {
            try Self.once(&delaySeconds, try input.integer(), "DelaySeconds")
        } else if key.equals("MessageAttributes") {
            try Self.once(&messageAttributes, try Self.messageAttributes(&input), "MessageAttributes")
        } else if key.equals("MessageSystemAttributes") {
            try Self.once(&systemAttributes, try Self.messageAttributes(&input), "MessageSystemAttributes")
        } else if key.equals("MessageDeduplicationId") {
            try Self.once(&deduplicationID, try input.string(), "MessageDeduplicationId")
        } else if key.equals("MessageGroupId") {
            try Self.once(&groupID, try input.string(), "MessageGroupId")
        } else {
            return false
        }
        return true
    }

    private mutating func readReceive(_ input: inout SQSInput, _ key: SQSKey) throws(SQSError) -> Bool {
        if key.equals("ReceiptHandle") {
            try Self.once(&receipt, try input.string(), "ReceiptHandle")
        } else if key.equals("VisibilityTimeout") {
            try Self.once(&visibilityTimeout, try input.integer(), "VisibilityTimeout")
        } else if key.equals("MaxNumberOfMessages") {
            try Self.once(&maxMessages, try input.integer(), "MaxNumberOfMessages")
        } else if key.equals("WaitTimeSeconds") {
            try Self.once(&waitSeconds, try input.integer(), "WaitTimeSeconds")
        } else if key.equals("ReceiveRequestAttemptId") {
            try Self.once(&attemptID, try input.string(), "ReceiveRequestAttemptId")
        } else if key.equals("MessageSystemAttributeNames") {
            try Self.once(&systemAttributeNames, try Self.names(&input), "MessageSystemAttributeNames")
        } else if key.equals("MessageAttributeNames") {
            try Self.once(&messageAttributeNames, try Self.names(&input), "MessageAttributeNames")
        } else {
            return false
        }
        return true
    }

    private mutating func readBatch(_ input: inout SQSInput, _ key: SQSKey) throws(SQSError) -> Bool {
        if key.equals("QueueUrl") {
            try Self.once(&queueURL, try input.string(), "QueueUrl")
        } else if key.equals("Entries") {
            var found: [SQSParameters] = []
            var count = 0
            try input.array { input throws(SQSError) in
                count += 1
                // Of those that are too many only their number is told.
                guard count <= SQSLimits.maxEntries else { return try input.skip() }
                found.append(try Self.entry(&input))
            }
            try Self.once(&entries, found, "Entries")
            entryCount = count
        } else {
            return false
        }
        return true
    }

    private static func entry(_ input: inout SQSInput) throws(SQSError) -> SQSParameters {
        var entry = SQSParameters()
        try input.object { input, key throws(SQSError) in
            if key.equals("Id") {
                try Self.once(&entry.entryID, try input.string(), "Id")
            } else if try !entry.readMessage(&input, key), try !entry.readReceive(&input, key) {
                try input.skip()
            }
        }
        return entry
    }

    private mutating func readQueue(_ input: inout SQSInput, _ key: SQSKey) throws(SQSError) -> Bool {
        if key.equals("QueueName") {
            try Self.once(&queueName, try input.string(), "QueueName")
        } else if key.equals("Attributes") {
            try Self.once(&attributes, try Self.pairs(&input, SQSLimits.maxSetAttributes), "Attributes")
        } else if key.equals("tags") || key.equals("Tags") {
            // CreateQueue and TagQueue differ in this.
            try Self.once(&tags, try Self.pairs(&input, SQSLimits.maxTags), "Tags")
        } else if key.equals("TagKeys") {
            try Self.once(&tagKeys, try Self.names(&input), "TagKeys")
        } else if key.equals("AttributeNames") {
            try Self.once(&attributeNames, try Self.names(&input), "AttributeNames")
        } else if key.equals("QueueNamePrefix") {
            try Self.once(&prefix, try input.string(), "QueueNamePrefix")
        } else if key.equals("MaxResults") {
            try Self.once(&maxResults, try input.integer(), "MaxResults")
        } else if key.equals("NextToken") {
            try Self.once(&nextToken, try input.string(), "NextToken")
        } else {
            return false
        }
        return true
    }

    private mutating func readRequest(_ input: inout SQSInput, _ key: SQSKey) throws(SQSError) -> Bool {
        if key.equals("Label") {
            try Self.once(&label, try input.string(), "Label")
        } else if key.equals("AWSAccountIds") {
            try Self.once(&accounts, try Self.names(&input), "AWSAccountIds")
        } else if key.equals("Actions") {
            try Self.once(&actions, try Self.names(&input), "Actions")
        } else if key.equals("SourceArn") {
            try Self.once(&sourceARN, try input.string(), "SourceArn")
        } else if key.equals("DestinationArn") {
            try Self.once(&destinationARN, try input.string(), "DestinationArn")
        } else if key.equals("MaxNumberOfMessagesPerSecond") {
            try Self.once(&moveRate, try input.integer(), "MaxNumberOfMessagesPerSecond")
        } else if key.equals("TaskHandle") {
            try Self.once(&taskHandle, try input.string(), "TaskHandle")
        } else {
            return false
        }
        return true
    }

    private static func once<Value>(_ slot: inout Value?, _ value: Value, _ name: StaticString) throws(SQSError) {
        guard slot == nil else { throw SQSError(.serialization, "\(name) stands twice in the request.") }
        slot = value
    }

    // MARK: Values

    private static func names(_ input: inout SQSInput) throws(SQSError) -> [String] {
        var names: [String] = []
        try input.array { input throws(SQSError) in
            guard names.count < SQSLimits.maxAskedNames else {
                throw SQSError(.invalidParameterValue, "A list has more than \(SQSLimits.maxAskedNames) names.")
            }
            names.append(try input.string())
        }
        return names
    }

    private static func pairs(_ input: inout SQSInput, _ most: Int) throws(SQSError) -> [SQSPair] {
        var pairs: [SQSPair] = []
        try input.object { input, key throws(SQSError) in
            guard pairs.count < most else {
                throw SQSError(.invalidParameterValue, "A map has more than \(most) entries.")
            }
            let name = try Self.name(key)
            guard !pairs.contains(where: { $0.name.isExactly(name) }) else {
                throw SQSError(.serialization, "\(SQSText.quoted(name)) stands twice in a map.")
            }
            pairs.append(SQSPair(name: name, value: try input.string()))
        }
        return pairs
    }

    private static func name(_ key: SQSKey) throws(SQSError) -> String {
        guard let name = key.text else { throw SQSError(.serialization, "A member's name is not UTF-8.") }
        return name
    }

    private static func messageAttributes(_ input: inout SQSInput) throws(SQSError) -> [RawMessageAttribute] {
        var found: [RawMessageAttribute] = []
        try input.object { input, key throws(SQSError) in
            // One too many tells that they are too many; more are not kept.
            guard found.count <= SQSLimits.maxMessageAttributes else { return try input.skip() }
            var attribute = RawMessageAttribute(name: try Self.name(key))
            guard !found.contains(where: { $0.name.isExactly(attribute.name) }) else {
                throw SQSError(.serialization, "\(SQSText.quoted(attribute.name)) stands twice in the attributes.")
            }
            try input.object { input, key throws(SQSError) in
                if key.equals("DataType") {
                    attribute.type = try input.string()
                } else if key.equals("StringValue") {
                    attribute.text = try input.stringBytes()
                } else if key.equals("BinaryValue") {
                    guard let bytes = Base64.decode(try input.stringBytes()) else {
                        throw SQSError(.serialization, "The BinaryValue of an attribute is not base64.")
                    }
                    attribute.binary = bytes
                } else if key.equals("StringListValues") || key.equals("BinaryListValues") {
                    try input.array { input throws(SQSError) in
                        attribute.hasLists = true
                        try input.skip()
                    }
                } else {
                    try input.skip()
                }
            }
            found.append(attribute)
        }
        return found
    }
}

/// A name with a text: an attribute of a queue, or a tag.
public struct SQSPair: Hashable, Sendable {
    public var name: String
    public var value: String

    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}
