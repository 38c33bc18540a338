import ByteBuffers
import KafkaModel
public import LogStorage
import QueueLedger
import RecordFormat
import Synchronization
import Telemetry

/// Receiving: leases of the queue's partitions by turns, the messages read from their logs, and the wait for some.
extension QueueCoordinator {
    @discardableResult
    public func receive(
        _ request: QueueReceive, from name: String,
        _ done: @escaping @Sendable (QueueOutcome<QueueReceiveReply>) -> Void
    ) -> (@Sendable () -> Void)? {
        let queue: Queue
        do throws(QueueRefusal) {
            queue = try find(name).queue
            if let problem = request.problem { throw QueueRefusal(.invalid, problem) }
        } catch {
            done(QueueOutcome(.refused(error)))
            return nil
        }
        let outcome = tryReceive(request, from: queue)
        let waitMs = request.waitMs ?? queue.settings.receiveWaitMs
        guard waitMs > 0, outcome.answer.isNothingYet, !broker.isDraining else {
            done(outcome)
            return nil
        }
        let isTaken = agenda.withLock { agenda in
            guard agenda.waiters < Self.maxWaiters else { return false }
            agenda.waiters += 1
            return true
        }
        guard isTaken else {
            done(outcome)
            return nil
        }
        let number = queue.waiters.add(QueueWaiters.Waiter(request: request, done: done))
        let dueMs = steadyMs() + waitMs
        let isFirst = agenda.withLock { $0.add(QueueDue(atMs: dueMs, subject: .waiter(queue, number))) }
        if isFirst { signal.raise() }
        // A drain that has begun in between has not seen it.
        if broker.isDraining { answer(number, of: queue, QueueOutcome(.messages([]))) }
        // What has come in between is found now, what comes from now on is told.
        serveWaiters(of: queue)
        return { [self] in
            if queue.waiters.take(number) != nil { agenda.withLock { $0.waiters -= 1 } }
        }
    }

    /// Has a worker give the queue's waiting receives their turns.
    func serveWaiters(of queue: Queue) {
        guard queue.waiters.beginServing() else { return }
        if broker.runOnWorker({ [self] in runWaiters(of: queue) }) { return }
        serveLater(queue)
    }

    /// Ends the turns of the queue's waiting receives, which are to have some soon.
    private func serveLater(_ queue: Queue) {
        guard queue.waiters.putOff() else { return }
        let dueMs = steadyMs() + Self.retryMs
        if agenda.withLock({ $0.add(QueueDue(atMs: dueMs, subject: .serving(queue))) }) { signal.raise() }
    }

    private func runWaiters(of queue: Queue) {
        repeat {
            // By the rules of now: it may have changed, or be gone.
            guard let current = directory.byNumber[queue.number],
                let topic = broker.catalog.topic(id: current.record.topicID)
            else {
                answerAll(of: queue, .refused(QueueRefusal(.notFound, "the queue was deleted")))
                continue
            }
            watch(topic, current)
            while let (number, request) = queue.waiters.first() {
                let outcome = tryReceive(request, from: current)
                if case .refused(let refusal) = outcome.answer, refusal.kind == .unavailable {
                    // Told at once that there is something, it would be asked for without end.
                    return serveLater(current)
                }
                if outcome.answer.isNothingYet { break }
                answer(number, of: queue, outcome)
            }
        } while !queue.waiters.endServing()
    }

    func answer(_ number: UInt64, of queue: Queue, _ outcome: QueueOutcome<QueueReceiveReply>) {
        guard let waiter = queue.waiters.take(number) else {
            // Its time was over meanwhile, or its client has gone: what it would have got is somebody else's.
            return giveBack(outcome.answer, to: queue)
        }
        agenda.withLock { $0.waiters -= 1 }
        waiter.done(outcome)
    }

    func answerAll(of queue: Queue, _ reply: QueueReceiveReply) {
        let waiters = queue.waiters.takeAll()
        agenda.withLock { $0.waiters -= waiters.count }
        for waiter in waiters { waiter.done(QueueOutcome(reply)) }
    }

    /// Asks the queue's logs to tell of their growth, before anybody looks for messages: so none is missed.
    private func watch(_ topic: Topic, _ queue: Queue) {
        for log in topic.partitions {
            let waiter = ReadWaiter(loop: Self.waiterLoop, id: queue.number, place: log.partitionIndex)
            var slot = queue.waiters.slot(of: log.partitionIndex)
            _ = log.watch(waiter, slot: &slot, step: 1, visibility: .stable)
            queue.waiters.setSlot(slot, of: log.partitionIndex)
        }
    }

    /// The loop of a waiter that is a queue and no connection.
    public static let waiterLoop: Int32 = -1

    /// Those of `woken` that are queues: something has come for who waits in them. Called by who hears of commits, on any thread.
    public func committed(_ woken: [ReadWaiter]) {
        var directory: QueueDirectory?
        // A queue is woken as a whole, whether a receiver or its forwarder waits: both look.
        for waiter in woken where waiter.loop == Self.waiterLoop {
            if directory == nil { directory = self.directory }
            if let queue = directory?.byNumber[waiter.id] { serveWaiters(of: queue) }
        }
    }

