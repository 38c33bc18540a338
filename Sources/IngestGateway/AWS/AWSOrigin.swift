import BrokerCore
import HTTPWire
import KafkaModel
import Security

/// Who has sent a request to a service of AWS, as far as its head says.
final class AWSOrigin: Sendable {
    let address: NetworkAddress
    /// It came by TLS.
    let isSecure: Bool
    /// Whom the head has shown; nil: the signature is still to be looked at, or nobody is asked.
    let asker: Asker?
    /// Nothing is done before the signature was found right.
    let needsSignature: Bool

    init(_ caller: Caller, asker: Asker?, needsSignature: Bool) {
        address = caller.address
        isSecure = caller.isSecure
        self.asker = asker
        self.needsSignature = needsSignature
    }
}

extension GatewayLoop {
    /// The service that the request at hand is for, whatever its path: by its target, or, of SQS, as a signed form.
    var awsService: AWSService? {
        guard head.method == .post else { return nil }
        guard let target = head[.amzTarget] else { return isSignedByAWS && mediaType() == .form ? .sqs : nil }
        return AWSService.allCases.first { service in
            let prefix = service.targetPrefix
            return target.starts(with: UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount))
        }
    }

    var isSignedByAWS: Bool { head[.authorization]?.starts(with: "AWS4-".utf8) ?? false }

    /// Why the request at hand is refused by its head; nil: `origin` says who has sent it.
    func identifyForAWS(_ caller: Caller) -> Identification? {
        guard let authentication = gateway.authentication else {
            origin = AWSOrigin(caller, asker: nil, needsSignature: false)
            return nil
        }
        if options.takesAnyAWSSignature, caller.isLocal {
            origin = AWSOrigin(caller, asker: caller.silent, needsSignature: false)
            return nil
        }
        guard isSignedByAWS else {
            let found = identify(caller, authentication)
            if case .known(let asker) = found {
                origin = AWSOrigin(caller, asker: asker, needsSignature: false)
                return nil
            }
            return found
        }
        if let problem = tooManyAttempts(caller) { return .refused(problem) }
        guard head[.apiKey] == nil else {
            return .refused(Problem(.invalidHeader, "A request has one credential, not two."))
        }
        // A key that is none of ours is refused before its body is waited for.
        guard let id = signingKeyID(), let record = broker.access.keys[id], record.signingSecret != nil else {
            countWrongSignature(caller.address)
            return .refused(Problem(.signatureInvalid, AWSProof.words(.unknownKey)))
        }
        origin = AWSOrigin(caller, asker: nil, needsSignature: true)
        return nil
    }

    func countWrongSignature(_ address: NetworkAddress) {
        countWrongCredential(address)
        audit("refused", who: nil, by: "AWS signature", from: address)
    }

    /// The key that the signature is said to be made by.
    private func signingKeyID() -> ExactString? {
        guard let value = head[.authorization] else { return nil }
        let text = String(decoding: value, as: UTF8.self)
        guard let start = text.firstRange(of: "Credential=")?.upperBound,
            let end = text[start...].firstIndex(of: "/")
        else { return nil }
        return SigningKey.id(ofName: String(text[start..<end]))
    }
}
