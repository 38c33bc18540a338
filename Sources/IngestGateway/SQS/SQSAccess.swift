import Security
import SQSWire

/// What the gateway's refusals are called by SDKs of SQS.
enum SQSAccess {
    static func kind(of refusal: SigV4Verifier.Refusal) -> SQSError.Kind {
        switch refusal {
        case .missing: .missingAuthenticationToken
        case .malformed: .incompleteSignature
        case .unknownKey: .invalidClientTokenID
        case .wrongSignature, .skewed: .signatureDoesNotMatch
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
