import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import Synchronization
import Telemetry

/// The thread of queues: what only time brings, and what waits for a disk. While nothing is due it sleeps.
extension QueueCoordinator {
    /// Requests are served from now on; without the thread.
    func activate() {
        wiring.withLock { $0!.isActive = true }
        beginAll()
    }

    func start() {
        activate()
        // It holds the broker until `stop`.
        let thread = Thread(name: "queues") { [self, broker] in withExtendedLifetime(broker) { runThread() } }
        wiring.withLock { $0!.thread = thread }
    }

    func stop() {
        let thread = wiring.withLock { wiring in
            wiring!.stopping = true
            defer { wiring!.thread = nil }
            return wiring!.thread
        }
        signal.raise()
        thread?.join()
        endWaits()
    }

    /// Answers all waiting receives with no messages: a stop waits for none of them. One that comes later finds the broker draining.
    func endWaits() {
        for queue in directory.byName.values { answerAll(of: queue, .messages([])) }
    }

    private func runThread() {
        var retentionAtMs = nowMs() + Self.retentionCheckMs
        while true {
            let now = nowMs()
            if now >= retentionAtMs {
                expireMessages()
                retentionAtMs = nowMs() + Self.retentionCheckMs
            }
            let next = min(turn(), shards.isEmpty ? .max : retentionAtMs)
            if wiring.withLock({ $0!.stopping }) { return }
            let wait = next == .max ? nil : max(1, next - nowMs())
            signal.wait(timeoutMs: wait)
        }
    }

    /// Does all that can be done just now; returns when there is more, in milliseconds since 1970.
    func turn() -> Int64 {
        var next = Int64.max
        if let atMs = resumeSuspended(BrokerClock.monotonicMs()) {
            next = min(next, nowMs() + max(1, atMs - BrokerClock.monotonicMs()))
        }
        for _ in 0..<Self.maxLooks {
            guard let due = takeDue() else { break }
            look(at: due)
        }
        takeSnapshots()
        if hasRoomAgain.exchange(false, ordering: .sequentiallyConsistent) {
            for queue in directory.byName.values { serveWaiters(of: queue) }
        }
        next = min(next, moveDeadLetters())
        next = min(next, runMoves())
        broker.store.kick()
        let (dueMs, waitMs, hasSnapshots) = agenda.withLock {
            ($0.due.first?.atMs, $0.waits.first?.atMs, !$0.snapshots.isEmpty)
        }
        if let dueMs { next = min(next, dueMs) }
        if let waitMs { next = min(next, nowMs() + waitMs - steadyMs()) }
        if hasSnapshots { next = 0 }
        return next
    }

    /// What is due and looked at in one turn at most: the rest comes behind snapshots, dead letters and moves.
    private static let maxLooks = 1024

    private func takeDue() -> QueueDue? {
        let (nowMs, steadyMs) = (nowMs(), steadyMs())
        return agenda.withLock { $0.takeDue(nowMs, steadyMs: steadyMs) }
    }

    private func look(at due: QueueDue) {
        switch due.subject {
        case .serving(let queue):
            queue.waiters.resumeServing()
            serveWaiters(of: queue)
        case .waiter(let queue, let number): answer(number, of: queue, QueueOutcome(.messages([])))
        case .ledger(let id):
            guard let partition = partition(id) else { return }
            do throws(QueueRefusal) {
                _ = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                    entry.armedAtMs = .max
                    entry.restsUntilMs = nowMs + Self.refusedMs
                    try shard.take(entry.ledger.advance(nowMs: nowMs), &entry, nowMs)
                    // What is due still has its look when the others have had theirs.
                    entry.restsUntilMs = nowMs + 1
                }
            } catch {
                // A ledger that is loaded anew is looked at then.
                let dueMs = nowMs() + Self.refusedMs
                _ = agenda.withLock { $0.add(QueueDue(atMs: dueMs, subject: .ledger(id))) }
            }
        }
    }

    private func takeSnapshots() {
        let wanted = agenda.withLock { agenda in
            defer { agenda.snapshots = [] }
            return agenda.snapshots
        }
        for id in wanted {
            guard let partition = partition(id) else { continue }
            // Refused: the next change asks for it again.
            _ = try? withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                if entry.ledger.wantsSnapshot { try shard.takeSnapshot(&entry, nowMs) }
            }
        }
    }

    /// Ends what is older than its queue's retention: the log's own goes by whole segments. And gives back memory that ledgers do not use.
    func expireMessages() {
        for queue in directory.byName.values {
            guard let topic = broker.catalog.topic(id: queue.record.topicID) else { continue }
            for log in topic.partitions {
                let partition = QueuePartition(queue: queue, log: log)
                defer { shrink(partition) }
                let oldest = nowMs() - queue.settings.retentionMs
                // Before the look: what comes meanwhile is not older, and was not looked at.
                let end = log.lastStableOffset
                guard isLive(partition),
                    case .success(let found) = log.firstOffset(
                        notBefore: oldest, visibility: .stable, takesUnreadable: true)
                else { continue }
                let from = min(found?.offset ?? end, end)
                _ = try? withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                    // Not what it has not been told of.
                    let bound = min(from, entry.ledger.toldEnd)
                    try shard.take(entry.ledger.retain(from: bound), &entry, nowMs)
                }
            }
        }
    }

    private func shrink(_ partition: QueuePartition) {
        shard(of: partition.id)?.withLock { shard in
            guard shard.machine.phase == .active, let entry = shard.machine.entry(of: partition.id), entry.isServed
            else { return }
            guard var taken = shard.machine.take(partition.id) else { return }
            taken.ledger.shrink(nowMs: nowMs())
            shard.machine.put(taken, partition.id)
            count(&shard)
        }
    }

    /// Whether a ledger is loaded, and has messages.
    private func isLive(_ partition: QueuePartition) -> Bool {
        shard(of: partition.id)?.withLock { shard in
            guard let entry = shard.machine.entry(of: partition.id), entry.isServed else { return false }
            return entry.ledger.counters.live > 0
        } ?? false
    }
}
