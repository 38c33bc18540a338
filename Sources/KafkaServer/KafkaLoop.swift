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
            slots: max(1, server.options.fetchSessionSlots / server.loops.count), loop: loop.index)
    }

    // MARK: Group requests

    /// A name for a request that waits for its group; the loop's index is in it.
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
        switch reply.reply {
        case .join(let response): connection.reply(response, to: to, commit: ticket)
        case .sync(let response): connection.reply(response, to: to, commit: ticket)
        case .heartbeat(let response): connection.reply(response, to: to)
        case .leave(let response): connection.reply(response, to: to, commit: ticket)
        case .offsetCommit(let response): connection.finishOffsetCommit(response, to: to, commit: ticket)
        case .offsetDelete(let response): connection.reply(response, to: to, commit: ticket)
        case .deleteGroups: preconditionFailure("DeleteGroups is asked for its replies")
        case .txnOffsetCommit, .transactionCompleted:
            preconditionFailure("a transaction's reply without transactions")
        }
    }

    /// The data folder failed: no truthful reply exists.
    func abandon(_ waiter: WaiterID) {
        guard let waiting = waiters.removeValue(forKey: waiter) else { return }
        eventLoop.connection(waiting.connection)?.close()
    }

    // MARK: Parked fetches

    /// A name for a fetch that is to be parked.
    func nextFetch() -> UInt64 {
        nextFetchID += 1
        return nextFetchID
    }

    func parkFetch(_ id: UInt64, _ fetch: ParkedFetch) {
        parkedFetches[id] = fetch
        server.metrics.parkedFetches.add(1)
    }

    func dropFetch(_ id: UInt64) {
        guard let fetch = parkedFetches.removeValue(forKey: id) else { return }
        server.metrics.parkedFetches.add(-1)
        eventLoop.cancel(fetch.timer!)
        let waiter = ReadWaiter(loop: Int32(index), id: id)
        for item in fetch.plan.items { item.log?.forget(waiter) }
    }

    /// Partitions have grown: the fetches that waited for them are tried again.
    func commitsArrived() {
        let ready = server.loops.shared(index).inbox.withLock { inbox in
            defer { inbox.removeAll(keepingCapacity: true) }
            return inbox
        }
        for id in ready { retryFetch(id, isLast: false) }
    }

    func retryFetch(_ id: UInt64, isLast: Bool) {
        guard let fetch = parkedFetches[id],
            let connection = eventLoop.connection(fetch.connection)?.handler as? KafkaConnection
        else { return }
        fetch.plan.refuseDeleted(server.broker.catalog)
        var outcome = fetch.plan.read(server, mayWait: false)
        while !isLast, !outcome.wouldWait, !outcome.isEnough(fetch.plan) {
            if registerFetch(id, fetch.plan) { return }
            fetch.plan.refuseDeleted(server.broker.catalog)
            outcome = fetch.plan.read(server, mayWait: false)
        }
        dropFetch(id)
        connection.unpark()
        if outcome.wouldWait {
            return connection.readElsewhere(fetch.plan) { $0.finishFetch($1, $2) }
        }
        connection.finishFetch(fetch.plan, outcome)
    }

    /// Asks the fetch's partitions to tell of growth. False: one has grown meanwhile.
    func registerFetch(_ id: UInt64, _ plan: FetchPlan) -> Bool {
        let waiter = ReadWaiter(loop: Int32(index), id: id)
        for item in plan.items {
            guard let log = item.log else { continue }
            if !log.notify(waiter, whenBeyond: Offset(item.seenHighWatermark)) { return false }
        }
        return true
    }

    /// The broker stops: parked requests are answered with what there is, group members are let go.
    func stopping() {
        for id in Array(parkedFetches.keys) { retryFetch(id, isLast: true) }
        for (waiter, waiting) in waiters {
            waiters[waiter] = nil
            eventLoop.connection(waiting.connection)?.close()
        }
    }
}
