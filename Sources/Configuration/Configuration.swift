/// The broker's configuration: for each key of `ConfigurationTable` the value in force, and what it hides.
///
/// Beside keys a file has sections, trees of their own (``ConfigurationSection``), which who uses them reads.
///
/// Immutable: the broker reads it at its start. Only keys of the table are ever asked for, so the
/// accessors trap on any other name: that is a bug of ours, and a test reads every one of them.
public struct Configuration: Sendable, Equatable {
    /// A value and where it came from.
    public struct Value: Sendable, Equatable {
        /// Canonical text; `nil` when the key is unset.
        public var text: String?
        public var source: ConfigurationSource
    }

    /// For each row of the table its values, highest precedence first; the last is the built-in default.
    private var chains: [[Value]]
    private var sections: [ConfigurationSection] = []
    /// What is set for single listeners: by name in capitals, then by row.
    private(set) var ofListeners: [String: [Int: Value]] = [:]
    private var environment = Variables()

    /// Those of the process, for what a section takes out of them; shown nowhere, and no part of what makes two configurations the
    /// same.
    private struct Variables: Equatable {
        var values: [String: String] = [:]

        static func == (one: Variables, other: Variables) -> Bool { true }
    }

    /// What begins a section; no key begins so. Only files have them.
    public static let sectionNames = [
        "routes", "topics", "auth", "queues", "forwarders", "subscriptions", "pulls", "alarms",
        "watchers",
    ]

    /// Every key at its default.
    public init() {
        chains = ConfigurationTable.keys.map { [Value(text: $0.defaultText, source: .builtIn)] }
    }

    /// The value in force for `name` (or an alias); `nil` when there is no such key.
    public func value(for name: String) -> Value? { ConfigurationTable.position(of: name).map { chains[$0][0] } }

    /// All values of `name`, the one in force first, the built-in default last.
    public func chain(for name: String) -> [Value] { ConfigurationTable.position(of: name).map { chains[$0] } ?? [] }

    /// nil: the file has none of that name.
    public func section(_ name: String) -> ConfigurationSection? { sections.first { $0.name == name } }

    mutating func add(_ section: ConfigurationSection) { sections.append(section) }

    /// A variable of the environment that a section names; nil: it is not set.
    public func environmentVariable(_ name: String) -> String? { environment.values[name] }

    mutating func keep(_ environment: [String: String]) { self.environment.values = environment }

    /// Names of keys whose values in force are others than those of `other`.
    public func keysThatDiffer(from other: Configuration) -> [String] {
        let keys = ConfigurationTable.keys.indices.filter { chains[$0][0].text != other.chains[$0][0].text }.map {
            ConfigurationTable.keys[$0].name
        }
        let (own, others) = (listenerTexts, other.listenerTexts)
        return keys + Set(own.keys).union(others.keys).filter { own[$0] != others[$0] }.sorted()
    }

    private var listenerTexts: [String: String?] {
        Dictionary(uniqueKeysWithValues: listenerValues.map { ($0.name, $0.value.text) })
    }

    /// Adds a value of one listener, that was checked.
    mutating func add(_ key: ListenerKey, _ text: String, _ source: ConfigurationSource) {
        if let other = ofListeners[key.listener]?[key.position], other.source.precedence < source.precedence { return }
        ofListeners[key.listener, default: [:]][key.position] = Value(text: text, source: source)
    }

    /// Lets a value be in force, whatever there is.
    mutating func prefer(_ value: Value, at position: Int) { chains[position].insert(value, at: 0) }

    /// Adds a value that was checked; `nil` or the problem. Two values of one source: the later wins, for flags only.
    mutating func add(_ position: Int, _ text: String, _ source: ConfigurationSource) {
        chains[position].removeAll { $0.source.precedence == source.precedence }
        let place = chains[position].firstIndex { $0.source.precedence > source.precedence } ?? chains[position].count
        chains[position].insert(Value(text: text, source: source), at: place)
    }

    static func unknown(_ name: String, value: String?, source: ConfigurationSource) -> ConfigurationError.Problem {
        if name.hasPrefix(listenerPrefix) {
            return .init(
                key: name, value: nil, source: source, reason: "there is no such key of a listener",
                remedy: "Write \(listenerPrefix)NAME. before one of "
                    + listenerKeys.map(\.name).joined(separator: ", "))
        }
        let nearest = Spelling.nearest(to: name, among: ConfigurationTable.names)
        return .init(
            key: name, value: shown(value, of: name), source: source,
            reason: "there is no such key" + (nearest.map { "; did you mean \($0)?" } ?? ""),
            remedy: nearest.map { "Write \($0), or remove the key" }
                ?? "Remove it; `millrace config keys` lists every key")
    }

    static func refused(
        _ key: ConfigurationKey, name: String, value: String, source: ConfigurationSource
    ) -> ConfigurationError.Problem {
        let fallback = key.defaultText.map { $0.isEmpty ? "the default" : "the default, \($0)" } ?? "the default"
        return .init(
            key: name, value: shown(value, of: name), source: source, reason: "must be \(key.allowed)",
            remedy: "Correct the value, or leave the key out for \(fallback)")
    }

    /// The value of a key for a message; nil: it is a secret, or, of a key that does not exist, it may be one.
    static func shown(_ value: String?, of name: String) -> String? {
        let own = ListenerKey(name).map { ConfigurationTable.keys[$0.position] }
        guard let key = own ?? ConfigurationTable.key(named: name), !key.isSensitive else { return nil }
        return value
    }
}
