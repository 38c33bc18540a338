import ByteBuffers

/// The check of one webhook while its body arrives: headers first, then the body in pieces, then the answer.
public final class WebhookVerification {
    /// While a secret is replaced there are two.
    public static let maxSecrets = 2
    /// In one header; Stripe and Standard Webhooks send two while they rotate. More is refused.
    public static let maxSignatures = 8
    /// Ed25519 needs the whole message at once, so it is collected. The gateway's own bound of a request is lower or
    /// the same; past this one the request is refused.
    public static let maxCollectedBytes = 16 << 20
    /// Of Ed25519 in one header: each is a pass over the whole body. Standard Webhooks sends two while it rotates.
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

    /// What the route's idempotency table has to remember.
    public struct Acceptance: Hashable, Sendable {
        /// Nil when the sender puts its id into the body. Where the signature does not cover it, a repeat can have another.
        public let deliveryID: String?
        /// SHA-256 of what was signed, under the first secret where there is one. To be remembered beside the id: it is the
        /// same for each repeat, as long as the route's first secret is.
        public let digest: [UInt8]
        public let memory: Duration
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
    private var collected: [UInt8]?
    private var isTooLong = false
    private let signatures: [[UInt8]]
    private let edSignatures: [[UInt8]]
    private let timestamp: String?
    private let id: String?
    private let deliveryID: String?
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
        deliveryID = if let name = scheme.deliveryHeader { try one(name) } else { id }
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
        collected = edSignatures.isEmpty ? nil : []
        for piece in scheme.pieces.prefix(while: { $0 != .body }) { feed(piece) }
    }

    /// The next bytes of the body.
    public func update(_ bytes: UnsafeRawBufferPointer) {
        for code in codes { code.update(bytes) }
        guard collected != nil else { return }
        if collected!.count + bytes.count > Self.maxCollectedBytes {
            isTooLong = true
        } else {
            collected!.append(contentsOf: bytes)
        }
    }

    /// After the last byte. The signature first, then the time: what is not signed has no time.
    public func finish(now: UnixTime) throws(Refusal) -> Acceptance {
        if isTooLong { throw .tooLong }
        for piece in scheme.pieces.drop(while: { $0 != .body }).dropFirst() { feed(piece) }
        guard let digest = digestOfSigned() else { throw .wrongSignature }
        guard let tolerance = scheme.tolerance, let seconds = timestamp.flatMap({ Int64($0) }) else {
            return Acceptance(deliveryID: deliveryID, digest: digest, memory: WebhookScheme.untimedMemory)
        }
        let age = now - UnixTime(seconds: seconds)
        if age > tolerance { throw .tooOld }
        if .zero - age > tolerance { throw .inTheFuture }
        return Acceptance(deliveryID: deliveryID, digest: digest, memory: tolerance + tolerance)
    }

    /// Nil when no signature is right.
    private func digestOfSigned() -> [UInt8]? {
        let made = codes.map { $0.finish() }
        // Every secret with every signature, to the end.
        var isSigned = false
        for code in made {
            for signature in signatures where ConstantTime.equal(code, signature) { isSigned = true }
        }
        // Of these nothing is secret.
        isSigned =
            isSigned
            || publicKeys.contains { key in edSignatures.contains { key.verifies($0, of: collected ?? []) } }
        // By the first secret, whichever signature is right: the header is not signed, and who repeats a request chooses
        // which of its signatures are left.
        return isSigned ? HashAlgorithm.sha256.hash(made.first ?? collected ?? []) : nil
    }

    private func feed(_ piece: WebhookScheme.Piece) {
        let text: String? =
            switch piece {
            case .text(let text): text
            case .timestamp: timestamp
            case .id: id
            case .method: method
            case .path: path
            case .body: nil
            }
        guard let text else { return }
        for code in codes { code.update(Array(text.utf8)) }
        collected?.append(contentsOf: text.utf8)
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
