public import KafkaModel

/// AWS Signature Version 4 from the server's side: whether a request was signed by who holds a key's secret.
///
/// Source: "Signature Version 4 signing process" of the AWS General Reference. Signing by query, session tokens and
/// unsigned payloads are refused.
public struct SigV4Verifier: Sendable {
    /// Of the Authorization header; SDKs send about 300.
    public static let maxAuthorizationBytes = 4_096
    /// Of the signed ones; SDKs sign five or six.
    public static let maxSignedHeaders = 64
    /// Of a region and a service, which are part of what is cached: AWS's have less than 20.
    static let maxScopeBytes = 64
    static let algorithm = "AWS4-HMAC-SHA256"

    /// What an access key stands for.
    public struct Credential: Sendable {
        public let secret: Secret
        /// Changes with the secret: part of the signing key's place in the cache.
        public let epoch: UInt64

        public init(secret: Secret, epoch: UInt64) {
            self.secret = secret
            self.epoch = epoch
        }
    }

    public struct Identity: Hashable, Sendable {
        public let accessKey: ExactString
        public let region: String
    }

    public enum Refusal: Error, Hashable, Sendable {
        case missing
        case malformed
        case unknownKey
        case wrongSignature
        /// With the text that SDKs read for their clock.
        case skewed(String)
    }

    let service: String
    let regions: Set<String>?
    let hosts: [String]
    /// 15 minutes for SQS, 5 for the others.
    let tolerance: Duration

    /// `regions` nil accepts any. `hosts` are tried in place of the header's, for a proxy may have written another.
    public init(service: String, regions: Set<String>? = nil, hosts: [String] = []) {
        self.service = service
        self.regions = regions
        self.hosts = hosts
        tolerance = service == "sqs" ? .seconds(900) : .seconds(300)
    }

    /// `credential` is nil for an unknown, disabled or expired key.
    public func verify(
        _ request: SigV4Request, now: UnixTime, keys: inout SigningKeyCache, credential: (ExactString) -> Credential?
    ) throws(Refusal) -> Identity {
        guard request.isPlain else { throw .malformed }
        let authorization = try SigV4Authorization(request)
        guard authorization.service == service, regions?.contains(authorization.region) ?? true else {
            throw .malformed
        }
        let dateText = request.values(of: authorization.dateHeader)[0]
        guard let time = BasicDate.parse(dateText), dateText.hasPrefix(authorization.day) else { throw .malformed }
        guard request.values(of: "x-amz-security-token").isEmpty, let credential = credential(authorization.accessKey)
        else { throw .unknownKey }
        if let text = skew(of: time, dateText, now: now) { throw .skewed(text) }
        // Unsigned and chunked payloads name no hash, and so no body that could be checked.
        let hashes = request.values(of: "x-amz-content-sha256")
        guard hashes.allSatisfy({ $0 == Hexadecimal.encode(request.bodyHash) }) else { throw .wrongSignature }

        guard let canonical = request.canonical(signedHeaders: authorization.signedHeaders) else { throw .malformed }
        let key = keys.key(for: authorization, credential)
        let isRight = candidates(of: request.values(of: "host")[0]).contains { host in
            let canonical = canonical.head + SigV4Request.collapsed(host) + canonical.tail
            let toSign = [
                Self.algorithm, dateText, authorization.scope,
                Hexadecimal.encode(HashAlgorithm.sha256.hash(canonical.utf8)),
            ].joined(separator: "\n")
            return ConstantTime.equal(HashAlgorithm.sha256.hmac(key: key, toSign.utf8), authorization.signature)
        }
        guard isRight else { throw .wrongSignature }
        keys.keep(key, for: authorization, credential)
        return Identity(accessKey: authorization.accessKey, region: authorization.region)
    }

    /// In AWS's words; nil within the tolerance.
    private func skew(of time: UnixTime, _ text: String, now: UnixTime) -> String? {
        let minutes = tolerance.milliseconds / 60_000
        if now - time > tolerance {
            let limit = BasicDate.text(now - tolerance)
            return "Signature expired: \(text) is now earlier than \(limit) (\(BasicDate.text(now)) - \(minutes) min.)"
        }
        if time - now > tolerance {
            let limit = BasicDate.text(now + tolerance)
            return
                "Signature not yet current: \(text) is still later than \(limit) (\(BasicDate.text(now)) + \(minutes) min.)"
        }
        return nil
    }

    /// The header's, the same with a default port added or removed, and the configured ones.
    private func candidates(of host: String) -> [String] {
        var candidates = [host]
        let ports = [":443", ":80"]
        if let port = ports.first(where: host.hasSuffix) {
            candidates.append(String(host.dropLast(port.count)))
        } else if !host.contains(":") || host.hasSuffix("]") {
            candidates += ports.map { host + $0 }
        }
        return candidates + hosts
    }
}

/// The Authorization header, taken apart.
struct SigV4Authorization {
    let accessKey: ExactString
    let day: String
    let region: String
    let service: String
    let signedHeaders: [String]
    let signature: [UInt8]
    /// `x-amz-date`, or `date` without it.
    let dateHeader: String

    var scope: String { "\(day)/\(region)/\(service)/aws4_request" }

