import KafkaModel

extension ConfigurationKey {
    /// What a topic setting's number counts, so that a unit may be written behind it.
    enum TopicUnit {
        case bytes, milliseconds
    }

    /// Makes the key by which the broker gives a topic setting its default. Its name, what it may be and its own default are
    /// the setting's.
    ///
    /// - Parameters:
    ///   - unit: what its number counts.
    ///   - isUnset: it has no value unless somebody sets it, as keys of other units have the default.
    static func topicDefault(
        _ topicKey: String, in unit: TopicUnit? = nil, isUnset: Bool = false, _ documentation: String
    ) -> ConfigurationKey {
        guard let setting = TopicSetting.named(topicKey), let name = setting.brokerKey else {
            preconditionFailure("\(topicKey) is no topic setting with a key of the broker")
        }
        return ConfigurationKey(
            name, kind(of: setting, in: unit), default: isUnset ? nil : setting.defaultValue, topicKey: topicKey,
            documentation)
    }

    private static func kind(of setting: TopicSetting, in unit: TopicUnit?) -> Kind {
        switch setting.kind {
        case .int(let range): number(range, .int, in: unit)
        case .long(let range): number(range, .long, in: unit)
        case .boolean: .boolean
        case .string(let choices): .choice(choices)
        case .list(let among): .list(among: among)
        case .gzipLevel, .double, .replicas: preconditionFailure("\(setting.name) has no key of the broker here")
        }
    }

    private static func number(_ range: ClosedRange<Int64>, _ width: Width, in unit: TopicUnit?) -> Kind {
        switch unit {
        case .bytes: .bytes(range, width: width)
        case .milliseconds: .duration(.milliseconds, range, width: width)
        case nil: .integer(range, width: width)
        }
    }
}
