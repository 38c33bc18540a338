import KafkaModel
public import Security

/// One issuer: what is taken of it, and where its keys are.
public struct IssuerSettings: Sendable {
    /// Without keys: they are fetched.
    public var issuer: TokenIssuer
    public var location: KeyLocation

    public init(_ issuer: TokenIssuer, _ location: KeyLocation) {
        self.issuer = issuer
        self.location = location
    }
}

/// The file that `token.issuers.file` names: several issuers, as JSON.
///
/// ```
/// {"issuers": [{
///   "issuer": "https://login.example.com",          what tokens have as `iss`; or several, in an array
///   "audience": ["orders"],                         one of them in `aud`, or as `client_id` of an access token
///   "jwks": "https://login.example.com/keys",       or file:///PATH; without it, by discovery at the issuer
///   "algorithms": ["RS256"],                        of RS256, ES256, EdDSA; all three without it
///   "token_use": "access",                          of Cognito: access or id
///   "types": ["at+jwt"],                            what `typ` may be; anything without it
///   "subject_claim": "sub", "scope_claim": "scope", "groups_claim": "groups",
///   "prefix": "login/",                             before the names of its users, groups and scopes; needed with two issuers
///   "skew_seconds": 30, "authorized_party": true    Google: `azp` is one of the audience
/// }]}
/// ```
public enum IssuerFile {
    static let maxSkewSeconds = 300

    /// - Parameter key: what errors call it.
    public static func read(_ path: String, key: String) throws(SecurityConfigurationError) -> [IssuerSettings] {
        let text: [UInt8]
        do throws(KeyFetchError) { text = try KeyFile.read(path) } catch {
            throw SecurityConfigurationError(
                key: key, value: path, expected: "a file that can be read: \(error.reason)")
        }
        return try parse(text, key: key)
    }

    static func parse(_ text: [UInt8], key: String) throws(SecurityConfigurationError) -> [IssuerSettings] {
        func refused(_ value: String, _ expected: String) -> SecurityConfigurationError {
            SecurityConfigurationError(key: key, value: value, expected: expected)
        }
        guard let json = StrictJSON(parsing: text), case .object(let members) = json, members.count == 1,
            case .array(let entries)? = json["issuers"]
        else { throw refused("the file", #"JSON, {"issuers": [...]}, with no member twice"#) }
        guard (1...IssuedTokens.maxIssuers).contains(entries.count) else {
            throw refused("\(entries.count) issuers", "1 to \(IssuedTokens.maxIssuers)")
        }
        var settings: [IssuerSettings] = []
        for entry in entries { settings.append(try IssuerEntry(entry, key: key).settings()) }
        return settings
    }
}

/// One entry of the file.
private struct IssuerEntry {
    private static let members: Set<ExactString> = [
        "issuer", "audience", "jwks", "algorithms", "token_use", "types", "subject_claim", "scope_claim",
        "groups_claim",
        "prefix", "skew_seconds", "authorized_party",
    ]

    private let json: StrictJSON
    private let key: String

    init(_ json: StrictJSON, key: String) throws(SecurityConfigurationError) {
        guard case .object(let members) = json else {
            throw SecurityConfigurationError(key: key, value: "an issuer", expected: "an object")
        }
        if let unknown = members.keys.filter({ !Self.members.contains($0) }).min() {
            throw SecurityConfigurationError(
                key: key, value: unknown.text, expected: Self.members.map(\.text).sorted().joined(separator: ", "))
        }
        self.json = json
        self.key = key
    }

    private func refused(_ member: String, _ expected: String) -> SecurityConfigurationError {
        SecurityConfigurationError(key: key, value: member, expected: expected)
    }

    private func text(_ member: ExactString) throws(SecurityConfigurationError) -> String? {
        guard let value = json[member] else { return nil }
        guard let text = value.text, !text.isEmpty else { throw refused(member.text, "text that is not empty") }
        return text
    }

    private func texts(_ member: ExactString) throws(SecurityConfigurationError) -> [String]? {
        guard let value = json[member] else { return nil }
        guard let texts = value.texts, !texts.isEmpty, !texts.contains("") else {
            throw refused(member.text, "text, or an array of texts, none of them empty")
        }
        return texts
    }

    func settings() throws(SecurityConfigurationError) -> IssuerSettings {
        guard let names = try texts("issuer") else { throw refused("issuer", "what the tokens have as `iss`") }
        guard let audiences = try texts("audience") else {
            throw refused("audience", "what the tokens have as `aud`, or as `client_id`")
        }
        var issuer = TokenIssuer(
            names: Set(names.map { ExactString($0) }), audiences: Set(audiences.map { ExactString($0) }),
            algorithms: try algorithms(), keys: JSONWebKeySet(keys: []))
        if let use = try text("token_use") {
            guard let use = TokenIssuer.Use(rawValue: use) else { throw refused("token_use", "access or id") }
            issuer.use = use
        }
        issuer.types = try texts("types").map { Set($0.map { $0.lowercased() }) }
        if let claim = try text("subject_claim") { issuer.subjectClaim = ExactString(claim) }
        if let claim = try text("scope_claim") { issuer.scopeClaim = ExactString(claim) }
        issuer.groupsClaim = try text("groups_claim").map { ExactString($0) }
        issuer.namePrefix = try text("prefix")
        issuer.checksAuthorizedParty = json["authorized_party"]?.isTrue ?? false
        issuer.skew = try skew() ?? issuer.skew
        return IssuerSettings(issuer, try location(names))
    }

    private func algorithms() throws(SecurityConfigurationError) -> Set<SignatureAlgorithm> {
        guard let names = try texts("algorithms") else { return Set(SignatureAlgorithm.allCases) }
        let known = names.compactMap { SignatureAlgorithm(rawValue: $0) }
        guard known.count == names.count else {
            throw refused("algorithms", "of " + SignatureAlgorithm.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return Set(known)
    }

    private func skew() throws(SecurityConfigurationError) -> Duration? {
        guard let value = json["skew_seconds"] else { return nil }
        guard case .number(let text) = value, let seconds = Int(text), (0...IssuerFile.maxSkewSeconds).contains(seconds)
        else { throw refused("skew_seconds", "a whole number from 0 to \(IssuerFile.maxSkewSeconds)") }
        return .seconds(seconds)
    }

    private func location(_ names: [String]) throws(SecurityConfigurationError) -> KeyLocation {
        if let text = try text("jwks") {
            guard let location = KeyLocation(text) else { throw refused("jwks", KeyLocation.expected) }
            return location
        }
        guard let address = names.lazy.compactMap({ KeyAddress($0) }).first else {
            throw refused("issuer", "\(KeyLocation.expected), for discovery; or set jwks")
        }
        return .discovery(issuer: address)
    }
}

extension KeyLocation {
    /// What an address of keys may be, for errors.
    public static let expected = "https://HOST/PATH, file:///PATH, or http:// to this machine alone"
}
