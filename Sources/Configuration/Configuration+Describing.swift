/// The configuration as DescribeConfigs shows it: value, source and the values that it hides.
extension Configuration {
    public struct Described: Sendable, Equatable {
        public var name: String
        /// Canonical text; `nil` when unset, and when it is shown to nobody.
        public var value: String?
        public var isSensitive: Bool
        public var source: ConfigurationSource
        /// The type number of DescribeConfigs.
        public var wireType: Int8
        public var documentation: String
        /// The value in force and those below it, in order of precedence.
        public var synonyms: [Synonym]
    }

    public struct Synonym: Sendable, Equatable {
        public var name: String
        public var value: String?
        public var source: ConfigurationSource
    }

    /// Every key, in the table's order, then what is set for single listeners.
    public func described() -> [Described] {
        ConfigurationTable.keys.map(described)
            + listenerValues.map { name, _, position, value in
                let key = ConfigurationTable.keys[position]
                let shown = key.isSensitive ? nil : value.text
                return Described(
                    name: name, value: shown, isSensitive: key.isSensitive, source: value.source,
                    wireType: key.wireType,
                    documentation: key.documentation,
                    synonyms: [Synonym(name: name, value: shown, source: value.source)])
            }
    }

    /// One key by its name or an alias.
    public func described(_ name: String) -> Described? {
        if let key = ConfigurationTable.key(named: name) { return described(key) }
        let own = ListenerKey(name)?.name
        return described().first { $0.name == own }
    }

    private func described(_ key: ConfigurationKey) -> Described {
        let chain = chain(for: key.name)
        return Described(
            name: key.name, value: key.isSensitive ? nil : chain[0].text, isSensitive: key.isSensitive,
            source: chain[0].source, wireType: key.wireType, documentation: key.documentation,
            synonyms: chain.filter { $0.text != nil }.map {
                Synonym(name: key.name, value: key.isSensitive ? nil : $0.text, source: $0.source)
            })
    }

    /// The default of a topic-level setting such as `retention.ms`, in the setting's own unit (milliseconds for
    /// durations), with the keys and values that it comes from; `nil` when no key of ours is its default.
    ///
    /// Several keys may stand for one setting (`log.retention.ms`, `.minutes`, `.hours`). The one from the source of
    /// highest precedence is taken, so that a flag is never hidden by a file; within one source, the finest unit.
    public func topicDefault(_ topicKey: String) -> Value? {
        topicSynonyms(topicKey).first.map { Value(text: $0.value, source: $0.source) }
    }

    /// All that stands behind `topicDefault`, the value in force first. Values are in the setting's unit.
    public func topicSynonyms(_ topicKey: String) -> [Synonym] {
        var found: [(precedence: Int, synonym: Synonym)] = []
        for key in ConfigurationTable.keys where key.topicKey == topicKey {
            for value in chain(for: key.name) where value.text != nil {
                let text = Self.inTopicUnit(value.text, key)
                found.append((value.source.precedence, Synonym(name: key.name, value: text, source: value.source)))
            }
        }
        // Stable: rows of one setting stand in the table from the finest unit to the coarsest.
        return found.enumerated().sorted {
            ($0.element.precedence, $0.offset) < ($1.element.precedence, $1.offset)
        }.map(\.element.synonym)
    }

    private static func inTopicUnit(_ text: String?, _ key: ConfigurationKey) -> String? {
        guard case .duration(let unit, _, _) = key.kind, let count = text.flatMap({ Int64($0) }), count > 0 else {
            return text
        }
        let (milliseconds, overflow) = count.multipliedReportingOverflow(by: unit.milliseconds)
        return String(overflow ? .max : milliseconds)
    }
}
