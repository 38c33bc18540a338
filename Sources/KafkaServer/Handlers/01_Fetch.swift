import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Telemetry
import Transport

/// Fetch: whole batches from the asked offsets, sent from where they lie; waits up to `maxWaitMs` for `minBytes`.
///
/// The connection is muted while its fetch is parked, as in Kafka. Versions: 4 isolation level; 7 sessions (KIP-227); 9
/// leader epochs (KIP-320); 12 flexible; 13 topic ids (KIP-516); 16 node endpoints (KIP-951); 17, 18 followers' fields.
extension KafkaConnection {
    func fetch(_ request: borrowing Request) throws(DecodeError) {
        if request.frame.count > RequestLimits.inlineRequestBytes { return fetchElsewhere(LongFetch(request)) }
        var reader = try FetchRequestReader(request.body, version: request.version, maxEntries: Self.maxEntries)
        if reader.isTooLarge { return refuseTooLarge(request.ticket) }
        let session: FetchSession?
        switch begin(reader, bytes: FetchSession.bytes(of: reader)) {
        case .success(let found): session = found
        case .failure(let refusal): return refuseFetch(request.ticket, refusal.code)
        }
        var settlement = FetchSessions.Settlement.goesOn
        if let session {
            if session.readyCount + reader.partitionCount > server.options.maxInlinePartitions {
                return workOff(LongFetch(request, reader, session))
            }
            session.change(by: reader)
            settlement = loop.sessions.settle(session, now: loop.eventLoop.now)
            if settlement == .hasNoRoom { return refuseFetch(request.ticket, .fetchSessionIDNotFound) }
        }
        let plan = FetchPlan(
            reply: request.ticket, &reader, session: settlement == .goesOn ? session : nil, server, permissions,
            loop.decisions, sendsFiles: sendsFiles, most: mostFetched)
        let outcome = plan.read(server, mayWait: false)
        if outcome.wouldWait {
            return readElsewhere(plan) { connection, plan, outcome in connection.answer(plan, outcome) }
        }
        answer(plan, outcome)
    }

    /// Answers with what there is, or waits for more.
    private func answer(_ plan: FetchPlan, _ outcome: FetchPlan.Outcome) {
        if outcome.isEnough(plan) || plan.hasLostSession { return finishFetch(plan, outcome) }
        if loop.park(plan, outcome, on: self) { return }
        // There is more by now, or nothing to be waited for.
        answerNow(plan)
    }

    /// Answers with what there is, read once more: after a wait, or in place of one.
    func answerNow(_ plan: FetchPlan) {
        if plan.session == nil {
            plan.refuseLost(broker, loop.decisions)
        } else {
            guard let session = plan.ownSession else { return refuseFetch(plan.reply, .invalidFetchSessionEpoch) }
            if (plan.isFull ? session.count : session.readyCount) > plan.maxInlinePartitions {
                return answer(LongFetch(plan), after: nil)
            }
            plan.takeItems(broker.catalog, loop.decisions)
        }
        let outcome = plan.read(server, mayWait: false)
        if outcome.wouldWait { return readElsewhere(plan) { $0.finishFetch($1, $2) } }
        finishFetch(plan, outcome)
    }

    /// Reads on a worker, which may wait for the disk, while the connection is muted; `then` goes on with what was found. The
    /// whole plan is read again: what is at hand costs little.
    func readElsewhere(
        _ plan: FetchPlan, then: @escaping @Sendable (KafkaConnection, FetchPlan, FetchPlan.Outcome) -> Void
    ) {
        park(.work)
        let id = connection.id
        let handle = loop.handle
        let server = server
        let carried = CarriedFetch(plan: plan)
        plan.ownSession?.isBeingRead = true
        let taken = broker.workers.submit(workClock) {
            let found = CarriedFetch(plan: carried.plan, outcome: carried.plan.read(server, mayWait: true))
            handle.submit { eventLoop in
                let loop = server.loops.state(eventLoop.index)
                loop.endRead(of: found.plan)
                defer { loop.actOnTold() }
                guard let handler = eventLoop.connection(id)?.handler as? KafkaConnection else { return }
                handler.unpark()
                then(handler, found.plan, found.outcome)
            }
        }
        if taken { return }
        loop.endRead(of: plan)
        fail("too many requests wait for a worker")
    }

