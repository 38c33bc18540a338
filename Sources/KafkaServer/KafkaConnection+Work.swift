import BrokerCore
import ByteBuffers
import KafkaWire
import Transport

/// Replies that are made on another thread while the connection is muted.
extension KafkaConnection {
    /// Calls `work` on a worker when `bytes` are charged for it. `work` calls `done` once, from any thread, with the reply,
    /// or nil when the reply comes in another way.
    func workElsewhere(
        charging bytes: Int, to ticket: ReplyTicket,
        _ work: @escaping @Sendable (_ done: @escaping @Sendable (PreparedReply?) -> Void) -> Void
    ) {
        park(.work)
        if !workPlace.charge(bytes, then: finishParked(ticket), work) { fail("too many requests wait for memory") }
    }

    /// Answers a request whose reply is priced once it is decoded: on the loop where frame and reply are small, else on a
    /// worker, with the memory charged before it is used.
    ///
    /// - Parameters:
    ///   - question: what the request is answered by, and the bytes that the reply takes in all its forms.
    ///   - onLoop: replies at once, or returns false to leave it to a worker.
    ///   - onWorker: makes the reply, given its price, and calls `done` once, from any thread.
    func answer<Asked: KafkaRequest, Question: Sendable>(
        _ request: borrowing Request, _ type: Asked.Type, _ price: RequestPrice,
        question: @escaping @Sendable (Asked) -> (Question, expected: Int),
        onLoop: (KafkaConnection, Question) -> Bool = { _, _ in false },
        onWorker:
            @escaping @Sendable (Question, _ expected: Int, _ done: @escaping @Sendable (PreparedReply?) -> Void) ->
            Void
    ) throws(DecodeError) {
        if request.frame.count > permissions.inlineRequestBytes {
            let place = workPlace
            return decodeElsewhere(request, type, price) { asked, done in
                let expected = question(asked).expected
                guard expected <= RequestLimits.replyBytes else { return done(.tooLong(expected)) }
                let isTaken = place.charge(expected, then: done) { done in
                    place.answerPriced(question(asked), charged: expected, done, onWorker)
                }
                if !isTaken { done(.refused("too many requests wait for memory")) }
            }
        }
        let asked = try request.decode(type)
        let (found, expected) = question(asked)
        if expected <= RequestLimits.inlineReplyBytes, onLoop(self, found) { return }
        let (charged, place) = (min(expected, RequestLimits.replyBytes), workPlace)
        workElsewhere(charging: charged, to: request.ticket) { done in
            place.answerPriced(question(asked), charged: charged, done, onWorker)
        }
    }

    /// Decodes a request in a long frame on a worker, when there is room for the most that it may become, and calls `work`
    /// there with what it decoded.
    func decodeElsewhere<Asked: KafkaRequest>(
        _ request: borrowing Request, _ type: Asked.Type, _ price: RequestPrice,
        refused: @escaping @Sendable () -> Void = {},
        _ work: @escaping @Sendable (Asked, _ done: @escaping @Sendable (PreparedReply?) -> Void) -> Void
    ) {
        park(.work)
        let (held, place, finish) = (HeldRequest(request), workPlace, finishParked(request.ticket))
        let most = price.charge(frameBytes: request.frame.count)
        let isTaken = server.decoding.admit(most, place.pool) { [budget = server.decoding] in
            let isTaken = place.workers.submit(place.clock) {
                switch held.decode(type) {
                case .failure(let error):
                    refused()
                    finish(.refused("\(error)"))
                    budget.release(most, place.pool)
                case .success(let (asked, bytes)):
                    let kept = min(bytes, most)
                    budget.release(most - kept, place.pool)
                    work(asked) { prepared in
                        finish(prepared)
                        budget.release(kept, place.pool)
                    }
                }
            }
            if isTaken { return }
            refused()
            finish(.refused("too many requests wait for a worker"))
            budget.release(most, place.pool)
        }
        if !isTaken {
            refused()
            fail("too many requests wait for memory")
        }
    }

    /// Where this connection's long work is charged and done.
    var workPlace: WorkPlace {
        WorkPlace(budget: server.budget, workers: broker.workers, pool: loop.eventLoop.pool, clock: workClock)
    }

    /// Goes on with the connection, which is parked for the reply; may be called from any thread.
    func finishParked(_ ticket: ReplyTicket) -> @Sendable (PreparedReply?) -> Void {
        let (id, handle) = (connection.id, loop.handle)
        return { prepared in
            guard let prepared else { return }
            handle.submit { loop in
                guard let handler = loop.connection(id)?.handler as? KafkaConnection else { return }
                handler.unpark()
                handler.finish(prepared, to: ticket)
            }
        }
    }

