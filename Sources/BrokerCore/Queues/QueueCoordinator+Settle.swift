import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat

/// What receivers hand back, purging, and counting.
extension QueueCoordinator {
    public func acknowledge(
        _ handles: [String], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        settle(handles.map { ($0, ()) }, in: name) { ledger, items, nowMs in
            ledger.acknowledge(items.map(\.receipt), nowMs: nowMs)
        }
    }

    public func changeVisibility(
        _ changes: [(handle: String, visibilityMs: Int64)], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        settle(changes.map { ($0.handle, $0.visibilityMs) }, in: name, isValid: Self.isVisibility) {
            ledger, items, nowMs in
            ledger.changeVisibility(items.map { ($0.receipt, $0.detail) }, nowMs: nowMs)
        }
    }

    public func release(
        _ releases: [(handle: String, delayMs: Int64?)], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        settle(
            releases.map { ($0.handle, $0.delayMs) }, in: name, isValid: { $0.map(Self.isVisibility) ?? true }
        ) { ledger, items, nowMs in
            ledger.release(items.map { ($0.receipt, $0.detail) }, nowMs: nowMs)
        }
    }

    public func reject(
        _ handles: [String], in name: String
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        settle(handles.map { ($0, ()) }, in: name) { ledger, items, nowMs in
            ledger.reject(items.map(\.receipt), nowMs: nowMs)
        }
    }

    private static func isVisibility(_ ms: Int64) -> Bool { (0...LedgerSettings.maxVisibilityMs).contains(ms) }

    /// Settles handles, those of one partition in one turn of its ledger.
    private func settle<Detail>(
        _ items: [(handle: String, detail: Detail)], in name: String, isValid: (Detail) -> Bool = { _ in true },
        _ body: (inout DeliveryLedger, [(receipt: Receipt, detail: Detail)], Int64) -> LedgerStep<[SettleOutcome]>
    ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>> {
        defer { broker.store.kick() }
        do throws(QueueRefusal) {
            let (queue, topic) = try find(name)
            guard let seal else { throw QueueRefusal(.unavailable, "queues are not served yet") }
            guard items.count <= LedgerRecord.maxLeased else {
                throw QueueRefusal(.invalid, "a call settles \(LedgerRecord.maxLeased) messages at most")
            }
            if !items.allSatisfy({ isValid($0.detail) }) {
                throw QueueRefusal(.invalid, "a visibility or a delay is 0 to 12 hours")
            }
            var settlements = [QueueSettlement](repeating: .invalidHandle, count: items.count)
            var byPartition: [Int32: [(place: Int, receipt: Receipt)]] = [:]
            for (place, item) in items.enumerated() {
                guard let (receipt, id) = seal.open(item.handle), id.topicID == topic.id else { continue }
                byPartition[id.partitionIndex, default: []].append((place, receipt))
            }
            var commits = CommitSpan()
            for (index, group) in byPartition {
                guard let log = topic.partition(index) else { continue }
                let partition = QueuePartition(queue: queue, log: log)
                do throws(QueueRefusal) {
                    let (outcomes, ticket) = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                        let step = body(
                            &entry.ledger, group.map { ($0.receipt, items[$0.place].detail) }, nowMs)
                        return try shard.take(step, &entry, nowMs)
                    }
                    commits.add(ticket)
                    for (item, outcome) in zip(group, outcomes) { settlements[item.place] = .settled(outcome) }
                } catch {
                    for item in group { settlements[item.place] = .refused(error) }
                }
            }
            return QueueOutcome(.success(settlements), commits)
        } catch {
            return QueueOutcome(.failure(error))
        }
    }

    // MARK: All of a queue

    public func purge(_ name: String) -> QueueOutcome<QueueRefusal?> {
        defer { broker.store.kick() }
        do throws(QueueRefusal) {
            let (queue, topic) = try find(name)
            var commits = CommitSpan()
            for log in topic.partitions {
                let partition = QueuePartition(queue: queue, log: log)
                let ticket = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                    try shard.take(entry.ledger.retain(from: log.lastStableOffset), &entry, nowMs)
                }.ticket
                commits.add(ticket)
            }
            return QueueOutcome(nil, commits)
        } catch {
            return QueueOutcome(error)
        }
    }

    public func counts(
        of name: String, withOldest: Bool
    ) -> QueueOutcome<Result<QueueCounts, QueueRefusal>> {
        do throws(QueueRefusal) {
            var counts = QueueCounts()
            let commits = try look(at: name) { found, log throws(QueueRefusal) in
                counts.add(found.counters)
                if withOldest, found.counters.live > 0, let sentMs = try sentMs(of: found.floor, log) {
                    counts.oldestSentMs = min(counts.oldestSentMs ?? .max, sentMs)
                }
            }
            counts.pausedMs = try find(name).queue.breaker.pauseMs(steadyMs())
            return QueueOutcome(.success(counts), commits)
        } catch {
            return QueueOutcome(.failure(error))
        }
    }

    public func flow(of name: String) -> QueueOutcome<Result<QueueFlow, QueueRefusal>> {
        do throws(QueueRefusal) {
            var flow = QueueFlow()
            let commits = try look(at: name) { found, _ in
                flow.counts.add(found.counters)
                flow.add(found.flow)
            }
            return QueueOutcome(.success(flow), commits)
        } catch {
            return QueueOutcome(.failure(error))
        }
    }

    /// Looks at each ledger of a queue when it knows of all that was committed; gives what that rests on.
    private func look(
        at name: String,
        _ body: ((counters: LedgerCounters, floor: Offset, flow: LedgerFlow), PartitionLog) throws(QueueRefusal) -> Void
    ) throws(QueueRefusal) -> CommitSpan {
        let (queue, topic) = try find(name)
        var commits = CommitSpan()
        for log in topic.partitions {
            let partition = QueuePartition(queue: queue, log: log)
            var isBehind = true
            while isBehind {
                let (found, ticket) = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
                    isBehind = try catchUp(&entry, &shard, partition, nowMs)
                    try shard.take(entry.ledger.advance(nowMs: nowMs), &entry, nowMs)
                    return (entry.ledger.counters, entry.ledger.floor, entry.ledger.flow(nowMs: nowMs))
                }
                if isBehind { continue }
                commits.add(ticket)
                try body(found, log)
            }
        }
        return commits
    }

    /// The time of the first message from `offset` on.
    private func sentMs(of offset: Offset, _ log: PartitionLog) throws(QueueRefusal) -> Int64? {
        var found: Int64?
        var records = RecordIterator()
        var next = offset
        let end = log.lastStableOffset
        while next < end, found == nil {
            next = try QueueWalk(log: log).step(from: next, to: end, maxBytes: 1, &records) { record in
                if found == nil { found = record.timestampMs }
            }
        }
        return found
    }
}

extension QueueCounts {
    fileprivate mutating func add(_ counters: LedgerCounters) {
        visible += counters.visible
        inFlight += counters.inFlight
        delayed += counters.delayed
        ending += counters.ending
    }
}

extension QueueFlow {
    fileprivate mutating func add(_ flow: LedgerFlow) {
        work.add(flow.work)
        guard flow.spanMs > 0 else { return }
        spanMs = max(spanMs, flow.spanMs)
        let seconds = Double(flow.spanMs) / 1000
        arrivedPerSecond = (arrivedPerSecond ?? 0) + Double(flow.arrived) / seconds
        acknowledgedPerSecond = (acknowledgedPerSecond ?? 0) + Double(flow.acknowledged) / seconds
    }
}