    // MARK: One attempt

    /// Messages of a partition that were leased and are to be read.
    private struct Leased {
        let partition: QueuePartition
        let messages: [LeasedMessage]
    }

    /// Times that one receive asks its queue's ledgers, at most: each time all that it was given were records of aborted transactions,
    /// and those that follow the last of them are passed over with it.
    private static let maxRounds = 16

    /// Receives what there is now.
    func tryReceive(_ request: QueueReceive, from queue: Queue) -> QueueOutcome<QueueReceiveReply> {
        defer { broker.store.kick() }
        do throws(QueueRefusal) {
            let topic = try find(queue.name).topic
            // Who is no receiver makes nothing worse.
            if request.isCounted, queue.breaker.pauseMs(steadyMs()) > 0 { return QueueOutcome(.messages([])) }
            for _ in 0..<Self.maxRounds {
                var commits = CommitSpan()
                let (leased, isOverLimit) = try lease(request, queue, topic, &commits)
                if leased.isEmpty { return QueueOutcome(isOverLimit ? .overLimit : .messages([])) }
                let messages = try read(leased, request, &commits)
                // All of them were none.
                if messages.isEmpty { continue }
                // Who loses a lease in a crash is given the messages again: only a group must not have two receivers.
                return QueueOutcome(.messages(messages), queue.settings.order == .fifo ? commits : CommitSpan())
            }
            // What waits has another turn.
            return QueueOutcome(.messages([]))
        } catch {
            return QueueOutcome(.refused(error))
        }
    }

