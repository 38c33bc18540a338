import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Transport

/// What a request waits for on another thread, because it blocks.
///
/// `begin`, then, on a thread that may wait, the work; then `resume` on the request's loop, with the request at hand again and
/// its body. When the request is given up meanwhile, nobody asks for what came of it.
protocol ExchangeWork: AnyObject, Sendable {
    /// Hands itself over, on the loop of `exchange`; calls `done` once, when it is finished. False: nobody takes it. `peer` is who has
    /// sent the request.
    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool
    /// Gives what it has made to the exchange, on its loop, before `resume`.
    func handOver(to exchange: Exchange)
    /// What `resume` is to find when nobody has taken it.
    func refuse()
    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion
    /// What is answered when it takes too long.
    var lateProblem: Problem { get }
    /// Nobody waits for it any more: the request was given up. On its loop, once; what is under way may go on.
    func cancel()
}

extension ExchangeWork {
    func handOver(to exchange: Exchange) {}
    func cancel() {}
}

/// Bytes of the budget for a body that another thread has: they are its request's again when the work is done, and are given back when
/// the last one who has the body lets it go, be the request given up long before.
final class HandedReservation: @unchecked Sendable {
    // SAFETY: `bytes` is with one thread at a time: with the one that has the body.

    private let budget: InflightBudget
    private let peer: PeerKey
    private var bytes: Int

    /// Takes over what the exchange holds.
    init(of exchange: Exchange, for peer: PeerKey, _ budget: InflightBudget) {
        self.budget = budget
        self.peer = peer
        (bytes, exchange.reserved) = (exchange.reserved, 0)
    }

    deinit { if bytes > 0 { budget.release(bytes, of: peer) } }

    /// Takes more of the budget. False: there is no room for it.
    func grow(by count: Int) -> Bool {
        guard budget.reserve(count, for: peer) == nil else { return false }
        bytes += count
        return true
    }

    func handBack(to exchange: Exchange) {
        exchange.reserved += bytes
        bytes = 0
    }
}

/// What ends a wait that was begun on another thread, for the loop whose client has gone: whichever of both comes first.
final class WaitEnd: Sendable {
    private struct State {
        var isCancelled = false
        var end: (@Sendable () -> Void)?
    }

    private let state = Lock(State())

    /// - Parameter end: ends the wait; nil: nothing waits.
    func began(_ end: (@Sendable () -> Void)?) {
        let isOver = state.withLock { state in
            if !state.isCancelled { state.end = end }
            return state.isCancelled
        }
        if isOver { end?() }
    }

    /// Whether nobody asks for it any more.
    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func cancel() {
        let end = state.withLock { state in
            state.isCancelled = true
            defer { state.end = nil }
            return state.end
        }
        end?()
    }
}

/// Work that makes a topic, on the broker's own thread.
protocol TopicMaking: ExchangeWork {
    var broker: Broker { get }
    /// Waits for the disk.
    func make()
}

extension TopicMaking {
    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool { begin(done) }

    /// Does so for who waits on a thread of its own.
    func begin(_ done: @escaping @Sendable () -> Void) -> Bool {
        broker.admin.submit { [self] in
            make()
            done()
        }
    }
}

/// The making of a topic, which waits for the disk: on the broker's own thread. Afterwards the request is handled once more.
final class TopicWork: TopicMaking, @unchecked Sendable {
    // SAFETY: `refusal` is with one thread at a time: with that which does the work until it calls `done`, then with the loop.

    let broker: Broker
    private let name: String
    private(set) var refusal: TopicRefusal?

    init(_ name: String, _ broker: Broker) {
        self.name = name
        self.broker = broker
    }

    func make() {
        if case .failure(let refusal) = broker.topicCreatingIfAllowed(name) { self.refusal = refusal }
    }

    func refuse() { refusal = TopicRefusal(.kafkaStorageError, "too many changes of topics are under way") }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.topicRefusal = refusal
        defer { loop.topicRefusal = nil }
        // Unless the topic was deleted in between: then it is made again.
        return loop.perform(body)
    }

    var lateProblem: Problem {
        Problem(.commitTimeout, "The topic was not made in time; nothing of the request is stored.", retryAfter: 5)
    }
}
