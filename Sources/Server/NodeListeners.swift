import BrokerCore
import Configuration
import IngestGateway
import IssuerKeys
import KafkaServer
import Security
import TLS
import Telemetry
import Transport

/// The listeners of a node: names, addresses, and the certificates of those that speak TLS, which are read before anything is
/// opened.
struct NodeListeners {
    private let kafka:
        [(
            listener: Configuration.KafkaListener, terminator: TLSTerminator?, sasl: SaslSettings?,
            limit: ConnectionLimit?
        )]
    private let http: [(address: ListenerAddress, terminator: TLSTerminator?)]
    /// What is for operators; empty: it is with the rest.
    private let admin: [(address: ListenerAddress, terminator: TLSTerminator?)]
    /// Names of those that proxies put a header before.
    private let proxied: [String]

    init(_ configuration: Configuration) throws(TLSConfigurationError) {
        var kafka: [(Configuration.KafkaListener, TLSTerminator?, SaslSettings?, ConnectionLimit?)] = []
        for listener in configuration.kafkaListeners {
            let own = configuration.of(listener: listener.name)
            var settings = listener.securityProtocol.isEncrypted ? TLSSettings(kafka: listener.name, own) : nil
            // There, who somebody is he shows by SASL; ssl.client.auth is not for it, as in Kafka.
            if listener.securityProtocol.hasSasl { settings?.clientAuthentication = .none }
            let sasl = listener.securityProtocol.hasSasl ? SaslSettings(own) : nil
            kafka.append((listener, try Self.terminator(settings), sasl, Self.limit(of: listener.name, configuration)))
        }
        proxied = configuration.list("http.proxy.protocol")
        self.kafka = kafka
        http = try Self.terminated(configuration.servesHTTP ? configuration.httpListeners : [], configuration)
        admin = try Self.terminated(configuration.servesHTTP ? configuration.adminListeners : [], configuration)
        tellOfMistakes(configuration)
    }

    /// What is set for that listener alone, beside what all share.
    private static func limit(of listener: String, _ configuration: Configuration) -> ConnectionLimit? {
        let total = configuration.integer("max.connections", ofListener: listener)
        let perIP = configuration.integer("max.connections.per.ip", ofListener: listener)
        if total == nil, perIP == nil { return nil }
        return ConnectionLimit(total: total ?? .max, perIP: perIP ?? .max)
    }

    private static func terminated(
        _ addresses: [ListenerAddress], _ configuration: Configuration
    ) throws(TLSConfigurationError) -> [(address: ListenerAddress, terminator: TLSTerminator?)] {
        var listeners: [(address: ListenerAddress, terminator: TLSTerminator?)] = []
        for address in addresses {
            let settings = address.isSecureHTTP ? TLSSettings(http: address.name, configuration) : nil
            listeners.append((address, try terminator(settings)))
        }
        return listeners
    }

    /// Says what is allowed and most likely not meant.
    private func tellOfMistakes(_ configuration: Configuration) {
        for (listener, terminator, _, _) in kafka where listener.advertised == nil && terminator?.namesAddress == false {
            // The bootstrap works, and everything behind it fails.
            Log.warning(
                "clients are told the broker's address, which the certificate does not name", "listener", listener.name,
                "remedy", "advertised.listeners=\(listener.name)://HOST:PORT")
        }
        if configuration.httpAuthentication != "off",
            http.contains(where: { $0.terminator == nil && !$0.address.endpoint.isLoopback })
        {
            Log.warning(
                "keys and tokens go over the network to http.listener as they are, unless a proxy before it speaks https",
                "http.auth", configuration.httpAuthentication)
        }
        let usesKafka = kafka.contains { $0.terminator != nil }
        let usesHTTP = (http + admin).contains { $0.terminator != nil }
        let asksKafka = kafka.contains { $0.listener.securityProtocol == .ssl }
        for (listener, _, _, _) in kafka where listener.securityProtocol != .ssl {
            let own = configuration.of(listener: listener.name)
            if own.text("ssl.client.auth") != configuration.text("ssl.client.auth"),
                own.text("ssl.client.auth") != "none"
            {
                Log.warning(
                    "no client is asked for a certificate by its ssl.client.auth: the listener does not speak SSL",
                    "listener",
                    listener.name)
            }
        }
        for (key, isUsed) in [("ssl.client.auth", asksKafka), ("http.ssl.client.auth", usesHTTP)]
        where !isUsed && configuration.text(key) != "none" {
            Log.warning("no client is asked for a certificate by it: no listener speaks SSL or https", "key", key)
        }
        let hasCertificate =
            !configuration.list("ssl.keystore.location").isEmpty
            || configuration.optionalText("ssl.keystore.certificate.chain") != nil
        if hasCertificate, !usesKafka, !usesHTTP {
            Log.warning("no listener speaks TLS, so ssl.keystore.* is not used")
        }
    }

    /// Whether clients of Kafka's protocol show who they are by SASL.
    var asksForUsers: Bool { kafka.contains { $0.listener.securityProtocol.hasSasl } }

    private static func terminator(_ settings: TLSSettings?) throws(TLSConfigurationError) -> TLSTerminator? {
        guard let settings else { return nil }
        return try TLSTerminator(settings)
    }

