import ByteBuffers
import Coordinators
import Forwarder
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Synchronization
import Telemetry

/// What forwarders do with a queue's messages: they are leased to the forwarder for as long as a lease may be, which is no delivery of
/// any, and end by their offsets when the destination has them. What a forwarder remembers stands in the same log as the ledger.
extension QueueCoordinator {
    /// The member to whom a forwarder's messages are leased: a queue has one forwarder at most.
    static let forwarderOwner: UInt32 = 1

    /// What a lane begins with.
    struct LaneStart {
        /// Of the ledger's shard: what was learned in another one counts no more.
        let generation: Int32
        let intents: [ForwardIntent]
        /// Messages of the intents that are still leased to the forwarder.
        let receipts: [Offset: Receipt]
        /// The commit that all of it rests on: nothing is sent before.
        var ticket: UInt64 = 0
        /// Messages of intents for a destination that is none any more: they are received again.
        let forgotten: Int
    }

    /// Takes a partition for a forwarder: what it had and was not under way is given back.
    func startLane(
        of partition: QueuePartition, _ name: String, destination: [UInt8]
    ) throws(QueueRefusal) -> LaneStart {
        let (start, ticket) = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
            var changes: [ForwardChange] = []
            if entry.forwards.owner?.isExactly(name) != true { changes.append(.owner(name)) }
            let (own, others) = entry.forwards.intents.values.reduce(into: ([ForwardIntent](), [ForwardIntent]())) {
                if $1.destination == destination { $0.0.append($1) } else { $0.1.append($1) }
            }
            changes += others.map { .settled(partitionIndex: $0.partitionIndex) }
            let floor = entry.ledger.floor
            changes += entry.forwards.refusals.keys.filter { $0 < floor }.map { .refusal($0, nil) }
            let receipts = try Self.giveBack(&entry, &shard, except: Set(own.flatMap(\.offsets)), nowMs)
            try shard.take(changes, &entry, partition.id, nowMs)
            return LaneStart(
                generation: shard.machine.generation, intents: own, receipts: receipts,
                forgotten: others.reduce(0) { $0 + $1.offsets.count })
        }
        var started = start
        started.ticket = ticket
        return started
    }

    /// Gives back all that a forwarder has of a partition, and forgets what was under way; nothing where none has anything.
    /// Returns how many messages were under way: they may arrive twice.
    func endLane(of partition: QueuePartition) throws(QueueRefusal) -> Int {
        // A ledger is not loaded for that.
        let isTaken = shard(of: partition.id)?.withLock { $0.machine.entry(of: partition.id)?.forwards.owner != nil }
        guard isTaken == true else { return 0 }
        return try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
            let intents = entry.forwards.intents.values
            let count = intents.reduce(0) { $0 + $1.offsets.count }
            let changes = intents.map { ForwardChange.settled(partitionIndex: $0.partitionIndex) } + [.owner(nil)]
            _ = try Self.giveBack(&entry, &shard, except: [], nowMs)
            try shard.take(changes, &entry, partition.id, nowMs)
            return count
        }.result
    }

    /// Gives back what forwarders have of the queues that are named so.
    func endLanes(of isNamed: (String) -> Bool) {
        for queue in directory.byName.values where isNamed(queue.name) {
            guard let topic = broker.catalog.topic(id: queue.record.topicID) else { continue }
            for log in topic.partitions {
                do throws(QueueRefusal) {
                    let count = try endLane(of: QueuePartition(queue: queue, log: log))
                    if count == 0 { continue }
                    Log.warning(
                        "messages that a forwarder had sent and nobody has answered for are received again",
                        "partition",
                        log.name, "messages", count)
                } catch {
                    Log.warning(
                        "what a forwarder had of a queue comes back when its leases end", "partition", log.name,
                        "reason", error.message)
                }
            }
        }
        broker.store.kick()
    }

    /// Returns the receipts of those that are not given back.
    private static func giveBack(
        _ entry: inout QueueShard.Entry, _ shard: inout Shard, except pending: Set<Offset>, _ nowMs: Int64
    ) throws(QueueRefusal) -> [Offset: Receipt] {
        let held = entry.ledger.receipts(of: forwarderOwner, nowMs: nowMs)
        let left = held.filter { !pending.contains($0.offset) }
        try shard.take(entry.ledger.takeBack(left, wasCounted: false, nowMs: nowMs), &entry, nowMs)
        let kept = held.filter { pending.contains($0.offset) }.map { ($0.offset, $0) }
        return Dictionary(kept) { first, _ in first }
    }

    /// Messages that were leased to a forwarder.
    struct Taken {
        var records: [ForwardedRecord] = []
        /// Of those, and of what the lane has already.
        var receipts: [Receipt] = []
        /// There may be more just now.
        var hasMore = false
    }

    /// Leases messages to a forwarder and reads them.
    ///
    /// - Parameters:
    ///   - most: messages at most.
    ///   - room: bytes; the first message comes however large it is.
    ///   - has: whether the lane has a message already, whose lease was over.
    func takeForForwarder(
        of partition: QueuePartition, in generation: Int32, most: Int, room: Int, by rule: ForwardKeyRule,
        _ has: (Offset) -> Bool
    ) throws(QueueRefusal) -> Taken {
        var taken = Taken()
        var leased: [LeasedMessage] = []
        var wanted = ReceiveRequest(
            maxMessages: min(most, LedgerRecord.maxLeased), visibilityMs: LedgerSettings.maxVisibilityMs,
            owner: Self.forwarderOwner)
        wanted.isCounted = false
        var isBehind = true
        while isBehind, leased.isEmpty {
            let reply = try forward(of: partition, in: generation) { entry, shard, nowMs throws(QueueRefusal) in
                if isFull { isTurnedAway.store(true, ordering: .sequentiallyConsistent) }
                isBehind = try catchUp(&entry, &shard, partition, nowMs)
                wanted.takesNew = !isFull
                let reply = try shard.take(entry.ledger.receive(wanted, nowMs: nowMs), &entry, nowMs)
                taken.hasMore = isBehind || entry.ledger.hasDeliverable(takesNew: !isFull)
                return reply
            }.result
            if case .messages(let messages) = reply { leased = messages } else { break }
        }
        let known = leased.filter { has($0.receipt.offset) }
        taken.receipts = known.map(\.receipt)
        let fresh = leased.filter { !has($0.receipt.offset) }
        if fresh.isEmpty { return taken }
        let byOffset = Dictionary(uniqueKeysWithValues: fresh.map { ($0.receipt.offset, $0.receipt) })
        var (looked, left) = (0, room)
        var found: [Offset: ForwardedRecord] = [:]
        var records = RecordIterator()
        var failure: QueueRefusal?
        let unreadable = UnreadableRecords()
        do throws(QueueRefusal) {
            let walk = QueueWalk(log: partition.log, unreadable: unreadable)
            try walk.visit(fresh.map(\.receipt.offset), &records, looked: &looked) { record in
                guard byOffset[record.offset] != nil else { return true }
                let message = ForwardedRecord(record, by: rule)
                if message.sizeInBatch > left, !found.isEmpty { return false }
                left -= message.sizeInBatch
                found[record.offset] = message
                return true
            }
        } catch { failure = error }
        taken.records = fresh.compactMap { found[$0.receipt.offset] }
        taken.receipts += taken.records.compactMap { byOffset[$0.offset] }
        let gaps = fresh[..<looked].map(\.receipt.offset).filter { found[$0] == nil }
        let unread = fresh[looked...].map(\.receipt).filter { found[$0.offset] == nil }
        if !(gaps.isEmpty && unread.isEmpty) {
            try forward(of: partition, in: generation) { entry, shard, nowMs throws(QueueRefusal) in
                try shard.take(entry.ledger.takeBack(unread, wasCounted: false, nowMs: nowMs), &entry, nowMs)
                let ranges = OffsetRange.covering(gaps)
                try shard.take(entry.ledger.dropGaps(ranges), &entry, nowMs)
                noteEnded(unreadable.count(in: ranges), unreadable, of: partition, &entry)
            }
        }
        if !unread.isEmpty { taken.hasMore = true }
        if taken.records.isEmpty, let failure { throw failure }
        return taken
    }

    /// Reads messages that a lane has from before a start. Those that the log has not any more are left out.
    func readForForwarder(
        _ offsets: [Offset], of partition: QueuePartition, by rule: ForwardKeyRule
    ) throws(QueueRefusal) -> [ForwardedRecord] {
        var found: [Offset: ForwardedRecord] = [:]
        var looked = 0
        var records = RecordIterator()
        try QueueWalk(log: partition.log).visit(offsets, &records, looked: &looked) { record in
            found[record.offset] = ForwardedRecord(record, by: rule)
            return true
        }
        return offsets.compactMap { found[$0] }
    }

    /// What lanes want on disk, in one turn of the ledger.
    struct LaneWork {
        /// Messages that the destination has.
        var ends: [Offset] = []
        /// Messages that it does not take, with the receipt of each; those without are received again and refused again.
        var rejects: [(offset: Offset, receipt: Receipt?, reason: String)] = []
        var changes: [ForwardChange] = []

        var isEmpty: Bool { ends.isEmpty && rejects.isEmpty && changes.isEmpty }
    }

    /// Appends what a lane wants on disk. Ends come before what settles their intents: whatever a crash leaves, what is not settled is
    /// sent again and is a duplicate.
    func store(
        _ work: LaneWork, of partition: QueuePartition, in generation: Int32, _ commits: inout CommitSpan
    ) throws(QueueRefusal) {
        let (_, ticket) = try forward(of: partition, in: generation) { entry, shard, nowMs throws(QueueRefusal) in
            try shard.take(entry.ledger.finish(work.ends), &entry, nowMs)
            if !work.rejects.isEmpty {
                guard entry.ledger.settings.endOfDeliveries == .deadLetters else {
                    throw QueueRefusal(.invalid, "the queue has no dead letters for what its destination refuses")
                }
                let reasons = work.rejects.map { ForwardChange.refusal($0.offset, $0.reason) }
                try shard.take(reasons, &entry, partition.id, nowMs)
                _ = try shard.take(
                    entry.ledger.reject(work.rejects.compactMap(\.receipt), nowMs: nowMs), &entry, nowMs)
            }
            try shard.take(work.changes, &entry, partition.id, nowMs)
        }
        commits.add(ticket)
    }

    /// Whether all that was appended to a partition's ledger is on disk, once its commit is.
    func isLedgerWhole(_ partition: QueuePartition, in generation: Int32) -> Bool {
        shard(of: partition.id)?.withLock { shard in
            !shard.isSuspended && shard.machine.generation == generation && !shard.log.hasLeftOutAppends
        } ?? false
    }

    @discardableResult
    private func forward<Result>(
        of partition: QueuePartition, in generation: Int32,
        _ body: (inout QueueShard.Entry, inout Shard, _ nowMs: Int64) throws(QueueRefusal) -> Result
    ) throws(QueueRefusal) -> (result: Result, ticket: UInt64) {
        try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
            guard shard.machine.generation == generation else {
                throw QueueRefusal(.unavailable, "the queue's state was loaded anew")
            }
            return try body(&entry, &shard, nowMs)
        }
    }

    /// Messages of a queue that have not ended, and are not on their way to the dead letters. Those of a partition whose ledger cannot be
    /// loaded just now are left out.
    func lag(of queue: Queue, _ topic: Topic) -> Int {
        topic.partitions.reduce(0) { sum, log in
            let partition = QueuePartition(queue: queue, log: log)
            // A look that is no turn of the ledger wakes nobody.
            let known: Int? = shard(of: partition.id)?.withLock { shard in
                shard.machine.phase == .active ? shard.machine.entry(of: partition.id).flatMap { lag($0, log) } : nil
            }
            if let known { return sum + known }
            let loaded = try? withLedger(of: partition) { entry, _, _ throws(QueueRefusal) in lag(entry, log) }
            return sum + (loaded?.result ?? 0)
        }
    }

    /// Nil: it was not told what there is.
    private func lag(_ entry: QueueShard.Entry, _ log: PartitionLog) -> Int? {
        guard entry.isServed else { return nil }
        let untold = max(0, log.lastStableOffset.rawValue - entry.ledger.toldEnd.rawValue)
        return entry.ledger.counters.live - entry.ledger.counters.ending + Int(untold)
    }

    /// Asks the queue's logs to tell of their growth, before anybody looks for messages: so none is missed.
    func watchForForwarder(_ topic: Topic, _ queue: Queue, _ slots: inout [Int32: Int32]) {
        for log in topic.partitions {
            let place = Self.forwarderPlace - log.partitionIndex
            let waiter = ReadWaiter(loop: Self.waiterLoop, id: queue.number, place: place)
            var slot = slots[log.partitionIndex] ?? -1
            _ = log.watch(waiter, slot: &slot, step: 1, visibility: .stable)
            slots[log.partitionIndex] = slot
        }
    }

    /// The place of a forwarder that waits for partition 0 of its queue; those of the others are below. Receivers have the others.
    static let forwarderPlace: Int32 = -1
}

