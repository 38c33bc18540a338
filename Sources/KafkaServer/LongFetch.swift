import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Telemetry
import Transport

/// A Fetch of many partitions, those of its session included. Each partition costs about half a microsecond at every step, so
/// workers do the steps, and the loop what lies between them: sessions, the wait, the sending.
///
/// ```
///  a long frame ─► [decode] ─► session begun ─► [change it, read, write] ─► session settled ─► sent
///      a session of many partitions ──┘                    │ not enough
///                                                          ▼
///          [watch the partitions] ─► parked ─► over ─► [forget, read, write] ─► sent
///                    └── told, a new round ──┘
/// ```
/// In brackets: on a worker, the connection muted. With a session its work begins the wait, too, which is the loop's from then
/// on (`SessionWait.swift`) and may end here again. Memory: `bytesAPartition` are charged to the server's budget while it is
/// worked on, and what it keeps while it waits to the share of parked fetches.
final class LongFetch: @unchecked Sendable {
    // SAFETY: with one thread at a time: the loop hands it to a worker and does not touch it until it is back, except for
    // `Wait`, which the loop alone touches. The same holds for its session (`FetchSession.isAway`).

    /// What the loop notes of a wait.
    struct Wait {
        /// Whether a worker watches the partitions just now.
        var isAway = false
        /// Partitions that have grown meanwhile. Each tells once a round, so they are at most as many as it has, twice.
        var told: [ReadWaiter] = []
        /// Meanwhile its time has come, or something else that ends it.
        var isOver = false
        /// Meanwhile its connection has ended.
        var isDropped = false
    }

    let ticket: ReplyTicket
    private var request: HeldRequest?
    private(set) var reader: FetchRequestReader?
    private(set) var failure: DecodeError?
    /// What the partitions of the request would keep in a session.
    private(set) var sessionBytes = 0
    var session: FetchSession?
    /// The session that the reply tells of.
    private var toldSession: FetchSession?
    /// Once it was worked on.
    private(set) var plan: FetchPlan?
    /// Bytes that were missing when it was read.
    private(set) var missing = 0
    /// It waits with its session, for which the loop parks it.
    private(set) var waitsInSession = false
    private(set) var reply: HeldReply?
    /// Bytes of records in the reply.
    private(set) var bytes = 0
    var wait = Wait()

    /// Memory of a partition while it is worked on, with what it is in the reply.
    static let bytesAPartition = 512

    init(_ request: borrowing Request) {
        ticket = request.ticket
        self.request = HeldRequest(request)
    }

    convenience init(_ request: borrowing Request, _ reader: FetchRequestReader, _ session: FetchSession) {
        self.init(request)
        self.reader = reader
        self.session = session
    }

    /// A fetch that has waited with its session, which it has still.
    init(_ plan: FetchPlan) {
        ticket = plan.reply
        self.plan = plan
    }

    /// Memory that it takes while it is worked on, for the first time or again.
    var charge: Int {
        guard let plan else {
            return ((reader?.partitionCount ?? 0) + (session?.readyCount ?? 0)) * Self.bytesAPartition
        }
        guard let session = plan.session else { return plan.items.count * Self.bytesAPartition }
        return (plan.isFull ? session.count : session.readyCount) * Self.bytesAPartition
    }

    // MARK: On a worker

    func decode() {
        guard let request = request?.request else { preconditionFailure("a fetch is decoded after it was read") }
        do throws(DecodeError) {
            let reader = try FetchRequestReader(
                request.body, version: request.version, maxEntries: KafkaConnection.maxEntries)
            sessionBytes = FetchSession.bytes(of: reader)
            self.reader = reader
        } catch {
            failure = error
        }
    }

    /// Reads, and writes the reply if there is enough.
    func work(
        _ server: KafkaServer, _ permissions: Permissions, sendsFiles: Bool, most: Int, _ pool: ChunkPool
    ) {
        guard var reader else { preconditionFailure("a fetch is read before it was decoded") }
        var session = session
        session?.change(by: reader)
        session?.endChanges()
        // The loop ends it (`settleSession`).
        if session?.count == 0 { session = nil }
        let plan = FetchPlan(
            reply: ticket, &reader, session: session, server, permissions, nil, sendsFiles: sendsFiles, most: most)
        self.plan = plan
        // The frame's memory.
        (self.reader, request) = (nil, nil)
        let outcome = plan.read(server, mayWait: true)
        if outcome.isEnough(plan) {
            write(plan, outcome, telling: session, pool)
        } else if let session {
            waitsInSession = plan.beginWait(in: session, outcome)
            if waitsInSession { return }
            plan.takeItems(server.broker.catalog, nil)
            write(plan, plan.read(server, mayWait: true), telling: session, pool)
        } else {
            missing = plan.minBytes - outcome.available
        }
    }

