import ByteBuffers
import HTTPWire
import Security

/// Why a request of Kinesis is refused, by the types that SDKs know. By JSON 1.1 an error of the sender's is always 400; what is to be
/// sent again has a type that SDKs send again by themselves. Source: the API reference of Kinesis Data Streams, and botocore's model.
struct KinesisError: Error {
    let kind: Kind
    let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    enum Kind {
        case resourceNotFound, resourceInUse, invalidArgument, limitExceeded, expiredIterator
        /// A rate, or memory, or a worker: to be sent again after a while.
        case throughputExceeded
        case accessDenied, internalFailure
        // Not in the model, and answered by the service.
        case serialization, unknownOperation
        case signature(SigV4Verifier.Refusal)
    }

    /// What stands in `__type`, and as the code of a record that is not stored.
    var type: String {
        switch kind {
        case .resourceNotFound: "ResourceNotFoundException"
        case .resourceInUse: "ResourceInUseException"
        case .invalidArgument: "InvalidArgumentException"
        case .limitExceeded: "LimitExceededException"
        case .expiredIterator: "ExpiredIteratorException"
        case .throughputExceeded: "ProvisionedThroughputExceededException"
        case .accessDenied: SigV4Dialect.kinesis.accessRefusal(isVisible: true).code
        case .internalFailure: "InternalFailure"
        case .serialization: "SerializationException"
        case .unknownOperation: "UnknownOperationException"
        case .signature(let refusal): SigV4Dialect.kinesis.code(of: refusal)
        }
    }

    var status: Int {
        if case .internalFailure = kind { return 500 }
        return 400
    }

    /// Of the metrics.
    fileprivate var label: StaticString {
        switch kind {
        case .resourceNotFound: "stream_not_found"
        case .expiredIterator: "iterator_expired"
        case .throughputExceeded: "throttled"
        case .accessDenied: "forbidden"
        case .internalFailure: "internal"
        case .signature: "signature_invalid"
        default: "kinesis_refused"
        }
    }

    /// Of a problem that is none of Kinesis' own.
    fileprivate init(_ problem: Problem) {
        let kind: Kind =
            switch problem.kind.status {
            case 401 where problem.kind.number == ProblemKind.signatureInvalid.number: .signature(.unknownKey)
            case 401: .signature(.missing)
            case 403: .accessDenied
            case 404 where problem.kind.number == ProblemKind.topicNotFound.number: .resourceNotFound
            case 404, 405: .unknownOperation
            case 429: .throughputExceeded
            case 503 where problem.kind.number == ProblemKind.overloaded.number: .throughputExceeded
            case 500...: .internalFailure
            default: .invalidArgument
            }
        self.init(kind, problem.detail)
    }

    fileprivate func writeJSON(into out: inout ByteWriter) {
        out.text("{\"__type\":\"")
        out.utf8(type)
        out.text("\",\"message\":")
        JSONText.write(message, into: &out)
        out.text("}")
    }

    /// The same as a map of two texts, for SDKs that would read nothing else. Source: RFC 8949.
    fileprivate func writeCBOR(into out: inout ByteWriter) {
        out.int8(Int8(bitPattern: 0xa2))
        for text in ["__type", type, "message", message] {
            out.int8(0x79)
            out.uint16(UInt16(clamping: text.utf8.count))
            out.utf8(text)
        }
    }
}

extension GatewayLoop {
    /// Whether the body of the request at hand is CBOR, as SDKs for Java have it unless they are told otherwise.
    var isCBOR: Bool {
        guard let type = head[.contentType] else { return false }
        return String(decoding: type, as: UTF8.self).lowercased().hasPrefix("application/x-amz-cbor")
    }

    /// Makes the reply what SDKs of Kinesis read of a problem.
    func answerInKinesis(_ problem: Problem) {
        answer(KinesisError(problem))
        reply.code = problem.kind.code
        // What only the gateway says keeps its status.
        if [405, 413].contains(problem.kind.status) { reply.status = problem.kind.status }
        if let seconds = problem.retryAfter { reply.retryAfter = seconds }
    }

    func answer(_ error: KinesisError) {
        out.removeAll()
        if isCBOR {
            error.writeCBOR(into: &out)
            reply.contentType = "application/x-amz-cbor-1.1"
        } else {
            error.writeJSON(into: &out)
            reply.contentType = ErrorDialect.kinesis.mediaType
        }
        reply.status = error.status
        reply.code = error.label
        switch error.kind {
        case .throughputExceeded, .internalFailure: reply.retryAfter = 1
        default: break
        }
    }
}
