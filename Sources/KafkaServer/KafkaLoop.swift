import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security
import Telemetry
import Transport

/// What the Kafka edge keeps for one event loop: parked fetches, requests that wait for a group, fetch sessions.
final class KafkaLoop {
    let handle: LoopHandle
    unowned let eventLoop: EventLoop
    let server: KafkaServer
    let sessions: FetchSessions
    private let index: Int

    var parkedFetches: [UInt64: ParkedFetch] = [:]
    private var nextFetchID: UInt64 = 1
    /// What the ACLs have said lately; without them it is not there.
    let decisions: LoopDecisions?
    private var seenFailures = 0
    /// What partitions have told that was taken out of the inbox, and has not been acted on. It holds at most what logs hold
    /// of this loop's waiters, whose number is bounded by the shares.
    private var told: [ReadWaiter] = []
    /// Empty: memory for the inbox.
    private var emptied: [ReadWaiter] = []

    /// Connections by the user who has shown on them who he is, so that a change of his credential finds them.
    private var users: [ExactString: Set<ConnectionID>] = [:]

    /// Connections that a quota keeps from being read. At most all there are.
    private var muted: Set<ConnectionID> = []
    /// Of those the ones whose credentials have changed, and that have not been looked at since.
    private var doubted: [ConnectionID] = []
    /// Turns in which such were looked at, for tests.
    private(set) var closingTurns = 0

    /// One for all connections of a user from one address, so that what the ACLs have said to one serves the others.
    private var identities: [AccessSubject: KafkaClientIdentity] = [:]
    /// 0.3 KB each. Beyond it all are made anew, and what was decided for them, as they are asked for.
    private static let maxIdentities = 10_000

    struct GroupWaiter {
        let connection: ConnectionID
        let reply: ReplyTicket
    }
    var waiters: [WaiterID: GroupWaiter] = [:]
    private var nextWaiter: UInt64 = 1

    init(loop: EventLoop, server: KafkaServer) {
        eventLoop = loop
        handle = loop.handle
        index = loop.index
        self.server = server
        decisions = server.hasAuthorizer ? LoopDecisions() : nil
        sessions = FetchSessions(
            slots: max(1, server.options.fetchSessionSlots / server.loops.count), loop: loop.index,
            share: server.sessionShare, gauge: server.metrics.fetchSessions)
        sessions.onEnd = { [unowned self] session in sessionEnded(session) }
    }

    // MARK: Users

    func identity(of subject: AccessSubject) -> KafkaClientIdentity {
        if let known = identities[subject] { return known }
        if identities.count >= Self.maxIdentities { identities.removeAll() }
        let made = KafkaClientIdentity(subject)
        identities[subject] = made
        return made
    }

    func signedIn(_ user: ExactString, _ connection: ConnectionID) { users[user, default: []].insert(connection) }

    func signedOut(_ user: ExactString, _ connection: ConnectionID) {
        users[user]?.remove(connection)
        if users[user]?.isEmpty == true { users[user] = nil }
    }

    /// Closes the connections that were let in by credentials that their users have no more; some a turn, for over TLS each
    /// costs a record and a send. None of them is served meanwhile (`SaslConnection.provenAsOf`).
    func credentialsChanged(of changed: [ExactString]) {
        let isClosing = !doubted.isEmpty
        for user in changed { doubted += users[user] ?? [] }
        if !isClosing, !doubted.isEmpty { closeDoubted() }
    }

    private func closeDoubted() {
        closingTurns += 1
        for id in doubted.suffix(Self.maxClosedATurn) {
            (eventLoop.connection(id)?.handler as? KafkaConnection)?.credentialChanged()
        }
        doubted.removeLast(min(Self.maxClosedATurn, doubted.count))
        if !doubted.isEmpty { _ = eventLoop.schedule(after: .zero) { [unowned self] _ in closeDoubted() } }
    }

    /// About two milliseconds' worth over TLS.
    static let maxClosedATurn = 100

    // MARK: Quotas

    func mute(_ connection: ConnectionID) {
        if muted.insert(connection).inserted { server.metrics.mutedConnections.add(1) }
    }

    func unmute(_ connection: ConnectionID) {
        if muted.remove(connection) != nil { server.metrics.mutedConnections.add(-1) }
    }

    // MARK: Group requests

    /// Names a request that waits for its group; the loop's index is in the name.
    func newWaiter(_ connection: KafkaConnection, _ reply: ReplyTicket) -> WaiterID {
        let waiter = WaiterID(UInt64(index) << 48 | nextWaiter)
        nextWaiter += 1
        waiters[waiter] = GroupWaiter(connection: connection.connection.id, reply: reply)
        return waiter
    }