    private func lease(
        _ request: QueueReceive, _ queue: Queue, _ topic: Topic, _ commits: inout CommitSpan
    ) throws(QueueRefusal) -> (leased: [Leased], isOverLimit: Bool) {
        let attempt = Self.attempt(request, queue)
        let count = topic.partitions.count
        // The same attempt asks the same partition first.
        let first = attempt.map { Int($0.low % UInt64(count)) } ?? queue.receives.next(of: count)
        var leased: [Leased] = []
        var room = request.maxMessages
        var isOverLimit = false
        var refusal: QueueRefusal?
        for place in 0..<count where room > 0 {
            let partition = QueuePartition(queue: queue, log: topic.partitions[(first + place) % count])
            var wanted = ReceiveRequest(
                maxMessages: room, visibilityMs: request.visibilityMs ?? queue.settings.visibilityMs, attempt: attempt)
            var isBehind = true
            while isBehind {
                do throws(QueueRefusal) {
                    let (reply, ticket) = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                        // Before the look: who frees memory from here on tells those that wait.
                        if isFull { isTurnedAway.store(true, ordering: .sequentiallyConsistent) }
                        isBehind = try catchUp(&entry, &shard, partition, nowMs)
                        wanted.takesNew = !isFull
                        wanted.isCounted = request.isCounted
                        isOverLimit = isOverLimit || waitsForRoom(entry, partition)
                        return try shard.take(entry.ledger.receive(wanted, nowMs: nowMs), &entry, nowMs)
                    }
                    switch reply {
                    case .overLimit: (isOverLimit, isBehind) = (true, false)
                    case .messages(let messages):
                        if messages.isEmpty { continue }
                        isBehind = false
                        room -= messages.count
                        commits.add(ticket)
                        leased.append(Leased(partition: partition, messages: messages))
                    }
                } catch {
                    // The others may have messages.
                    (refusal, isBehind) = (error, false)
                }
            }
        }
        if leased.isEmpty, let refusal { throw refusal }
        return (leased, isOverLimit)
    }

    // MARK: Their bytes

    /// Reads what was leased, as far as the bytes of the request go; the rest is given back, and what is no message ends.
    private func read(
        _ leased: [Leased], _ request: QueueReceive, _ commits: inout CommitSpan
    ) throws(QueueRefusal) -> [ReceivedMessage] {
        guard let seal else { throw QueueRefusal(.unavailable, "queues are not served yet") }
        var messages: [ReceivedMessage] = []
        var room = request.maxBytes
        var failure: QueueRefusal?
        var records = RecordIterator()
        for part in leased {
            let leases = Dictionary(uniqueKeysWithValues: part.messages.map { ($0.receipt.offset, $0) })
            var found: [Offset: ReceivedMessage] = [:]
            var looked = 0
            let unreadable = UnreadableRecords()
            do throws(QueueRefusal) {
                let walk = QueueWalk(log: part.partition.log, unreadable: unreadable)
                try walk.visit(part.messages.map(\.receipt.offset), &records, looked: &looked) { record in
                    guard let lease = leases[record.offset] else { return true }
                    let handle = seal.handle(for: lease.receipt, of: part.partition.id)
                    let message = ReceivedMessage(record, lease, of: part.partition, handle: handle)
                    let bytes = message.byteCount
                    if bytes > room, !(messages.isEmpty && found.isEmpty) { return false }
                    room -= bytes
                    found[record.offset] = message
                    return true
                }
            } catch { failure = error }
            // In the order of the ledger.
            messages += part.messages.compactMap { found[$0.receipt.offset] }
            let gaps = part.messages[..<looked].map(\.receipt.offset).filter { found[$0] == nil }
            let unread = part.messages[looked...].map(\.receipt).filter { found[$0.offset] == nil }
            if gaps.isEmpty, unread.isEmpty { continue }
            let more = gaps.max().flatMap { gap(behind: $0, of: part.partition, unreadable, &records) }
            let ticket = try withLedger(of: part.partition) { entry, shard, nowMs throws(QueueRefusal) in
                try shard.take(
                    entry.ledger.takeBack(unread, wasCounted: request.isCounted, nowMs: nowMs), &entry, nowMs)
                var ranges = OffsetRange.covering(gaps)
                // Not what it has not been told of.
                if let more, more.last < entry.ledger.toldEnd { ranges.append(more) }
                try shard.take(entry.ledger.dropGaps(ranges), &entry, nowMs)
                noteEnded(unreadable.count(in: ranges), unreadable, of: part.partition, &entry)
                if let attempt = Self.attempt(request, part.partition.queue) {
                    entry.ledger.keep(Array(found.keys), ofAttempt: attempt)
                }
            }.ticket
            commits.add(ticket)
        }
        if messages.isEmpty, let failure { throw failure }
        return messages
    }

    /// What follows a record that was no message and is none either, as far as one read tells: those of a transaction stand together.
    private func gap(
        behind offset: Offset, of partition: QueuePartition, _ unreadable: UnreadableRecords,
        _ records: inout RecordIterator
    ) -> OffsetRange? {
        var first: Offset?
        do throws(QueueRefusal) {
            let next = try QueueWalk(log: partition.log, unreadable: unreadable).step(
                from: offset + 1, to: partition.log.lastStableOffset, &records
            ) { record in
                if first == nil { first = record.offset }
            }
            let last = Offset((first ?? next).rawValue - 1)
            return last > offset ? OffsetRange(offset + 1, last) : nil
        } catch {
            // Who reads them next says so.
            return nil
        }
    }

    /// The digest of the attempt's id, where the queue goes by it.
    private static func attempt(_ request: QueueReceive, _ queue: Queue) -> NameDigest? {
        queue.settings.order == .fifo ? request.attemptID.map { NameDigest(of: $0.utf8) } : nil
    }

    /// Gives messages back that were received for somebody who has gone: they are there at once, and that delivery does not count.
    public func abandon(_ messages: [ReceivedMessage], in name: String) {
        guard let queue = directory.byName[ExactString(name)] else { return }
        giveBack(.messages(messages), to: queue)
    }

    /// Gives messages back that nobody has got. Where that is refused they come again when their leases end.
    private func giveBack(_ reply: QueueReceiveReply, to queue: Queue) {
        if case .messages(let messages) = reply { giveBack(messages.map(\.handle), to: queue) }
    }

    /// `wereCounted`: as their receive said.
    func giveBack(_ handles: [String], to queue: Queue, wereCounted: Bool = true) {
        guard !handles.isEmpty, let seal else { return }
        for (id, group) in Dictionary(grouping: handles.compactMap { seal.open($0) }, by: \.partition) {
            guard let partition = partition(id) else { continue }
            var rest = group.map(\.receipt)[...]
            while !rest.isEmpty {
                let some = Array(rest.prefix(LedgerRecord.maxLeased))
                rest = rest.dropFirst(some.count)
                _ = try? withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                    try shard.take(entry.ledger.takeBack(some, wasCounted: wereCounted, nowMs: nowMs), &entry, nowMs)
                }
            }
        }
        broker.store.kick()
    }
}

extension QueueReceiveReply {
    /// Something may come for who waits.
    fileprivate var isNothingYet: Bool {
        switch self {
        case .messages(let messages): messages.isEmpty
        case .overLimit: true
        case .refused(let refusal): refusal.kind == .unavailable
        }
    }
}

extension QueueReceive {
    fileprivate var problem: String? {
        if !(1...LedgerRecord.maxLeased).contains(maxMessages) {
            return "a receive asks for 1 to \(LedgerRecord.maxLeased) messages"
        }
        if !(1...Self.maxBytesLimit).contains(maxBytes) { return "a receive asks for 1 to \(Self.maxBytesLimit) bytes" }
        if let visibilityMs, !(0...LedgerSettings.maxVisibilityMs).contains(visibilityMs) {
            return "the visibility is 0 to 12 hours"
        }
        if let waitMs, !(0...QueueSettings.maxReceiveWaitMs).contains(waitMs) {
            return "a receive waits for 0 to 20 seconds"
        }
        if let attemptID, !(1...QueueMessage.maxIDBytes).contains(attemptID.utf8.count) {
            return "the id of an attempt has 1 to \(QueueMessage.maxIDBytes) bytes"
        }
        return nil
    }
}