    /// Reads once more, after a wait or in place of one, and writes the reply, whatever there is.
    func answer(_ server: KafkaServer, after waiter: ReadWaiter?, _ pool: ChunkPool) {
        guard let plan else { preconditionFailure("a fetch is answered before it was read") }
        if let waiter { plan.endWait(waiter) }
        if plan.session == nil {
            plan.refuseLost(server.broker, nil)
        } else {
            plan.takeItems(server.broker.catalog, nil)
        }
        write(plan, plan.read(server, mayWait: true), telling: toldSession, pool)
    }

    private func write(
        _ plan: FetchPlan, _ outcome: FetchPlan.Outcome, telling session: FetchSession?, _ pool: ChunkPool
    ) {
        let reply = HeldReply(pool: pool)
        plan.write(outcome, telling: session, to: reply)
        reply.finish()
        self.reply = reply
        bytes = outcome.bytes
    }

    // MARK: On the loop

    /// Takes the session along.
    func takeSession() {
        toldSession = plan?.ownSession
        toldSession?.isAway = true
    }

    func giveSessionBack(to loop: KafkaLoop) {
        guard let session = toldSession else { return }
        toldSession = nil
        loop.takeBack(session)
    }
}

extension KafkaConnection {
    /// Serves a Fetch in a long frame.
    func fetchElsewhere(_ fetch: LongFetch) {
        // Decoded where it lies: no memory is taken for it.
        onWorker(charging: 0) {
            fetch.decode()
        } then: { _, connection, _ in
            connection?.begin(fetch)
        }
    }

    private func begin(_ fetch: LongFetch) {
        guard let reader = fetch.reader else { return fail("\(fetch.failure, default: "no Fetch")") }
        if reader.isTooLarge { return refuseTooLarge(fetch.ticket) }
        switch begin(reader, bytes: fetch.sessionBytes) {
        case .success(let session): fetch.session = session
        case .failure(let refusal): return refuseFetch(fetch.ticket, refusal.code)
        }
        workOff(fetch)
    }

    func workOff(_ fetch: LongFetch) {
        let (server, sendsFiles, pool) = (server, sendsFiles, loop.eventLoop.pool)
        let (charge, permissions, most) = (fetch.charge, permissions, mostFetched)
        fetch.session?.isAway = true
        onWorker(charging: charge) {
            fetch.work(server, permissions, sendsFiles: sendsFiles, most: most, pool)
        } then: { loop, connection, _ in
            let hasSession = loop.settleSession(of: fetch)
            defer { loop.actOnTold() }
            guard let connection else {
                // What rests was to be told by its reply.
                if hasSession, fetch.waitsInSession, fetch.plan?.isFull == true { fetch.session?.markAll() }
                return
            }
            if !hasSession { return connection.refuseFetch(fetch.ticket, .fetchSessionIDNotFound) }
            if fetch.reply != nil { return connection.send(fetch) }
            if fetch.waitsInSession {
                loop.parkInSession(fetch, on: connection)
            } else if !loop.park(fetch, on: connection) {
                connection.answer(fetch, after: nil)
            }
        }
    }

    /// Answers with what there is. `waiter`: it has waited by this name.
    func answer(_ fetch: LongFetch, after waiter: ReadWaiter?) {
        let (server, pool) = (server, loop.eventLoop.pool)
        fetch.takeSession()
        onWorker(charging: fetch.charge) {
            fetch.answer(server, after: waiter, pool)
        } then: { loop, connection, isDone in
            fetch.giveSessionBack(to: loop)
            if let waiter {
                if !isDone { fetch.plan?.endWait(waiter) }
                loop.giveShareBack(of: fetch)
            }
            connection?.send(fetch)
            loop.actOnTold()
        }
    }

