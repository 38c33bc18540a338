import ByteBuffers
import KafkaModel
import QueueLedger
import RecordFormat
import Security

@testable import BrokerCore

/// Queues in memory alone, for tests of what stands in front of the service: which calls it makes, and how it tells their answers.
final class MemoryQueues: QueueService {
    private struct Message {
        var id: String
        var offset: Int64
        var sent: QueueMessage
        var visibleMs: Int64
        var lease = 0
        var receives = 0
        var firstReceivedMs: Int64 = 0
        var origin: DeadLetterOrigin?
    }

    private struct Queue {
        var description: QueueDescription
        var messages: [Message] = []
        var next: Int64 = 0
    }

    private struct Waiter {
        let number: Int
        let request: QueueReceive
        let name: String
        let done: @Sendable (QueueOutcome<QueueReceiveReply>) -> Void
    }

    private struct State {
        var queues: [String: Queue] = [:]
        var waiters: [Waiter] = []
        var nextWaiter = 0
        var moves: [QueueMove] = []
        var nowMs: Int64 = 1_700_000_000_000
        var refusal: QueueRefusal?
        var flow = QueueFlow()
    }

    private let state = Lock(State())

    // MARK: What tests do

    /// What is told of how messages come and go.
    func observe(_ flow: QueueFlow) { state.withLock { $0.flow = flow } }

    /// All calls of messages are refused so; nil: they are served.
    func refuse(_ refusal: QueueRefusal?) { state.withLock { $0.refusal = refusal } }

    var waiting: Int { state.withLock { $0.waiters.count } }

    func pass(milliseconds: Int64) { state.withLock { $0.nowMs += milliseconds } }

    /// Answers those that wait: their time is over.
    func endWaits() {
        let waiters = state.withLock { state in
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.done(QueueOutcome(.messages([]))) }
    }

    func headers(of name: String) -> [[RecordHeader]] {
        state.withLock { $0.queues[name]?.messages.map(\.sent.headers) ?? [] }
    }

    // MARK: Queues

    func createQueue(
        _ name: String, _ settings: QueueSettings, partitions: Int32, tags: [String: String]
    ) -> Result<QueueDescription, QueueRefusal> {
        state.withLock { state in
            if let found = state.queues[name]?.description {
                return found.settings == settings && found.tags == tags
                    ? .success(found) : .failure(QueueRefusal(.exists, "there is such a queue"))
            }
            let made = QueueDescription(
                name: name, topicID: TopicID.zero, partitionCount: partitions, settings: settings, tags: tags,
                createdMs: state.nowMs, modifiedMs: state.nowMs)
            state.queues[name] = Queue(description: made)
            return .success(made)
        }
    }

    func alterQueue(
        _ name: String, _ change: (inout QueueSettings, inout [String: String]) -> Void
    ) -> Result<QueueDescription, QueueRefusal> {
        state.withLock { state in
            guard var queue = state.queues[name] else { return .failure(Self.gone) }
            change(&queue.description.settings, &queue.description.tags)
            state.queues[name] = queue
            return .success(queue.description)
        }
    }

    func deleteQueue(_ name: String) -> QueueRefusal? {
        state.withLock { $0.queues.removeValue(forKey: name) == nil ? Self.gone : nil }
    }

    func queue(named name: String) -> QueueDescription? { state.withLock { $0.queues[name]?.description } }

    func queues(prefix: String, after: String?, limit: Int) -> [QueueDescription] {
        state.withLock { state in
            let names = state.queues.keys.filter { $0.hasPrefix(prefix) && $0 > (after ?? "") }.sorted()
            return names.prefix(limit).compactMap { state.queues[$0]?.description }
        }
    }

    func deadLetterSources(of name: String) -> [String] {
        state.withLock { state in
            state.queues.values.map(\.description).filter { $0.settings.deadLetterQueue == name }.map(\.name).sorted()
        }
    }

    private static let gone = QueueRefusal(.notFound, "there is no such queue")

    // MARK: Messages

