import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
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
    private var seenFailures = 0

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
        sessions = FetchSessions(
            slots: max(1, server.options.fetchSessionSlots / server.loops.count), loop: loop.index,
            share: server.sessionShare, gauge: server.metrics.fetchSessions)
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
        let commit = reply.reply.waitsForCommit ? ticket : 0
        switch reply.reply {
        case .join(let response): connection.reply(response, priced: response.price, to: to, commit: commit)
        case .sync(let response): connection.reply(response, priced: response.price, to: to, commit: commit)
        case .heartbeat(let response): connection.reply(response, to: to, commit: commit)
        case .leave(let response): connection.reply(response, priced: response.price, to: to, commit: commit)
        case .offsetCommit(let response): connection.finishOffsetCommit(response, to: to, commit: commit)
        case .offsetDelete(let response):
            connection.reply(response, priced: response.price, to: to, commit: commit)
        case .deleteGroups: preconditionFailure("DeleteGroups is asked for its replies")
        case .txnOffsetCommit, .transactionCompleted:
            preconditionFailure("a transaction's reply without transactions")
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
    func park(_ plan: FetchPlan, missing: Int, on connection: KafkaConnection) -> Bool {
        // Nobody sends anything on this connection any more: what waits is answered, so that its end is reached.
        if connection.connection.peerHasFinished { return false }
        guard server.parkedShare.take(plan.waitingBytes) else { return false }
        let waiter = newFetchWaiter()
        guard plan.beginWait(waiter, missing: missing) else {
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
        server.metrics.parkedFetches.add(1)
        connection.park(.fetch(waiter.id))
    }

    private func leave(_ id: UInt64, _ fetch: ParkedFetch) {
        parkedFetches[id] = nil
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
        server.parkedShare.give(fetch.plan.waitingBytes)
        fetch.plan.endWait(waiter)
    }

    /// Goes on with the fetches that wait for partitions which have grown or changed otherwise.
    func commitsArrived() {
        let told = server.loops.shared(index).inbox.withLock { inbox in
            defer { inbox.removeAll(keepingCapacity: inbox.count <= 4096) }
            return inbox
        }
        for waiter in told {
            // Answered by an earlier one of the same commit, perhaps.
            guard let fetch = parkedFetches[waiter.id] else { continue }
            if let long = fetch.long {
                handleGrowth(waiter, of: long)
            } else if !fetch.plan.keepsWaiting(after: waiter) {
                answerFetch(waiter.id)
            }
        }
        let failures = server.commitClock.failureCount
        if failures == seenFailures { return }
        seenFailures = failures
        // The data folder is offline: nothing grows any more.
        for id in Array(parkedFetches.keys) { answerFetch(id) }
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
        fetch.plan.refuseDeleted(server.broker.catalog)
        let outcome = fetch.plan.read(server, mayWait: false)
        connection.unpark()
        if outcome.wouldWait {
            return connection.readElsewhere(fetch.plan) { $0.finishFetch($1, $2) }
        }
        connection.finishFetch(fetch.plan, outcome)
    }

    /// Lets go of what is parked, because the broker stops: fetches are answered with what there is, group members are
    /// let go.
    func stopping() {
        for id in Array(parkedFetches.keys) { answerFetch(id) }
        for (waiter, waiting) in waiters {
            waiters[waiter] = nil
            eventLoop.connection(waiting.connection)?.close()
        }
    }
}
