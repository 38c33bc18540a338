public import Coordinators

/// One setting that a group may have: the table (`all`) behind DescribeConfigs and AlterConfigs of groups, with Kafka's names. A key
/// that is not in it is refused with INVALID_CONFIG: those of Kafka whose meaning nothing here has are not taken.
public struct GroupSettingKey: Sendable {
    private enum Kind: Sendable {
        /// At least so much at all, and what the broker lets groups have: Kafka's defaults of the keys with `min` and `max`. The broker's
        /// own value may lie outside, and groups may have anything up to there.
        case int(least: Int32, usual: ClosedRange<Int32>, any WritableKeyPath<GroupSettings, Int32> & Sendable)
        case boolean(any WritableKeyPath<GroupSettings, Bool> & Sendable)
        case isolation
        case offsetReset
    }

    public let name: String
    /// The broker's key that gives the default; nil: there is none.
    public let brokerKey: String?
    public let documentation: String
    private let kind: Kind

    private init(_ name: String, broker brokerKey: String? = nil, _ documentation: String, _ kind: Kind) {
        (self.name, self.brokerKey, self.documentation, self.kind) = (name, brokerKey, documentation, kind)
    }

    /// All of them, in the order of their names.
    public static let all: [GroupSettingKey] = [
        GroupSettingKey(
            "consumer.assignment.interval.ms", broker: "group.consumer.assignment.interval.ms",
            "Least time between two assignments of a consumer group.",
            .int(least: 0, usual: 0...15_000, \.consumerAssignmentIntervalMs)),
        GroupSettingKey(
            "consumer.heartbeat.interval.ms", broker: "group.consumer.heartbeat.interval.ms",
            "How often members of a consumer group are told to send heartbeats.",
            .int(least: 1, usual: 5_000...15_000, \.consumerHeartbeatIntervalMs)),
        GroupSettingKey(
            "consumer.session.timeout.ms", broker: "group.consumer.session.timeout.ms",
            "How long a member of a consumer group may be silent.",
            .int(least: 1, usual: 45_000...60_000, \.consumerSessionTimeoutMs)),
        GroupSettingKey(
            "share.assignment.interval.ms", broker: "group.share.assignment.interval.ms",
            "Least time between two assignments of a share group.",
            .int(least: 0, usual: 0...15_000, \.shareAssignmentIntervalMs)),
        GroupSettingKey(
            "share.auto.offset.reset",
            "Where a share group begins to read a partition: earliest, latest, or by_duration: and an ISO 8601 duration.",
            .offsetReset),
        GroupSettingKey(
            "share.delivery.count.limit", broker: "group.share.delivery.count.limit",
            "Deliveries of a record to members of a share group at most.",
            .int(least: 1, usual: 2...10, \.shareDeliveryLimit)),
        GroupSettingKey(
            "share.heartbeat.interval.ms", broker: "group.share.heartbeat.interval.ms",
            "How often members of a share group are told to send heartbeats.",
            .int(least: 1, usual: 5_000...15_000, \.shareHeartbeatIntervalMs)),
        GroupSettingKey(
            "share.isolation.level",
            "With read_committed records of transactions that are not committed are not delivered.",
            .isolation),
        GroupSettingKey(
            "share.partition.max.record.locks", broker: "group.share.partition.max.record.locks",
            "Offsets of a partition from the first that is not done with to the last one delivered.",
            .int(least: 1, usual: 100...4_000, \.shareRecordLocks)),
        GroupSettingKey(
            "share.record.lock.duration.ms", broker: "group.share.record.lock.duration.ms",
            "How long a record belongs to the member of a share group that has acquired it.",
            .int(least: 1, usual: 15_000...60_000, \.shareLockDurationMs)),
        GroupSettingKey(
            "share.renew.acknowledge.enable",
            "Members of a share group may have the locks of their records last longer.",
            .boolean(\.sharesRenewals)),
        GroupSettingKey(
            "share.session.timeout.ms", broker: "group.share.session.timeout.ms",
            "How long a member of a share group may be silent.",
            .int(least: 1, usual: 45_000...60_000, \.shareSessionTimeoutMs)),
    ]

