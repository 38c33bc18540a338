import ByteBuffers
import Coordinators
public import KafkaModel
public import LogStorage
public import QueueLedger
import RecordFormat
import StorageIO

/// Records of one partition that a member has acquired.
public struct ShareAcquisition: Sendable {
    /// Neighbours that were given out equally often.
    public struct Range: Sendable, Equatable {
        public var first: Offset
        public var last: Offset
        /// This time included.
        public var deliveryCount: Int
    }

    /// In ascending order.
    public internal(set) var ranges: [Range] = []
    /// Whole batches, in ascending order, with all records of `ranges` that there are, and perhaps others.
    public internal(set) var bytes: [UInt8] = []
    public internal(set) var recordCount = 0
    /// The commit that it must not leave before; 0: none.
    public internal(set) var ticket: UInt64 = 0
}

/// What members of share groups do with records: they acquire some, settle what they have, and give it back when their sessions end.
extension ShareCoordinator {
    // MARK: Sessions

    /// Names a connection, whose end ends the sessions that it begins.
    public func openConnection() -> UInt64 { sessions.withLock { $0.openConnection() } }

    /// Has the sessions of a connection end, soon; waits for nothing.
    public func closeConnection(_ connection: UInt64) {
        if agenda.withLock({ $0.add(0, .connection(connection)) }) { signal.raise() }
    }

    func endSessions(of connection: UInt64) {
        for ended in sessions.withLock({ $0.closeConnection(connection) }) { giveBack(ended) }
        broker.store.kick()
    }

    /// Begins a session (epoch 0), or goes on with it.
    public func beginFetch(
        of group: ExactString, _ member: ExactString, epoch: Int32, connection: UInt64, adding: [TopicPartition],
        forgetting: [TopicPartition]
    ) throws(ShareRefusal) -> ShareSession {
        let key = ShareSessions.Key(group: group, member: member)
        let (session, replaced) = try sessions.withLock { sessions throws(ShareRefusal) in
            try sessions.begin(
                key, epoch: epoch, connection: connection, adding: adding, forgetting: forgetting)
        }
        if let replaced { giveBack(replaced) }
        return session
    }

    /// Goes on with a session by a ShareAcknowledge, which begins none.
    public func beginAcknowledge(
        of group: ExactString, _ member: ExactString, epoch: Int32
    ) throws(ShareRefusal) -> ShareSession {
        if epoch == 0 {
            throw ShareRefusal(.invalidShareSessionEpoch, "A ShareAcknowledge begins no session.")
        }
        return try beginFetch(of: group, member, epoch: epoch, connection: 0, adding: [], forgetting: [])
    }

    /// Ends a session; what its member has goes back, and that was no delivery.
    public func end(_ session: ShareSession) {
        guard isCurrent(session) else { return }
        let key = ShareSessions.Key(group: session.group, member: session.member)
        if let ended = sessions.withLock({ $0.end(key) }) { giveBack(ended) }
        broker.store.kick()
    }

    public func isCurrent(_ session: ShareSession) -> Bool { sessions.withLock { $0.isCurrent(session) } }

    private func giveBack(_ ended: ShareSessions.Ended) {
        waits.end(ended.owner, of: ended.key.group)
        for id in ended.partitions {
            guard let log = broker.catalog.topic(id: id.topicID)?.partition(id.partitionIndex) else { continue }
            // Where it is refused the locks end by themselves.
            let told = try? turn(of: ended.key.group, log) { entry, shard, nowMs throws(ShareRefusal) in
                let step = entry.ledger.releaseAll(of: ended.owner, isUncounted: true, nowMs: nowMs)
                try shard.take(step, &entry, nowMs)
                return entry.ledger.hasDeliverable(takesNew: !isFull)
            }
            if told?.result == true { waits.tell(id, of: ended.key.group) }
        }
        if sessions.withLock({ $0.count(of: ended.key.group) }) == 0 { waits.forget(ended.key.group) }
    }

    // MARK: Acquiring

