import ByteBuffers

/// Memory that the long requests in work take together. There are two: one for decoded forms, one for replies. A request is
/// charged with the most that its frame may become, with what it has become once it is decoded, and with the price of its
/// reply, which is known then; it waits where there is no room, and gives all back when the reply stands encoded in the
/// output. Nobody waits for the first with a part of the second, so those who wait come to their turn. What is charged
/// shows in the loops' pool as reserved; it keeps nobody from being read.
///
/// Limits: `maxBytes` in work; `maxWaiting` behind it, in order; beyond that `admit` refuses, and the connection is
/// closed.
final class WorkBudget: Sendable {
    /// One request at its limit, or many usual ones.
    let maxBytes: Int
    /// A connection has one request in work, and waits with it. More than so many would be answered too late.
    static let maxWaiting = 10_000

    private struct Waiting {
        var bytes: Int
        var pool: ChunkPool
        var start: @Sendable () -> Void
    }

    private struct State {
        var charged = 0
        var admitted = 0
        var mostCharged = 0
        var waiting = FIFO<Waiting>()

        mutating func takeNext(_ maxBytes: Int) -> Waiting? {
            guard let next = waiting.first, charged == 0 || charged + next.bytes <= maxBytes else { return nil }
            waiting.removeFirst()
            charge(next.bytes)
            return next
        }

        mutating func charge(_ bytes: Int) {
            charged += bytes
            mostCharged = max(mostCharged, charged)
            admitted += 1
        }
    }

    private let state = Lock(State())

    init(maxBytes: Int) { self.maxBytes = maxBytes }

    /// Bytes charged just now, the most so far, and requests so far.
    var counts: (charged: Int, most: Int, admitted: Int) {
        state.withLock { ($0.charged, $0.mostCharged, $0.admitted) }
    }

    /// Calls `start` when `bytes` are charged: at once, or on the thread that makes room. False: too many wait.
    func admit(_ bytes: Int, _ pool: ChunkPool, _ start: @escaping @Sendable () -> Void) -> Bool {
        let waiting = Waiting(bytes: bytes, pool: pool, start: start)
        let isTaken = state.withLock { state in
            guard state.waiting.count < Self.maxWaiting else { return false }
            state.waiting.append(waiting)
            return true
        }
        if isTaken { startWaiting() }
        return isTaken
    }

    /// Charges a request in work with more, at once: who has a worker must not wait for others who want one. So each worker
    /// may take the sum beyond `maxBytes` by one reply (`RequestLimits.replyBytes`); nothing starts until it is below.
    func chargeMore(_ bytes: Int, _ pool: ChunkPool) {
        state.withLock { state in
            state.charged += bytes
            state.mostCharged = max(state.mostCharged, state.charged)
        }
        pool.addReserved(bytes)
    }

    func release(_ bytes: Int, _ pool: ChunkPool) {
        state.withLock { state in
            precondition(bytes <= state.charged, "\(bytes) released of \(state.charged)")
            state.charged -= bytes
        }
        pool.addReserved(-bytes)
        startWaiting()
    }

    private func startWaiting() {
        while let next = state.withLock({ $0.takeNext(maxBytes) }) {
            next.pool.addReserved(next.bytes)
            next.start()
        }
    }
}
