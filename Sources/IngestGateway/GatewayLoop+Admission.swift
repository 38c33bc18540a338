import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Security
import Telemetry

/// Everything that can be said of a request by its head alone, before a byte of its body is waited for.
extension GatewayLoop {
    /// Whether the request may be read at all, and how much of it: path, method, who asks, what the endpoint says of it, rate.
    /// Called once a request.
    ///
    /// - Parameter caller: who asks; nil where nobody is asked for.
    func admit(_ caller: Caller?) -> BodyWish {
        if let hosts = gateway.perimeter.hosts, asksForHost, !hosts.serve(head.authority) {
            return .refused(misdirected)
        }
        if isUnmatched { return .refused(nothingThere()) }
        if head.method == .options {
            forgetShare()
            return .nothing
        }
        guard routeRow.pointee.methods.contains(head.method) else {
            reply.allow = routeRow.pointee.methods
            return .refused(
                Problem(
                    .methodNotAllowed,
                    "This path does not serve the method \(head.method.name); it serves \(routeRow.pointee.methods.names.joined(separator: ", "))."
                ))
        }
        switch routeRow.pointee.authentication {
        case .anonymous: break
        case .caller:
            guard let caller, let authentication = gateway.authentication else { break }
            switch identify(caller, authentication) {
            case .refused(let problem): return .refused(problem)
            case .unknown(let check): return .unknown(check)
            case .known(let asker):
                self.asker = asker
                if let problem = refusal(of: asker) { return .refused(problem) }
            }
        case .certificate:
            guard let caller else { preconditionFailure("a certificate of nobody") }
            if let problem = identifyByCertificate(caller) { return .refused(problem) }
        case .aws:
            guard let caller else { preconditionFailure("a request of AWS from nobody") }
            switch identifyForAWS(caller) {
            case .refused(let problem): return .refused(problem)
            case .unknown(let check): return .unknown(check)
            case .known, nil: asker = origin?.asker
            }
        case .signed:
            guard let caller else { preconditionFailure("a signed request from nobody") }
            if let problem = beginSignature(caller) { return .refused(problem) }
        }
        if let limits = gateway.callerLimits, let caller {
            if let problem = callerProblem(limits, caller) { return .refused(problem) }
        } else {
            forgetShare()
        }
        let wish = narrowed(routeRow.pointee.endpoint.wish(on: self))
        switch wish {
        case .nothing, .refused, .unknown: return wish
        case .streamed where signature != nil: preconditionFailure("a signed route whose body is not kept")
        case .collected, .streamed: return (rateProblem() ?? quotaProblem()).map { .refused($0) } ?? wish
        }
    }

    /// What endpoints that append the events of a body want of it. A body by length that is too long for the route is refused
    /// before it is sent; one by chunks when it has become so.
    func wishForEvents(needsLength: Bool = false) -> BodyWish {
        let most = routeRow.pointee.maxBodyBytes
        if let problem = eventProblem(maxBodyBytes: most, needsLength: needsLength) { return .refused(problem) }
        return .collected(upTo: most)
    }

    private func eventProblem(maxBodyBytes: Int, needsLength: Bool) -> Problem? {
        if let problem = notUnderstood() { return problem }
        if let problem = unsupportedCoding() { return problem }
        switch head.body {
        case .chunked: break
        case .length(let length):
            if needsLength, length == 0, head[.contentLength] == nil {
                return Problem(.lengthRequired, "A body with Content-Length or Transfer-Encoding: chunked is required.")
            }
            if length > maxBodyBytes, !takesWindows { return bodyTooLarge(maxBodyBytes) }
        }
        if head.body != .length(0), let problem = unsupportedMediaType() { return problem }
        return keyMissing() ?? keyTooLarge()
    }

    func bodyTooLarge(_ limit: Int) -> Problem {
        Problem(.bodyTooLarge, "The body is larger than \(limit) bytes\(whyWhole).", limit: limit)
    }

    /// Why lines or rows are taken whole that are else taken in windows, of any length; empty: they are not.
    private var whyWhole: String {
        guard routeRow.pointee.takesWindows, let type = mediaType(), type == .lines || type == .csv else { return "" }
        var causes: [String] = []
        if head[.idempotencyKey] != nil { causes.append("Idempotency-Key") }
        if case .success(.atomic) = batchMode() { causes.append("X-Batch-Mode: atomic") }
        if causes.isEmpty { return "" }
        return
            ", which is the most where \(causes.joined(separator: " or ")) asks for all or nothing; without it, lines and "
            + "rows may have any length"
    }

    /// Whether it matters for which host the request at hand is: where nobody is asked who he is, probes ask by addresses of their own.
    var asksForHost: Bool { isUnmatched || routeRow.pointee.authentication != .anonymous }

    var misdirected: Problem { Problem(.misdirected, "This server does not answer for the host of the request.") }