    /// Bytes of records that are read of a log at once, unless a batch is larger.
    private static let readBytes = 256 << 10
    /// Times that one fetch asks a ledger, at most: each time all that it was given were no records.
    private static let maxRounds = 16

    /// Acquires records of one partition: `maxRecords` at most, and no more than fit `maxBytes`, but one batch in any case.
    public func acquire(
        _ session: ShareSession, from log: PartitionLog, maxRecords: Int, maxBytes: Int
    ) -> Result<ShareAcquisition, ShareRefusal> {
        let settings = broker.groups.settings(of: session.group)
        let visibility: PartitionLog.Visibility = settings.sharesCommitted ? .stable : .committed
        do throws(ShareRefusal) {
            for _ in 0..<Self.maxRounds {
                let end = visibility == .stable ? log.lastStableOffset : log.highWatermark
                let lease = try lease(session, log, end, maxRecords, settings)
                if lease.messages.isEmpty { break }
                var reading = Reading(messages: lease.messages)
                let failure = read(&reading, log, maxBytes, visibility)
                try settle(&reading, session, log)
                if reading.kept.isEmpty {
                    if let failure { throw failure }
                    if reading.gaps.isEmpty { break }
                    continue
                }
                var acquired = reading.acquisition
                acquired.ticket = lease.ticket
                // Others may have what is left, or what had no room here.
                if lease.hasMore || reading.next != nil { waits.tell(lease.id, of: session.group) }
                return .success(acquired)
            }
            return .success(ShareAcquisition())
        } catch {
            return .failure(error)
        }
    }

    private struct Lease {
        var id: TopicPartition
        var messages: [LeasedMessage]
        var ticket: UInt64
        var hasMore: Bool
    }

