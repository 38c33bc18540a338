import ByteBuffers
import KafkaModel
public import LogStorage
import QueueLedger
import RecordFormat
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
        guard waitMs > 0, outcome.answer.isNothingYet else {
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
        // What has come in between is found now, what comes from now on is told.
        serveWaiters(of: queue)
        return { [self] in
            if queue.waiters.take(number) != nil { agenda.withLock { $0.waiters -= 1 } }
        }
    }

    /// Has a worker give the queue's waiting receives their turns.
    func serveWaiters(of queue: Queue) {
        guard queue.waiters.beginServing() else { return }
        if broker.workers.submit({ [self] in runWaiters(of: queue) }) { return }
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

    /// Receives what there is now.
    func tryReceive(_ request: QueueReceive, from queue: Queue) -> QueueOutcome<QueueReceiveReply> {
        defer { broker.store.kick() }
        do throws(QueueRefusal) {
            let topic = try find(queue.name).topic
            if isFull { return QueueOutcome(.overLimit) }
            while true {
                var commits = CommitSpan()
                let (leased, isOverLimit) = try lease(request, queue, topic, &commits)
                if leased.isEmpty { return QueueOutcome(isOverLimit ? .overLimit : .messages([])) }
                let messages = try read(leased, request, &commits)
                // All of them were none.
                if messages.isEmpty { continue }
                // Who loses a lease in a crash is given the messages again: only a group must not have two receivers.
                return QueueOutcome(.messages(messages), queue.settings.order == .fifo ? commits : CommitSpan())
            }
        } catch {
            return QueueOutcome(.refused(error))
        }
    }

    private func lease(
        _ request: QueueReceive, _ queue: Queue, _ topic: Topic, _ commits: inout CommitSpan
    ) throws(QueueRefusal) -> (leased: [Leased], isOverLimit: Bool) {
        let attempt = queue.settings.order == .fifo ? request.attemptID.map { NameDigest(of: $0.utf8) } : nil
        let count = topic.partitions.count
        // The same attempt asks the same partition first.
        let first = attempt.map { Int($0.low % UInt64(count)) } ?? queue.receives.next(of: count)
        var leased: [Leased] = []
        var room = request.maxMessages
        var isOverLimit = false
        var refusal: QueueRefusal?
        for place in 0..<count where room > 0 {
            let partition = QueuePartition(queue: queue, log: topic.partitions[(first + place) % count])
            let wanted = ReceiveRequest(
                maxMessages: room, visibilityMs: request.visibilityMs ?? queue.settings.visibilityMs, attempt: attempt)
            var isBehind = true
            while isBehind {
                do throws(QueueRefusal) {
                    let (reply, ticket) = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                        isBehind = try catchUp(&entry, &shard, partition, nowMs)
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
        var messages: [ReceivedMessage] = []
        var room = request.maxBytes
        var failure: QueueRefusal?
        for part in leased {
            var found: [Offset: ReceivedMessage] = [:]
            var looked: Set<Offset> = []
            do throws(QueueRefusal) {
                try read(part, &found, &looked, &room, isFirst: messages.isEmpty)
            } catch { failure = error }
            // In the order of the ledger.
            messages += part.messages.compactMap { found[$0.receipt.offset] }
            let rest = part.messages.map(\.receipt).filter { found[$0.offset] == nil }
            if rest.isEmpty { continue }
            let gaps = rest.filter { looked.contains($0.offset) }.map { OffsetRange($0.offset) }
            let unread = rest.filter { !looked.contains($0.offset) }
            let ticket = try withLedger(of: part.partition) { entry, shard, nowMs throws(QueueRefusal) in
                try shard.take(entry.ledger.takeBack(unread, nowMs: nowMs), &entry, nowMs)
                try shard.take(entry.ledger.dropGaps(gaps), &entry, nowMs)
            }.ticket
            commits.add(ticket)
        }
        if messages.isEmpty, let failure { throw failure }
        return messages
    }

    /// Adds the messages of a partition to `found`, in the order in which they were leased, and the offsets that were looked at to
    /// `looked`: what is not found of those is no message.
    private func read(
        _ part: Leased, _ found: inout [Offset: ReceivedMessage], _ looked: inout Set<Offset>, _ room: inout Int,
        isFirst: Bool
    ) throws(QueueRefusal) {
        guard let seal else { throw QueueRefusal(.unavailable, "queues are not served yet") }
        let walk = QueueWalk(log: part.partition.log)
        var records = RecordIterator()
        var pending = part.messages[...]
        while let first = pending.first {
            // Neighbours are read together.
            var run = [first]
            pending.removeFirst()
            while let next = pending.first, next.receipt.offset.rawValue > run[run.count - 1].receipt.offset.rawValue,
                next.receipt.offset.rawValue - run[run.count - 1].receipt.offset.rawValue <= Self.readThrough
            {
                run.append(next)
                pending.removeFirst()
            }
            var leases = Dictionary(uniqueKeysWithValues: run.map { ($0.receipt.offset, $0) })
            let end = run[run.count - 1].receipt.offset + 1
            var next = run[0].receipt.offset
            var isFull = false
            while next < end, !isFull {
                let from = next
                var stop = end
                next = try walk.step(from: from, to: end, maxBytes: Self.receiveReadBytes, &records) { record in
                    guard !isFull, let lease = leases.removeValue(forKey: record.offset) else { return }
                    let handle = seal.handle(for: lease.receipt, of: part.partition.id)
                    let message = ReceivedMessage(record, lease, of: part.partition, handle: handle)
                    let bytes = message.byteCount
                    if bytes > room, !(isFirst && found.isEmpty) {
                        (isFull, stop) = (true, record.offset)
                        return
                    }
                    room -= bytes
                    found[record.offset] = message
                }
                if isFull { next = stop }
                for lease in run where lease.receipt.offset >= from && lease.receipt.offset < next {
                    looked.insert(lease.receipt.offset)
                }
            }
            if isFull { return }
        }
    }

    /// Offsets between two messages up to which both are read by one go through the log.
    private static let readThrough: Int64 = 256
    /// Bytes that one read takes of a log, unless a batch is larger.
    private static let receiveReadBytes = 256 << 10

    /// Gives messages back that were received for somebody who has gone: they are there at once, and that delivery does not count.
    public func abandon(_ messages: [ReceivedMessage], in name: String) {
        guard let queue = directory.byName[ExactString(name)] else { return }
        giveBack(.messages(messages), to: queue)
    }

    /// Gives messages back that nobody has got. Where that is refused they come again when their leases end.
    private func giveBack(_ reply: QueueReceiveReply, to queue: Queue) {
        if case .messages(let messages) = reply { giveBack(messages.map(\.handle), to: queue) }
    }

    func giveBack(_ handles: [String], to queue: Queue) {
        guard !handles.isEmpty, let seal else { return }
        for (id, group) in Dictionary(grouping: handles.compactMap { seal.open($0) }, by: \.partition) {
            guard let partition = partition(id) else { continue }
            var rest = group.map(\.receipt)[...]
            while !rest.isEmpty {
                let some = Array(rest.prefix(LedgerRecord.maxLeased))
                rest = rest.dropFirst(some.count)
                _ = try? withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                    try shard.take(entry.ledger.takeBack(some, nowMs: nowMs), &entry, nowMs)
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
