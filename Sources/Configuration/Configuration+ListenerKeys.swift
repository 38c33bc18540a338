/// Keys of one listener of Kafka's protocol: `listener.name.NAME.KEY`, as in Kafka. What is set so holds for that listener, whatever
/// KEY itself says; what is not, KEY says. Names are written in any case.
///
/// Variables of the environment are `MILLRACE_LISTENER_NAME_NAME_KEY`; a name with a hyphen has none.
extension Configuration {
    static let listenerPrefix = "listener.name."
    private static let listenerVariablePrefix = ConfigurationKey.environmentName(of: listenerPrefix)

    /// What may be set for one listener by itself.
    public static let listenerKeys: [ConfigurationKey] =
        ConfigurationTable.tls.filter { $0.name.hasPrefix("ssl.") }
        + ["sasl.enabled.mechanisms", "connections.max.reauth.ms", "max.connections", "max.connections.per.ip"].compactMap { ConfigurationTable.key(named: $0) }

    /// A listener's name in capitals, and the key that is set for it.
    struct ListenerKey {
        let listener: String
        let position: Int

        var name: String {
            Configuration.listenerPrefix + listener.lowercased() + "." + ConfigurationTable.keys[position].name
        }

        /// Nil: `name` is of no listener's, or of a key that cannot be set so.
        init?(_ name: String) {
            guard name.hasPrefix(listenerPrefix) else { return nil }
            let rest = name.dropFirst(listenerPrefix.count)
            guard let dot = rest.firstIndex(of: "."),
                let listener = ListenerAddress.name(String(rest[..<dot]), among: []),
                let key = listenerKeys.first(where: { $0.name == rest[rest.index(after: dot)...] })
            else { return nil }
            self.init(listener, key)
        }

        /// The same of a variable of the environment.
        init?(variable: String) {
            guard variable.hasPrefix(listenerVariablePrefix) else { return nil }
            let rest = variable.dropFirst(listenerVariablePrefix.count)
            for key in listenerKeys {
                let end = "_" + key.environmentName.dropFirst(ConfigurationTable.environmentPrefix.count)
                guard rest.hasSuffix(end),
                    let listener = ListenerAddress.name(String(rest.dropLast(end.count)), among: [])
                else { continue }
                self.init(listener, key)
                return
            }
            return nil
        }

        private init?(_ listener: String, _ key: ConfigurationKey) {
            guard let position = ConfigurationTable.position(of: key.name) else { return nil }
            (self.listener, self.position) = (listener, position)
        }
    }

    /// The configuration as it is for one listener, by its name in capitals.
    public func of(listener name: String) -> Configuration {
        var own = self
        for (position, value) in ofListeners[name] ?? [:] { own.prefer(value, at: position) }
        return own
    }

    /// A whole number that is set for one listener alone; nil: it is not.
    public func integer(_ key: String, ofListener name: String) -> Int? {
        guard let position = ConfigurationTable.position(of: key), ofListeners[name]?[position] != nil else { return nil }
        return Int(of(listener: name).integer(key))
    }

    /// All that is set for single listeners, by the names of their keys.
    var listenerValues: [(name: String, listener: String, position: Int, value: Value)] {
        ofListeners.flatMap { listener, values in
            values.compactMap { position, value in
                ListenerKey(Self.listenerPrefix + listener + "." + ConfigurationTable.keys[position].name).map {
                    ($0.name, listener, position, value)
                }
            }
        }.sorted { $0.name < $1.name }
    }

    /// What is set for listeners that there are not.
    func listenerKeyProblems(_ names: [String]) -> [ConfigurationError.Problem] {
        listenerValues.filter { !names.contains($0.listener) }.map { name, listener, position, value in
            .init(
                key: name, value: ConfigurationTable.keys[position].isSensitive ? nil : value.text,
                source: value.source,
                reason: "\(listener) is not the name of one of the listeners",
                remedy:
                    "Write one of \(names.map { $0.lowercased() }.joined(separator: ", ")) for it, or remove the key")
        }
    }
}
