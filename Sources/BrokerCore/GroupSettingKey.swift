public import Coordinators

/// One setting that a group may have: the table (`all`) behind DescribeConfigs and AlterConfigs of groups, with Kafka's names. A key
/// that is not in it is refused with INVALID_CONFIG: those of Kafka whose meaning nothing here has are not taken.
public struct GroupSettingKey: Sendable {
    public let name: String
    /// The broker's key that gives the default.
    public let brokerKey: String
    public let documentation: String
    /// Kafka's config type on the wire (DescribeConfigs): a number of 32 bits.
    public let wireType: Int8 = 3
    /// What a value may be at all.
    private let least: Int32
    /// What the broker lets groups have: Kafka's defaults of `group.consumer.min.*` and `group.consumer.max.*`. The broker's own value
    /// may lie outside, and groups may have anything up to there.
    private let usual: ClosedRange<Int32>
    /// What Kafka calls the two bounds.
    private let boundKey: String
    private let field: any WritableKeyPath<GroupSettings, Int32> & Sendable

    /// All of them, in the order of their names.
    public static let all: [GroupSettingKey] = [
        GroupSettingKey(
            name: "consumer.assignment.interval.ms", brokerKey: "group.consumer.assignment.interval.ms",
            documentation: "Least time between two assignments of a consumer group.", least: 0, usual: 0...15_000,
            boundKey: "assignment.interval.ms", field: \.consumerAssignmentIntervalMs),
        GroupSettingKey(
            name: "consumer.heartbeat.interval.ms", brokerKey: "group.consumer.heartbeat.interval.ms",
            documentation: "How often members of a consumer group are told to send heartbeats.", least: 1,
            usual: 5_000...15_000, boundKey: "heartbeat.interval.ms", field: \.consumerHeartbeatIntervalMs),
        GroupSettingKey(
            name: "consumer.session.timeout.ms", brokerKey: "group.consumer.session.timeout.ms",
            documentation: "How long a member of a consumer group may be silent.", least: 1, usual: 45_000...60_000,
            boundKey: "session.timeout.ms", field: \.consumerSessionTimeoutMs),
    ]

    static func named(_ name: String) -> GroupSettingKey? { all.first { $0.name == name } }

    /// Returns the value of the broker's configuration.
    public func value(in settings: GroupSettings) -> String { String(settings[keyPath: field]) }

    /// The value where nothing is configured.
    public var defaultValue: String { value(in: GroupSettings()) }

    /// Returns what is wrong with a value, in the words of Kafka; nil when it is valid.
    func problem(_ value: String, _ broker: GroupSettings) -> String? {
        let prefix = "Invalid value \(value.prefix(Self.maxValueBytes)) for configuration \(name)"
        guard value.utf8.count <= Self.maxValueBytes, let number = Int32(TopicSettingKey.trimmed(value)) else {
            return "\(prefix): Not a number of type INT"
        }
        if number < least { return "\(prefix): Value must be at least \(least)" }
        let range = range(broker)
        if number < range.lowerBound {
            return "\(name) must be greater than or equal to group.consumer.min.\(boundKey)"
        }
        return number > range.upperBound ? "\(name) must be less than or equal to group.consumer.max.\(boundKey)" : nil
    }

    /// Longest value, in bytes: zeros in front of a number have no end of their own.
    static let maxValueBytes = 64

    private func range(_ broker: GroupSettings) -> ClosedRange<Int32> {
        let own = broker[keyPath: field]
        return min(usual.lowerBound, own)...max(usual.upperBound, own)
    }

    /// Puts a group's value over the broker's. One that was taken when the broker's configuration was another counts as the nearest
    /// that is valid now.
    func apply(_ value: String, to settings: inout GroupSettings, _ broker: GroupSettings) {
        guard let number = Int32(TopicSettingKey.trimmed(value)) else { return }
        let range = range(broker)
        settings[keyPath: field] = min(max(number, range.lowerBound), range.upperBound)
    }
}