    private func lease(
        _ session: ShareSession, _ log: PartitionLog, _ end: Offset, _ maxRecords: Int, _ settings: GroupSettings
    ) throws(ShareRefusal) -> Lease {
        let id = TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex)
        var request = ReceiveRequest(
            maxMessages: min(maxRecords, LedgerRecord.maxLeased), visibilityMs: Int64(settings.shareLockDurationMs),
            owner: session.owner)
        request.takesNew = !isFull
        let body: (inout ShareShard.Entry, inout Shard, Int64) throws(ShareRefusal) -> Lease = {
            [self] entry, shard, nowMs throws(ShareRefusal) in
            // It may have ended while this waited, and nobody would give back what it gets.
            guard isCurrent(session) else {
                throw ShareRefusal(.shareSessionNotFound, "The share session has ended.")
            }
            try catchUp(&entry, &shard, log, end, nowMs)
            let reply = try shard.take(entry.ledger.receive(request, nowMs: nowMs), &entry, nowMs)
            if shard.ticket == 0 { entry.beginTicket = 0 }
            guard case .messages(let messages) = reply else {
                return Lease(id: id, messages: [], ticket: 0, hasMore: false)
            }
            return Lease(
                id: id, messages: messages.sorted { $0.receipt.offset < $1.receipt.offset }, ticket: entry.beginTicket,
                hasMore: entry.ledger.hasDeliverable(takesNew: request.takesNew))
        }
        if let found = try turn(of: session.group, log, body) { return found.result }
        try makeStateTopic()
        let start = try firstOffset(of: log, settings)
        guard let made = try turn(of: session.group, log, beginning: .at(start, topicName: log.topicName), body)
        else { throw Self.unavailable }
        return made.result
    }

    /// Where a group begins to read a partition that it has not read yet.
    private func firstOffset(of log: PartitionLog, _ settings: GroupSettings) throws(ShareRefusal) -> Offset {
        let end = log.highWatermark
        switch settings.shareOffsetReset {
        case .earliest: return min(log.logStartOffset, end)
        case .latest: return end
        case .duration(let milliseconds):
            switch log.firstOffset(notBefore: nowMs() - milliseconds, visibility: .committed) {
            case .success(let found): return min(found?.offset ?? end, end)
            case .failure: throw Self.unavailable
            }
        }
    }

    // MARK: Their bytes

    /// What was acquired, and what came of it when it was read.
    private struct Reading {
        /// In ascending order.
        let messages: [LeasedMessage]
        var kept: [LeasedMessage] = []
        /// Offsets without a record that anybody is to see.
        var gaps: [Offset] = []
        var bytes: [UInt8] = []
        /// How many of `messages` were looked at.
        var looked = 0

        var next: Offset? { looked < messages.count ? messages[looked].receipt.offset : nil }

        /// Takes in that there is nothing below `offset`, or that what is there is not to be seen.
        mutating func skip(below offset: Offset) {
            while let next, next < offset {
                gaps.append(next)
                looked += 1
            }
        }

        mutating func keep(through offset: Offset) {
            while let next, next <= offset {
                kept.append(messages[looked])
                looked += 1
            }
        }

        var acquisition: ShareAcquisition {
            var acquired = ShareAcquisition()
            acquired.bytes = bytes
            acquired.recordCount = kept.count
            for message in kept {
                let (offset, count) = (message.receipt.offset, message.receiveCount)
                if let last = acquired.ranges.last, last.last + 1 == offset, last.deliveryCount == count {
                    acquired.ranges[acquired.ranges.count - 1].last = offset
                } else {
                    acquired.ranges.append(.init(first: offset, last: offset, deliveryCount: count))
                }
            }
            return acquired
        }
    }

    /// Reads batches as they stand, as far as the bytes go. Returns why it ended before that.
    private func read(
        _ reading: inout Reading, _ log: PartitionLog, _ maxBytes: Int, _ visibility: PartitionLog.Visibility
    ) -> ShareRefusal? {
        while let first = reading.next {
            let room = maxBytes - reading.bytes.count
            guard reading.bytes.isEmpty || room > 0 else { return nil }
            let fetched: FetchedRecords
            switch log.read(
                from: first, maxBytes: max(1, min(room, Self.readBytes)), atLeastOne: reading.bytes.isEmpty,
                visibility: visibility)
            {
            case .success(let found): fetched = found
            case .failure(let refusal):
                // Damage hides what it has hit, and is reported elsewhere; what is below the start is gone.
                if let next = log.endOfDamage(at: first), next > first {
                    reading.skip(below: next)
                } else if case .outOfRange(let start, _) = refusal, start > first {
                    reading.skip(below: start)
                } else {
                    return ShareRefusal(.notLeaderOrFollower, "Records of \(log.name) cannot be read: \(refusal)")
                }
                continue
            }
            // The next batch has no room, or is not to be seen yet.
            guard fetched.byteCount > 0 else { return nil }
            do {
                try take(fetched, &reading, log, visibility)
            } catch {
                return ShareRefusal(.notLeaderOrFollower, "Records of \(log.name) cannot be read: \(error)")
            }
            guard let next = reading.next, next > first else { return nil }
        }
        return nil
    }

    private func take(
        _ fetched: FetchedRecords, _ reading: inout Reading, _ log: PartitionLog,
        _ visibility: PartitionLog.Visibility
    ) throws {
        var aborted: [AbortedTransaction]?
        for slice in fetched.slices {
            var cursor = RecordBatchCursor(slice.bytes)
            while let batch = try cursor.next() {
                reading.skip(below: batch.baseOffset)
                guard let next = reading.next else { return }
                if next > batch.lastOffset { continue }
                var isHidden = batch.isControl
                if visibility == .stable, batch.isTransactional, !isHidden {
                    if aborted == nil {
                        aborted = try log.abortedTransactions(from: next, to: fetched.endOffset ?? next).get()
                    }
                    isHidden = aborted?.contains { $0.holds(batch) } == true
                }
                if isHidden {
                    reading.skip(below: batch.lastOffset + 1)
                } else {
                    reading.bytes.append(contentsOf: batch.bytes)
                    reading.keep(through: batch.lastOffset)
                }
            }
        }
    }

    /// Ends what turned out to be no record, and gives back what there was no room for.
    private func settle(_ reading: inout Reading, _ session: ShareSession, _ log: PartitionLog) throws(ShareRefusal) {
        let unread = reading.messages[reading.looked...].map(\.receipt)
        let gaps = OffsetRange.covering(reading.gaps)
        if unread.isEmpty, gaps.isEmpty { return }
        _ = try turn(of: session.group, log) { entry, shard, nowMs throws(ShareRefusal) in
            try shard.take(entry.ledger.takeBack(unread, nowMs: nowMs), &entry, nowMs)
            try shard.take(entry.ledger.dropGaps(gaps), &entry, nowMs)
        }
    }

    // MARK: Settling

    /// Settles records that the session's member has acquired of one partition, all or nothing. Returns why nothing was settled, and the commit
    /// that the answer must not leave before.
    public func acknowledge(
        _ batches: [ShareBatch], of session: ShareSession, _ log: PartitionLog
    ) -> (refusal: ShareRefusal?, ticket: UInt64) {
        let lockMs = Int64(broker.groups.settings(of: session.group).shareLockDurationMs)
        do throws(ShareRefusal) {
            let found = try turn(of: session.group, log) { entry, shard, nowMs throws(ShareRefusal) in
                let step = entry.ledger.acknowledge(batches, owner: session.owner, lockMs: lockMs, nowMs: nowMs)
                let reply = try shard.take(step, &entry, nowMs)
                try shard.take(entry.ledger.advance(nowMs: nowMs), &entry, nowMs)
                return (reply, entry.ledger.hasDeliverable(takesNew: !isFull))
            }
            guard let found else { throw Self.notAcquired }
            switch found.result.0 {
            case .done: break
            case .invalidRequest:
                throw ShareRefusal(
                    .invalidRequest, "Acknowledgement batches overlap, descend, or have a wrong number of types.")
            case .invalidRecordState: throw Self.notAcquired
            }
            if found.result.1 {
                waits.tell(
                    TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex), of: session.group)
            }
            return (nil, found.ticket)
        } catch {
            return (error, 0)
        }
    }

    private static let notAcquired = ShareRefusal(
        .invalidRecordState, "A record of these is not acquired, or by another member.")

    // MARK: Waiting

    /// Has the logs of a session's partitions tell of their growth, from before a fetch looks into them. What it gives is for `wait`.
    public func watch(_ logs: [PartitionLog], for session: ShareSession) -> UInt64 {
        let isCommitted = broker.groups.settings(of: session.group).sharesCommitted
        for log in logs { waits.watch(log, for: session.group, isCommitted ? .stable : .committed) }
        return waits.mark(session.partitions, of: session.group)
    }

    /// Lets a fetch wait that found nothing. `resume` is called once, on any thread, perhaps before this returns: `true` where something may
    /// be there, `false` where its time is over. False: something has come since `mark`, so it is to look again now.
    public func wait(
        _ session: ShareSession, since mark: UInt64, untilMs: Int64, _ resume: @escaping @Sendable (Bool) -> Void
    ) -> Bool {
        guard !broker.isDraining else {
            resume(false)
            return true
        }
        let outcome = waits.wait(
            for: session.partitions, of: session.group, by: session.owner, since: mark
        ) { call in
            resume(call == .lookAgain)
        }
        switch outcome {
        case .news: return false
        case .full:
            resume(false)
            return true
        case .waits(let number):
            if agenda.withLock({ $0.add(untilMs, .wait(session.group, number)) }) { signal.raise() }
            // A drain that has begun in between has not seen it, and so has the end of the session.
            if broker.isDraining || !isCurrent(session) { waits.endWait(number, of: session.group) }
            return true
        }
    }

    /// Wakes another fetch for what this one, which nobody waits for any more, was woken for.
    public func passOn(_ session: ShareSession) {
        for partition in session.partitions { waits.tell(partition, of: session.group) }
    }

    /// Those of `woken` that are share groups: something has come for who waits in them. Called by who hears of commits, on any thread.
    public func committed(_ woken: [ReadWaiter]) { waits.committed(woken) }
}
