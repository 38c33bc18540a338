import BrokerCore
import ByteBuffers
import HTTPWire
import LogStorage
import Telemetry
import Transport

/// A request whose body would hold its loop for longer than about a millisecond, while a worker handles it: there it is checked,
/// digested, changed and appended by registers like the loop's (`WorkerRegisters`), and the loop writes the reply that was made.
///
/// When the request is given up meanwhile, what was begun is done all the same, as with a commit that comes too late.
final class LongBodyWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: `out` and `result` are with one thread at a time: with the worker until it calls `done`, then with the loop.

    private let gateway: Gateway
    private let pool: ChunkPool
    /// Why the topic that the request has waited for could not be made.
    private let topicRefusal: TopicRefusal?
    private var out = ByteWriter(capacity: 64)
    private var result: (completion: Completion, reply: Reply)?
    private var reservation: HandedReservation?

    init(_ gateway: Gateway, _ pool: ChunkPool, topicRefusal: TopicRefusal?) {
        self.gateway = gateway
        self.pool = pool
        self.topicRefusal = topicRefusal
    }

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        reservation = HandedReservation(of: exchange, for: peer, gateway.inflight)
        guard let request = LongRequest(exchange, peer) else { preconditionFailure("a long body that was not kept") }
        return gateway.broker.workers.submit { [self] in
            gateway.workerRegisters.lend(gateway, pool) { registers in
                let completion = registers.handle(request, topicRefusal)
                result = (completion, registers.reply)
                swap(&registers.out, &out)
                registers.trim()
            }
            done()
        }
    }

    func handOver(to exchange: Exchange) { reservation?.handBack(to: exchange) }

    func refuse() {}

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        guard let result else {
            loop.answer(
                Problem(.overloaded, "Too many long bodies wait for a worker.", retryAfter: 1),
                instance: loop.head.path)
            return .answered
        }
        loop.reply = result.reply
        swap(&loop.out, &out)
        return result.completion
    }

    var lateProblem: Problem {
        Problem(
            .commitTimeout,
            "The events were not handled in time; they may still be stored. Before you send them again, look whether they "
                + "are there.", retryAfter: 5)
    }
}

/// What of a request goes to a worker.
struct LongRequest: @unchecked Sendable {
    // SAFETY: of `signature` the worker reads the proof alone, which is settled.
    private let head: Head
    let body: ByteSlice
    let routes: RouteTable
    let asker: Asker?
    let signature: SignedBody?
    let requestID: [UInt8]
    let peer: PeerKey

    private enum Head: Sendable {
        case text(ByteSlice)
        case fields(KeptFields)
    }

    /// nil: the exchange keeps no head or no body. `body`: what goes in place of the one that it keeps.
    init?(_ exchange: Exchange, _ peer: PeerKey, body other: ByteSlice? = nil) {
        guard let body = other ?? exchange.body else { return nil }
        if let text = exchange.head {
            head = .text(text)
        } else if let fields = exchange.fields {
            head = .fields(fields)
        } else {
            return nil
        }
        self.body = body
        self.peer = peer
        routes = exchange.routes
        asker = exchange.asker
        signature = exchange.signature
        requestID = Array(exchange.requestID)
    }

    /// Makes its head, which was taken before, that of a request at hand.
    fileprivate func takeHead(on registers: GatewayLoop) {
        switch head {
        case .text(let text):
            var progress = HeadProgress()
            guard case .complete = registers.head.parse(text.bytes, &progress) else {
                preconditionFailure("a head has changed")
            }
        case .fields(let fields):
            guard registers.head.take(fields.block, bodyLength: fields.bodyLength) == nil else {
                preconditionFailure("a head has changed")
            }
        }
    }
}