    /// Listens for Kafka's clients; gives the addresses, with their ports.
    func listen(
        _ group: EventLoopGroup, _ server: KafkaServer, _ passwords: Authentication?, _ tokens: IssuedTokens?
    ) throws -> [ListenerAddress] {
        return try kafka.map { listener, terminator, sasl, limit in
            let advertised = listener.advertised.map { KafkaServer.Advertised(host: $0.host, port: $0.port) }
            let endpoint = listener.endpoint
            let users = sasl.flatMap { sasl in passwords.map { SaslListener(sasl, $0, tokens: tokens) } }
            var options = server.listenerOptions(
                host: endpoint.host, port: endpoint.port, advertised: advertised,
                sasl: users,
                certificateOwner: Self.certificateOwner)
            options.ownLimit = limit
            return ListenerAddress(name: listener.name, endpoint: try Self.listen(endpoint, group, options, terminator))
        }
    }

    /// Whether what is for operators has a listener of its own.
    var separatesOperators: Bool { !admin.isEmpty }

    /// The same for HTTP: for clients, or for operators.
    func listen(
        _ group: EventLoopGroup, _ gateway: Gateway, forOperators: Bool = false
    ) throws -> [ListenerAddress] {
        try (forOperators ? admin : http).map { address, terminator in
            let options = gateway.listenerOptions(
                host: address.endpoint.host, port: address.endpoint.port,
                takesProxyHeader: !forOperators && proxied.contains(address.name), isForOperators: forOperators,
                certificateOwner: Self.certificateOwner, serves: terminator == nil ? nil : Self.serves)
            return ListenerAddress(
                name: address.name, endpoint: try Self.listen(address.endpoint, group, options, terminator))
        }
    }

    /// Whose certificate a connection has shown; nil: none, so whoever has it is anonymous.
    @Sendable private static func certificateOwner(_ connection: Connection) -> Principal? {
        guard let stream = connection.transform as? TLSStream, stream.principal != .anonymous else { return nil }
        return stream.principal
    }

    /// Whether the certificate that a client got is for that host, or it has asked for no name.
    @Sendable private static func serves(_ connection: Connection, _ host: String) -> Bool {
        (connection.transform as? TLSStream)?.serves(host) ?? true
    }

    private static func listen(
        _ wanted: Endpoint, _ group: EventLoopGroup, _ options: ListenerOptions, _ terminator: TLSTerminator?
    ) throws -> Endpoint {
        var options = options
        if let terminator { options.makeTransform = { terminator.transform(on: $0) } }
        let listener = try group.listen(options)
        return Endpoint(host: wanted.host, port: listener.port)
    }

    func show(in metrics: MetricsRegistry) {
        for terminator in terminators { terminator.show(in: metrics) }
    }

    /// Begins to look for changed certificates; nil: there are none.
    func watch() -> CertificateWatch? { terminators.isEmpty ? nil : CertificateWatch(terminators) }

    private var terminators: [TLSTerminator] {
        (kafka.map(\.terminator) + http.map(\.terminator) + admin.map(\.terminator)).compactMap { $0 }
    }
}

extension SaslSettings {
    fileprivate init(_ configuration: Configuration) {
        self.init(
            mechanisms: configuration.saslMechanisms.map { name in
                guard let mechanism = SaslMechanism(rawValue: name) else {
                    preconditionFailure("the configuration allows a mechanism that there is not: \(name)")
                }
                return mechanism
            }, failureDelay: .milliseconds(configuration.authenticationFailureDelayMs),
            maxSession: .milliseconds(configuration.maxSaslSessionMs))
    }
}

extension TLSSettings {
    /// Clients of Kafka stay connected, so sessions are not resumed.
    fileprivate init(kafka name: String, _ configuration: Configuration) {
        self.init(listener: name, configuration, clientAuthenticationKey: "ssl.client.auth")
    }

    fileprivate init(http name: String, _ configuration: Configuration) {
        self.init(listener: name, configuration, clientAuthenticationKey: "http.ssl.client.auth")
        applicationProtocols = configuration.servesHTTP2 ? ["h2", "http/1.1"] : ["http/1.1"]
        issuesTickets = true
        plainTextAnswer = Gateway.plainTextAnswer
    }

    private init(listener: String, _ configuration: Configuration, clientAuthenticationKey: String) {
        self.init(listener: listener)
        func secret(_ key: String) -> Secret? {
            configuration.optionalText(key).map { Secret(copying: Array($0.utf8)[...]) }
        }
        keystoreFiles = configuration.list("ssl.keystore.location")
        certificateChain = configuration.optionalText("ssl.keystore.certificate.chain")
        key = secret("ssl.keystore.key")
        keyPassword = secret("ssl.key.password")
        keystoreType = Self.type("ssl.keystore.type", configuration)
        keystorePassword = secret("ssl.keystore.password")
        truststoreFile = configuration.optionalText("ssl.truststore.location")
        truststoreType = Self.type("ssl.truststore.type", configuration)
        truststorePassword = secret("ssl.truststore.password")
        revocationFile = configuration.optionalText("ssl.crl.location")
        takesOutdatedLists = configuration.boolean("ssl.crl.allow.outdated")
        trustedCertificates = configuration.optionalText("ssl.truststore.certificates")
        guard let authentication = ClientAuthentication(rawValue: configuration.text(clientAuthenticationKey)) else {
            preconditionFailure("the configuration allows what TLS has not")
        }
        clientAuthentication = authentication
        versions = configuration.list("ssl.enabled.protocols")
        cipherSuites = configuration.list("ssl.cipher.suites")
        principalRules = configuration.text("ssl.principal.mapping.rules")
    }

    private static func type(_ key: String, _ configuration: Configuration) -> StoreType {
        guard let type = StoreType(rawValue: configuration.text(key)) else {
            preconditionFailure("the configuration allows a form of files that TLS has not: \(configuration.text(key))")
        }
        return type
    }
}
