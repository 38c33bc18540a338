import ByteBuffers

/// How one sender of webhooks signs them. The key is the secret's bytes, the body the bytes after the transfer coding
/// and before the content coding.
public struct WebhookScheme: Sendable {
    /// How the signatures stand in their header.
    public enum Form: Hashable, Sendable {
        /// One, after a fixed text: `sha256=…`.
        case single(prefix: String, Encoding)
        /// `t=…,v1=…,v1=…`: the time and any number of signatures in hex; other names are skipped. Stripe's.
        case timed
        /// `v1,… v1a,…`: by blanks; HMACs and Ed25519 in base64. Standard Webhooks'.
        case versioned
    }

    public enum Encoding: Hashable, Sendable { case hex, base64 }

    /// What is signed is these, one after another; the body exactly once.
    public enum Piece: Hashable, Sendable {
        case text(String)
        case timestamp, id, method, path, body
    }

    public let signatureHeader: String
    public let timestampHeader: String?
    /// Signed with the rest.
    public let idHeader: String?
    /// The sender's id of a delivery, which the signature does not cover.
    public let deliveryHeader: String?
    public let algorithm: HashAlgorithm
    public let form: Form
    public let pieces: [Piece]
    /// How far the time may be from ours, both ways.
    public let tolerance: Duration?

    private init(
        signature: String, timestamp: String? = nil, id: String? = nil, delivery: String? = nil,
        algorithm: HashAlgorithm = .sha256, form: Form, pieces: [Piece], tolerance: Duration? = nil
    ) {
        signatureHeader = signature
        timestampHeader = timestamp
        idHeader = id
        deliveryHeader = delivery
        self.algorithm = algorithm
        self.form = form
        self.pieces = pieces
        self.tolerance = tolerance
    }

    /// The SHA-1 header beside it is never looked at.
    public static let github = WebhookScheme(
        signature: "x-hub-signature-256", delivery: "x-github-delivery", form: .single(prefix: "sha256=", .hex),
        pieces: [.body])

    /// The id that tells a repeat is in the body.
    public static let stripe = WebhookScheme(
        signature: "stripe-signature", form: .timed, pieces: [.timestamp, .text("."), .body], tolerance: .seconds(300))

    public static let shopify = WebhookScheme(
        signature: "x-shopify-hmac-sha256", delivery: "x-shopify-webhook-id", form: .single(prefix: "", .base64),
        pieces: [.body])

    public static let slack = WebhookScheme(
        signature: "x-slack-signature", timestamp: "x-slack-request-timestamp", form: .single(prefix: "v0=", .hex),
        pieces: [.text("v0:"), .timestamp, .text(":"), .body], tolerance: .seconds(300))

    public static let standard = WebhookScheme(
        signature: "webhook-signature", timestamp: "webhook-timestamp", id: "webhook-id", form: .versioned,
        pieces: [.id, .text("."), .timestamp, .text("."), .body], tolerance: .seconds(300))

    /// Any other sender. Header names in any case. `template` is what is signed: text, and `{ts}`, `{id}`, `{method}`,
    /// `{path}`, `{body}`. Something has to tell a repeat: a time or an id, and what is named has to be in the
    /// template.
    public static func generic(
        signature: String, timestamp: String?, id: String?, algorithm: HashAlgorithm, prefix: String,
        encoding: Encoding,
        template: String, tolerance: Duration = .seconds(300)
    ) throws(SecurityConfigurationError) -> WebhookScheme {
        func error(_ expected: String) -> SecurityConfigurationError {
            SecurityConfigurationError(key: "webhook template", value: template, expected: expected)
        }
        guard algorithm != .sha1 else { throw error("SHA-256 or SHA-512") }
        guard let pieces = pieces(of: template) else {
            throw error("text and {ts}, {id}, {method}, {path}, {body} in braces")
        }
        guard pieces.count(where: { $0 == .body }) == 1 else { throw error("{body} once") }
        guard timestamp != nil || id != nil else { throw error("a timestamp or an id, against repeats") }
        guard (timestamp != nil) == pieces.contains(.timestamp), (id != nil) == pieces.contains(.id) else {
            throw error("{ts} and {id} where their headers are named, and only there")
        }
        guard areSeparated(pieces) else {
            throw error(
                "between two braces a text that begins with another character than letters, digits, '_' and '-'")
        }
        return WebhookScheme(
            signature: signature.lowercased(), timestamp: timestamp?.lowercased(), id: id?.lowercased(),
            algorithm: algorithm, form: .single(prefix: prefix, encoding), pieces: pieces,
            tolerance: timestamp == nil ? nil : tolerance)
    }

    /// The header fields that a request has to have, once each.
    public var fields: [String] { [signatureHeader, timestampHeader, idHeader, deliveryHeader].compactMap { $0 } }

    /// The same with another tolerance, where a time is signed.
    public func tolerating(_ tolerance: Duration) -> WebhookScheme {
        WebhookScheme(
            signature: signatureHeader, timestamp: timestampHeader, id: idHeader, delivery: deliveryHeader,
            algorithm: algorithm, form: form, pieces: pieces, tolerance: self.tolerance == nil ? nil : tolerance)
    }

    /// How long a request has to be remembered so that no repeat of it is taken: until its time, which may lie in the future, is too
    /// far away. nil: no time is signed, and a repeat is as good as the first for ever.
    public var memory: Duration? { tolerance.map { $0 + $0 } }

    /// Whether it can be told where one piece ends and the next begins: else a byte could move from one to the other under
    /// the same signature.
    private static func areSeparated(_ pieces: [Piece]) -> Bool {
        zip(pieces, pieces.dropFirst()).allSatisfy { piece, next in
            if case .text = piece { return true }
            guard case .text(let text) = next, let first = text.utf8.first else { return false }
            return !isIDByte(first)
        }
    }

    /// What the ids of senders are made of, so that no separator is among it.
    static func isIDByte(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "_")
            || byte == UInt8(ascii: "-")
    }

    /// Of the names of header fields that senders use.
    public static func isHeaderByte(_ byte: UInt8) -> Bool { isIDByte(byte) }

    private static func pieces(of template: String) -> [Piece]? {
        var pieces: [Piece] = []
        var rest = Substring(template)
        while let brace = rest.firstIndex(of: "{") {
            if brace > rest.startIndex { pieces.append(.text(String(rest[..<brace]))) }
            guard let end = rest[brace...].firstIndex(of: "}") else { return nil }
            switch rest[rest.index(after: brace)..<end] {
            case "ts": pieces.append(.timestamp)
            case "id": pieces.append(.id)
            case "method": pieces.append(.method)
            case "path": pieces.append(.path)
            case "body": pieces.append(.body)
            default: return nil
            }
            rest = rest[rest.index(after: end)...]
        }
        return rest.isEmpty ? pieces : pieces + [.text(String(rest))]
    }

    /// The key in a secret of Standard Webhooks: base64 after `whsec_`.
    public static func standardKey(_ text: Secret) -> Secret? {
        text.withBytes { text in
            guard text.starts(with: "whsec_".utf8), var bytes = Base64.decode(text.dropFirst(6)), !bytes.isEmpty else {
                return nil
            }
            return Secret(wiping: &bytes)
        }
    }

    /// The key in a public key of Standard Webhooks: base64 after `whpk_`.
    public static func standardPublicKey(_ text: String) -> PublicKey? {
        guard text.hasPrefix("whpk_"), let bytes = Base64.decode(text.utf8.dropFirst(5)) else { return nil }
        return PublicKey.ed25519(bytes)
    }
}
