import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Security
import Telemetry

/// Moves messages that had their last delivery, or were rejected, to the dead letters, at once and each once: on the coordinator's
/// thread, which waits for the disk.
///
/// ```
///   ending ─► appended to the dead letters ─► on disk ─► ended: a record ─► on disk
/// ```
/// A stop between the second and the last leaves a message that is ending and is a dead letter, too. So before the first move of a ledger
/// that was loaded, the dead letters since its oldest such message's first delivery are looked through for what came from there.
extension QueueCoordinator {
    /// Messages of one append at most, and bytes after which one ends.
    private static let movedAtOnce = 256
    private static let movedBytes = 1 << 20
    /// When a move is tried again that came to nothing: the queue of the dead letters is gone, or its log takes nothing.
    private static let deadLetterRetryMs: Int64 = 1000

    /// Moves what there is; returns when there is more, in milliseconds since 1970.
    func moveDeadLetters() -> Int64 {
        let nowMs = nowMs()
        let due = agenda.withLock { agenda in agenda.ending.filter { $0.value <= nowMs }.map(\.key) }
        for id in due {
            guard let partition = partition(id) else {
                agenda.withLock { $0.ending[id] = nil }
                continue
            }
            do throws(QueueRefusal) {
                while try moveSome(of: partition) {}
                agenda.withLock { agenda in
                    agenda.ending[id] = nil
                    agenda.troubled.remove(id)
                }
                // What has come since the last look has asked in vain while it was listed.
                _ = try withLedger(of: partition) { _, _, _ throws(QueueRefusal) in () }
            } catch {
                let isNews = agenda.withLock { agenda in
                    agenda.ending[id] = nowMs + Self.deadLetterRetryMs
                    return agenda.troubled.insert(id).inserted
                }
                if isNews {
                    Log.warning("dead letters are not moved", "partition", partition.log.name, "reason", error.message)
                }
            }
        }
        return agenda.withLock { $0.ending.values.min() ?? .max }
    }

