import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import SQSWire

/// The protocol of Amazon SQS: `POST` at any path with `X-Amz-Target: AmazonSQS.…`, which is how SDKs ask since the end of 2023, and
/// signed forms, which is how those before did. A client that needs a path of its own for it has `/sqs`.
///
///     head ─► the key of the signature is one of ours, or who asks is known by another credential, or anybody may ask
///          ─► body ─► a worker: signature, JSON or form, permission, the service of queues
///          ─► reply, once what it tells is on disk
enum SQSEndpoint: HTTPEndpoint {
    /// Which queue it is about stands in the body: the worker asks.
    static var access: EndpointAccess { .nothing }

    static var operation: OperationText {
        OperationText(
            summary: "Asks for one operation of Amazon SQS, which the field X-Amz-Target names",
            outcome: "What the operation is answered with.", mediaType: ErrorDialect.sqs.mediaType)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        // A form without a signature is what any web page can send. SDKs sign each, with whatever key.
        if loop.head[.amzTarget] == nil, !loop.isSignedByAWS {
            return .refused(
                Problem(.invalidHeader, "A request has the field X-Amz-Target, or is a form that is signed for AWS."))
        }
        let most = min(loop.routeRow.pointee.maxBodyBytes, SQSLimits.maxRequestBytes)
        if loop.head[.contentEncoding] != nil {
            return .refused(Problem(.unsupportedEncoding, "The body of this request is read as it is."))
        }
        if case .length(let length) = loop.head.body, length > most { return .refused(loop.bodyTooLarge(most)) }
        return .collected(upTo: most)
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        .suspended(.work(SQSWork(on: loop)))
    }
}

extension GatewayLoop {
    /// Makes the reply what SDKs of AWS read of a problem.
    func answerInSQS(_ problem: Problem) {
        let error = SQSError(SQSAccess.kind(of: problem.kind), problem.detail)
        answer(error, isXML: head[.amzTarget] == nil && mediaType() == .form)
        reply.code = problem.kind.code
        // What only the gateway says keeps its status.
        if [405, 413].contains(problem.kind.status) { reply.status = problem.kind.status }
        reply.retryAfter = problem.retryAfter ?? (problem.kind.isRetryable ? 1 : nil)
    }

    func answer(_ error: SQSError, isXML: Bool) {
        out.removeAll()
        if isXML {
            error.writeXML(requestID: String(decoding: requestID, as: UTF8.self), into: &out)
        } else {
            error.writeJSON(into: &out)
        }
        note(error, isXML: isXML)
    }

    /// Says of an error whose body is written what stands in the head.
    func note(_ error: SQSError, isXML: Bool) {
        reply.status = isXML ? error.kind.queryStatus : error.kind.status
        reply.contentType = isXML ? SQSWork.xml : ErrorDialect.sqs.mediaType
        reply.code = SQSAccess.label(error.kind)
        reply.queryError = isXML ? nil : error.kind.queryError
        if !error.kind.isSendersFault { reply.retryAfter = 1 }
    }
}
