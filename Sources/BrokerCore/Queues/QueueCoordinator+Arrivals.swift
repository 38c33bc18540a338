import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Telemetry

/// How ledgers hear of their messages: when they are loaded, and when they have their turn.
///
/// Records are read only where that tells something: where they may have delays, within the longest one; of FIFO queues what comes, and
/// at loading what was sent within the time of de-duplication; the groups of what has state. All else is told as a range. What is told so and turns out to be no
/// message (a marker, an aborted transaction's record) ends when it is read to be handed over.
extension QueueCoordinator {
    /// Reads of one turn at most, of `QueueWalk.readBytes` each: what is left has another turn.
    private static let maxReads = 16

    // MARK: Loading

    /// What a ledger is told of when it is loaded, read while others of its shard have their turns.
    struct Reading {
        /// Of the loading and of the rules that it was read for.
        let generation: Int32
        let version: UInt64
        /// Where it ends; exclusive.
        fileprivate let end: Offset
        fileprivate let recent: Recent
        fileprivate let grouped: [ArrivedMessage]
    }

    /// Reads what the ledger of a partition is told of when it is loaded; nil: it is not to be loaded.
    func readAhead(of partition: QueuePartition) throws(QueueRefusal) -> Reading? {
        let asked = shard(of: partition.id)?.withLock { shard -> (generation: Int32, ranges: [OffsetRange])? in
            guard shard.machine.phase == .active else { return nil }
            let entry = shard.machine.entry(of: partition.id)
            return entry?.isServed == true ? nil : (shard.machine.generation, entry?.ledger.rangesToGroup ?? [])
        }
        guard let asked else { return nil }
        let nowMs = nowMs()
        let log = partition.log
        var end = log.lastStableOffset
        var recent = Recent()
        if let first = try firstRecent(partition, nowMs) {
            // What comes while it is read is read here, too, until that is little: the rest is read in the ledger's turn.
            var (next, reads) = (first, Int.max)
            for _ in 0..<Self.maxRounds where reads > 1 {
                end = log.lastStableOffset
                reads = try read(&recent, partition, from: next, to: end, nowMs)
                next = end
            }
        }
        return Reading(
            generation: asked.generation, version: partition.queue.version, end: end, recent: recent,
            grouped: try readGroups(asked.ranges, partition, log.logStartOffset, nowMs))
    }

    /// Times that a loading reads what has come meanwhile.
    private static let maxRounds = 16

    /// Why a ledger cannot be loaded.
    func checkServable(_ entry: QueueShard.Entry, _ partition: QueuePartition) throws(QueueRefusal) {
        if let fault = entry.fault { throw QueueRefusal(.unavailable, fault) }
        let log = partition.log
        if log.unavailability != nil || log.hasLeftOutAppends {
            throw QueueRefusal(.unavailable, "messages of \(log.name) are not available")
        }
    }

    /// Lets a ledger whose records were read serve. Everything is read before anything is told: a refusal leaves it as it is.
    func serve(
        _ entry: inout QueueShard.Entry, _ reading: Reading, _ partition: QueuePartition, _ nowMs: Int64
    ) throws(QueueRefusal) {
        let log = partition.log
        let start = log.logStartOffset
        let end = log.lastStableOffset
        var recent = reading.recent
        // What has come since.
        try read(&recent, partition, from: reading.end, to: end, nowMs)
        for message in reading.grouped { entry.ledger.arrive(message, nowMs: nowMs) }
        var next = start
        for (range, visibleAtMs) in recent.delayed where range.last >= next {
            let first = max(range.first, next)
            Self.tell(&entry.ledger, next, first, nowMs)
            entry.ledger.arrive(OffsetRange(first, range.last), visibleAtMs: visibleAtMs, nowMs: nowMs)
            next = range.last + 1
        }
        Self.tell(&entry.ledger, next, end, nowMs)
        for sent in recent.sent { entry.ledger.noteSent(sent.id, at: sent.offset, sentMs: sent.atMs) }
        do {
            try entry.ledger.finishLoading(generation: reading.generation, logEndOffset: end, nowMs: nowMs)
        } catch {
            let fault = "the state of \(log.name) does not belong to its messages: \(error)"
            entry.fault = fault
            Log.error("a queue's partition is not served", "partition", log.name, "reason", "\(error)")
            throw QueueRefusal(.unavailable, fault)
        }
        // What is on its way to the disk may have delays.
        entry.timedBelow = log.logEndOffset
        entry.isServed = true
        entry.rules = partition.queue.version
    }

