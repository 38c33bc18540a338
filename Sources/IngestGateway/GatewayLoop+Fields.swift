import ByteBuffers
import HTTPWire

/// The fields of a reply that are the same in all versions of HTTP.
extension GatewayLoop {
    /// Writes them as lines. What frames the body, and the connection, is not among them.
    func writeFields(of reply: Reply, into out: inout ByteWriter) {
        // Every reply has these two: constant text in as few pieces as there can be.
        if reply.status == 204 {
            out.text("X-Request-Id: ")
        } else {
            out.text("Content-Type: ")
            out.text(reply.contentType)
            out.text("\r\nX-Request-Id: ")
        }
        out.bytes(requestID)
        out.text("\r\n")
        if let allow = reply.allow {
            out.text("Allow: ")
            allow.write(into: &out)
            out.text("\r\n")
        }
        if let accept = reply.accept {
            out.text("Accept: ")
            out.utf8(accept.names)
            out.text("\r\n")
        }
        if let codings = reply.acceptEncoding { ResponseHead.field(&out, "Accept-Encoding", codings) }
        if let challenge = reply.challenge { write(challenge, into: &out) }
        if let seconds = reply.retryAfter { ResponseHead.field(&out, "Retry-After", seconds) }
        if reply.isStream { out.text("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n") }
        if reply.isReplay { out.text("Idempotent-Replayed: true\r\n") }
        if reply.rateLimit != nil || reply.callerRate != nil { writeRateLimits(of: reply, into: &out) }
        if routeRow.pointee.dialect.isOfAWS { ResponseHead.field(&out, "x-amzn-RequestId", requestID) }
        if let error = reply.queryError {
            out.text("x-amzn-query-error: ")
            out.utf8(error)
            out.text("\r\n")
        }
        if let policy = routeRow.pointee.cors { write(policy, into: &out) }
    }

    /// Source: RFC 6750, RFC 7617. Of signatures no scheme is registered, and a 401 has to name one.
    private func write(_ challenge: Reply.Challenge, into out: inout ByteWriter) {
        switch challenge {
        case .signature: out.text("WWW-Authenticate: Webhook-Signature realm=\"millrace\"\r\n")
        case .credential(let isWrong, let takesPasswords):
            if takesPasswords {
                out.text("WWW-Authenticate: Basic realm=\"millrace\", charset=\"UTF-8\"\r\n")
            }
            out.text("WWW-Authenticate: Bearer realm=\"millrace\"")
            if isWrong { out.text(", error=\"invalid_token\"") }
            out.text("\r\n")
        }
    }

    /// That of the route, and that of who asks. Source: draft-ietf-httpapi-ratelimit-headers-10.
    private func writeRateLimits(of reply: Reply, into out: inout ByteWriter) {
        let limits = [(routeRow.pointee.id, reply.rateLimit), (CallerLimits.policy, reply.callerRate)].compactMap {
            id, limit in
            limit.map { (id: id, limit: $0) }
        }
        out.text("RateLimit-Policy: ")
        for (index, (id, limit)) in limits.enumerated() {
            out.text(index == 0 ? "\"" : ", \"")
            out.utf8(id)
            out.text("\";q=")
            out.decimal(limit.burst)
            out.text(";w=")
            out.decimal(max(1, limit.burst / max(limit.rate, 1)))
        }
        out.text("\r\nRateLimit: ")
        for (index, (id, limit)) in limits.enumerated() {
            out.text(index == 0 ? "\"" : ", \"")
            out.utf8(id)
            out.text("\";r=")
            out.decimal(limit.remaining)
            out.text(";t=1")
        }
        out.text("\r\n")
    }
}
