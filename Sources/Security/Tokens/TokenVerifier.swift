import ByteBuffers
public import KafkaModel

/// JSON Web Tokens: whether one is a known issuer's, unchanged, for us, and in time.
///
/// The algorithm is the key's; what the header says has to agree with it. Keys come from the issuer's configured set
/// alone: `jku`, `jwk`, `x5u` and `x5c` in a header are not looked at. Source: RFC 7519, RFC 7515, RFC 8725, RFC 9068.
public struct TokenVerifier: Sendable {
    /// Real ones have 1 to 2 KiB.
    public static let maxTokenBytes = 8_192
    /// Real ones have less than twenty; each is kept for as long as the token is remembered.
    public static let maxScopes = 64

    public let issuers: [TokenIssuer]
    /// Ids (`jti`) of tokens that were taken back.
    public let denied: Set<ExactString>

    /// Throws when two issuers could name the same user or group, or claim the same `iss`.
    public init(issuers: [TokenIssuer], denied: Set<ExactString> = []) throws(SecurityConfigurationError) {
        for (index, issuer) in issuers.enumerated() {
            for other in issuers[..<index] {
                func error(_ expected: String) -> SecurityConfigurationError {
                    let names = (issuer.names.map(\.text) + other.names.map(\.text)).sorted().joined(separator: ", ")
                    return SecurityConfigurationError(key: "token issuers", value: names, expected: expected)
                }
                guard issuer.names.isDisjoint(with: other.names) else { throw error("each name once") }
                let (one, two) = (ExactString(issuer.namePrefix ?? ""), ExactString(other.namePrefix ?? ""))
                guard !one.hasPrefix(two), !two.hasPrefix(one) else {
                    throw error("a prefix for the users of each, none of which begins with another")
                }
            }
        }
        self.issuers = issuers
        self.denied = denied
    }

    private init(checked issuers: [TokenIssuer], denied: Set<ExactString>) {
        self.issuers = issuers
        self.denied = denied
    }

    /// The same with other keys of one issuer.
    public func replacing(_ keys: JSONWebKeySet, ofIssuer index: Int) -> TokenVerifier {
        var issuers = issuers
        issuers[index].keys = keys
        return TokenVerifier(checked: issuers, denied: denied)
    }

    /// Which issuer a token says that it is of, whether that is so or not: whose keys are worth fetching again.
    public func claimedIssuer(of token: some Collection<UInt8>) -> Int? {
        guard token.count <= Self.maxTokenBytes else { return nil }
        let parts = token.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let bytes = Base64.decodeURL(parts[1]),
            let name = StrictJSON(parsing: bytes)?["iss"]?.text.map({ ExactString($0) })
        else { return nil }
        return issuers.firstIndex { $0.names.contains(name) }
    }

    /// Takes up to 0.3 ms: the signature.
    public func verify(_ token: some Collection<UInt8>, now: UnixTime) throws(TokenRefusal) -> TokenIdentity {
        let copy = Secret(copying: Array(token)[...])
        return try copy.withBytes { bytes throws(TokenRefusal) in try verify(bytes, now: now) }
    }

    /// Nothing of the token by which somebody could make it again is left behind: its signature is wiped.
    public func verify(_ token: UnsafeRawBufferPointer, now: UnixTime) throws(TokenRefusal) -> TokenIdentity {
        guard token.count <= Self.maxTokenBytes else { throw .tooLong }
        let parts = token.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, var signature = Base64.decodeURL(parts[2]) else { throw .malformed }
        defer { Secret.wipe(&signature) }
        guard let headerBytes = Base64.decodeURL(parts[0]), let claimBytes = Base64.decodeURL(parts[1]),
            let header = StrictJSON(parsing: headerBytes), let claims = StrictJSON(parsing: claimBytes),
            case .object = header, case .object = claims
        else { throw .malformed }

        // Exact: "none" in any case is no name of these, nor is any HMAC's.
        guard let algorithm = header["alg"]?.text.flatMap({ SignatureAlgorithm(rawValue: $0) }) else {
            throw .algorithm
        }
        guard header["crit"] == nil, header["b64"] == nil else { throw .critical }
        let keyID = header["kid"]?.text.map { ExactString($0) }
        guard header["kid"] == nil || keyID.map(JSONWebKeySet.isID) ?? false else { throw .malformed }

        guard let name = claims["iss"]?.text.map({ ExactString($0) }),
            let issuer = issuers.first(where: { $0.names.contains(name) })
        else { throw .unknownIssuer }
        guard issuer.algorithms.contains(algorithm) else { throw .algorithm }
        if let types = issuer.types {
            guard let type = header["typ"]?.text?.lowercased(), types.contains(type) else { throw .type }
        }
        guard let key = issuer.keys.key(id: keyID, algorithm: algorithm) else { throw .unknownKey }
        let signed = token[..<parts[1].endIndex]
        guard key.verifies(signature, of: UnsafeRawBufferPointer(rebasing: signed)) else { throw .wrongSignature }
        return try identity(claims, issuer, name, keyID, now: now)
    }

