import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Transport

/// What a queue has answered, as bytes: made on the thread that has asked it, for the loop to send.
struct QueueAnswer: Sendable {
    var status = 200
    var body: [UInt8] = []
    /// It may leave when these are on disk.
    var commits = CommitSpan()
    var problem: Problem?
    /// What is to be done when nobody is there any more to be answered. On a thread that may wait.
    var abandoned: (@Sendable () -> Void)?

    init(_ problem: Problem) { self.problem = problem }

    init(status: Int = 200, _ commits: CommitSpan = CommitSpan(), _ write: (inout ByteWriter) -> Void) {
        var out = ByteWriter(capacity: 512)
        write(&out)
        self.status = status
        self.commits = commits
        body = out.array
    }
}

/// A call of the queues, on a thread that may wait: a worker, or the broker's own for what changes the metadata. A receive that waits
/// for messages keeps no thread meanwhile.
final class QueueWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: `answer` is with one thread at a time: with that which does the work until it calls `done`, then with the loop.

    enum Place { case worker, admin }

    typealias Call =
        @Sendable (
            _ queues: any QueueService, _ body: UnsafeRawBufferPointer,
            _ done: @escaping @Sendable (QueueAnswer) -> Void
        ) -> Void

    private let broker: Broker
    private let place: Place
    private let call: Call
    private let wait: WaitEnd
    private let budget: InflightBudget
    private var reservation: HandedReservation?
    private var answer = QueueAnswer(Problem(.overloaded, "Too much work waits for a thread.", retryAfter: 1))

    /// - Parameter wait: what `call` waits for; it ends when the request is given up.
    init(_ gateway: Gateway, on place: Place, ending wait: WaitEnd, _ call: @escaping Call) {
        broker = gateway.broker
        budget = gateway.inflight
        self.place = place
        self.wait = wait
        self.call = call
    }

    func cancel() { wait.cancel() }

    deinit {
        // The request was given up before it was answered.
        if let abandoned = answer.abandoned { broker.workers.submit(abandoned) }
    }

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        reservation = HandedReservation(of: exchange, for: peer, budget)
        let body = exchange.body
        let job: @Sendable () -> Void = { [self] in
            // Who has gone before anything was begun has asked for nothing.
            if wait.isCancelled { return }
            let empty = UnsafeRawBufferPointer(start: nil, count: 0)
            call(broker.queues, body?.bytes ?? empty) { [self] found in
                answer = found
                done()
            }
            withExtendedLifetime(body) {}
        }
        switch place {
        case .worker: return broker.workers.submit(job)
        case .admin: return broker.admin.submit(job)
        }
    }

    func handOver(to exchange: Exchange) { reservation?.handBack(to: exchange) }

    func refuse() {}

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        answer.abandoned = nil
        if let problem = answer.problem {
            loop.answer(problem, instance: loop.head.path)
            return .answered
        }
        loop.reply.status = answer.status
        loop.out.removeAll()
        loop.out.bytes(answer.body)
        return answer.commits.isEmpty ? .answered : .gated(answer.commits, bytes: answer.body.count)
    }

    var lateProblem: Problem {
        Problem(
            .commitTimeout,
            "The queue has not answered in time. What was asked may still be done; messages that were received come again when their "
                + "visibility ends.", retryAfter: 1)
    }
}

extension Problem {
    /// What a queue's refusal is by HTTP.
    convenience init(_ refusal: QueueRefusal) {
        let kind: ProblemKind
        switch refusal.kind {
        case .notFound: kind = .queueNotFound
        case .exists, .inUse: kind = .queueConflict
        case .invalidName: kind = .invalidQueue
        case .invalid: kind = .queueRefused
        case .tooLarge: kind = .eventTooLarge
        case .limit: kind = .queueLimit
        case .diskFull: kind = .insufficientStorage
        case .unavailable: kind = .storageUnavailable
        }
        self.init(kind, refusal.message)
    }
}
