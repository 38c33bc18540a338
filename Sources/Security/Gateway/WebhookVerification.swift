import ByteBuffers

/// The check of one webhook while its body arrives: headers first, then the body in pieces, then the answer.
public final class WebhookVerification {
    /// While a secret is replaced there are two.
    public static let maxSecrets = 2
    /// In one header; Stripe and Standard Webhooks send two while they rotate. More is refused.
    public static let maxSignatures = 8
    /// Of a body under Ed25519, whose signatures are about the whole message at once: each is a pass over it, with each key, when it
    /// is here, and what makes one message of it is a copy for as long. Four passes over so much take a millisecond; senders of
    /// webhooks stay below 64 KiB. A longer body is refused.
    public static let maxEdBodyBytes = 128 << 10
    /// Of Ed25519 in one header. Standard Webhooks sends two while it rotates.
    public static let maxEdSignatures = 2
    /// Of a signed id; senders' have about 30.
    public static let maxIDBytes = 256
    /// A time has as many digits at most: seconds until the year 33658.
    static let maxTimestampDigits = 12

    /// Why not. All but one are answered by 401 with one body; the difference is for the metric and the audit.
    public enum Refusal: String, Error, Hashable, Sendable, CaseIterable {
        case missingHeader, repeatedHeader, malformedHeader, wrongSignature, tooOld, inTheFuture, tooLong
        /// 415: the sender signs what it sends, we would store something else.
        case contentEncoded

        public var status: Int { self == .contentEncoded ? 415 : self == .tooLong ? 413 : 401 }
    }

    /// What is remembered of a request that is signed, so that a repeat is known.
    public struct Acceptance: Hashable, Sendable {
        /// SHA-256 of what was signed, under the first secret where there is one: the same for each repeat, as long as the route's
        /// first secret is. Ids of senders do not do: GitHub's and Shopify's are not signed, so that who repeats a request can
        /// write another, and Slack and Stripe send none.
        public let digest: [UInt8]
    }

    /// What one sender signs with. Made where the configuration is read, so that no request finds an empty secret.
    public struct Keys: Sendable {
        let secrets: [Secret]
        let publicKeys: [PublicKey]

        public init(
            secrets: [Secret], publicKeys: [PublicKey] = []
        ) throws(SecurityConfigurationError) {
            func error(_ expected: String) -> SecurityConfigurationError {
                SecurityConfigurationError(
                    key: "webhook secrets", value: "(\(secrets.count) secrets)", expected: expected)
            }
            guard secrets.count <= maxSecrets, publicKeys.count <= maxSecrets else {
                throw error("at most \(maxSecrets) secrets and as many public keys")
            }
            guard !secrets.isEmpty || !publicKeys.isEmpty else { throw error("a secret or a public key") }
            guard !secrets.contains(where: \.isEmpty) else { throw error("secrets that are not empty") }
            guard publicKeys.allSatisfy({ $0.algorithm == .edDSA }) else { throw error("Ed25519 keys") }
            self.secrets = secrets
            self.publicKeys = publicKeys
        }
    }

    private let scheme: WebhookScheme
    private let codes: [StreamingHMAC]
    private let publicKeys: [PublicKey]
    private let signatures: [[UInt8]]
    private let edSignatures: [[UInt8]]
    private let timestamp: String?
    private let id: String?
    private let method: String
    private let path: String

    /// `headers` gives all values of a lower-case name.
    public init(
        _ scheme: WebhookScheme, keys: Keys, method: String, path: String, headers: (String) -> [String]
    ) throws(Refusal) {
        func one(_ name: String) throws(Refusal) -> String {
            let values = headers(name)
            guard values.count <= 1 else { throw .repeatedHeader }
            guard let value = values.first, !value.isEmpty else { throw .missingHeader }
            return value
        }
        guard headers("content-encoding").isEmpty else { throw .contentEncoded }
        let header = try one(scheme.signatureHeader)
        // Of visible ASCII and blanks every character is one byte.
        guard header.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else { throw .malformedHeader }
        let parsed = try Self.parse(header, scheme)
        signatures = parsed.signatures
        edSignatures = keys.publicKeys.isEmpty ? [] : parsed.edSignatures
        // Nothing that could fit: the body need not be read.
        guard !signatures.isEmpty || !edSignatures.isEmpty else { throw .wrongSignature }
        timestamp = if let name = scheme.timestampHeader { try one(name) } else { parsed.timestamp }
        id = if let name = scheme.idHeader { try one(name) } else { nil }
        if let name = scheme.deliveryHeader { _ = try one(name) }
        if let id, id.utf8.count > Self.maxIDBytes || !id.utf8.allSatisfy(WebhookScheme.isIDByte) {
            throw .malformedHeader
        }
        if let timestamp, !Self.isTime(timestamp) { throw .malformedHeader }
        guard scheme.tolerance == nil || timestamp != nil else { throw .malformedHeader }
        self.scheme = scheme
        self.method = method
        self.path = path
        publicKeys = keys.publicKeys
        codes = keys.secrets.map { StreamingHMAC(scheme.algorithm, key: $0) }
        for piece in piecesBeforeBody { feed(piece) }
    }

