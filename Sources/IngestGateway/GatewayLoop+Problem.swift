import ByteBuffers
import HTTPWire

/// One problem body that every family of clients can read: `type`, `title`, `status`, `detail` and `instance` are RFC
/// 9457's, `error` is what clients of `/events` and `/ingest` look at, `message` AWS', `error_code` Kafka REST's.
extension GatewayLoop {
    /// Listed errors of one reply; the counts tell of the rest.
    static let maxListedErrors = 100

    /// What clients of `/ingest` know of failures that are not theirs.
    private static let hiddenError = "Internal server error"

    /// Makes the reply a problem. `errors` are events of the request that were refused one by one.
    func answer(_ problem: Problem, instance: UnsafeRawBufferPointer? = nil, errors: [Rejection] = []) {
        switch routeRow.pointee.dialect {
        case .sqs: return answerInSQS(problem)
        case .kinesis: return answerInKinesis(problem)
        case .problem, .kafkaV2: break
        }
        let kind = problem.kind
        reply.status = kind.status
        reply.code = kind.code
        reply.contentType = routeRow.pointee.dialect.mediaType
        reply.retryAfter = problem.retryAfter ?? (kind.isRetryable ? 1 : nil)

        out.removeAll()
        out.text("{\"type\":\"")
        if kind.status == 429 {
            out.text("https://iana.org/assignments/http-problem-types#quota-exceeded")
        } else if kind.code.utf8Start == ProblemKind.overloaded.code.utf8Start {
            out.text("https://iana.org/assignments/http-problem-types#temporary-reduced-capacity")
        } else {
            out.text("urn:millrace:problem:")
            out.text(kind.code)
        }
        out.text("\",\"title\":\"")
        out.text(kind.title)
        out.text("\",\"status\":")
        out.decimal(kind.status)
        out.member("detail")
        JSONText.write(problem.detail, into: &out)
        if let instance, instance.count > 0 {
            out.member("instance")
            // A request line holds only visible ASCII.
            JSONText.write(instance, into: &out)
        }
        out.text(",\"code\":\"")
        out.text(kind.code)
        out.text("\",\"error\":")
        let hides = kind.status >= 500 && routeRow.pointee.plan?.reply.hidesServerErrors == true
        JSONText.write(hides ? Self.hiddenError : problem.error ?? problem.detail, into: &out)
        out.member("message")
        JSONText.write(problem.error ?? problem.detail, into: &out)
        out.member("error_code")
        out.decimal(kind.number)
        out.member("request_id")
        JSONText.write(requestID, into: &out)
        out.text(kind.isRetryable ? ",\"retryable\":true" : ",\"retryable\":false")
        if let limit = problem.limit {
            out.member("limit")
            out.decimal(limit)
        }
        if kind.code.utf8Start == ProblemKind.quotaExceeded.code.utf8Start {
            out.text(",\"violated-policies\":[\"")
            out.utf8(problem.policy ?? routeRow.pointee.id)
            out.text("\"]")
        }
        if !errors.isEmpty { write(errors) }
        out.text("}")
    }

    private func write(_ errors: [Rejection]) {
        out.text(",\"errors\":[")
        for (place, rejection) in errors.prefix(Self.maxListedErrors).enumerated() {
            out.text(place == 0 ? "{\"index\":" : ",{\"index\":")
            out.decimal(rejection.index)
            out.text(",\"code\":\"")
            out.text(rejection.kind.code)
            out.text("\"")
            if let finding = rejection.finding {
                out.member("pointer")
                JSONText.write(finding.pointer, into: &out)
                out.text(",\"keyword\":\"")
                out.text(finding.keyword)
                out.text("\"")
                out.member("detail")
                JSONText.write(finding.words, into: &out)
            } else {
                out.text(",\"detail\":\"")
                out.text(rejection.detail)
                out.text("\"")
            }
            if let position = rejection.position {
                out.member("position")
                out.decimal(position)
            }
            out.text("}")
        }
        out.text("]")
    }
}