    func complete(_ reply: GroupActions.Reply, ticket: UInt64) {
        guard let waiter = waiters.removeValue(forKey: reply.waiter),
            let connection = eventLoop.connection(waiter.connection)?.handler as? KafkaConnection
        else { return }
        connection.unpark()
        let to = waiter.reply
        let commits = CommitSpan(reply.reply.waitsForCommit ? ticket : 0)
        switch reply.reply {
        case .join(let response): connection.reply(response, priced: response.price, to: to, commits: commits)
        case .sync(let response): connection.reply(response, priced: response.price, to: to, commits: commits)
        case .heartbeat(let response): connection.reply(response, to: to, commits: commits)
        case .consumerHeartbeat(let response):
            connection.reply(response, priced: response.price, to: to, commits: commits)
        case .shareHeartbeat(let response):
            connection.reply(response, priced: response.price, to: to, commits: commits)
        case .leave(let response): connection.reply(response, priced: response.price, to: to, commits: commits)
        case .offsetCommit(let response): connection.finishOffsetCommit(response, to: to, commits: commits)
        case .offsetDelete(let response): connection.finishOffsetDelete(response, to: to, commits: commits)
        case .deleteGroups, .shareGroupMade: preconditionFailure("what tools change is asked for its replies")
        case .txnOffsetCommit, .transactionCompleted:
            preconditionFailure("what is done for transactions is asked for its replies")
        }
    }

    /// Ends the connection of a request to which no truthful reply exists, because the data folder has failed.
    func abandon(_ waiter: WaiterID) {
        guard let waiting = waiters.removeValue(forKey: waiter) else { return }
        eventLoop.connection(waiting.connection)?.close()
    }

    // MARK: Parked fetches

    /// Mutes the connection until its fetch is answered. False: it cannot wait and is to be answered with what there
    /// is.
    func park(_ plan: FetchPlan, _ outcome: FetchPlan.Outcome, on connection: KafkaConnection) -> Bool {
        // Nobody sends anything on this connection any more: what waits is answered, so that its end is reached.
        if connection.connection.peerHasFinished { return false }
        if let session = plan.session {
            guard plan.beginWait(in: session, outcome) else { return false }
            enter(plan, newFetchWaiter(), long: nil, on: connection)
            return true
        }
        guard server.parkedShare.take(plan.waitingBytes) else { return false }
        let waiter = newFetchWaiter()
        guard plan.beginWait(waiter, missing: plan.minBytes - outcome.available) else {
            plan.endWait(waiter)
            server.parkedShare.give(plan.waitingBytes)
            return false
        }
        enter(plan, waiter, long: nil, on: connection)
        return true
    }

    func newFetchWaiter() -> ReadWaiter {
        nextFetchID += 1
        return ReadWaiter(loop: Int32(index), id: nextFetchID)
    }

    /// Lets a connection wait for its fetch from now on.
    func enter(_ plan: FetchPlan, _ waiter: ReadWaiter, long: LongFetch?, on connection: KafkaConnection) {
        let wait = min(plan.maxWaitMs, FetchPlan.maxWaitMs)
        let timer = eventLoop.schedule(after: .milliseconds(Int64(wait))) { [unowned self] _ in
            answerFetch(waiter.id)
        }
        parkedFetches[waiter.id] = ParkedFetch(
            plan: plan, connection: connection.connection.id, timer: timer, long: long)
        plan.session?.parkedFetch = waiter.id
        server.metrics.parkedFetches.add(1)
        connection.park(.fetch(waiter.id))
    }

    private func leave(_ id: UInt64, _ fetch: ParkedFetch) {
        parkedFetches[id] = nil
        if fetch.long == nil { fetch.plan.session?.parkedFetch = 0 }
        server.metrics.parkedFetches.add(-1)
        eventLoop.cancel(fetch.timer)
    }

    func dropFetch(_ id: UInt64) {
        guard let fetch = parkedFetches[id] else { return }
        let waiter = ReadWaiter(loop: Int32(index), id: id)
        if let long = fetch.long {
            if long.wait.isAway { return long.wait.isDropped = true }
            leave(id, fetch)
            return forget(long, waiter)
        }
        leave(id, fetch)
        if let session = fetch.plan.session {
            // What rests was to be told by this reply.
            if fetch.plan.isFull { session.markAll() }
            return
        }
        server.parkedShare.give(fetch.plan.waitingBytes)
        fetch.plan.endWait(waiter)
    }

    /// Answers a parked fetch with what there is.
    func answerFetch(_ id: UInt64) {
        guard let fetch = parkedFetches[id] else { return }
        if let long = fetch.long {
            if long.wait.isAway { return long.wait.isOver = true }
            leave(id, fetch)
            return answer(long, ReadWaiter(loop: Int32(index), id: id), on: fetch.connection)
        }
        dropFetch(id)
        guard let connection = eventLoop.connection(fetch.connection)?.handler as? KafkaConnection else { return }
        connection.unpark()
        connection.answerNow(fetch.plan)
    }

    // MARK: What partitions tell

