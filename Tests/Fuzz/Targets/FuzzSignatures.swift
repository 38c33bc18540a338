import ByteBuffers
import COpenSSL
import KafkaModel
import Security

/// What senders of signed requests, and those who claim to be one, send. The first byte says what the rest is; lines end at a zero byte:
/// 0: a sender, its header fields, a body: as they come, signed by nobody. 1: the same, signed by the test's secret behind what the input
/// says of time and id. 2: a request of AWS's. 3: Twilio's. 4: a header of the PROXY protocol. 5: what proxies say of a client. 6: an API
/// key and a password. 7: a certificate's subject and a rule for it.
@Sendable func fuzzSignatures(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    let mode = input.byte() % 8
    switch mode {
    case 0: verifyUnsigned(&input)
    case 1: verifySigned(&input)
    case 2: verifyRequest(&input)
    case 3:
        let lines = input.lines()
        insist(
            !TwilioSignature.isRight(
                lines.text(0), url: lines.text(1), body: .form(Array(lines.bytes(2))), secrets: [fuzzSecret]),
            "a signature by nobody is taken")
    case 4: readProxyHeader(Array(input.rest()))
    case 5:
        let kind: ForwardedAddress.Header = input.byte() & 1 == 0 ? .forwarded : .xForwardedFor
        let lines = input.lines()
        let socket = NetworkAddress(v4: 0x0a00_0001)
        let trusted = [NetworkRange("10.0.0.0/8")].compactMap { $0 }
        _ = ForwardedAddress(kind, trusted: trusted).client(socket: socket, lines: lines.all.map(\.text))
        insist(ForwardedAddress(kind, trusted: []).client(socket: socket, lines: lines.all.map(\.text)) == socket)
        if let address = NetworkAddress(lines.text(0)) {
            insist(NetworkAddress(address.description) == address, "\(address) is read as another")
        }
    case 6:
        let rest = Array(input.rest())
        if let key = GatewayKeyText(rest) { insist(rest.count == GatewayKeyText.length && key.hash.count == 32) }
        _ = BasicCredential(rest)
    default:
        let lines = input.lines()
        if let name = DistinguishedName.text(ofName: Array(lines.bytes(0))) {
            if let mapping = try? PrincipalMapping(parsing: lines.text(1)) {
                insist(mapping.name(for: name)?.isEmpty != true, "a rule gives an empty name")
            }
        }
        _ = DistinguishedName.text(ofSubjectOf: Array(lines.bytes(0)))
    }
    insist(ERR_peek_error() == 0, "an error was left for the next who asks")
}

private let fuzzSecret = Secret(copying: Array("a secret that no input holds".utf8)[...])
private let fuzzNow: Int64 = 1_614_265_330

private let schemes: [WebhookScheme] = [.github, .stripe, .shopify, .slack, .standard]

