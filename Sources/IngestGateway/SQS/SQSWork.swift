import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Security
import SQSWire
import Transport

/// One request of SQS on its way: on a worker its signature is looked at and its body read, and the service of queues is asked there,
/// or, where the metadata changes, on the broker's own thread. A receive that waits for messages holds neither of them.
///
/// When the request is given up meanwhile, what was begun is done all the same, and nothing else is; messages that were received for somebody who has gone are
/// given back.
final class SQSWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: all that changes is with one thread at a time: with the one that works until it calls `done`, then with the loop.

    private let gateway: Gateway
    private let queues: any QueueService
    private let proof: AWSProof
    /// Nil: a form, which says itself what it asks for; or one that there is not.
    private let operation: SQSOperation?
    private let isForm: Bool
    private let path: String
    private let requestID: String
    private let base: String
    private var body: ByteSlice?
    private let wait = WaitEnd()

    private var out = ByteWriter(capacity: 64)
    private var outcome: (error: SQSError?, commits: CommitSpan)?
    private var isWrongSignature = false
    /// What becomes of what was received when nobody is there any more to be answered.
    private var abandoned: (@Sendable () -> Void)?
    private var reservation: HandedReservation?

    static let xml: StaticString = "text/xml"
    /// Milliseconds of the time for a request that are kept for its answer.
    private static let answerMs: Int64 = 2_000

    /// Takes the request at hand.
    init(on loop: GatewayLoop) {
        gateway = loop.gateway
        queues = gateway.queues
        proof = AWSProof(on: loop, for: .sqs)
        let target = loop.head[.amzTarget]
        operation = target.flatMap { SQSOperation(target: $0) }
        isForm = target == nil && loop.mediaType() == .form
        path = String(decoding: loop.head.path, as: UTF8.self)
        requestID = String(decoding: loop.requestID, as: UTF8.self)
        let authority = String(decoding: loop.head.authority, as: UTF8.self)
        base = gateway.options.sqsAddress ?? "\(proof.origin.isSecure ? "https" : "http")://\(authority)"
    }

    // MARK: On the loop

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        reservation = HandedReservation(of: exchange, for: peer, gateway.inflight)
        body = exchange.body
        return gateway.broker.workers.submit { [self] in
            // Who has gone before anything was begun has asked for nothing.
            if !wait.isCancelled { work(done) }
        }
    }

    deinit {
        if let abandoned { gateway.broker.workers.submit(abandoned) }
    }

    func handOver(to exchange: Exchange) { reservation?.handBack(to: exchange) }

    func refuse() {}

    func cancel() { wait.cancel() }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        abandoned = nil
        guard let outcome else {
            loop.answer(SQSError(.requestThrottled, "Too many requests wait for a worker."), isXML: isForm)
            return .answered
        }
        if isWrongSignature { loop.countWrongSignature(proof.origin.address) }
        swap(&loop.out, &out)
        if let error = outcome.error {
            loop.note(error, isXML: isForm)
        } else {
            loop.reply.contentType = isForm ? Self.xml : ErrorDialect.sqs.mediaType
        }
        return outcome.commits.isEmpty ? .answered : .gated(outcome.commits, bytes: loop.out.count)
    }

    var lateProblem: Problem {
        Problem(
            .commitTimeout, "The request was not handled in time; what it asked for may still be done.", retryAfter: 5)
    }

    // MARK: On a worker

    private func work(_ done: @escaping @Sendable () -> Void) {
        let kept = body
        let bytes = kept?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0)
        defer { withExtendedLifetime(kept) {} }
        do throws(SQSError) {
            let asker = try identified(bytes)
            let (request, operation) = try request(bytes)
            // It is read: nothing of it is asked for again.
            body = nil
            answer(request, operation, calls(of: asker), done)
        } catch {
            finish(nil, .failure(error), CommitSpan())
            done()
        }
    }

    private func answer(
        _ request: SQSRequest, _ operation: SQSOperation, _ calls: SQSCalls, _ done: @escaping @Sendable () -> Void
    ) {
        if case .receiveMessage(let queue, let receive) = request {
            return calls.receive(receive, from: queue, ending: wait) { [self] answer, abandoned in
                self.abandoned = abandoned
                finish(operation, answer.answer, answer.commits)
                done()
            }
        }
        let work: @Sendable () -> Void = { [self] in
            let answer = calls.perform(request)
            finish(operation, answer.answer, answer.commits)
            done()
        }
        guard SQSCalls.isOfAdmin(request) else { return work() }
        if !gateway.broker.admin.submit(work) {
            finish(operation, .failure(SQSError(.requestThrottled, "Too many changes are under way.")), CommitSpan())
            done()
        }
    }

    private func identified(_ body: UnsafeRawBufferPointer) throws(SQSError) -> Asker? {
        do throws(AWSProof.Refusal) {
            return try proof.asker(of: body, gateway)
        } catch {
            switch error {
            case .throttled: throw SQSError(.requestThrottled, AWSProof.throttledWords)
            case .signature(let refusal):
                isWrongSignature = true
                throw SQSError(SQSAccess.kind(of: refusal), AWSProof.words(refusal))
            }
        }
    }

    private func request(_ bytes: UnsafeRawBufferPointer) throws(SQSError) -> (SQSRequest, SQSOperation) {
        if let operation { return (try SQSRequest(operation, json: bytes), operation) }
        guard isForm else {
            throw SQSError(.invalidAction, "The field X-Amz-Target names no operation of Amazon SQS.")
        }
        let form = try SQSForm(bytes)
        return (try SQSRequest(form, path: path), form.operation)
    }

    private func calls(of asker: Asker?) -> SQSCalls {
        let gateway = gateway
        return SQSCalls(
            queues: queues, base: base, region: gateway.options.sqsRegion,
            sender: asker.map { "\($0.registered.subject.principal)" },
            owner: asker?.registered.subject.principal.name.text,
            partitions: gateway.broker.options.defaultPartitions,
            maxWaitMs: max(0, gateway.options.requestTimeout.inNanoseconds / 1_000_000 - Self.answerMs)
        ) { gateway.allows($0, $1, ExactString($2), asker) }
    }

    private func finish(
        _ operation: SQSOperation?, _ answer: Result<SQSReply, SQSError>, _ commits: CommitSpan
    ) {
        switch answer {
        case .failure(let error):
            if isForm { error.writeXML(requestID: requestID, into: &out) } else { error.writeJSON(into: &out) }
            outcome = (error, CommitSpan())
        case .success(let reply):
            if isForm, let operation {
                reply.writeXML(operation, requestID: requestID, into: &out)
            } else {
                reply.writeJSON(into: &out)
            }
            outcome = (nil, commits)
        }
    }
}
