import KafkaModel

/// The system attributes that a receiver asks for, and that a message may have.
public struct SQSSystemAttributes: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let senderID = Self(rawValue: 1)
    public static let sentTimestamp = Self(rawValue: 2)
    public static let receiveCount = Self(rawValue: 4)
    public static let firstReceived = Self(rawValue: 8)
    public static let sequenceNumber = Self(rawValue: 16)
    public static let deduplicationID = Self(rawValue: 32)
    public static let groupID = Self(rawValue: 64)
    public static let traceHeader = Self(rawValue: 128)
    public static let deadLetterSource = Self(rawValue: 256)
    public static let all = Self(rawValue: 511)

    static let names: [(name: StaticString, attribute: Self)] = [
        ("SenderId", .senderID), ("SentTimestamp", .sentTimestamp), ("ApproximateReceiveCount", .receiveCount),
        ("ApproximateFirstReceiveTimestamp", .firstReceived), ("SequenceNumber", .sequenceNumber),
        ("MessageDeduplicationId", .deduplicationID), ("MessageGroupId", .groupID), ("AWSTraceHeader", .traceHeader),
        ("DeadLetterQueueSourceArn", .deadLetterSource), ("All", .all),
    ]

    /// A name that is none is refused, but for those of a queue's attributes: older SDKs ask by the same list for both.
    init(_ names: [String]) throws(SQSError) {
        self = []
        for name in names {
            if let found = Self.names.first(where: { $0.name.description == name }) {
                formUnion(found.attribute)
            } else if SQSQueueAttribute(rawValue: name) == nil {
                throw SQSError(.invalidAttributeName, "Unknown Attribute \(SQSText.quoted(name)).")
            }
        }
    }
}

/// The message attributes that a receiver asks for: names, beginnings of names (`trace.*`), or all.
public struct SQSNamePatterns: Hashable, Sendable {
    private let names: [String]
    private let prefixes: [String]
    private let isAll: Bool

    public static let all = SQSNamePatterns(["All"])

    init(_ asked: [String]) {
        isAll = asked.contains("All") || asked.contains(".*")
        prefixes = isAll ? [] : asked.filter { $0.hasSuffix(".*") }.map { String($0.dropLast(2)) }
        names = isAll ? [] : asked.filter { !$0.hasSuffix(".*") }
    }

    public func contains(_ name: String) -> Bool {
        isAll || names.contains { $0.isExactly(name) }
            || prefixes.contains { prefix in
                name.utf8.starts(with: prefix.utf8)
                    && (name.utf8.count == prefix.utf8.count
                        || Array(name.utf8)[prefix.utf8.count] == UInt8(ascii: "."))
            }
    }
}

/// The attributes of a queue that are asked for.
public struct SQSAttributeSelection: Hashable, Sendable {
    private let asked: Set<SQSQueueAttribute>
    private let isAll: Bool

    init(_ names: [String]) throws(SQSError) {
        var asked: Set<SQSQueueAttribute> = []
        var isAll = false
        for name in names {
            if name == "All" {
                isAll = true
            } else if let attribute = SQSQueueAttribute(rawValue: name) {
                asked.insert(attribute)
            } else {
                throw SQSError(.invalidAttributeName, "Unknown Attribute \(SQSText.quoted(name)).")
            }
        }
        (self.asked, self.isAll) = (asked, isAll)
    }

    public func contains(_ attribute: SQSQueueAttribute) -> Bool { isAll || asked.contains(attribute) }
}
