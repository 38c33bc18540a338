/// The listeners, with what the keys about them say together.
extension Configuration {
    /// One listener of Kafka's protocol.
    public struct KafkaListener: Sendable, Equatable {
        public var name: String
        public var endpoint: Endpoint
        public var securityProtocol: SecurityProtocol
        /// What Metadata tells clients that came by it; nil: the address that each one came by.
        public var advertised: Endpoint?
    }

    /// The name of a listener of Kafka's protocol that is written without one.
    public static let usualKafkaName = "PLAINTEXT"
    static let usualHTTPName = "http"
    static let secureHTTPName = "https"

    /// In the order in which they are written.
    public var kafkaListeners: [KafkaListener] {
        let advertised = advertisedListeners
        return addresses("listeners").map { listener in
            guard let spoken = securityProtocol(of: listener.name) else {
                preconditionFailure("\(listener.name) has no protocol, which listenerProblems() tells")
            }
            return KafkaListener(
                name: listener.name, endpoint: listener.endpoint, securityProtocol: spoken,
                advertised: advertised.first { $0.name == listener.name }?.endpoint)
        }
    }

    public var advertisedListeners: [ListenerAddress] { addresses("advertised.listeners") }
    public var httpListeners: [ListenerAddress] { addresses("http.listener") }
    /// Empty: what is for operators is at `http.listener`.
    public var adminListeners: [ListenerAddress] { addresses("admin.listener") }

    /// What the map says of a listener's name; nil: nothing, or no protocol.
    func securityProtocol(of name: String) -> SecurityProtocol? {
        for item in list("listener.security.protocol.map") {
            let parts = item.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, ListenerAddress.name(String(parts[0]), among: []) == name else { continue }
            return SecurityProtocol(rawValue: parts[1].uppercased())
        }
        return nil
    }

    /// Items of the map that cannot be meant. One that is overlooked, or of two for one name the wrong one, would serve plain text where
    /// TLS is meant.
    private func protocolMapFaults() -> [(item: String, remedy: String)] {
        var named: Set<String> = []
        var faults: [(String, String)] = []
        for item in list("listener.security.protocol.map") {
            let parts = item.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let name = ListenerAddress.name(String(parts[0]), among: []),
                SecurityProtocol(rawValue: parts[1].uppercased()) != nil
            else {
                faults.append((item, "Write NAME:SSL or NAME:PLAINTEXT, several between commas"))
                continue
            }
            if !named.insert(name).inserted {
                faults.append((item, "\(name) stands there before; keep one of the two"))
            }
        }
        return faults
    }

    private func addresses(_ name: String) -> [ListenerAddress] {
        guard let key = ConfigurationTable.key(named: name), case .listeners(let usual, let among) = key.kind else {
            preconditionFailure("\(name) holds no listeners")
        }
        return value(for: name)?.text.flatMap { ListenerAddress.list($0, usual: usual, among: among) } ?? []
    }

    /// What contradicts itself in the keys about listeners.
    func listenerProblems() -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func add(_ key: String, _ reason: String, _ remedy: String) {
            problems.append(problem(key, reason, remedy))
        }
        for (item, remedy) in protocolMapFaults() {
            add("listener.security.protocol.map", "\(item) is not one protocol for one name", remedy)
        }
        let kafka = addresses("listeners")
        for listener in kafka {
            guard let spoken = securityProtocol(of: listener.name) else {
                add(
                    "listeners", "listener.security.protocol.map has no protocol for \(listener.name)",
                    "Add \(listener.name):SSL or \(listener.name):PLAINTEXT to it")
                continue
            }
            for (mechanism, secrets) in [("PLAIN", "passwords"), ("OAUTHBEARER", "tokens")]
            where spoken == .saslPlaintext && !listener.endpoint.isLoopback
                && of(listener: listener.name).saslMechanisms.contains(mechanism)
            {
                add(
                    "sasl.enabled.mechanisms",
                    "by \(mechanism), \(secrets) would go over the network to \(listener.name) as they are",
                    "Leave \(mechanism) out, or let \(listener.name) speak SASL_SSL")
            }
        }
        problems += listenerKeyProblems(kafka.map(\.name))
        problems += addressProblems(kafka)
        for advertised in advertisedListeners {
            if advertised.endpoint.isWildcard || advertised.endpoint.port == 0 {
                add(
                    "advertised.listeners", "must be an address that clients can connect to, with a host and a port",
                    "Name the host, or leave the key out: each client is then told the address it came by")
            }
            if !kafka.contains(where: { $0.name == advertised.name }) {
                add(
                    "advertised.listeners", "\(advertised.name) is not the name of one of the listeners",
                    "Write one of \(kafka.map(\.name).joined(separator: ", ")), with :// behind it")
            }
        }
        return problems
    }

    /// What contradicts itself in the addresses, and in the keys about HTTP's.
    private func addressProblems(_ kafka: [ListenerAddress]) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func add(_ key: String, _ reason: String, _ remedy: String) {
            problems.append(problem(key, reason, remedy))
        }
        let http = boolean("http.enable") ? httpListeners : []
        let admin = boolean("http.enable") ? adminListeners : []
        if !adminListeners.isEmpty, admin.isEmpty {
            add("admin.listener", "is HTTP, and http.enable is false", "Set http.enable, or leave it out")
        }
        for (key, listeners) in [("listeners", kafka), ("http.listener", http), ("admin.listener", admin)] {
            for (index, listener) in listeners.enumerated()
            where listeners[(index + 1)...].contains(where: listener.collides) {
                add(key, "must not have one address twice", "Give each listener a port of its own")
            }
        }
        for listener in kafka {
            if let other = http.first(where: listener.collides) {
                add(
                    "http.listener", "must not be the address of listeners, which is \(other.endpoint)",
                    "Give the two different ports")
            }
        }
        for listener in admin {
            if let other = (kafka + http).first(where: listener.collides) {
                add(
                    "admin.listener", "must not be the address of another listener, which is \(other.endpoint)",
                    "Give the two different ports")
            }
        }
        let proxied = boolean("http.enable") ? list("http.proxy.protocol") : []
        if !proxied.isEmpty, list("http.trusted.proxies").isEmpty {
            add(
                "http.proxy.protocol", "would let nobody in: there is no address that its header is taken from",
                "Set http.trusted.proxies")
        }
        for name in proxied where !http.contains(where: { $0.name == name }) {
            add("http.proxy.protocol", "\(name) is not the name of a listener of http.listener", "Correct the list")
        }
        return problems
    }
}
