import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security
import Transport

/// The kinds of handlers beside those that do all by themselves.
extension API {
    typealias Estimate<Asked> = @Sendable (Asked, AnswerContext) -> Int

    /// Serves requests of small strings and numbers on the event loop; they never take long.
    static func plain(_ key: APIKey, _ handle: @escaping Handler) -> API {
        API(key) { connection, request throws(DecodeError) in
            guard request.frame.count <= RequestLimits.plainRequestBytes else {
                return connection.fail("a \(key.name) of \(request.frame.count) bytes")
            }
            try handle(connection, request)
        }
    }

    /// Serves requests whose answer is a function of the broker's state and the request: on the event loop when request
    /// and reply are small, else on a worker.
    ///
    /// - Parameters:
    ///   - price: for requests that are charged before they are decoded.
    ///   - estimate: bytes of memory of the reply in all its forms, from counts alone.
    ///   - mayBlock: the answer may wait for a disk.
    static func answer<Asked: KafkaRequest>(
        _ type: Asked.Type, _ price: RequestPrice, estimate: @escaping Estimate<Asked>,
        mayBlock: @escaping @Sendable (Asked) -> Bool = { _ in false },
        by answer: @escaping @Sendable (Asked, AnswerContext) -> Answer<Asked.Response>
    ) -> API {
        API(Asked.apiKey, price: price) { connection, request throws(DecodeError) in
            let context = connection.answerContext(request.ticket)
            let pool = connection.loop.eventLoop.pool
            let echoed = request.echoedBytes
            try connection.answer(request, type, price) { asked in
                (asked, estimate(asked, context) + echoed)
            } onLoop: { connection, asked in
                if mayBlock(asked) { return false }
                let made = answer(asked, context)
                connection.reply(made.response, to: context.ticket, commits: made.commits)
                return true
            } onWorker: { asked, bytes, done in
                done(PreparedReply(answer(asked, context), context.ticket, priced: bytes, pool: pool))
            }
        }
    }

    /// Serves changes of metadata, which the admin thread makes some at a time; the answer tells how each went.
    static func change<Asked: AuditedRequest>(
        _ type: Asked.Type, _ price: RequestPrice, estimate: @escaping Estimate<Asked>,
        plan: @escaping @Sendable (Asked, AnswerContext) -> SlicedPlan<Asked.Response>
    ) -> API {
        topicChange(type, price, estimate: estimate) { asked, context, _ in plan(asked, context) }
    }

    /// Serves changes that are taken from `controller_mutation_rate`; nil: no such quota holds for the client.
    static func topicChange<Asked: AuditedRequest>(
        _ type: Asked.Type, _ price: RequestPrice, estimate: @escaping Estimate<Asked>,
        plan: @escaping @Sendable (Asked, AnswerContext, MutationCharge?) -> SlicedPlan<Asked.Response>
    ) -> API {
        API(Asked.apiKey, price: price) { connection, request throws(DecodeError) in
            let context = connection.answerContext(request.ticket)
            let pool = connection.loop.eventLoop.pool
            let mutations = connection.mutations
            // A refusal's text repeats the name, and is a string of its own.
            let echoed = 3 * request.echoedBytes
            try connection.answer(request, type, price) { asked in
                (asked, estimate(asked, context) + echoed)
            } onWorker: { asked, bytes, done in
                let (planned, admin) = (plan(asked, context, mutations), context.broker.admin)
                SlicedRun(planned, from: Asked.Response(), on: admin, for: context.standing) { response in
                    asked.wipeSecrets()
                    guard let response else { return done(.refused("too many changes wait")) }
                    context.audit(asked, response)
                    done(PreparedReply(Answer(response: response), context.ticket, priced: bytes, pool: pool))
                }.start()
            }
        }
    }

    /// Serves look-ups. Where one may wait for the disk or unpack a batch (`mayBlock`), they run on workers, some at a
    /// time, so that a few requests of thousands do not keep all threads from everybody; else as an answer.
    static func lookUps<Asked: KafkaRequest>(
        _ type: Asked.Type, _ price: RequestPrice, estimate: @escaping Estimate<Asked>,
        mayBlock: @escaping @Sendable (Asked) -> Bool,
        plan: @escaping @Sendable (Asked, AnswerContext) -> (SlicedPlan<Asked.Response>, from: Asked.Response)
    ) -> API {
        API(Asked.apiKey, price: price) { connection, request throws(DecodeError) in
            let context = connection.answerContext(request.ticket)
            let pool = connection.loop.eventLoop.pool
            let echoed = request.echoedBytes
            try connection.answer(request, type, price) { asked in
                (asked, estimate(asked, context) + echoed)
            } onLoop: { connection, asked in
                if mayBlock(asked) { return false }
                let (plan, empty) = plan(asked, context)
                connection.reply(plan.run(from: empty), to: context.ticket)
                return true
            } onWorker: { asked, bytes, done in
                let (plan, empty) = plan(asked, context)
                let workers = context.broker.workers
                SlicedRun(plan, from: empty, for: context.standing, submit: { workers.submit($0) }) { response in
                    guard let response else { return done(.refused("too many requests wait for a worker")) }
                    done(PreparedReply(Answer(response: response), context.ticket, priced: bytes, pool: pool))
                }.runSlice()
            }
        }
    }