    private static func tell(_ ledger: inout DeliveryLedger, _ first: Offset, _ end: Offset, _ nowMs: Int64) {
        if first < end { ledger.arrive(OffsetRange(first, Offset(end.rawValue - 1)), nowMs: nowMs) }
    }

    /// What the newest records say that a ledger does not have in its own.
    fileprivate struct Recent {
        /// Neighbours of one time together.
        var delayed: [(range: OffsetRange, visibleAtMs: Int64)] = []
        var sent: [(id: NameDigest, offset: Offset, atMs: Int64)] = []

        /// Takes a delayed message, behind all that there are. With as many times as a ledger remembers, it and those before it wait for the
        /// latest of them.
        mutating func delay(_ offset: Offset, until atMs: Int64) {
            guard let last = delayed.last else { return delayed.append((OffsetRange(offset), atMs)) }
            let isNext = last.range.last + 1 == offset && last.visibleAtMs == atMs
            if isNext || delayed.count >= LedgerSettings.maxRuns / 2 {
                delayed[delayed.count - 1] = (OffsetRange(last.range.first, offset), max(last.visibleAtMs, atMs))
            } else {
                delayed.append((OffsetRange(offset), atMs))
            }
        }
    }

    /// The first record that may have a delay, or an id that counts; nil: there is none.
    private func firstRecent(_ partition: QueuePartition, _ nowMs: Int64) throws(QueueRefusal) -> Offset? {
        let settings = partition.queue.settings
        let isFIFO = settings.order == .fifo
        let reach = isFIFO ? max(LedgerSettings.deduplicationMs, settings.delayMs) : QueueSettings.maxDelayMs
        switch partition.log.firstOffset(
            notBefore: nowMs - reach, visibility: .stable, takesUnreadable: true)
        {
        case .success(let found): return found?.offset
        case .failure(let refusal):
            throw QueueRefusal(.unavailable, "messages of \(partition.log.name) cannot be read: \(refusal)")
        }
    }

    /// Returns how many reads it took.
    @discardableResult
    private func read(
        _ recent: inout Recent, _ partition: QueuePartition, from start: Offset, to end: Offset, _ nowMs: Int64
    ) throws(QueueRefusal) -> Int {
        let settings = partition.queue.settings
        var next = start
        var reads = 0
        var records = RecordIterator()
        let walk = QueueWalk(log: partition.log)
        while next < end {
            reads += 1
            next = try walk.step(from: next, to: end, &records) { record in
                let marks = QueueRecordMarks(record)
                let at = marks.visibleAtMs(record, settings, nowMs: nowMs)
                if at > nowMs { recent.delay(record.offset, until: at) }
                guard let id = marks.deduplicationID(settings),
                    record.timestampMs > nowMs - LedgerSettings.deduplicationMs
                else { return }
                recent.sent.append((id, record.offset, min(record.timestampMs, nowMs)))
            }
            // The newest are as good as all: the ledger keeps no more.
            if recent.sent.count > 2 * LedgerSettings.maxDeduplicationIDs {
                recent.sent.removeFirst(recent.sent.count - LedgerSettings.maxDeduplicationIDs)
            }
        }
        return reads
    }

    private func readGroups(
        _ ranges: [OffsetRange], _ partition: QueuePartition, _ start: Offset, _ nowMs: Int64
    ) throws(QueueRefusal) -> [ArrivedMessage] {
        var messages: [ArrivedMessage] = []
        var records = RecordIterator()
        let walk = QueueWalk(log: partition.log)
        for range in ranges {
            var next = max(range.first, start)
            while next <= range.last {
                next = try walk.step(from: next, to: range.last + 1, &records) { record in
                    let marks = QueueRecordMarks(record)
                    messages.append(ArrivedMessage(offset: record.offset, group: marks.group))
                }
            }
        }
        return messages
    }

    // MARK: Serving

