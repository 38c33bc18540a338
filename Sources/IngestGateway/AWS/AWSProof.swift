import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Security

/// What a request to a service of AWS shows of who has made it: its origin, and, where that is still to be proved, what of its head
/// is signed. Asked for on a worker, once the body is there, which is always hashed.
struct AWSProof: Sendable {
    enum Refusal: Error {
        case signature(SigV4Verifier.Refusal)
        /// Who has signed it may not write as much now.
        case throttled
    }

    let origin: AWSOrigin
    private let service: AWSService
    private let path: String
    private let signed: SignedHead?

    private struct SignedHead: Sendable {
        let method: String
        let query: String?
        let fields: [(name: String, value: String)]
    }

    /// Of the request at hand.
    init(on loop: GatewayLoop, for service: AWSService) {
        guard let origin = loop.origin else { preconditionFailure("a request of AWS from nobody") }
        self.origin = origin
        self.service = service
        func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }
        path = text(loop.head.path)
        guard origin.needsSignature else {
            signed = nil
            return
        }
        var fields = (0..<loop.head.fieldCount).map {
            (name: text(loop.head.fieldName($0)), value: text(loop.head.fieldValue($0)))
        }
        // Of HTTP/2 it is `:authority` that was signed as the host.
        if loop.head[.host] == nil { fields.append(("host", text(loop.head.authority))) }
        signed = SignedHead(
            method: loop.head.method.name.description,
            query: loop.head.query.isEmpty ? nil : text(loop.head.query), fields: fields)
    }

    /// Who has made the request; nil: nobody is asked.
    func asker(of body: UnsafeRawBufferPointer, _ gateway: Gateway) throws(Refusal) -> Asker? {
        guard let signed else { return origin.asker }
        let asker = try signer(
            SigV4Request(
                method: signed.method, path: path, query: signed.query, headers: signed.fields,
                bodyHash: HashAlgorithm.sha256.hash(body)), gateway)
        // Asked only now: else anybody could use up what the key's owner may write.
        var client = QuotaClient()
        let user = asker.registered.subject.principal.name
        let nowMs = MonotonicClock.nanoseconds / 1_000_000
        guard gateway.broker.admitProduce(body.count, of: user, client: &client, nowMs: nowMs) == nil else {
            throw .throttled
        }
        return asker
    }

    /// Looks at the signature; gives who has made it.
    private func signer(_ request: SigV4Request, _ gateway: Gateway) throws(Refusal) -> Asker {
        let access = gateway.broker.access
        let now = UnixTime(milliseconds: BrokerClock.wallMs())
        var record: GatewayKeyRecord?
        // Behind a proxy a request has another host than was signed: that of the addresses of queues, which clients were told.
        let verifier = SigV4Verifier(service: service.name, hosts: Self.hosts(of: gateway.options.sqsAddress))
        do throws(SigV4Verifier.Refusal) {
            // One at a time: of a key that was used before it is two hashes of some hundred bytes.
            _ = try gateway.signingKeys.withLock { keys throws(SigV4Verifier.Refusal) in
                try verifier.verify(request, now: now, keys: &keys) { name in
                    guard let id = SigningKey.id(ofName: name.text), let found = access.keys[id], !found.isDisabled,
                        found.expiry.map({ now < $0 }) ?? true, let secret = gateway.broker.signingSecret(of: found)
                    else { return nil }
                    record = found
                    return SigV4Verifier.Credential(
                        secret: secret, epoch: UInt64(bitPattern: found.created.milliseconds))
                }
            }
        } catch {
            throw .signature(error)
        }
        guard let record else { preconditionFailure("a signature of no key was taken") }
        if record.lastUse.map({ now - $0 >= GatewayKeyRecord.useInterval }) ?? true {
            gateway.broker.admin.submit { [broker = gateway.broker] in broker.noteUse(of: [record.id]) }
        }
        return Asker(AccessSubject(record.owner, address: origin.address, scopes: record.scopes))
    }

    private static func hosts(of address: String?) -> [String] {
        guard let address, let scheme = address.firstRange(of: "://") else { return [] }
        return [String(address[scheme.upperBound...].prefix { $0 != "/" })]
    }

    static let throttledWords = "More bytes a second than producer_byte_rate allows."

    /// In AWS's words, which some SDKs read.
    static func words(_ refusal: SigV4Verifier.Refusal) -> String {
        switch refusal {
        case .missing: "Request is missing Authentication Token"
        case .malformed: "The request signature does not conform to AWS standards."
        case .unknownKey: "The security token included in the request is invalid."
        case .wrongSignature:
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
        case .skewed(let text): text
        }
    }
}