    func send(
        _ messages: [QueueMessage], to name: String
    ) -> QueueOutcome<[Result<SentMessage, QueueRefusal>]> {
        let (results, ready) = state.withLock { state -> ([Result<SentMessage, QueueRefusal>], [() -> Void]) in
            let results = messages.map { message -> Result<SentMessage, QueueRefusal> in
                if let refusal = state.refusal { return .failure(refusal) }
                guard var queue = state.queues[name] else { return .failure(Self.gone) }
                let id = "00000000-0000-7000-8000-\(queue.next + 100_000_000_000)"
                let delay = message.delayMs ?? queue.description.settings.delayMs
                queue.messages.append(
                    Message(id: id, offset: queue.next, sent: message, visibleMs: state.nowMs + delay))
                queue.next += 1
                state.queues[name] = queue
                return .success(
                    SentMessage(id: id, partitionIndex: 0, offset: Offset(queue.next - 1), isDuplicate: false))
            }
            return (results, Self.serve(&state))
        }
        for answer in ready { answer() }
        return QueueOutcome(results)
    }

    /// Gives to those that wait what there is by now.
    private static func serve(_ state: inout State) -> [() -> Void] {
        var ready: [() -> Void] = []
        var left: [Waiter] = []
        for waiter in state.waiters {
            let found = take(waiter.request, waiter.name, &state)
            if found.isEmpty {
                left.append(waiter)
            } else {
                ready.append { waiter.done(QueueOutcome(.messages(found))) }
            }
        }
        state.waiters = left
        return ready
    }

    private static func take(_ request: QueueReceive, _ name: String, _ state: inout State) -> [ReceivedMessage] {
        guard var queue = state.queues[name] else { return [] }
        var found: [ReceivedMessage] = []
        for index in queue.messages.indices where found.count < request.maxMessages {
            guard queue.messages[index].visibleMs <= state.nowMs else { continue }
            let visibility = request.visibilityMs ?? queue.description.settings.visibilityMs
            if queue.messages[index].receives == 0 { queue.messages[index].firstReceivedMs = state.nowMs }
            queue.messages[index].receives += 1
            queue.messages[index].lease += 1
            queue.messages[index].visibleMs = state.nowMs + visibility
            let message = queue.messages[index]
            found.append(
                ReceivedMessage(
                    id: message.id, handle: "\(name)/\(message.offset)/\(message.lease)", body: message.sent.body,
                    headers: message.sent.headers, key: nil, groupID: message.sent.groupID,
                    deduplicationID: message.sent.deduplicationID, receiveCount: message.receives,
                    firstReceivedMs: message.firstReceivedMs, sentMs: 1_700_000_000_000,
                    deadlineMs: message.visibleMs, topicName: "q.\(name)", partitionIndex: 0,
                    offset: Offset(message.offset), deadLetter: message.origin))
        }
        state.queues[name] = queue
        return found
    }

    @discardableResult
    func receive(
        _ request: QueueReceive, from name: String,
        _ done: @escaping @Sendable (QueueOutcome<QueueReceiveReply>) -> Void
    ) -> (@Sendable () -> Void)? {
        let (reply, number) = state.withLock { state -> (QueueReceiveReply?, Int) in
            if let refusal = state.refusal { return (.refused(refusal), 0) }
            let found = Self.take(request, name, &state)
            guard found.isEmpty, let wait = request.waitMs, wait > 0 else { return (.messages(found), 0) }
            state.nextWaiter += 1
            state.waiters.append(Waiter(number: state.nextWaiter, request: request, name: name, done: done))
            return (nil, state.nextWaiter)
        }
        if let reply {
            done(QueueOutcome(reply))
            return nil
        }
        return { [self] in state.withLock { $0.waiters.removeAll { $0.number == number } } }
    }

    func abandon(_ messages: [ReceivedMessage], in name: String) {
        let ready = state.withLock { state -> [() -> Void] in
            for message in messages {
                guard let index = state.queues[name]?.messages.firstIndex(where: { $0.id == message.id }) else {
                    continue
                }
                state.queues[name]?.messages[index].visibleMs = state.nowMs
                state.queues[name]?.messages[index].receives -= 1
            }
            return Self.serve(&state)
        }
        for answer in ready { answer() }
    }

