import BrokerCore
import Configuration
import IssuerKeys
import KafkaModel
import Security

/// The issuers whose tokens a node takes, read before anything is opened.
struct NodeTokens {
    private let issuers: [IssuerSettings]
    private let interval: Duration
    private let fetcher: CurlFetcher

    /// Nil: no listener takes tokens.
    init?(_ configuration: Configuration) throws(ConfigurationError) {
        let isAskedFor = configuration.kafkaListeners.contains {
            $0.securityProtocol.hasSasl
                && configuration.of(listener: $0.name).saslMechanisms.contains(SaslMechanism.oauthBearer.rawValue)
        }
        // Over HTTP there are keys and passwords besides.
        let isKnown = [Self.issuerKey, Self.fileKey].contains { configuration.optionalText($0) != nil }
        let isWelcome = configuration.servesHTTP && configuration.httpAuthentication != "off" && isKnown
        guard isAskedFor || isWelcome else { return nil }
        issuers = try Self.issuers(configuration)
        interval = .milliseconds(configuration.integer("sasl.oauthbearer.jwks.endpoint.refresh.ms"))
        fetcher = CurlFetcher(authorities: configuration.optionalText("token.issuers.ca.location"))
    }

    /// Begins to fetch keys.
    func open(_ broker: Broker) throws -> IssuedTokens {
        let tokens = try IssuedTokens(issuers, interval: interval, fetcher: fetcher) { broker.workers.submit($0) }
        tokens.start()
        return tokens
    }

    private static let fileKey = "token.issuers.file"
    private static let issuerKey = "sasl.oauthbearer.expected.issuer"

    private static func issuers(_ configuration: Configuration) throws(ConfigurationError) -> [IssuerSettings] {
        guard let file = configuration.optionalText(fileKey) else {
            return [try issuer(configuration)]
        }
        guard configuration.optionalText(issuerKey) == nil else {
            throw ConfigurationError(
                configuration, issuerKey, reason: "cannot be set together with \(fileKey)",
                remedy: "Write that issuer into the file as well")
        }
        do throws(SecurityConfigurationError) {
            let issuers = try IssuerFile.read(file, key: fileKey)
            // Names that clash are told at the start, too.
            _ = try TokenVerifier(issuers: issuers.map(\.issuer))
            return issuers
        } catch {
            throw ConfigurationError(
                configuration, fileKey, reason: "'\(error.value)' in it cannot be used",
                remedy: "Write \(error.expected)")
        }
    }

    /// The one issuer of Kafka's own keys.
    private static func issuer(
        _ configuration: Configuration
    ) throws(ConfigurationError) -> IssuerSettings {
        guard let name = configuration.optionalText(issuerKey) else {
            throw ConfigurationError(
                configuration, "sasl.enabled.mechanisms", reason: "has OAUTHBEARER, and nobody's tokens are expected",
                remedy: "Set \(issuerKey) or token.issuers.file, or leave OAUTHBEARER out")
        }
        let audienceKey = "sasl.oauthbearer.expected.audience"
        let audiences = configuration.list(audienceKey)
        guard !audiences.isEmpty else {
            throw ConfigurationError(
                configuration, audienceKey, reason: "is empty: tokens for anybody would be taken",
                remedy: "Say for whom tokens have to be, as they have it in aud")
        }
        func claim(_ name: String) -> ExactString {
            ExactString(configuration.text("sasl.oauthbearer.\(name).claim.name"))
        }
        let groups = claim("groups")
        let issuer = TokenIssuer(
            names: [ExactString(name)], audiences: Set(audiences.map { ExactString($0) }),
            algorithms: Set(SignatureAlgorithm.allCases), keys: JSONWebKeySet(keys: []),
            skew: .seconds(configuration.integer("sasl.oauthbearer.clock.skew.seconds")), subjectClaim: claim("sub"),
            scopeClaim: claim("scope"), groupsClaim: groups.isEmpty ? nil : groups)
        return IssuerSettings(issuer, try location(configuration, name))
    }

    private static func location(
        _ configuration: Configuration, _ issuer: String
    ) throws(ConfigurationError) -> KeyLocation {
        let key = "sasl.oauthbearer.jwks.endpoint.url"
        if let text = configuration.optionalText(key) {
            guard let location = KeyLocation(text) else {
                throw ConfigurationError(
                    configuration, key, reason: "is no address that keys are fetched from",
                    remedy: "Write \(KeyLocation.expected)")
            }
            return location
        }
        guard let address = KeyAddress(issuer) else {
            throw ConfigurationError(
                configuration, issuerKey, reason: "is no address, so its keys cannot be found by discovery",
                remedy: "Set \(key)")
        }
        return .discovery(issuer: address)
    }
}