    /// Takes what partitions have told out of the inbox, and makes them ready in their sessions. Fetches that wait go on
    /// afterwards (`actOnTold`), for this may be called while another one is handled.
    func takeTold() {
        server.loops.shared(index).inbox.withLock { swap(&$0, &emptied) }
        if emptied.isEmpty { return }
        for waiter in emptied {
            if waiter.isSession, let session = sessions.session(waiter), !session.isAway { session.mark(waiter.place) }
            told.append(waiter)
        }
        emptied.removeAll(keepingCapacity: emptied.count <= Self.keptTold)
    }

    /// Goes on with the fetches that wait for partitions which have grown or changed otherwise.
    func actOnTold() {
        if told.isEmpty { return }
        var next = 0
        while next < told.count {
            let waiter = told[next]
            next += 1
            if waiter.isSession { actOnTold(inSession: waiter) } else { actOnTold(waiter) }
        }
        told.removeAll(keepingCapacity: told.count <= Self.keptTold)
    }

    /// Room that an empty list keeps.
    private static let keptTold = 4096

    private func actOnTold(_ waiter: ReadWaiter) {
        // Answered by an earlier one of the same commit, perhaps.
        guard let fetch = parkedFetches[waiter.id] else { return }
        if let long = fetch.long {
            handleGrowth(waiter, of: long)
        } else if !fetch.plan.keepsWaiting(after: waiter) {
            answerFetch(waiter.id)
        }
    }

    private func actOnTold(inSession waiter: ReadWaiter) {
        guard let session = sessions.session(waiter) else { return }
        if session.isAway || session.isBeingRead { return session.toldAway.append(waiter) }
        guard let fetch = parkedFetches[session.parkedFetch] else { return session.release(waiter.place) }
        if !fetch.plan.keepsWaiting(after: waiter.place, in: session) { answerFetch(session.parkedFetch) }
    }

    /// Commits have been published, or partitions have told of something else.
    func commitsArrived() {
        takeTold()
        actOnTold()
        let failures = server.commitClock.failureCount
        if failures == seenFailures { return }
        seenFailures = failures
        // A commit that failed for some partitions alone leaves the others to grow.
        guard server.broker.store.isOffline else { return }
        // The data folder is offline: nothing grows any more.
        for id in Array(parkedFetches.keys) { answerFetch(id) }
    }

    // MARK: Sessions

    /// Takes a session back from a worker. What it was told meanwhile is acted on by the caller (`actOnTold`), once it has
    /// parked what waits.
    func takeBack(_ session: FetchSession) {
        session.isAway = false
        for waiter in session.toldAway { session.mark(waiter.place) }
        told += session.toldAway
        session.toldAway = []
        if !sessions.has(session) { sessionEnded(session) }
    }

    /// Takes in that a worker has read for a fetch. What its session was told meanwhile is acted on by the caller
    /// (`actOnTold`), once it has parked what waits: then it counts for that.
    func endRead(of plan: FetchPlan) {
        guard let session = plan.ownSession, session.isBeingRead else { return }
        session.isBeingRead = false
        told += session.toldAway
        session.toldAway = []
    }

    /// Gives up a fetch for which a worker still reads, because another connection goes on with its session.
    func giveReadUp(of session: FetchSession) {
        guard session.isBeingRead else { return }
        session.isBeingRead = false
        // No wake follows for these. They are looked at by the fetch that goes on.
        for waiter in session.toldAway { session.release(waiter.place) }
        session.toldAway = []
    }

    /// Ends what a session does that has lost its place. One that is away ends when it is back.
    private func sessionEnded(_ session: FetchSession) {
        if session.isAway { return }
        session.isEnded = true
        if session.parkedFetch != 0 {
            answerFetch(session.parkedFetch)
            // Perhaps that took it to a worker, and perhaps it came back from there at once and is done with.
            if session.isAway { return }
        }
        if session.isUnwatched { return }
        session.isUnwatched = true
        // A fetch that is being read has nobody to tell of it.
        session.advance()
        if session.entries.count <= server.options.maxInlinePartitions { return session.unwatchAll() }
        let ended = EndedSession(session: session)
        if !server.broker.workers.submit({ ended.session.unwatchAll() }) { session.unwatchAll() }
    }

    /// Lets go of what is parked, because the broker stops: fetches are answered with what there is, group members are
    /// let go, and so are those that a quota keeps waiting.
    func stopping() {
        for id in muted { eventLoop.connection(id)?.closeAfterFlush() }
        for id in Array(parkedFetches.keys) { answerFetch(id) }
        for (waiter, waiting) in waiters {
            waiters[waiter] = nil
            eventLoop.connection(waiting.connection)?.close()
        }
    }
}

/// A session on its way to a worker, for good.
private struct EndedSession: @unchecked Sendable {
    // SAFETY: nobody else uses it: it is in no table, no worker has it, and fetches have lost it by its epoch.
    let session: FetchSession
}
