import KafkaModel
public import LogStorage

/// One setting that a topic may have: the table behind CreateTopics, DescribeConfigs and AlterConfigs. A key that is not
/// in it is refused with INVALID_CONFIG, as Kafka does with keys it does not know.
public struct TopicSettingKey: Sendable {
    public enum Kind: Sendable {
        case int(ClosedRange<Int64>)
        case long(ClosedRange<Int64>)
        case double(ClosedRange<Double>)
        case boolean
        case string([String])
        /// Comma-separated, each one of these.
        case list([String])
    }

    public let name: String
    public let kind: Kind
    public let defaultValue: String
    /// The broker key that gives the default, as DescribeConfigs shows it.
    public let brokerKey: String?
    public let documentation: String
    let apply: @Sendable (String, inout LogSettings) -> Void
}

extension TopicSettingKey {
    private static func number(_ text: String) -> Int64 { Int64(text) ?? 0 }

    /// All served keys, in the order of their names.
    public static let all: [TopicSettingKey] = [
        TopicSettingKey(
            name: "cleanup.policy", kind: .list(["delete"]), defaultValue: "delete", brokerKey: "log.cleanup.policy",
            documentation: "How old records go: \"delete\" removes segments by time and size.",
            apply: { value, settings in settings.deletesByRetention = value.contains("delete") }),
        TopicSettingKey(
            name: "compression.type", kind: .string(["producer"]), defaultValue: "producer",
            brokerKey: "compression.type",
            documentation: "Batches are stored as their producers compressed them.", apply: { _, _ in }),
        TopicSettingKey(
            name: "index.interval.bytes", kind: .int(0...Int64(Int32.max)), defaultValue: "4096",
            brokerKey: "log.index.interval.bytes", documentation: "Bytes of log between two index entries.",
            apply: { value, settings in settings.indexIntervalBytes = number(value) }),
        TopicSettingKey(
            name: "max.message.bytes", kind: .int(0...Int64(Int32.max)), defaultValue: "1048588",
            brokerKey: "message.max.bytes", documentation: "Largest record batch, in bytes after compression.",
            apply: { value, settings in settings.maxBatchBytes = Int(number(value)) }),
        TopicSettingKey(
            name: "message.timestamp.after.max.ms", kind: .long(0...Int64.max), defaultValue: "3600000",
            brokerKey: "log.message.timestamp.after.max.ms",
            documentation: "How far a producer's timestamp may lie ahead of the broker's clock.",
            apply: { value, settings in settings.timestampAfterMaxMs = number(value) }),
        TopicSettingKey(
            name: "message.timestamp.before.max.ms", kind: .long(0...Int64.max),
            defaultValue: String(Int64.max), brokerKey: "log.message.timestamp.before.max.ms",
            documentation: "How far a producer's timestamp may lie behind the broker's clock.",
            apply: { value, settings in settings.timestampBeforeMaxMs = number(value) }),
        TopicSettingKey(
            name: "message.timestamp.type", kind: .string(["CreateTime", "LogAppendTime"]), defaultValue: "CreateTime",
            brokerKey: "log.message.timestamp.type", documentation: "Whose clock a record's timestamp is.",
            apply: { value, settings in settings.usesLogAppendTime = value == "LogAppendTime" }),
        TopicSettingKey(
            name: "min.insync.replicas", kind: .int(1...Int64(Int32.max)), defaultValue: "1",
            brokerKey: "min.insync.replicas",
            documentation:
                "Replicas that must have a write before acks=all is answered; every write is synced to disk.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "retention.bytes", kind: .long(-1...Int64.max), defaultValue: "-1", brokerKey: "log.retention.bytes",
            documentation: "Size of a partition above which its oldest segments are deleted; -1: no limit.",
            apply: { value, settings in settings.retentionBytes = number(value) }),
        TopicSettingKey(
            name: "retention.ms", kind: .long(-1...Int64.max), defaultValue: "604800000",
            brokerKey: "log.retention.ms", documentation: "Age after which a segment is deleted; -1: no limit.",
            apply: { value, settings in settings.retentionMs = number(value) }),
        TopicSettingKey(
            name: "segment.bytes", kind: .int(14...Int64(Int32.max)), defaultValue: "1073741824",
            brokerKey: "log.segment.bytes", documentation: "Size of a segment file.",
            apply: { value, settings in settings.segmentBytes = number(value) }),
        TopicSettingKey(
            name: "segment.ms", kind: .long(1...Int64.max), defaultValue: "604800000", brokerKey: "log.roll.ms",
            documentation: "Age after which a segment is closed although it is not full.",
            apply: { value, settings in settings.segmentMs = number(value) }),
    ]