    /// Records of at least so many bytes that lie in a file are sent from there (sendfile). Fewer are read into memory and
    /// leave with the reply's other bytes in one call: with batches of 4 KiB that was cheaper up to 256 KiB, with batches of
    /// 60 KiB dearer from 64 KiB on.
    static let fileFrom = 512 << 10

    var sendsFiles: Bool { broker.store.filesHaveDescriptors }

    /// Topics and partitions that one Fetch may name, those it forgets included: as many partitions as a session may
    /// have. Each costs about 0.5 KB while it is worked on (`LongFetch.bytesAPartition`). Above: INVALID_REQUEST.
    static let maxEntries = FetchSession.maxPartitions

    struct Refusal: Error { let code: ErrorCode }

    /// Finds the session that the request names, or begins one; nil: none. `bytes`: what the partitions of the request
    /// would keep in a session. Source: KIP-227.
    func begin(_ reader: FetchRequestReader, bytes: @autoclosure () -> Int) -> Result<FetchSession?, Refusal> {
        let now = loop.eventLoop.now
        switch (reader.sessionID, reader.sessionEpoch) {
        case (let id, -1):
            // A full fetch without a session, which ends the client's one.
            if id != 0 { loop.sessions.remove(id) }
            return .success(nil)
        case (let id, 0):
            if id != 0 { loop.sessions.remove(id) }
            guard reader.version >= 7, reader.partitionCount > 0 else { return .success(nil) }
            let session = loop.sessions.create(
                partitions: reader.partitionCount, bytes: bytes(), usesIDs: reader.version >= 13,
                isPrivileged: reader.replicaID >= 0, now: now)
            session?.rulesNumber = broker.rulesNumber
            return .success(session)
        case (let id, let epoch):
            // What was told already is looked at: who asks now knows perhaps of a record that was acknowledged.
            loop.takeTold()
            guard let found = loop.sessions.session(id, now: now) else {
                return .failure(Refusal(code: .fetchSessionIDNotFound))
            }
            // One that is being worked on is another connection's just now.
            guard found.epoch == epoch, !found.isAway else { return .failure(Refusal(code: .invalidFetchSessionEpoch)) }
            guard found.usesIDs == (reader.version >= 13) else {
                return .failure(Refusal(code: .fetchSessionTopicIDError))
            }
            found.advance()
            loop.giveReadUp(of: found)
            // Its client has given another connection up, as it waits for one answer at a time.
            if found.parkedFetch != 0 { loop.answerFetch(found.parkedFetch) }
            lookAnew(found)
            return .success(found)
        }
    }

    /// After a change of ACLs everything in the session is looked at once: whoever may not read a topic any more is told so by
    /// his next fetch, and not by the next record.
    private func lookAnew(_ session: FetchSession) {
        guard server.hasAuthorizer else { return }
        let number = broker.rulesNumber
        if session.rulesNumber == number { return }
        session.rulesNumber = number
        session.markAll()
    }

    // MARK: Replies

    func refuseTooLarge(_ reply: ReplyTicket) {
        // Before version 7 there is no field that could tell.
        if reply.version < 7 { return fail("a Fetch of more than \(Self.maxEntries) topics and partitions") }
        refuseFetch(reply, .invalidRequest)
    }

    func refuseFetch(_ reply: ReplyTicket, _ code: ErrorCode) {
        let wait = endRefusedFetch()
        connection.write { writer in
            var response = FetchResponseWriter(
                version: reply.version, correlationID: reply.correlationID,
                throttleTimeMs: wait.time > .zero ? wait.wireMs : 0, errorCode: code, topicCount: 0, to: &writer)
            response.finish(to: &writer)
        }
        mute(for: wait)
    }

    func finishFetch(_ plan: FetchPlan, _ outcome: FetchPlan.Outcome) {
        if plan.hasLostSession { return refuseFetch(plan.reply, .invalidFetchSessionEpoch) }
        if isCounted, isHeldBack(plan, bytes: plan.frameSize(outcome, telling: plan.ownSession)) { return }
        plan.write(outcome, telling: plan.ownSession, to: connection)
        server.metrics.fetchedBytes.add(outcome.bytes)
    }
}

/// A fetch on its way to a worker and back.
private struct CarriedFetch: @unchecked Sendable {
    // SAFETY: the plan is with one thread at a time: the loop that hands it over touches it again when it has it back. Of
    // its session, which is the loop's, a read touches nothing.
    let plan: FetchPlan
    var outcome = FetchPlan.Outcome()
}