    /// Serves events of a group, whose reply comes through the loop's table of waiters. `prepare` takes out what the
    /// coordinator is not asked about. Who may not do `operation` with the group gets `refused`, and so does whom `check` refuses. `tell` hears of what the event
    /// has brought, within the group's turn.
    static func group<Asked: KafkaRequest>(
        _ type: Asked.Type, _ price: RequestPrice, operation: AclOperation = .read,
        groupID: @escaping @Sendable (Asked) -> String,
        refused: @escaping @Sendable (Asked, ErrorCode, _ version: Int16) -> Asked.Response,
        check: @escaping @Sendable (Asked, AnswerContext) -> ErrorCode? = { _, _ in nil },
        prepare: @escaping @Sendable (inout Asked, AnswerContext) -> [OffsetCommitResponse.OffsetCommitResponseTopic] =
            { _, _ in [] },
        event: @escaping @Sendable (inout GroupShard, Asked, RequestContext, WaiterID, CoordinatorTime) -> GroupActions,
        tell: @escaping @Sendable (GroupActions, Asked, AnswerContext) -> Void = { _, _, _ in }
    ) -> API {
        API(Asked.apiKey, price: price) { connection, request throws(DecodeError) in
            let context = connection.answerContext(request.ticket)
            if request.frame.count > context.permissions.inlineRequestBytes {
                return connection.groupElsewhere(
                    request, type, price, operation, groupID, refused, check, prepare, event, tell)
            }
            var asked = try request.decode(type)
            if !context.permissions.allows(operation, group: groupID(asked)) {
                return connection.reply(
                    refused(asked, .groupAuthorizationFailed, context.version), to: context.ticket)
            }
            if let error = check(asked, context) {
                return connection.reply(refused(asked, error, context.version), to: context.ticket)
            }
            connection.refusedCommits = prepare(&asked, context)
            let id = groupID(asked)
            connection.park(id, request) { shard, client, waiter, now in
                let actions = event(&shard, asked, client, waiter, now)
                tell(actions, asked, context)
                return actions
            }
        }
    }
}

extension PreparedReply {
    static func tooLong(_ bytes: Int) -> PreparedReply { .refused("a reply that takes \(bytes) bytes of memory") }
}

extension HeldRequest {
    func decode<Asked: KafkaRequest>(_ type: Asked.Type) -> Result<(Asked, bytes: Int), DecodeError> {
        do throws(DecodeError) {
            let (asked, bytes) = try request.decodeCounted(type)
            return .success((asked, bytes))
        } catch {
            return .failure(error)
        }
    }
}

extension KafkaConnection {
    /// Decodes a long group request, and runs its event, on a worker.
    fileprivate func groupElsewhere<Asked: KafkaRequest>(
        _ request: borrowing Request, _ type: Asked.Type, _ price: RequestPrice, _ operation: AclOperation,
        _ groupID: @escaping @Sendable (Asked) -> String,
        _ refused: @escaping @Sendable (Asked, ErrorCode, _ version: Int16) -> Asked.Response,
        _ check: @escaping @Sendable (Asked, AnswerContext) -> ErrorCode?,
        _ prepare: @escaping @Sendable (inout Asked, AnswerContext) -> [OffsetCommitResponse.OffsetCommitResponseTopic],
        _ event:
            @escaping @Sendable (inout GroupShard, Asked, RequestContext, WaiterID, CoordinatorTime) -> GroupActions,
        _ tell: @escaping @Sendable (GroupActions, Asked, AnswerContext) -> Void
    ) {
        let context = answerContext(request.ticket)
        let group = requestContext(request)
        let waiter = loop.newWaiter(self, request.ticket)
        let id = connection.id
        let handle = loop.handle
        let server = server
        let (frameBytes, pool) = (request.frame.count, loop.eventLoop.pool)
        let forget: @Sendable () -> Void = {
            handle.submit { [server] loop in server.loops.state(loop.index).waiters[waiter] = nil }
        }
        decodeElsewhere(request, type, price, refused: forget) { asked, done in
            var asked = asked
            let name = groupID(asked)
            let isAllowed = context.permissions.allows(operation, group: name)
            if let error = isAllowed ? check(asked, context) : .groupAuthorizationFailed {
                forget()
                let response = refused(asked, error, context.version)
                // Of the request's own text: as long as that, about.
                return done(
                    PreparedReply(Answer(response: response), context.ticket, expected: frameBytes, pool: pool))
            }
            let apart = prepare(&asked, context)
            // Before the event, whose reply comes to the loop by the same way, and after this.
            handle.submit { [server] loop in
                let state = server.loops.state(loop.index)
                // Its reply may be here before this: the loop itself runs events of the same group.
                guard state.waiters[waiter] != nil else { return }
                guard let handler = loop.connection(id)?.handler as? KafkaConnection else {
                    state.waiters[waiter] = nil
                    return
                }
                handler.refusedCommits = apart
                handler.parked = .group(waiter, groupID: name)
            }
            server.broker.groups.perform(group: name, isVisible: context.permissions.seesTopic) { shard, now in
                let actions = event(&shard, asked, group, waiter, now)
                tell(actions, asked, context)
                return actions
            }
            server.broker.store.kick()
            // Whoever went before the event was in the group was told of to nobody.
            handle.submit { [server] loop in
                if server.loops.state(loop.index).waiters[waiter] != nil { return }
                server.broker.groups.waiterGone(waiter, groupID: name)
            }
            done(nil)
        }
    }
}
