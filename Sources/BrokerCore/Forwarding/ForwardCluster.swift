public import Security

/// How a forwarder reaches another Kafka cluster.
public struct ForwardCluster: Sendable, Equatable {
    public enum Mechanism: Sendable { case scramSHA256, scramSHA512 }
    public enum Compression: Sendable { case none, gzip, snappy, lz4, zstd }

    public struct Login: Sendable, Equatable {
        public var user: String
        public var password: Secret
        public var mechanism: Mechanism

        public init(user: String, password: Secret, mechanism: Mechanism) {
            (self.user, self.password, self.mechanism) = (user, password, mechanism)
        }
    }

    /// PEM files, read anew for each connection.
    public struct TLS: Sendable, Equatable {
        /// Whose certificates sign the servers'.
        public var authorityFile: String
        /// The forwarder's own certificate and its key, both or none.
        public var certificateFile: String?
        public var keyFile: String?
        /// What the servers' certificates are for; nil: the host of each.
        public var serverName: String?

        public init(authorityFile: String) { self.authorityFile = authorityFile }
    }

    public struct Address: Sendable, Equatable, CustomStringConvertible {
        public var host: String
        public var port: UInt16

        public init(host: String, port: UInt16) { (self.host, self.port) = (host, port) }

        public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    /// One or more.
    public var bootstrap: [Address]
    /// Nil: in plain text.
    public var tls: TLS?
    /// Nil: the listener asks nobody.
    public var login: Login?
    public var compression = Compression.lz4

    public init(bootstrap: [Address]) { self.bootstrap = bootstrap }
}
