import BrokerCore
import ByteBuffers
import KafkaWire
import Transport

/// Replies that are made on another thread while the connection is muted.
extension KafkaConnection {
    /// Calls `work` on a worker when `bytes` are charged for it. It calls its argument once, from any thread, with the
    /// reply, or nil when the reply comes in another way.
    func workElsewhere(
        charging bytes: Int, _ work: @escaping @Sendable (_ done: @escaping @Sendable (PreparedReply?) -> Void) -> Void
    ) {
        park(.work)
        let id = connection.id
        let handle = loop.handle
        let pool = loop.eventLoop.pool
        let budget = server.budget
        let workers = broker.workers
        let isTaken = budget.admit(bytes, pool) {
            let done: @Sendable (PreparedReply?) -> Void = { prepared in
                if let prepared {
                    handle.submit { loop in
                        guard let handler = loop.connection(id)?.handler as? KafkaConnection else { return }
                        handler.unpark()
                        handler.finish(prepared)
                    }
                }
                // Before others take the room: what this one used is then free indeed.
                if bytes >= RequestLimits.worthTrimming { Heap.returnFreeMemory() }
                budget.release(bytes, pool)
            }
            if !workers.submit({ work(done) }) { done(.refused("too many requests wait for a worker")) }
        }
        if !isTaken { fail("too many requests wait for memory") }
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
        let (server, budget, workers) = (server, server.budget, broker.workers)
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
            let isTaken = workers.submit {
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

    func finish(_ prepared: PreparedReply) {
        switch prepared {
        case .refused(let reason): fail(reason)
        case .reply(let slice, let commit):
            // False: the commit has failed, and the connection was reset.
            if commit > 0, !connection.gate(ticket: commit) { return }
            connection.write(slice)
        }
    }

    /// What an answer to this request is made from.
    func answerContext(_ ticket: ReplyTicket) -> AnswerContext {
        var context = AnswerContext(broker: broker, ticket: ticket)
        // A system call, where nothing is configured.
        if ticket.key == .metadata || ticket.key == .findCoordinator { context.advertised = advertised }
        return context
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
