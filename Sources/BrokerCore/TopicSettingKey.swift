public import KafkaModel
import LogStorage

/// One setting that a topic may have: the table (`all`) behind CreateTopics, DescribeConfigs and AlterConfigs. A key
/// that is not in it is refused with INVALID_CONFIG, as Kafka does with keys it does not know.
public struct TopicSettingKey: Sendable {
    /// What the setting may be, and its default.
    public let setting: TopicSetting
    public let documentation: String
    let apply: @Sendable (String, inout LogSettings) -> Void

    /// Makes the key of a setting of `TopicSetting`; without `apply` it has no effect.
    init(
        _ name: String, _ documentation: String,
        apply: @escaping @Sendable (String, inout LogSettings) -> Void = { _, _ in }
    ) {
        guard let setting = TopicSetting.named(name) else { preconditionFailure("\(name) is no topic setting") }
        self.setting = setting
        self.documentation = documentation
        self.apply = apply
    }

    public var name: String { setting.name }
    public var defaultValue: String { setting.defaultValue }
    /// The broker key that gives the default, as DescribeConfigs shows it.
    public var brokerKey: String? { setting.brokerKey }
    var kind: TopicSetting.Kind { setting.kind }
}

extension TopicSettingKey {
    /// Longest value, in bytes of UTF-8. Numbers with leading zeros and lists with repeated items have no end of their
    /// own, and a record of the metadata store counts a value's length in 16 bits.
    static let maxValueBytes = 4096

    private static let byName = Dictionary(uniqueKeysWithValues: (all + hidden).map { ($0.name, $0) })

    public static func named(_ name: String) -> TopicSettingKey? { byName[name] }

    /// Returns what is wrong with a value, in the words of Kafka's ConfigException; nil when it is valid.
    public func problem(_ value: String) -> String? {
        guard value.utf8.count <= Self.maxValueBytes else {
            return "Invalid value for configuration \(name): longer than \(Self.maxValueBytes) bytes"
        }
        let prefix = "Invalid value \(value) for configuration \(name)"
        let text = Self.trimmed(value)
        switch kind {
        case .int(let range):
            guard let number = Int32(text) else { return "\(prefix): Not a number of type INT" }
            return Self.rangeProblem(prefix, Int64(number), range)
        case .gzipLevel:
            guard let number = Int32(text) else { return "\(prefix): Not a number of type INT" }
            return (1...9).contains(number) || number == -1
                ? nil : "\(prefix): Value must be between 1 and 9 or equal to -1"
        case .long(let range):
            guard let number = Int64(text) else { return "\(prefix): Not a number of type LONG" }
            return Self.rangeProblem(prefix, number, range)
        case .double(let range):
            guard let number = Double(text), !number.isNaN else { return "\(prefix): Not a number of type DOUBLE" }
            if number < range.lowerBound { return "\(prefix): Value must be at least \(Int(range.lowerBound))" }
            return number > range.upperBound ? "\(prefix): Value must be no more than \(Int(range.upperBound))" : nil
        case .boolean:
            let isBoolean = ["true", "false"].contains(text.lowercased())
            return isBoolean ? nil : "\(prefix): Expected value to be either true or false"
        case .string(let allowed):
            return allowed.contains(text)
                ? nil : "\(prefix): String must be one of: \(allowed.joined(separator: ", "))"
        case .list(let allowed):
            let items = Self.items(value)
            if items.contains("") { return "Configuration '\(name)' values must not be empty." }
            guard let strange = items.first(where: { !allowed.contains($0) }) else { return nil }
            return "Invalid value \(strange) for configuration \(name): String must be one of: "
                + allowed.joined(separator: ", ")
        case .replicas:
            let items = Self.items(value)
            if items == ["*"] || items.allSatisfy(Self.isReplica) { return nil }
            return "Invalid value [\(items.joined(separator: ", "))] for configuration \(name): \(name) must be the "
                + "literal '*' or a list of replicas in the following format: "
                + "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
        }
    }

    static func trimmed(_ value: String) -> String {
        let space: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        return String(value.drop(while: space).reversed().drop(while: space).reversed())
    }

    /// Returns the items of a list, without the blanks around them; an empty list has none.
    static func items(_ value: String) -> [String] {
        let text = trimmed(value)
        return text.isEmpty
            ? [] : text.split(separator: ",", omittingEmptySubsequences: false).map { trimmed(String($0)) }
    }

    private static func isReplica(_ item: String) -> Bool {
        let numbers = item.split(separator: ":", omittingEmptySubsequences: false)
        return numbers.count == 2 && numbers.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { 48...57 ~= $0 } }
    }

    private static func rangeProblem(_ prefix: String, _ number: Int64, _ range: ClosedRange<Int64>) -> String? {
        if number < range.lowerBound { return "\(prefix): Value must be at least \(range.lowerBound)" }
        return number > range.upperBound ? "\(prefix): Value must be no more than \(range.upperBound)" : nil
    }

    /// Its value is a list, to which a change may append.
    public var isList: Bool { wireType == 7 }

    /// Kafka's config type on the wire (DescribeConfigs).
    public var wireType: Int8 {
        switch kind {
        case .boolean: 1
        case .string: 2
        case .int, .gzipLevel: 3
        case .long: 5
        case .double: 6
        case .list, .replicas: 7
        }
    }
}