private let fuzzKeys: WebhookVerification.Keys = {
    guard let key = WebhookScheme.standardPublicKey("whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
        let keys = try? WebhookVerification.Keys(secrets: [fuzzSecret], publicKeys: [key])
    else { fatalError("the test's keys are refused") }
    return keys
}()

/// Fields come in the order of `WebhookScheme.fields`; one that is empty is not there.
private func verification(_ scheme: WebhookScheme, _ values: [String: String]) -> WebhookVerification? {
    try? WebhookVerification(scheme, keys: fuzzKeys, method: "POST", path: "/a") { name in
        values[name].flatMap { $0.isEmpty ? nil : [$0] } ?? []
    }
}

private func verifyUnsigned(_ input: inout Input) {
    let scheme = schemes[Int(input.byte()) % schemes.count]
    let lines = input.lines()
    let fields = scheme.fields
    let values = Dictionary(uniqueKeysWithValues: fields.enumerated().map { ($1, lines.text($0)) })
    guard let check = verification(scheme, values) else { return }
    let body = lines.bytes(fields.count)
    check.update(body)
    insist((try? check.finish(now: UnixTime(seconds: fuzzNow), body: body)) == nil, "a signature by nobody is taken")
}

/// What is signed rightly is taken in its time, whole and in pieces, and with another body by nobody.
private func verifySigned(_ input: inout Input) {
    let scheme = schemes[Int(input.byte()) % schemes.count]
    let away = Int64(input.uint16()) - 0x8000
    let cut = input.uint16()
    let body = Array(input.rest())
    let time = String(fuzzNow + away)
    let signed: [UInt8] = scheme.pieces.reduce(into: []) { signed, piece in
        switch piece {
        case .text(let text): signed += text.utf8
        case .timestamp: signed += time.utf8
        case .id: signed += "msg_1".utf8
        case .body: signed += body
        case .method, .path: break
        }
    }
    let code = HashAlgorithm.sha256.hmac(key: fuzzSecret, signed)
    let signature: String =
        switch scheme.form {
        case .single(let prefix, .hex): prefix + Hexadecimal.encode(code)
        case .single(let prefix, .base64): prefix + Base64.encode(code)
        case .timed: "t=\(time),v1=\(Hexadecimal.encode(code))"
        case .versioned: "v1,\(Base64.encode(code))"
        }
    var values = [scheme.signatureHeader: signature]
    if let name = scheme.timestampHeader { values[name] = time }
    if let name = scheme.idHeader ?? scheme.deliveryHeader { values[name] = "msg_1" }
    let isInTime = scheme.tolerance.map { .seconds(abs(away)) <= $0 } ?? true
    func isTaken(_ body: [UInt8], pieces: Bool) -> Bool {
        guard let check = verification(scheme, values) else { fatalError("sound header fields are refused: \(values)") }
        return body.withUnsafeBytes { body in
            let middle = pieces ? min(cut, body.count) : 0
            check.update(UnsafeRawBufferPointer(rebasing: body[..<middle]))
            check.update(UnsafeRawBufferPointer(rebasing: body[middle...]))
            return (try? check.finish(now: UnixTime(seconds: fuzzNow), body: body)) != nil
        }
    }
    insist(isTaken(body, pieces: false) == isInTime && isTaken(body, pieces: true) == isInTime, "at \(away) s")
    insist(!isTaken(body + [0], pieces: true), "a longer body is taken")
    if !body.isEmpty {
        var changed = body
        changed[cut % body.count] ^= 1
        insist(!isTaken(changed, pieces: false), "a changed body is taken")
    }
}

private func verifyRequest(_ input: inout Input) {
    let lines = input.lines()
    var keys = SigningKeyCache()
    let request = SigV4Request(
        method: lines.text(0), path: lines.text(1), query: lines.text(2),
        headers: [
            ("authorization", lines.text(3)), ("host", lines.text(4)), ("x-amz-date", lines.text(5)),
            (lines.text(6).lowercased(), lines.text(7)),
        ], bodyHash: HashAlgorithm.sha256.hash(lines.bytes(8)))
    let found = try? SigV4Verifier(service: "sqs").verify(request, now: UnixTime(seconds: 1_440_892_800), keys: &keys) { _ in
        SigV4Verifier.Credential(secret: fuzzSecret, epoch: 1)
    }
    insist(found == nil && keys.count == 0, "a signature by nobody is taken")
}

/// What is whole has its length, whatever follows; what is not whole is never taken for whole, nor for wrong and then right.
private func readProxyHeader(_ bytes: [UInt8]) {
    let outcome = ProxyHeader.parse(bytes)
    guard case .complete(let length, _) = outcome else { return }
    insist(length <= bytes.count && ProxyHeader.parse(bytes[..<length]) == outcome)
    for end in stride(from: 0, to: length, by: max(1, length / 16)) {
        insist(ProxyHeader.parse(bytes[..<end]) == .incomplete, "\(end) of \(length) bytes are a header")
    }
}

/// An input's lines.
private struct Lines {
    struct Line {
        let bytes: UnsafeRawBufferPointer
        var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    let all: [Line]

    func bytes(_ index: Int) -> UnsafeRawBufferPointer {
        index < all.count ? all[index].bytes : UnsafeRawBufferPointer(start: nil, count: 0)
    }

    func text(_ index: Int) -> String { String(decoding: bytes(index), as: UTF8.self) }
}

extension Input {
    /// What is left, at most sixteen of them.
    fileprivate mutating func lines() -> Lines {
        Lines(
            all: rest().split(separator: 0, maxSplits: 15, omittingEmptySubsequences: false).map {
                Lines.Line(bytes: UnsafeRawBufferPointer(rebasing: $0))
            })
    }
}