    /// Tells a ledger of what was committed since its last turn. Returns whether there is more that another turn can tell: where there is
    /// no memory for it, or as many times as a ledger remembers, it waits (`waitsForRoom`).
    func catchUp(
        _ entry: inout QueueShard.Entry, _ shard: inout Shard, _ partition: QueuePartition, _ nowMs: Int64
    ) throws(QueueRefusal) -> Bool {
        let log = partition.log
        let end = log.lastStableOffset
        try shard.take(entry.ledger.retain(from: min(log.logStartOffset, end)), &entry, nowMs)
        let settings = partition.queue.settings
        // Of FIFO queues all are read: a producer may give them ids, and their groups are wanted soon.
        let isRead = settings.delayMs > 0 || settings.order == .fifo
        var next = entry.ledger.toldEnd
        var reads = Self.maxReads
        var records = RecordIterator()
        let unreadable = UnreadableRecords()
        defer { noteEnded(unreadable.count, unreadable, of: partition, &entry) }
        let walk = QueueWalk(log: log, unreadable: unreadable)
        while next < end {
            if !isRead, next >= entry.timedBelow {
                Self.tell(&entry.ledger, next, end, nowMs)
                break
            }
            if isFull || !entry.ledger.hasRoomForDelay { break }
            if reads == 0 { return true }
            reads -= 1
            var arrived: [ArrivedMessage] = []
            var sent: [(id: NameDigest, offset: Offset, atMs: Int64)] = []
            next = try walk.step(from: next, to: isRead ? end : min(end, entry.timedBelow), &records) { record in
                let marks = QueueRecordMarks(record)
                if let id = marks.deduplicationID(settings) {
                    sent.append((id, record.offset, min(record.timestampMs, nowMs)))
                }
                arrived.append(
                    ArrivedMessage(
                        offset: record.offset, visibleAtMs: marks.visibleAtMs(record, settings, nowMs: nowMs),
                        group: marks.group))
            }
            for message in arrived { entry.ledger.arrive(message, nowMs: nowMs) }
            // Also where none of it was a message: the next turn goes on behind it.
            entry.ledger.arrived(below: next)
            for sent in sent where sent.atMs > nowMs - LedgerSettings.deduplicationMs && entry.ledger.hasRoomForID {
                // Those of the queue's own sends are known.
                if entry.ledger.original(of: sent.id, nowMs: nowMs) ?? Offset(-1) >= sent.offset { continue }
                entry.ledger.noteSent(sent.id, at: sent.offset, sentMs: sent.atMs)
            }
        }
        return try index(&entry, partition, nowMs, reads)
    }

    /// Reads the groups that the ledger wants to know next. Returns whether it wants more.
    private func index(
        _ entry: inout QueueShard.Entry, _ partition: QueuePartition, _ nowMs: Int64, _ reads: Int
    ) throws(QueueRefusal) -> Bool {
        var records = RecordIterator()
        let unreadable = UnreadableRecords()
        defer { noteEnded(unreadable.count, unreadable, of: partition, &entry) }
        let walk = QueueWalk(log: partition.log, unreadable: unreadable)
        for _ in 0..<reads {
            guard !isFull, let range = entry.ledger.rangeToIndex else { return false }
            var messages: [ArrivedMessage] = []
            let next = try walk.step(from: range.first, to: range.last + 1, &records) { record in
                messages.append(ArrivedMessage(offset: record.offset, group: QueueRecordMarks(record).group))
            }
            entry.ledger.index(messages, through: Offset(next.rawValue - 1), nowMs: nowMs)
        }
        return entry.ledger.rangeToIndex != nil
    }

    /// Counts messages that have ended, or were never told, as nobody can read them; the log tells of the first of a partition.
    func noteEnded(
        _ count: Int, _ unreadable: UnreadableRecords, of partition: QueuePartition, _ entry: inout QueueShard.Entry
    ) {
        guard count > 0 else { return }
        unreadableMessages.add(count)
        if entry.isUnreadableTold { return }
        entry.isUnreadableTold = true
        Log.warning(
            "messages that cannot be read have ended", "partition", partition.log.name, "offset",
            unreadable.first?.rawValue ?? 0, "reason", unreadable.reason)
    }

    /// Whether messages wait that the ledger has no room for just now.
    func waitsForRoom(_ entry: QueueShard.Entry, _ partition: QueuePartition) -> Bool {
        guard isFull || !entry.ledger.hasRoomForDelay else { return false }
        return entry.ledger.toldEnd < partition.log.lastStableOffset || entry.ledger.rangeToIndex != nil
    }
}