    /// The longest body that can be right; nil: any.
    public var maxBodyBytes: Int? { edSignatures.isEmpty ? nil : Self.maxEdBodyBytes }

    /// The next bytes of the body.
    public func update(_ bytes: UnsafeRawBufferPointer) {
        for code in codes { code.update(bytes) }
    }

    /// After the last byte. The signature first, then the time: what is not signed has no time.
    ///
    /// - Parameter body: all of it, once more, for what cannot be looked at in pieces.
    public func finish(now: UnixTime, body: UnsafeRawBufferPointer) throws(Refusal) -> Acceptance {
        if let maxBodyBytes, body.count > maxBodyBytes { throw .tooLong }
        for piece in piecesBehindBody { feed(piece) }
        guard let digest = digestOfSigned(body) else { throw .wrongSignature }
        if let tolerance = scheme.tolerance, let seconds = timestamp.flatMap({ Int64($0) }) {
            let age = now - UnixTime(seconds: seconds)
            if age > tolerance { throw .tooOld }
            if .zero - age > tolerance { throw .inTheFuture }
        }
        return Acceptance(digest: digest)
    }

    /// Nil when no signature is right.
    private func digestOfSigned(_ body: UnsafeRawBufferPointer) -> [UInt8]? {
        let made = codes.map { $0.finish() }
        let whole = edSignatures.isEmpty ? [] : message(body)
        // Every secret with every signature, to the end.
        var isSigned = false
        for code in made {
            for signature in signatures where ConstantTime.equal(code, signature) { isSigned = true }
        }
        // Of these nothing is secret.
        isSigned =
            isSigned || publicKeys.contains { key in edSignatures.contains { key.verifies($0, of: whole) } }
        // By the first secret, whichever signature is right: the header is not signed, and who repeats a request chooses
        // which of its signatures are left.
        return isSigned ? HashAlgorithm.sha256.hash(made.first ?? whole) : nil
    }

    /// What is signed, in one.
    private func message(_ body: UnsafeRawBufferPointer) -> [UInt8] {
        var message: [UInt8] = []
        message.reserveCapacity(body.count + Self.maxIDBytes)
        for piece in scheme.pieces {
            if piece == .body { message += body } else if let text = text(of: piece) { message += text.utf8 }
        }
        return message
    }

    private var piecesBeforeBody: ArraySlice<WebhookScheme.Piece> { scheme.pieces.prefix { $0 != .body } }

    private var piecesBehindBody: ArraySlice<WebhookScheme.Piece> {
        scheme.pieces.drop { $0 != .body }.dropFirst()
    }

    private func feed(_ piece: WebhookScheme.Piece) {
        guard let text = text(of: piece) else { return }
        for code in codes { code.update(Array(text.utf8)) }
    }

    /// nil: the piece is the body, or is not there.
    private func text(of piece: WebhookScheme.Piece) -> String? {
        switch piece {
        case .text(let text): text
        case .timestamp: timestamp
        case .id: id
        case .method: method
        case .path: path
        case .body: nil
        }
    }

    private static func isTime(_ text: String) -> Bool {
        (1...maxTimestampDigits).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    private static let ed25519Bytes = 64

    private struct Parsed {
        var signatures: [[UInt8]] = []
        var edSignatures: [[UInt8]] = []
        var timestamp: String?
    }

    /// A signature of another length than the hash's is left out: it is no match.
    private static func parse(_ header: String, _ scheme: WebhookScheme) throws(Refusal) -> Parsed {
        var parsed = Parsed()
        switch scheme.form {
        case .single(let prefix, let encoding):
            guard header.utf8.starts(with: prefix.utf8) else { throw .malformedHeader }
            let text = header.utf8.dropFirst(prefix.utf8.count)
            guard let bytes = encoding == .hex ? Hexadecimal.decode(text) : Base64.decode(text) else {
                throw .malformedHeader
            }
            parsed.signatures = [bytes]
        case .timed:
            for pair in header.split(separator: ",", omittingEmptySubsequences: false) {
                let parts = pair.split(separator: "=", maxSplits: 1).map { Substring($0).trimmingBlanks }
                guard parts.count == 2 else { throw .malformedHeader }
                switch parts[0] {
                case "t":
                    guard parsed.timestamp == nil else { throw .malformedHeader }
                    parsed.timestamp = parts[1]
                case "v1":
                    guard let bytes = Hexadecimal.decode(parts[1].utf8) else { throw .malformedHeader }
                    parsed.signatures.append(bytes)
                default: continue
                }
            }
        case .versioned:
            for entry in header.split(separator: " ") {
                let parts = entry.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2 else { throw .malformedHeader }
                guard parts[0] == "v1" || parts[0] == "v1a" else { continue }
                guard let bytes = Base64.decode(parts[1].utf8) else { throw .malformedHeader }
                if parts[0] == "v1" { parsed.signatures.append(bytes) } else { parsed.edSignatures.append(bytes) }
            }
        }
        guard parsed.signatures.count <= maxSignatures, parsed.edSignatures.count <= maxEdSignatures else {
            throw .malformedHeader
        }
        parsed.edSignatures.removeAll { $0.count != ed25519Bytes }
        parsed.signatures.removeAll { $0.count != scheme.algorithm.byteCount }
        return parsed
    }
}