    private func identity(
        _ claims: StrictJSON, _ issuer: TokenIssuer, _ name: ExactString, _ keyID: ExactString?, now: UnixTime
    ) throws(TokenRefusal) -> TokenIdentity {
        let expiry = try Self.checkTimes(claims, skew: issuer.skew, now: now)
        try Self.checkAudience(claims, issuer)
        guard let subject = claims[issuer.subjectClaim]?.text, !subject.isEmpty else { throw .subject }
        let isVerified = claims["email_verified"]?.isTrue ?? false
        guard issuer.subjectClaim != "email" || isVerified else { throw .subject }
        let prefix = issuer.namePrefix ?? ""
        var groups: [String] = []
        if let claim = issuer.groupsClaim, let value = claims[claim] {
            guard case .array = value, let texts = value.texts, texts.count <= AccessSubject.maxGroups else {
                throw .groups
            }
            groups = texts
        }
        let scopes = try Self.scopes(claims[issuer.scopeClaim])
        guard groups.count + scopes.count <= AccessSubject.maxGroups else { throw .groups }
        let tokenID = claims["jti"]?.text.map { ExactString($0) }
        if let tokenID, denied.contains(tokenID) { throw .denied }
        return TokenIdentity(
            issuer: name, subject: ExactString(subject), principal: .user(prefix + subject),
            groups: groups.map { .group(prefix + $0) }, scopes: scopes.map { .scope(prefix + $0) }, expiry: expiry,
            tokenID: tokenID, keyID: keyID, email: isVerified ? claims["email"]?.text : nil)
    }

    private static func checkTimes(
        _ claims: StrictJSON, skew: Duration, now: UnixTime
    ) throws(TokenRefusal) -> UnixTime {
        func time(_ name: ExactString) throws(TokenRefusal) -> UnixTime? {
            guard let value = claims[name] else { return nil }
            guard let time = value.time else { throw .malformed }
            return time
        }
        guard let expiry = try time("exp") else { throw .noExpiry }
        if now - skew >= expiry { throw .expired }
        if let start = try time("nbf"), now + skew < start { throw .notYet }
        guard let issued = try time("iat") else { throw .noIssueTime }
        if now + skew < issued { throw .issuedLater }
        return expiry
    }

    private static func checkAudience(_ claims: StrictJSON, _ issuer: TokenIssuer) throws(TokenRefusal) {
        if let use = issuer.use {
            guard claims["token_use"]?.text == use.rawValue else { throw .use }
        }
        var audiences: [String] = []
        if let value = claims["aud"] {
            guard let texts = value.texts else { throw .malformed }
            audiences = texts
        } else if issuer.use == .access, let client = claims["client_id"]?.text {
            // Who names an audience means that one alone.
            audiences = [client]
        }
        guard audiences.contains(where: { issuer.audiences.contains(ExactString($0)) }) else { throw .audience }
        guard issuer.checksAuthorizedParty, audiences.count > 1 || claims["azp"] != nil else { return }
        guard let party = claims["azp"]?.text, issuer.audiences.contains(ExactString(party)) else {
            throw .authorizedParty
        }
    }

    /// No duplicates, no empty ones: Kafka's rule.
    private static func scopes(_ value: StrictJSON?) throws(TokenRefusal) -> [String] {
        guard let value else { return [] }
        var scopes: [String]
        if case .string(let text) = value {
            scopes = text.text.split(separator: " ").map(String.init)
        } else {
            guard let texts = value.texts else { throw .scopes }
            scopes = texts.map { Substring($0).trimmingBlanks }
        }
        guard scopes.count <= maxScopes, !scopes.contains(where: \.isEmpty),
            Set(scopes.map { ExactString($0) }).count == scopes.count
        else {
            throw .scopes
        }
        return scopes
    }

    /// Whether an Authorization header is a token without its scheme: three parts of base64url, nothing else. Taken for
    /// one only where a route allows it.
    public static func isBareToken(_ value: some Collection<UInt8>) -> Bool {
        let parts = value.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 3
            && parts.allSatisfy { part in
                !part.isEmpty
                    && part.allSatisfy { byte in
                        (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-")
                            || byte == UInt8(ascii: "_")
                    }
            }
    }
}

/// Tokens that one verifier found good, so that each signature is checked once.
public struct TokenCache: Sendable {
    /// Some 5 MB for tokens of 1 KiB, and 64 MB at the very most. Emptied at the bound: what comes again is checked again.
    public static let maxTokens = 4_096

    private struct Entry {
        let identity: TokenIdentity
        /// The token's end as the verifier takes it, the skew included.
        let end: UnixTime
    }

    /// Another one, for other issuers, keys or denied ids, empties the cache: what this one takes another may refuse.
    public var verifier: TokenVerifier {
        didSet {
            found.removeAll()
            generation += 1
        }
    }
    /// Grows with each verifier. What an earlier one has found is not remembered.
    public private(set) var generation = 0
    private var found: [[UInt8]: Entry] = [:]

    public init(_ verifier: TokenVerifier) { self.verifier = verifier }

    public var count: Int { found.count }

    /// What a token is known by here; made before the lock that a cache stands behind.
    public static func digest(_ token: some Collection<UInt8>) -> [UInt8] { HashAlgorithm.sha256.hash(token) }

    /// The identity of a token that was found good before and has not ended.
    public mutating func remembered(_ digest: [UInt8], now: UnixTime) -> TokenIdentity? {
        guard let known = found[digest] else { return nil }
        if now < known.end { return known.identity }
        found[digest] = nil
        return nil
    }

    /// Remembers what the verifier of `generation` has found.
    public mutating func insert(_ identity: TokenIdentity, _ digest: [UInt8], generation: Int) {
        guard generation == self.generation else { return }
        if found.count >= Self.maxTokens { found.removeAll() }
        let skew = verifier.issuers.first { $0.names.contains(identity.issuer) }?.skew ?? .zero
        found[digest] = Entry(identity: identity, end: identity.expiry + skew)
    }

    /// Verifies a token that is not remembered. Times are looked at anew.
    public mutating func identity(
        of token: some Collection<UInt8>, now: UnixTime
    ) throws(TokenRefusal) -> TokenIdentity {
        let digest = Self.digest(token)
        if let known = remembered(digest, now: now) { return known }
        let identity = try verifier.verify(token, now: now)
        insert(identity, digest, generation: generation)
        return identity
    }
}