    /// Runs `work` on a worker when `bytes` are charged for it, while the connection is muted, then `back` on its loop, in any
    /// case once: with `isDone` off where there was no room and the connection is closed for it; without a connection
    /// where that has ended.
    func onWorker(
        charging bytes: Int, _ work: @escaping @Sendable () -> Void,
        then back: @escaping @Sendable (KafkaLoop, KafkaConnection?, _ isDone: Bool) -> Void
    ) {
        park(.work)
        let id = connection.id
        let handle = loop.handle
        let pool = loop.eventLoop.pool
        let (server, budget, workers, clock) = (server, server.budget, broker.workers, workClock)
        let finish: @Sendable (Bool) -> Void = { isDone in
            handle.submit { loop in
                let handler = loop.connection(id)?.handler as? KafkaConnection
                if isDone { handler?.unpark() } else { handler?.fail("too many requests wait for a worker") }
                back(server.loops.state(loop.index), isDone ? handler : nil, isDone)
            }
            if bytes >= RequestLimits.worthTrimming { Heap.returnFreeMemory() }
            budget.release(bytes, pool)
        }
        let isTaken = budget.admit(bytes, pool) {
            let isTaken = workers.submit(clock) {
                work()
                finish(true)
            }
            if !isTaken { finish(false) }
        }
        if isTaken { return }
        fail("too many requests wait for memory")
        back(loop, nil, false)
    }

    /// Runs blocking work on the broker's admin thread while the connection is muted, then `finish` with its result on
    /// this connection's loop, if the connection is still there.
    func offload<Result: Sendable>(
        _ work: @escaping @Sendable () -> Result,
        _ finish: @escaping @Sendable (KafkaConnection, Result) -> Void
    ) {
        park(.work)
        let id = connection.id
        let handle = loop.handle
        let taken = broker.admin.submit {
            let result = work()
            handle.submit { loop in
                guard let handler = loop.connection(id)?.handler as? KafkaConnection else { return }
                handler.unpark()
                finish(handler, result)
            }
        }
        if !taken { connection.close() }
    }

    func finish(_ prepared: PreparedReply, to ticket: ReplyTicket) {
        switch prepared {
        case .refused(let reason): fail(reason)
        case .reply(let slice, let commits):
            // False: one of them has failed, and the connection was reset.
            if !commits.isEmpty, !connection.gate(commits) { return }
            if isCounted { return writeCounted(slice, to: ticket) }
            connection.write(slice)
        }
    }

    /// Returns what an answer to this request is made from.
    func answerContext(_ ticket: ReplyTicket) -> AnswerContext {
        // The address is a system call where none is configured.
        let tellsAddress =
            ticket.key == .metadata || ticket.key == .findCoordinator || ticket.key == .describeQuorum
        return AnswerContext(
            broker: broker, ticket: ticket, permissions: permissions, standing: standing,
            auditor: ticket.key.isAudited ? auditor : nil,
            node: tellsAddress ? node : BrokerNode(id: broker.options.nodeID))
    }

    static func encode(_ response: some KafkaResponse, to writer: inout ByteWriter, _ ticket: ReplyTicket) {
        writer.int32(0)
        writer.int32(ticket.correlationID)
        if ResponseHeader.version(apiKey: ticket.key, apiVersion: ticket.version) >= 1 { writer.unsignedVarint(0) }
        response.encode(to: &writer, version: ticket.version)
        // The callers' limits are far below; should one be missing, the connection is closed for a wrong length.
        writer.overwrite(Int32(clamping: writer.count - 4), at: 0)
    }
}

struct WorkPlace: Sendable {
    let budget: WorkBudget
    let workers: WorkerPool
    let pool: ChunkPool
    var clock: WorkClock?

    /// Calls `work` on a worker when `bytes` are charged, and `finish` with what it answers. False: too many wait.
    func charge(
        _ bytes: Int, then finish: @escaping @Sendable (PreparedReply?) -> Void,
        _ work: @escaping @Sendable (_ done: @escaping @Sendable (PreparedReply?) -> Void) -> Void
    ) -> Bool {
        budget.admit(bytes, pool) {
            let done: @Sendable (PreparedReply?) -> Void = { prepared in
                finish(prepared)
                // Before others take the room: what this one used is then free indeed.
                if bytes >= RequestLimits.worthTrimming { Heap.returnFreeMemory() }
                budget.release(bytes, pool)
            }
            if !workers.submit(clock, { work(done) }) { done(.refused("too many requests wait for a worker")) }
        }
    }

    /// Makes a reply whose price was taken once more, on a worker: others may have added to what is listed while the request
    /// waited with `charged` bytes. What the reply takes beyond that is charged before it is made.
    func answerPriced<Question>(
        _ priced: (Question, expected: Int), charged: Int, _ done: @escaping @Sendable (PreparedReply?) -> Void,
        _ onWorker: (Question, _ expected: Int, _ done: @escaping @Sendable (PreparedReply?) -> Void) -> Void
    ) {
        guard priced.expected <= RequestLimits.replyBytes else { return done(.tooLong(priced.expected)) }
        let more = priced.expected - charged
        guard more > 0 else { return onWorker(priced.0, priced.expected, done) }
        budget.chargeMore(more, pool)
        onWorker(priced.0, priced.expected) { [budget, pool] prepared in
            done(prepared)
            budget.release(more, pool)
        }
    }
}