    /// Longest value, in bytes of UTF-8. Numbers with leading zeros and lists with repeated items have no end of their
    /// own, and a record of the metadata store counts a value's length in 16 bits.
    static let maxValueBytes = 4096

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    public static func named(_ name: String) -> TopicSettingKey? { byName[name] }

    /// What is wrong with a value, in the words of Kafka's ConfigException; nil when it is valid.
    public func problem(_ value: String) -> String? {
        guard value.utf8.count <= Self.maxValueBytes else {
            return "Invalid value for configuration \(name): longer than \(Self.maxValueBytes) bytes"
        }
        let prefix = "Invalid value \(value) for configuration \(name)"
        switch kind {
        case .int(let range):
            guard let number = Int32(value) else { return "\(prefix): Not a number of type INT" }
            return Self.rangeProblem(prefix, Int64(number), range)
        case .long(let range):
            guard let number = Int64(value) else { return "\(prefix): Not a number of type LONG" }
            return Self.rangeProblem(prefix, number, range)
        case .double(let range):
            guard let number = Double(value) else { return "\(prefix): Not a number of type DOUBLE" }
            if number < range.lowerBound { return "\(prefix): Value must be at least \(range.lowerBound)" }
            return number > range.upperBound ? "\(prefix): Value must be no more than \(range.upperBound)" : nil
        case .boolean:
            return value == "true" || value == "false" ? nil : "\(prefix): Expected value to be either true or false"
        case .string(let allowed):
            return allowed.contains(value)
                ? nil : "\(prefix): String must be one of: \(allowed.joined(separator: ", "))"
        case .list(let allowed):
            let items = value.split(separator: ",").map { $0.drop { $0 == " " } }
            let isValid = !items.isEmpty && items.allSatisfy { item in allowed.contains { $0 == item } }
            return isValid ? nil : "\(prefix): String must be one of: \(allowed.joined(separator: ", "))"
        }
    }

    private static func rangeProblem(_ prefix: String, _ number: Int64, _ range: ClosedRange<Int64>) -> String? {
        if number < range.lowerBound { return "\(prefix): Value must be at least \(range.lowerBound)" }
        return number > range.upperBound ? "\(prefix): Value must be no more than \(range.upperBound)" : nil
    }

    /// Kafka's config type on the wire (DescribeConfigs).
    public var wireType: Int8 {
        switch kind {
        case .boolean: 1
        case .string: 2
        case .int: 3
        case .long: 5
        case .double: 6
        case .list: 7
        }
    }
}

/// A topic's own settings over the broker's defaults.
public struct TopicSettings: Sendable, Equatable {
    /// Only what was set for this topic; canonical text by key.
    public var overrides: [String: String] = [:]
    /// The broker's values for topic keys that its configuration sets.
    public var brokerDefaults: [String: String] = [:]

    public init(overrides: [String: String] = [:], brokerDefaults: [String: String] = [:]) {
        self.overrides = overrides
        self.brokerDefaults = brokerDefaults
    }

    /// The value in force; nil for a key that is not served.
    public func value(_ name: String) -> String? {
        overrides[name] ?? brokerDefaults[name] ?? TopicSettingKey.named(name)?.defaultValue
    }

    public var log: LogSettings {
        var settings = LogSettings()
        for key in TopicSettingKey.all { key.apply(value(key.name)!, &settings) }
        return settings
    }

    public var minInSyncReplicas: Int { Int(value("min.insync.replicas")!) ?? 1 }
}