/// Registers for requests that workers handle: as many as workers have had one at a time, and never more than there are workers. They
/// are kept, for what they have compiled and cached serves the next.
final class WorkerRegisters: Sendable {
    private struct State: @unchecked Sendable {
        // SAFETY: registers are on this list while nobody uses them, and are handed from one thread to another by its lock.
        var free: [GatewayLoop] = []
        /// Places that no registers have.
        var places: [Int]
        /// How often all were let go of: those that were lent before are not kept.
        var round = 0
        var isEnded = false
    }

    private let state: Lock<State>
    /// `firstIndex`: where their places among those who claim keys begin.
    init(firstIndex: Int, most: Int) {
        state = Lock(State(places: Array((firstIndex..<firstIndex + most).reversed())))
    }

    /// Lets go of the registers, which hold the gateway, and keeps none from now on.
    func letGo() { letGo(isEnd: true) }

    /// Lets go of registers that go by other routes than those that there are now: idle ones would keep the old table.
    func forgetRoutes() { letGo(isEnd: false) }

    private func letGo(isEnd: Bool) {
        // What they hold is much, and goes when nobody waits for the lock.
        let dropped = state.withLock { state -> [GatewayLoop] in
            let free = state.free
            if isEnd { state.isEnded = true }
            state.round += 1
            state.places += free.map(\.index)
            state.free = []
            return free
        }
        withExtendedLifetime(dropped) {}
    }

    func lend(_ gateway: Gateway, _ pool: ChunkPool, _ body: (GatewayLoop) -> Void) {
        let (known, place, round) = state.withLock { state -> (GatewayLoop?, Int, Int) in
            if let free = state.free.popLast() { return (free, free.index, state.round) }
            guard let place = state.places.popLast() else { preconditionFailure("more requests than workers") }
            return (nil, place, state.round)
        }
        let registers = known ?? GatewayLoop(gateway: gateway, index: place, pool: pool, isWorkers: true)
        body(registers)
        state.withLock { state in
            if state.isEnded || state.round != round {
                state.places.append(place)
            } else {
                state.free.append(registers)
            }
        }
    }
}

extension GatewayLoop {
    /// Bytes of a body that a loop goes through where each of them is looked at several times, by a schema, for a key, by a digest: half
    /// a millisecond at 250 MB/s.
    static let longCheckedBody = 128 << 10
    /// The same where events have keys of their own, which is two digests for as little as a dozen bytes; and of CSV, whose cells bring a
    /// name each into the text that is made of them.
    static let longDigestedBody = 8 << 10
    /// Bytes where they are scanned once and copied, at some 1,000 MB/s.
    static let longPlainBody = 512 << 10

    /// Whether the body of the request at hand, of more than `longDigestedBody`, is to be handled by a worker.
    func isLong(_ body: UnsafeRawBufferPointer) -> Bool {
        if isWorkers || !routeRow.pointee.takesEvents { return false }
        if routeRow.pointee.hasEventKeys || routeRow.pointee.mediaTypes.contains(.csv) && mediaType() == .csv {
            return true
        }
        guard body.count > Self.longCheckedBody else { return false }
        let isChecked = routeRow.pointee.plan != nil || routeRow.pointee.hasKeyRule || head[.idempotencyKey] != nil
        return isChecked || body.count > Self.longPlainBody
    }

    /// Makes a request one at hand on a worker.
    func begin(_ request: LongRequest) {
        request.takeHead(on: self)
        request.requestID.withUnsafeBytes { id in
            begin(
                id, request.routes, request.asker, now: MonotonicClock.nanoseconds, wallClockMs: BrokerClock.wallMs())
        }
        signature = request.signature
        peer = request.peer
    }

    /// Handles a request on a worker.
    fileprivate func handle(_ request: LongRequest, _ refusal: TopicRefusal?) -> Completion {
        begin(request)
        (topicRefusal, keptBody) = (refusal, request.body)
        defer { (topicRefusal, keptBody, signature) = (nil, nil, nil) }
        let completion = perform(request.body.bytes)
        // No loop's turn ends behind this: the committing thread is told.
        if case .gated = completion { broker.store.kick() }
        return completion
    }
}