    private func nothingThere() -> Problem {
        let endsWithSlash = head.path.last == UInt8(ascii: "/")
        return Problem(
            .notFound, "There is nothing at this path\(endsWithSlash ? "; no path here ends with a slash" : "").")
    }

    func unsupportedCoding() -> Problem? {
        guard let coding = head[.contentEncoding], !RequestHead.equals(coding, "identity"), BodyCoding(coding) == nil
        else { return nil }
        reply.acceptEncoding = BodyCoding.names
        return Problem(
            .unsupportedEncoding, "Bodies are read as they are, or by one Content-Encoding of gzip and zstd.")
    }

    /// What is written here counts with what the same user writes by Kafka's protocol.
    func quotaProblem() -> Problem? { broker.quotas.version == 0 ? nil : quotaProblemNow() }

    /// Of a signed request it is asked when the signature is right: else anybody could use up what its sender may write.
    func signedQuotaProblem(_ bytes: Int) -> Problem? {
        if head.body == .chunked {
            countChunks(bytes)
            return nil
        }
        return quotaProblem()
    }

    /// A body by chunks is counted when it is here (`countChunks`).
    private func quotaProblemNow() -> Problem? {
        if awaitsProof { return nil }
        var bytes = 0
        // What is taken in windows is counted with them.
        if case .length(let length) = head.body, length <= routeRow.pointee.maxBodyBytes,
            !routeRow.pointee.endpoint.takesFiles
        {
            bytes = length
        }
        let wait = withQuotaClient { user, client in
            broker.admitProduce(bytes, of: user, client: &client, nowMs: now / 1_000_000)
        }
        guard let wait else { return nil }
        return Problem(
            .quotaExceeded, "More bytes a second than producer_byte_rate allows.",
            retryAfter: Int(clamping: max(1, wait.components.seconds + (wait.components.attoseconds > 0 ? 1 : 0))),
            policy: "producer_byte_rate")
    }

    /// Counts a part of a body that is taken in windows, and gives how long its sender has to wait, as Kafka's clients have to.
    func countPiece(_ bytes: Int) -> Duration? {
        if broker.quotas.version == 0 { return nil }
        return withQuotaClient { user, client in
            broker.countProduce(bytes, of: user, client: &client, nowMs: MonotonicClock.nanoseconds / 1_000_000)
        }
    }

    func countChunks(_ bytes: Int) {
        guard broker.quotas.version != 0, !awaitsProof else { return }
        withQuotaClient { user, client in
            _ = broker.countProduce(bytes, of: user, client: &client, nowMs: now / 1_000_000)
        }
    }

    /// Limits of who shows nothing are kept from one request to the next; those of others are looked up for each.
    private func withQuotaClient<Result>(_ body: (ExactString, inout QuotaClient) -> Result) -> Result {
        guard let user = asker?.registered.subject.principal.name, user != Principal.anonymous.name else {
            return body(Principal.anonymous.name, &quotaClient)
        }
        var client = QuotaClient()
        return body(user, &client)
    }

    /// Of a route whose requests are signed nobody is known yet, but for an address.
    private func callerProblem(_ limits: CallerLimits, _ caller: Caller) -> Problem? {
        guard routeRow.pointee.authentication != .anonymous else {
            forgetShare()
            return nil
        }
        let share = caller.share(of: signature == nil ? asker : nil, limits, now: now)
        let wait = share.take(now: now)
        if limits.isTold || wait != nil, let remaining = share.remaining(now: now) {
            reply.callerRate = (limits.rate, limits.burst, remaining)
        }
        if let wait {
            return Problem(
                .quotaExceeded, "More than \(limits.rate) requests a second of one caller.", limit: limits.rate,
                retryAfter: Self.seconds(wait), policy: CallerLimits.policy)
        }
        // What is answered in one go is over before anybody else's turn: only others are counted, when they begin.
        if limits.maxOpen > 0, share.open >= limits.maxOpen {
            return Problem(
                .quotaExceeded, "One caller has more than \(limits.maxOpen) requests that are not answered yet.",
                limit: limits.maxOpen, retryAfter: 1, policy: CallerLimits.openPolicy)
        }
        // Most often it is that of the request before, and not counted again.
        if self.share !== share { self.share = share }
        return nil
    }

    private func rateProblem() -> Problem? {
        guard let limiter = routeRow.pointee.limiter else { return nil }
        let wait = limiter.take(now: now)
        reply.rateLimit = (limiter.rate, limiter.burst, limiter.remaining(now: now))
        guard let wait else { return nil }
        routeRow.pointee.counters.limited?.add()
        return Problem(
            .quotaExceeded, "More than \(limiter.rate) requests a second.", limit: limiter.rate,
            retryAfter: Self.seconds(wait))
    }

    /// For Retry-After, of nanoseconds.
    private static func seconds(_ wait: Int64) -> Int { max(1, Int((wait + 999_999_999) / 1_000_000_000)) }
}