    /// Moves some messages of a partition. Returns whether there may be more.
    private func moveSome(of partition: QueuePartition) throws(QueueRefusal) -> Bool {
        guard let targetName = partition.queue.settings.deadLetterQueue else { return false }
        let target = try find(targetName)
        let (letters, isFirst) = try lettersOnDisk(of: partition)
        if letters.isEmpty { return false }
        var known: Set<Offset> = []
        if isFirst { known = try findMoved(letters, of: partition, in: target.topic) }
        var moved = Array(known)
        let rest = letters.filter { !known.contains($0.offset) }
        if !rest.isEmpty { moved += try append(rest, of: partition, to: target.queue, target.topic) }
        let (_, ticket) = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
            try shard.take(entry.ledger.confirmDeadLetters(moved), &entry, nowMs)
            entry.areDeadLettersKnown = true
        }
        try waitForCommit(of: CommitSpan(ticket), [])
        return true
    }

    /// The next letters, when it is on disk that they are some. `isFirst`: of a ledger that was loaded, all of them.
    private func lettersOnDisk(
        of partition: QueuePartition
    ) throws(QueueRefusal) -> (letters: [DeadLetter], isFirst: Bool) {
        let ((letters, isFirst, log), ticket) = try withLedger(of: partition) {
            entry, shard, nowMs throws(QueueRefusal) -> ([DeadLetter], Bool, PartitionLog) in
            let isFirst = !entry.areDeadLettersKnown
            return (entry.ledger.deadLetters(max: isFirst ? .max : Self.movedAtOnce), isFirst, shard.log)
        }
        if letters.isEmpty { return ([], isFirst) }
        try waitForCommit(of: CommitSpan(ticket), [])
        // Left out of its commit, what ended them may never be on disk.
        if log.hasLeftOutAppends { throw QueueRefusal(.unavailable, "the log of queues takes nothing just now") }
        return (letters, isFirst)
    }

    /// Waits until commits are on disk, and what was appended in them.
    func waitForCommit(
        of commits: CommitSpan, _ appended: [(log: PartitionLog, offset: Offset)]
    ) throws(QueueRefusal) {
        if commits.isEmpty { return }
        let store = broker.store
        // Nobody raises it: the thread's own signal is not to be taken by who waits here.
        let pause = Signal()
        while store.durableTicket < commits.last, !store.isOffline {
            if !store.commitPending() {
                // Another thread has taken them, and is at it.
                pause.wait(timeoutMs: 1)
            }
        }
        guard store.durableTicket >= commits.last, appended.allSatisfy({ $0.log.isFlushed($0.offset) }) else {
            throw QueueRefusal(.unavailable, "the disk takes nothing just now")
        }
    }

    /// Which of the letters are in the dead letters already.
    private func findMoved(
        _ letters: [DeadLetter], of partition: QueuePartition, in target: Topic
    ) throws(QueueRefusal) -> Set<Offset> {
        let wanted = Set(letters.map(\.offset))
        // Clocks of two brokers may differ by as much.
        let since = (letters.map(\.firstReceivedMs).min() ?? 0) - 60_000
        let source = QueueHeader.header(QueueHeader.originTopicID, partition.log.topicID.description).value
        let index = QueueHeader.header(QueueHeader.originPartition, partition.log.partitionIndex).value
        var found: Set<Offset> = []
        var records = RecordIterator()
        for log in target.partitions {
            var next: Offset
            switch log.firstOffset(notBefore: since, visibility: .committed) {
            case .success(let first): next = first?.offset ?? log.highWatermark
            case .failure(let refusal):
                throw QueueRefusal(.unavailable, "the dead letters in \(log.name) cannot be read: \(refusal)")
            }
            let end = log.highWatermark
            while next < end {
                next = try QueueWalk(log: log, visibility: .committed).step(from: next, to: end, &records) { record in
                    var (isOurs, isOurPartition, offset) = (false, false, Offset?.none)
                    for header in record.headers {
                        guard let value = header.value else { continue }
                        if header.key.elementsEqual(QueueHeader.originTopicID.utf8) {
                            isOurs = source.map { value.elementsEqual($0) } ?? false
                        } else if header.key.elementsEqual(QueueHeader.originPartition.utf8) {
                            isOurPartition = index.map { value.elementsEqual($0) } ?? false
                        } else if header.key.elementsEqual(QueueHeader.originOffset.utf8) {
                            offset = Int64(String(decoding: value, as: UTF8.self)).map { Offset($0) }
                        }
                    }
                    if isOurs, isOurPartition, let offset, wanted.contains(offset) { found.insert(offset) }
                }
            }
        }
        return found
    }

    /// Appends letters, and waits until they are on disk. Returns what they were: of those that are no message any more, too.
    private func append(
        _ letters: [DeadLetter], of partition: QueuePartition, to target: Queue, _ topic: Topic
    ) throws(QueueRefusal) -> [Offset] {
        var moved: [Offset] = []
        var prepared: [Int: [Prepared]] = [:]
        var bytes = 0
        var records = RecordIterator()
        let walk = QueueWalk(log: partition.log)
        for letter in letters.prefix(Self.movedAtOnce) where bytes < Self.movedBytes {
            moved.append(letter.offset)
            _ = try walk.step(from: letter.offset, to: letter.offset + 1, maxBytes: 1, &records) { record in
                let message = Prepared(record, letter, of: partition, place: moved.count - 1)
                bytes += message.body.count
                let count = topic.partitions.count
                let index =
                    target.settings.order == .fifo && target.settings.deduplicationScope == .queue
                    ? 0 : Int((message.group?.low ?? UInt64(partition.log.partitionIndex)) % UInt64(count))
                prepared[index, default: []].append(message)
            }
        }
        var results: [Result<SentMessage, QueueRefusal>?] = Array(repeating: nil, count: moved.count)
        var commits = CommitSpan()
        var appended: [(log: PartitionLog, offset: Offset)] = []
        for (index, messages) in prepared {
            let log = topic.partitions[index]
            appendAll(messages, to: QueuePartition(queue: target, log: log), nowMs(), &results, &commits)
            for message in messages {
                guard let result = results[message.place] else { continue }
                appended.append((log, try result.get().offset))
            }
        }
        try waitForCommit(of: commits, appended)
        return moved
    }
}

extension QueueCoordinator.Prepared {
    /// A dead letter, with what it was before.
    init(_ record: RecordView, _ letter: DeadLetter, of partition: QueuePartition, place: Int) {
        self.place = place
        body = record.value.map(Array.init) ?? []
        key = record.key.map(Array.init)
        // Where it has been a dead letter before, only how often it came back stays.
        headers = record.headers.map(\.copied).filter { header in
            !header.key.utf8.starts(with: "dead_letter.".utf8) || header.key.isExactly(QueueHeader.redrives)
        }
        let isLimit = letter.reason == .maxReceives
        headers += [
            QueueHeader.header(QueueHeader.originQueue, partition.queue.name),
            QueueHeader.header(QueueHeader.originTopicID, partition.log.topicID.description),
            QueueHeader.header(QueueHeader.originPartition, partition.log.partitionIndex),
            QueueHeader.header(QueueHeader.originOffset, letter.offset.rawValue),
            QueueHeader.header(QueueHeader.originSentMs, record.timestampMs),
            QueueHeader.header(QueueHeader.receiveCount, letter.receiveCount),
            QueueHeader.header(QueueHeader.firstReceivedMs, letter.firstReceivedMs),
            QueueHeader.header(QueueHeader.reason, isLimit ? "max_receives" : "rejected"),
        ]
        if let key = record.key {
            headers.append(
                QueueHeader.header(QueueHeader.keyDigest, QueueCoordinator.digest(Array(key))))
        }
        // Its delay was that of its queue.
        headers.removeAll { $0.key.isExactly(QueueHeader.delay) }
        group = QueueRecordMarks(record).group
        id = nil
        isDelayed = false
    }
}
