public import Security

/// What a configuration says of the TLS of one listener, under Kafka's names (KIP-651 for PEM).
public struct TLSSettings: Sendable {
    /// `ssl.client.auth`.
    public enum ClientAuthentication: String, Sendable {
        /// Nobody is asked for a certificate.
        case none
        /// Who shows none is anonymous; who shows one that is not accepted is refused.
        case requested
        case required
    }

    /// `ssl.keystore.type` and `ssl.truststore.type`: the form of their files.
    public enum StoreType: String, Sendable {
        case pem = "PEM"
        case pkcs12 = "PKCS12"
    }

    /// For logs and metrics.
    public var listener: String
    /// `ssl.keystore.location`: files that each have a key and its certificate with those that signed it, in this order. The first is
    /// for who asks for no name that another one has.
    public var keystoreFiles: [String] = []
    /// `ssl.keystore.certificate.chain` and `ssl.keystore.key`, the same without a file.
    public var certificateChain: String?
    public var key: Secret?
    public var keyPassword: Secret?
    public var keystoreType = StoreType.pem
    /// Of the files, where they are PKCS#12.
    public var keystorePassword: Secret?
    /// `ssl.truststore.location` or `.certificates`: who signs the clients' certificates.
    public var truststoreFile: String?
    public var trustedCertificates: String?
    public var truststoreType = StoreType.pem
    public var truststorePassword: Secret?
    /// `ssl.crl.location`: a PEM file of the revocation lists of those who sign clients' certificates. Nil: none is revoked.
    public var revocationFile: String?
    /// `ssl.crl.allow.outdated`: whether a list still holds when its next one is overdue. Else clients under it are refused.
    public var takesOutdatedLists = false
    public var clientAuthentication = ClientAuthentication.none
    /// `ssl.enabled.protocols`.
    public var versions = ["TLSv1.2", "TLSv1.3"]
    /// `ssl.cipher.suites`, in IANA's names or OpenSSL's; empty: those below.
    public var cipherSuites: [String] = []
    public var principalRules = "DEFAULT"
    /// Names for ALPN in our order; empty: ALPN is not looked at, as Kafka's clients do not either.
    public var applicationProtocols: [String] = []
    /// Whether sessions may be resumed. Never with client certificates: a resumed session would check neither their end nor
    /// anything else again.
    public var issuesTickets = false
    /// What somebody is told who speaks plain text in words; empty: nothing.
    public var plainTextAnswer: [UInt8] = []

    public init(listener: String) { self.listener = listener }

    /// Of TLS 1.2: forward secrecy and authenticated encryption alone. TLS 1.3 has no others. AES of 128 bits first, which nobody
    /// breaks either, and which takes a seventh less of both sides' time than 256.
    static let defaultSuites =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    static let defaultModernSuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    static let groups = "X25519:P-256:P-384"
}

extension TLSSettings {
    static let locationKey = "ssl.keystore.location"
    static let chainKey = "ssl.keystore.certificate.chain"
    static let keyKey = "ssl.keystore.key"
    static let passwordKey = "ssl.key.password"
    static let trustLocationKey = "ssl.truststore.location"
    static let trustKey = "ssl.truststore.certificates"
    static let storeTypeKey = "ssl.keystore.type"
    static let storePasswordKey = "ssl.keystore.password"
    static let trustTypeKey = "ssl.truststore.type"
    static let trustPasswordKey = "ssl.truststore.password"
    static let revocationKey = "ssl.crl.location"
}
