import KafkaModel
public import LogStorage

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

    /// Returns the value in force; nil for a key that is not served.
    public func value(_ name: String) -> String? {
        overrides[name] ?? brokerDefaults[name] ?? TopicSettingKey.named(name)?.defaultValue
    }

    public var log: LogSettings {
        var settings = LogSettings()
        for key in TopicSettingKey.all { key.apply(TopicSettingKey.trimmed(value(key.name)!), &settings) }
        for key in TopicSettingKey.hidden {
            if let value = overrides[key.name] { key.apply(TopicSettingKey.trimmed(value), &settings) }
        }
        return settings
    }

    var isOnlyCompacted: Bool { TopicSettingKey.items(value("cleanup.policy")!) == ["compact"] }

    /// What is wrong between the settings, each of which is valid by itself; nil when nothing is.
    public var conflict: String? {
        let log = log
        if log.minCompactionLagMs > log.maxCompactionLagMs {
            return "conflict topic config setting min.compaction.lag.ms (\(log.minCompactionLagMs)) > "
                + "max.compaction.lag.ms (\(log.maxCompactionLagMs))"
        }
        if TopicSettingKey.trimmed(value("remote.storage.enable")!).lowercased() == "true" {
            return "Tiered Storage functionality is disabled in the broker. "
                + "Topic cannot be configured with remote log storage."
        }
        return nil
    }
}