extension QueueCoordinator.Shard {
    /// Appends what a forwarder remembers, and takes it in. Refused: nothing has changed.
    mutating func take(
        _ changes: [ForwardChange], _ entry: inout QueueShard.Entry, _ partition: TopicPartition, _ nowMs: Int64
    ) throws(QueueRefusal) {
        if changes.isEmpty { return }
        let end = log.logEndOffset
        do throws(QueueRefusal) {
            try append(changes.map { CoordinatorRecord(key: $0.key(partition).bytes, value: $0.value) }, nowMs)
        } catch {
            // Some may be in the log, which is as if all were: it says what there is.
            if log.logEndOffset != end { entry.isLost = true }
            throw error
        }
        for change in changes { entry.forwards.apply(change) }
    }
}

extension ForwardedRecord {
    fileprivate init(_ record: RecordView, by rule: ForwardKeyRule) {
        offset = record.offset
        value = record.value.map(Array.init)
        timestampMs = record.timestampMs
        var headers = EncodedRecordHeaders()
        var group: UnsafeRawBufferPointer?
        for header in record.headers {
            if header.key.elementsEqual(QueueHeader.group.utf8) { group = header.value }
            if QueueHeader.isOwn(header.key) { continue }
            headers.append(key: header.key, value: header.value)
        }
        self.headers = headers
        let chosen: UnsafeRawBufferPointer?
        switch rule.choice {
        case .message: chosen = record.key
        case .group: chosen = group ?? record.key
        case .none: chosen = nil
        }
        key = chosen.map(Array.init)
        if rule.isOrdered {
            // Those of no group are in order, too.
            keyHash = Murmur2.hash(group ?? record.key ?? UnsafeRawBufferPointer(start: nil, count: 0))
        } else {
            keyHash = chosen.map { Murmur2.hash($0) }
        }
    }
}

/// What becomes the key of a forwarded record, and what chooses its partition.
struct ForwardKeyRule {
    var choice: ForwarderDefinition.Key
    /// The group chooses the partition, whatever the key is: of a FIFO queue.
    var isOrdered: Bool
}
