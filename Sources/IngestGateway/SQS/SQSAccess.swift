import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Security
import SQSWire

/// Who asks by SQS: whether a request was signed by one of the keys, and what of the gateway's refusals is called by SDKs of AWS.
enum SQSAccess {
    /// Looks at a signature; gives who has made it.
    static func asker(
        of request: SigV4Request, from address: NetworkAddress, _ gateway: Gateway
    ) -> Result<Asker, SQSError> {
        let access = gateway.broker.access
        let now = UnixTime(milliseconds: BrokerClock.wallMs())
        var record: GatewayKeyRecord?
        // Behind a proxy a request has another host than was signed: that of the addresses of queues, which clients were told.
        let verifier = SigV4Verifier(service: "sqs", hosts: hosts(of: gateway.options.sqsAddress))
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
            return .failure(SQSError(kind(of: error), words(error)))
        }
        guard let record else { preconditionFailure("a signature of no key was taken") }
        if record.lastUse.map({ now - $0 >= GatewayKeyRecord.useInterval }) ?? true {
            gateway.broker.admin.submit { [broker = gateway.broker] in broker.noteUse(of: [record.id]) }
        }
        return .success(Asker(AccessSubject(record.owner, address: address, scopes: record.scopes)))
    }

    private static func hosts(of address: String?) -> [String] {
        guard let address, let scheme = address.firstRange(of: "://") else { return [] }
        return [String(address[scheme.upperBound...].prefix { $0 != "/" })]
    }

    static func kind(of refusal: SigV4Verifier.Refusal) -> SQSError.Kind {
        switch refusal {
        case .missing: .missingAuthenticationToken
        case .malformed: .incompleteSignature
        case .unknownKey: .invalidClientTokenID
        case .wrongSignature, .skewed: .signatureDoesNotMatch
        }
    }

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

    static func kind(of kind: ProblemKind) -> SQSError.Kind {
        switch kind.status {
        case 401 where kind.code.utf8Start == ProblemKind.signatureInvalid.code.utf8Start: .invalidClientTokenID
        case 401: .missingAuthenticationToken
        case 403: .accessDenied
        case 404, 405: .invalidAction
        case 429, 503: .requestThrottled
        case 500...: .internalFailure
        default: .invalidParameterValue
        }
    }

    /// Of the metrics.
    static func label(_ kind: SQSError.Kind) -> StaticString {
        switch kind {
        case .queueDoesNotExist: "queue_not_found"
        case .requestThrottled: "throttled"
        case .internalFailure: "internal"
        case .accessDenied: "forbidden"
        case .signatureDoesNotMatch, .invalidClientTokenID, .missingAuthenticationToken, .incompleteSignature:
            "signature_invalid"
        case .overLimit: "over_limit"
        default: "sqs_refused"
        }
    }
}