    // MARK: Settling

    private func settle(
        _ handles: [String], in name: String, _ change: @escaping (Int, inout [Message], Int) -> SettleOutcome
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        QueueOutcome(
            state.withLock { state in
                if let refusal = state.refusal { return .failure(refusal) }
                guard var queue = state.queues[name] else { return .failure(Self.gone) }
                let settled = handles.enumerated().map { place, handle -> QueueSettlement in
                    let parts = handle.split(separator: "/")
                    guard parts.count == 3, parts[0] == name, let offset = Int64(parts[1]), let lease = Int(parts[2])
                    else { return .invalidHandle }
                    guard let index = queue.messages.firstIndex(where: { $0.offset == offset }),
                        queue.messages[index].lease == lease
                    else { return .settled(.noEffect) }
                    return .settled(change(index, &queue.messages, place))
                }
                state.queues[name] = queue
                return .success(settled)
            })
    }

    func acknowledge(
        _ handles: [String], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        settle(handles, in: name) { index, messages, _ in
            messages.remove(at: index)
            return .done
        }
    }

    func changeVisibility(
        _ changes: [(handle: String, visibilityMs: Int64)], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        let now = state.withLock { $0.nowMs }
        return settle(changes.map(\.handle), in: name) { index, messages, place in
            guard messages[index].visibleMs > now else { return .notInFlight }
            messages[index].visibleMs = now + changes[place].visibilityMs
            return .done
        }
    }

    func release(
        _ releases: [(handle: String, delayMs: Int64?)], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        changeVisibility(releases.map { ($0.handle, $0.delayMs ?? 0) }, in: name)
    }

    func reject(
        _ handles: [String], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        acknowledge(handles, in: name)
    }

    func purge(_ name: String) -> QueueOutcome<QueueRefusal?> {
        QueueOutcome(
            state.withLock { state in
                state.queues[name]?.messages = []
                return state.queues[name] == nil ? Self.gone : nil
            })
    }

    func counts(of name: String, withOldest: Bool) -> QueueOutcome<Result<QueueCounts, QueueRefusal>> {
        QueueOutcome(
            state.withLock { state in
                guard let queue = state.queues[name] else { return .failure(Self.gone) }
                var counts = QueueCounts()
                for message in queue.messages {
                    if message.visibleMs <= state.nowMs {
                        counts.visible += 1
                    } else if message.receives > 0 {
                        counts.inFlight += 1
                    } else {
                        counts.delayed += 1
                    }
                }
                return .success(counts)
            })
    }

    func flow(of name: String) -> QueueOutcome<Result<QueueFlow, QueueRefusal>> {
        let counts = counts(of: name, withOldest: false)
        return QueueOutcome(
            counts.answer.map { counts in
                var flow = state.withLock { $0.flow }
                flow.counts = counts
                return flow
            })
    }

    // MARK: Moves

    func startMove(_ order: QueueMoveOrder) -> QueueOutcome<Result<QueueMove, QueueRefusal>> {
        state.withLock { state in
            if state.moves.contains(where: { $0.source == order.source && $0.state == .running }) {
                return QueueOutcome(.failure(QueueRefusal(.inUse, "a move is under way")))
            }
            var move = QueueMove(id: "move-\(state.moves.count)", source: order.source, startedMs: state.nowMs)
            (move.destination, move.perSecond, move.expected) = (order.destination, order.perSecond, 3)
            state.moves.append(move)
            return QueueOutcome(.success(move))
        }
    }

    func rehearseMove(_ order: QueueMoveOrder) -> Result<QueueMoveRehearsal, QueueRefusal> {
        .success(QueueMoveRehearsal())
    }

    func moves(from source: String) -> Result<[QueueMove], QueueRefusal> {
        .success(state.withLock { $0.moves.filter { $0.source == source }.reversed() })
    }

    func cancelMove(_ id: String) -> QueueMove? {
        state.withLock { state in
            guard let index = state.moves.firstIndex(where: { $0.id == id && $0.state == .running }) else { return nil }
            state.moves[index].state = .cancelled
            state.moves[index].moved = 2
            return state.moves[index]
        }
    }
}