    init(_ request: SigV4Request) throws(SigV4Verifier.Refusal) {
        let lines = request.values(of: "authorization")
        let isSignedByQuery = (request.query ?? "").lowercased().contains("x-amz-signature=")
        guard !isSignedByQuery else { throw .malformed }
        guard let line = lines.first else { throw .missing }
        guard lines.count == 1, line.utf8.count <= SigV4Verifier.maxAuthorizationBytes,
            line.hasPrefix(SigV4Verifier.algorithm + " ")
        else { throw .malformed }
        var fields: [String: String] = [:]
        for field in line.dropFirst(SigV4Verifier.algorithm.count + 1).split(
            separator: ",", omittingEmptySubsequences: false)
        {
            let parts = field.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, fields.updateValue(parts[1].trimmingBlanks, forKey: parts[0].trimmingBlanks) == nil
            else { throw .malformed }
        }
        guard fields.count == 3,
            let scope = fields["Credential"]?.split(separator: "/", omittingEmptySubsequences: false),
            let names = fields["SignedHeaders"]?.split(separator: ";", omittingEmptySubsequences: false).map(
                String.init),
            let signature = fields["Signature"], signature.utf8.count == 64, signature == signature.lowercased(),
            let bytes = Hexadecimal.decode(signature.utf8), scope.count == 5, scope[4] == "aws4_request",
            !scope.contains(where: \.isEmpty), scope[1].utf8.count == 8, scope[2...3].allSatisfy(Self.isScopeName)
        else { throw .malformed }
        accessKey = ExactString(String(scope[0]))
        (day, region, service) = (String(scope[1]), String(scope[2]), String(scope[3]))
        signedHeaders = names
        self.signature = bytes
        dateHeader = request.values(of: "x-amz-date").isEmpty ? "date" : "x-amz-date"
        guard Self.isCovering(names, dateHeader, request) else { throw .malformed }
    }

    private static func isScopeName(_ text: Substring) -> Bool {
        text.utf8.count <= SigV4Verifier.maxScopeBytes
            && text.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
    }

    /// Sorted, each once and there; host, the date, and every x-amz-* among them.
    private static func isCovering(_ names: [String], _ date: String, _ request: SigV4Request) -> Bool {
        guard names.count <= SigV4Verifier.maxSignedHeaders, zip(names, names.dropFirst()).allSatisfy({ $0 < $1 }),
            names.allSatisfy({ name in name == name.lowercased() && !request.values(of: name).isEmpty }),
            names.contains("host"), names.contains(date), request.values(of: "host").count == 1,
            request.values(of: date).count == 1
        else { return false }
        return request.headers.allSatisfy { !$0.name.hasPrefix("x-amz-") || names.contains($0.name) }
    }
}

/// Signing keys already derived: four HMACs saved for each request of a day.
public struct SigningKeyCache: Sendable {
    /// Emptied at the bound: a key takes four HMACs to derive again.
    public static let maxKeys = 1_024

    private struct Place: Hashable {
        let accessKey: ExactString
        let epoch: UInt64
        let scope: String
    }

    private var keys: [Place: Secret] = [:]

    public init() {}

    public var count: Int { keys.count }

    func key(for authorization: SigV4Authorization, _ credential: SigV4Verifier.Credential) -> Secret {
        keys[Self.place(authorization, credential)]
            ?? Self.derive(
                credential.secret, day: authorization.day, region: authorization.region, service: authorization.service)
    }

    /// Called once the signature was right: who only knows a key's id, which is no secret, fills nothing.
    mutating func keep(
        _ key: Secret, for authorization: SigV4Authorization, _ credential: SigV4Verifier.Credential
    ) {
        let place = Self.place(authorization, credential)
        guard keys[place] == nil else { return }
        if keys.count >= Self.maxKeys { keys.removeAll() }
        keys[place] = key
    }

    private static func place(_ authorization: SigV4Authorization, _ credential: SigV4Verifier.Credential) -> Place {
        Place(accessKey: authorization.accessKey, epoch: credential.epoch, scope: authorization.scope)
    }

    /// HMAC of the day under "AWS4" and the secret, of the region under that, and so on.
    public static func derive(_ secret: Secret, day: String, region: String, service: String) -> Secret {
        var first = Array("AWS4".utf8) + secret.withBytes { Array($0) }
        defer { Secret.wipe(&first) }
        var key = HashAlgorithm.sha256.hmac(key: first, day.utf8)
        for part in [region, service, "aws4_request"] {
            let next = HashAlgorithm.sha256.hmac(key: key, part.utf8)
            Secret.wipe(&key)
            key = next
        }
        return Secret(wiping: &key)
    }
}

/// How the services of AWS name a refusal: what their SDKs look for.
public enum SigV4Dialect: Sendable, CaseIterable {
    /// The code stands in `__type` and in `x-amzn-query-error`.
    case sqs
    /// JSON 1.1 of Kinesis: always 400.
    case kinesis

    public func status(of refusal: SigV4Verifier.Refusal) -> Int {
        if self == .kinesis { return 400 }
        return refusal == .malformed ? 400 : 403
    }

    public func code(of refusal: SigV4Verifier.Refusal) -> String {
        switch (refusal, self) {
        case (.missing, .sqs): "MissingAuthenticationToken"
        case (.missing, .kinesis): "MissingAuthenticationTokenException"
        case (.malformed, .sqs): "IncompleteSignature"
        case (.malformed, .kinesis): "IncompleteSignatureException"
        case (.unknownKey, .sqs): "InvalidClientTokenId"
        case (.unknownKey, .kinesis): "UnrecognizedClientException"
        case (.wrongSignature, .sqs), (.skewed, .sqs): "SignatureDoesNotMatch"
        case (.wrongSignature, .kinesis), (.skewed, .kinesis): "InvalidSignatureException"
        }
    }

    /// Of an ACL's refusal. Without DESCRIBE a queue is not there.
    public func accessRefusal(isVisible: Bool) -> (status: Int, code: String) {
        switch self {
        case .sqs: isVisible ? (403, "AccessDenied") : (400, "QueueDoesNotExist")
        case .kinesis: (400, "AccessDeniedException")
        }
    }
}