    static func named(_ name: String) -> GroupSettingKey? { all.first { $0.name == name } }

    /// Kafka's config type on the wire (DescribeConfigs).
    public var wireType: Int8 {
        switch kind {
        case .boolean: 1
        case .isolation, .offsetReset: 2
        case .int: 3
        }
    }

    /// Returns the value of the broker's configuration.
    public func value(in settings: GroupSettings) -> String {
        switch kind {
        case .int(_, _, let field): String(settings[keyPath: field])
        case .boolean(let field): String(settings[keyPath: field])
        case .isolation: settings.sharesCommitted ? Self.committed : Self.uncommitted
        // No broker has another.
        case .offsetReset: "latest"
        }
    }

    private static let committed = "read_committed"
    private static let uncommitted = "read_uncommitted"

    /// The value where nothing is configured.
    public var defaultValue: String { value(in: GroupSettings()) }

    /// Longest value, in bytes: zeros in front of a number have no end of their own.
    static let maxValueBytes = 64

    /// Returns what is wrong with a value, in the words of Kafka; nil when it is valid.
    func problem(_ value: String, _ broker: GroupSettings) -> String? {
        let prefix = "Invalid value \(value.prefix(Self.maxValueBytes)) for configuration \(name)"
        let text = TopicSettingKey.trimmed(value)
        guard value.utf8.count <= Self.maxValueBytes else {
            return "\(prefix): longer than \(Self.maxValueBytes) bytes"
        }
        switch kind {
        case .int(let least, let usual, let field):
            guard let number = Int32(text) else { return "\(prefix): Not a number of type INT" }
            if number < least { return "\(prefix): Value must be at least \(least)" }
            let range = Self.range(usual, broker[keyPath: field])
            if number < range.lowerBound { return "\(name) must be greater than or equal to \(bound("min"))" }
            return number > range.upperBound ? "\(name) must be less than or equal to \(bound("max"))" : nil
        case .boolean:
            return ["true", "false"].contains(text.lowercased())
                ? nil : "\(prefix): Expected value to be either true or false"
        case .isolation:
            return [Self.committed, Self.uncommitted].contains(text)
                ? nil : "\(prefix): String must be one of: \(Self.committed), \(Self.uncommitted)"
        case .offsetReset:
            return ShareOffsetReset(text) != nil
                ? nil : "\(prefix): must be earliest, latest, or by_duration: and an ISO 8601 duration (PnDTnHnMn.nS)"
        }
    }

    /// What Kafka calls a bound of what groups may have: the broker's key with `min` or `max` in it.
    private func bound(_ which: String) -> String {
        let parts = (brokerKey ?? name).split(separator: ".")
        return (parts.prefix(2) + [which[...]] + parts.dropFirst(2)).joined(separator: ".")
    }

    private static func range(_ usual: ClosedRange<Int32>, _ own: Int32) -> ClosedRange<Int32> {
        min(usual.lowerBound, own)...max(usual.upperBound, own)
    }

    /// Puts a group's value over the broker's. One that was taken when the broker's configuration was another counts as the nearest
    /// that is valid now.
    func apply(_ value: String, to settings: inout GroupSettings, _ broker: GroupSettings) {
        let text = TopicSettingKey.trimmed(value)
        switch kind {
        case .int(_, let usual, let field):
            guard let number = Int32(text) else { return }
            let range = Self.range(usual, broker[keyPath: field])
            settings[keyPath: field] = min(max(number, range.lowerBound), range.upperBound)
        case .boolean(let field): settings[keyPath: field] = text.lowercased() == "true"
        case .isolation: settings.sharesCommitted = text == Self.committed
        case .offsetReset: settings.shareOffsetReset = ShareOffsetReset(text) ?? settings.shareOffsetReset
        }
    }
}