    private func send(_ fetch: LongFetch) {
        if isCounted, let plan = fetch.plan, let reply = fetch.reply {
            let session = plan.ownSession
            if isHeldBack(plan, bytes: reply.count - 4) {
                // It has noted as told what was not sent.
                if let session, loop.sessions.has(session) { session.forgetTold() }
                return
            }
        }
        fetch.reply?.send(on: connection)
        server.metrics.fetchedBytes.add(fetch.bytes)
    }
}

extension KafkaLoop {
    /// Settles the session's size; false when the session has ended meanwhile, or there is no room for what it has
    /// become. One that is empty now was answered for without a session.
    fileprivate func settleSession(of fetch: LongFetch) -> Bool {
        guard let session = fetch.session else { return true }
        takeBack(session)
        guard sessions.has(session) else { return false }
        switch sessions.settle(session, now: eventLoop.now) {
        case .goesOn, .isEmpty: return true
        case .hasNoRoom: return false
        }
    }

    fileprivate func giveShareBack(of fetch: LongFetch) {
        server.parkedShare.give(fetch.plan?.waitingBytes ?? 0)
    }

    /// Mutes the connection until its fetch is answered. False: it cannot wait.
    fileprivate func park(_ fetch: LongFetch, on connection: KafkaConnection) -> Bool {
        guard let plan = fetch.plan, !connection.connection.peerHasFinished,
            server.parkedShare.take(plan.waitingBytes)
        else { return false }
        let waiter = newFetchWaiter()
        enter(plan, waiter, long: fetch, on: connection)
        beginRound(of: fetch, waiter, isFirst: true)
        return true
    }

    /// Mutes the connection until its fetch is answered, whose wait a worker has begun.
    fileprivate func parkInSession(_ fetch: LongFetch, on connection: KafkaConnection) {
        guard let plan = fetch.plan else { preconditionFailure("a fetch waits before it was read") }
        if connection.connection.peerHasFinished { return connection.answerNow(plan) }
        enter(plan, newFetchWaiter(), long: nil, on: connection)
    }

    /// Lets a worker watch the partitions, from what was seen of them last.
    private func beginRound(of fetch: LongFetch, _ waiter: ReadWaiter, isFirst: Bool = false) {
        fetch.wait.isAway = true
        let (handle, server) = (handle, server)
        let isTaken = server.broker.workers.submit {
            guard let plan = fetch.plan else { preconditionFailure("a fetch waits before it was read") }
            let isWaiting = isFirst ? plan.beginWait(waiter, missing: fetch.missing) : plan.beginRound(waiter)
            handle.submit { loop in server.loops.state(loop.index).roundBegan(of: fetch, waiter, isWaiting) }
        }
        if isTaken { return }
        fetch.wait.isAway = false
        answerFetch(waiter.id)
    }

    private func roundBegan(of fetch: LongFetch, _ waiter: ReadWaiter, _ isWaiting: Bool) {
        fetch.wait.isAway = false
        if fetch.wait.isDropped { return dropFetch(waiter.id) }
        if !isWaiting || fetch.wait.isOver { return answerFetch(waiter.id) }
        let told = fetch.wait.told
        fetch.wait.told = []
        for one in told where parkedFetches[waiter.id] != nil { handleGrowth(one, of: fetch) }
    }

    func handleGrowth(_ waiter: ReadWaiter, of fetch: LongFetch) {
        if fetch.wait.isAway { return fetch.wait.told.append(waiter) }
        guard let plan = fetch.plan, plan.keepsWaitingInRound(after: waiter) else { return answerFetch(waiter.id) }
        if plan.round.isOver { beginRound(of: fetch, waiter) }
    }

    /// Answers a fetch whose wait is over, and which has left the table.
    func answer(_ fetch: LongFetch, _ waiter: ReadWaiter, on id: ConnectionID) {
        guard let connection = eventLoop.connection(id)?.handler as? KafkaConnection else {
            return forget(fetch, waiter)
        }
        connection.unpark()
        connection.answer(fetch, after: waiter)
    }

    /// Gives up a fetch whose answer nobody waits for any more.
    func forget(_ fetch: LongFetch, _ waiter: ReadWaiter) {
        let share = server.parkedShare
        let work: @Sendable () -> Void = {
            guard let plan = fetch.plan else { return }
            plan.endWait(waiter)
            share.give(plan.waitingBytes)
        }
        if !server.broker.workers.submit(work) { work() }
    }
}
