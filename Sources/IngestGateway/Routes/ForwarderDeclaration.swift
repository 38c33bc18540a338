import BrokerCore
import Configuration
import KafkaModel

/// A forwarder, as the section `forwarders` writes it. The page Routes describes the keys.
struct ForwarderDeclaration {
    let definition: ForwarderDefinition

    private static let keys: KeyValuePairs<String, ForwarderDefinition.Key> = [
        "message": .message, "group": .group, "none": .none,
    ]

    init?(_ name: String, _ place: ConfigurationPlace, _ secrets: NamedSecrets) {
        if let problem = QueueCoordinator.problem(ofName: name) { place.refuse(problem, remedy: "Choose another name") }
        guard let fields = place.fields(["from", "to", "key", "batch", "cluster"]) else { return nil }
        guard let from = fields["from"]?.text(), let to = fields["to"]?.text() else {
            for key in ["from", "to"] where fields[key] == nil {
                place.refuse("must say \(key)", remedy: "Write from: QUEUE and to: TOPIC")
            }
            return nil
        }
        if let problem = QueueCoordinator.problem(ofName: from) {
            fields["from"]?.refuse(problem, remedy: "Name a queue")
        }
        if let problem = TopicName.problem(to) { fields["to"]?.refuse(problem, remedy: "Name a topic") }
        var definition = ForwarderDefinition(name: name, from: from, to: to)
        definition.key = fields["key"]?.choice(Self.keys) ?? definition.key
        if let place = fields["cluster"] { definition.cluster = Self.cluster(place, secrets) }
        if definition.cluster == nil, Topic.isInternal(to) {
            fields["to"]?.refuse("is a topic that only the broker writes", remedy: "Name another topic")
        }
        if let batch = fields["batch"]?.fields(["records", "bytes", "window"]) {
            let records = ForwarderDefinition.recordsLimits
            let bytes = ForwarderDefinition.bytesLimits
            definition.maxRecords =
                batch["records"]?.integer(Int64(records.lowerBound)...Int64(records.upperBound))
                ?? definition.maxRecords
            definition.maxBytes =
                batch["bytes"]?.bytes(Int64(bytes.lowerBound)...Int64(bytes.upperBound)) ?? definition.maxBytes
            definition.windowMs =
                batch["window"]?.milliseconds(ForwarderDefinition.windowLimitsMs).map { Int64($0) }
                ?? definition.windowMs
        }
        self.definition = definition
    }

    /// Whether its messages come back to its queue, at once or by others of these forwarders.
    func leadsBack(over others: [ForwarderDefinition]) -> Bool {
        var last = definition
        for _ in 0...others.count {
            guard last.cluster == nil else { return false }
            if last.to.isExactly(QueueCoordinator.topicPrefix + definition.from) { return true }
            let to = last.to
            guard let next = others.first(where: { to.isExactly(QueueCoordinator.topicPrefix + $0.from) }) else {
                return false
            }
            last = next
        }
        return false
    }

    private static let mechanisms: KeyValuePairs<String, ForwardCluster.Mechanism> = [
        "scram-sha-256": .scramSHA256, "scram-sha-512": .scramSHA512,
    ]
    private static let compressions: KeyValuePairs<String, ForwardCluster.Compression> = [
        "none": .none, "gzip": .gzip, "snappy": .snappy, "lz4": .lz4, "zstd": .zstd,
    ]
    /// Addresses of one cluster at most: any of them leads to the others.
    private static let maxAddresses = 16

    private static func cluster(_ place: ConfigurationPlace, _ secrets: NamedSecrets) -> ForwardCluster? {
        guard let fields = place.fields(["bootstrap", "tls", "user", "password", "mechanism", "compression"]) else {
            return nil
        }
        let places = fields["bootstrap"]?.oneOrMore() ?? []
        guard (1...maxAddresses).contains(places.count) else {
            place.refuse(
                "must say bootstrap, with 1 to \(maxAddresses) addresses", remedy: "Write bootstrap: [HOST:PORT]")
            return nil
        }
        let bootstrap = places.compactMap { place -> ForwardCluster.Address? in
            guard let text = place.text() else { return nil }
            if let found = Endpoint(text), !found.host.isEmpty, found.port > 0 {
                return ForwardCluster.Address(host: found.host, port: found.port)
            }
            place.refuse("is no HOST:PORT", remedy: "Write an address of a listener of Kafka's protocol")
            return nil
        }
        guard bootstrap.count == places.count else { return nil }
        var cluster = ForwardCluster(bootstrap: bootstrap)
        if let place = fields["tls"] {
            guard let tls = tls(place) else { return nil }
            cluster.tls = tls
        }
        cluster.compression = fields["compression"]?.choice(compressions) ?? cluster.compression
        switch (fields["user"], fields["password"]) {
        case (nil, nil):
            fields["mechanism"]?.refuse("nobody logs in", remedy: "Write user and password, or leave it out")
        case (let user?, let password?):
            guard let user = user.text(), let name = password.text() else { return nil }
            guard let secret = secrets[name] else {
                if !secrets.names.contains(name) {
                    password.refuse(
                        "there is no secret of this name", remedy: "Say in auth.secrets where it is", showsValue: false)
                }
                return nil
            }
            cluster.login = ForwardCluster.Login(
                user: user, password: secret, mechanism: fields["mechanism"]?.choice(mechanisms) ?? .scramSHA256)
        default:
            place.refuse(
                "must say both of user and password, or none", remedy: "password names a secret of auth.secrets")
        }
        return cluster
    }

    /// Nil: it is refused, and never taken for plain text.
    private static func tls(_ place: ConfigurationPlace) -> ForwardCluster.TLS? {
        guard let fields = place.fields(["ca", "certificate", "key", "server_name"]) else { return nil }
        guard let authority = fields["ca"]?.text() else {
            if fields["ca"] == nil {
                place.refuse(
                    "must say ca: whose certificates sign those of the brokers",
                    remedy: "Write ca: FILE, in PEM; the system's are in /etc/ssl/certs/ca-certificates.crt")
            }
            return nil
        }
        var tls = ForwardCluster.TLS(authorityFile: authority)
        (tls.certificateFile, tls.keyFile) = (fields["certificate"]?.text(), fields["key"]?.text())
        tls.serverName = fields["server_name"]?.text()
        if (fields["certificate"] == nil) != (fields["key"] == nil) {
            place.refuse("must say both of certificate and key, or none", remedy: "Each names a file in PEM")
        }
        return tls
    }
}
