import ByteBuffers
import Forwarder
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
/// A stop between the second and the last leaves a message that is ending and is a dead letter, too, and so does an append or a record
/// that is left out of its commit. So before the first move of a ledger that was loaded, and before the next one behind such a failure,
/// the dead letters since its oldest such message's first delivery are looked through for what came from there.
extension QueueCoordinator {
    /// Messages of one append at most, and bytes after which one ends.
    private static let movedAtOnce = 256
    private static let movedBytes = 1 << 20
    /// Steps of one turn of the thread at most, each an append that waits for the disk or some of a search: of all queues, and of one
    /// partition. What is left has another turn, behind deadlines and the ends of waits.
    private static let turnSteps = 16
    private static let partitionSteps = 4
    /// Reads of one step of a search at most, of `QueueWalk.readBytes` each.
    private static let searchReads = 8
    /// When a move is tried again that came to nothing: the queue of the dead letters is gone, or its log takes nothing.
    private static let deadLetterRetryMs: Int64 = 1000

    private enum Step { case done, more, waits }

    /// Moves some of what there is; returns when there is more, in milliseconds since 1970.
    func moveDeadLetters() -> Int64 {
        let nowMs = nowMs()
        // Who has waited longest comes first.
        let due = agenda.withLock { agenda in
            agenda.ending.filter { $0.value <= nowMs && !agenda.isAwaiting($0.key) }
                .sorted { $0.value < $1.value }.map(\.key)
        }
        var steps = Self.turnSteps
        for id in due where steps > 0 {
            guard let partition = partition(id) else {
                agenda.withLock { $0.forgetEnding(id) }
                continue
            }
            do throws(QueueRefusal) {
                var step = Step.more
                for _ in 0..<Self.partitionSteps where step == .more && steps > 0 {
                    steps -= 1
                    step = try moveSome(of: partition)
                }
                agenda.withLock { agenda in
                    agenda.troubled.remove(id)
                    if step == .done { agenda.forgetEnding(id) } else { agenda.ending[id] = nowMs }
                    if step == .waits { agenda.awaiting.insert(id) }
                }
                // What has come since the last look has asked in vain while it was listed.
                if step == .done { _ = try withLedger(of: partition) { _, _, _ throws(QueueRefusal) in () } }
            } catch {
                let isNews = agenda.withLock { agenda in
                    agenda.ending[id] = nowMs + Self.deadLetterRetryMs
                    if agenda.search?.partition == id { agenda.search = nil }
                    return agenda.troubled.insert(id).inserted
                }
                if isNews {
                    Log.warning("dead letters are not moved", "partition", partition.log.name, "reason", error.message)
                }
            }
        }
        return agenda.withLock { agenda in
            agenda.ending.filter { !agenda.isAwaiting($0.key) }.values.min() ?? .max
        }
    }

    /// Moves some messages of a partition, or looks for what was moved before.
    private func moveSome(of partition: QueuePartition) throws(QueueRefusal) -> Step {
        guard let targetName = partition.queue.settings.deadLetterQueue else { return .done }
        let target = try find(targetName)
        var search: DeadLetterSearch?
        let isOther = agenda.withLock { agenda in
            search = agenda.search
            return search != nil && search?.partition != partition.id
        }
        let (state, _) = try withLedger(of: partition) {
            entry, shard, _ throws(QueueRefusal) -> (isKnown: Bool, generation: Int32) in
            // Without any there is nothing to look for.
            if entry.ledger.counters.ending == 0 { entry.areDeadLettersKnown = true }
            return (entry.areDeadLettersKnown, shard.machine.generation)
        }
        // One search at a time, as it remembers all messages that it is for: the others are asked for theirs when it is over.
        if !state.isKnown, isOther { return .waits }
        // A ledger that was loaded anew may name others.
        if !state.isKnown, var own = search, own.target == target.topic.id, own.generation == state.generation {
            return try goOn(&own, of: partition, in: target.topic)
        }
        guard let (letters, refusals, isKnown, generation) = try lettersOnDisk(of: partition) else { return .done }
        guard isKnown else {
            if isOther { return .waits }
            var own = DeadLetterSearch(
                partition: partition.id, target: target.topic.id, generation: generation, letters: letters)
            return try goOn(&own, of: partition, in: target.topic)
        }
        let moved = append(letters, refusals, of: partition, to: target.queue, target.topic)
        try confirm(moved.offsets, of: partition, areKnown: !moved.isUnclear, refused: moved.refused)
        // Those behind what was refused have their turn at once, as long as some of them go.
        if let failure = moved.failure, moved.isUnclear || moved.offsets.isEmpty { throw failure }
        return .more
    }

    /// Goes on with a partition's search, and ends what was found.
    private func goOn(
        _ search: inout DeadLetterSearch, of partition: QueuePartition, in target: Topic
    ) throws(QueueRefusal) -> Step {
        let isOver = try continueSearch(&search, of: partition, in: target)
        agenda.withLock { $0.search = isOver ? nil : search }
        if isOver { try confirm(Array(search.found), of: partition, areKnown: true, refused: []) }
        return .more
    }

    /// Ends messages that the dead letters have on disk. `areKnown`: those that are not among them are no dead letters yet. `refused` come
    /// behind all others.
    private func confirm(
        _ offsets: [Offset], of partition: QueuePartition, areKnown: Bool, refused: [Offset]
    ) throws(QueueRefusal) {
        let (_, ticket) = try withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
            entry.ledger.putBack(refused)
            try shard.take(entry.ledger.confirmDeadLetters(offsets), &entry, nowMs)
            let refusals = offsets.filter { entry.forwards.refusals[$0] != nil }
            try shard.take(refusals.map { .refusal($0, nil) }, &entry, partition.id, nowMs)
            entry.areDeadLettersKnown = areKnown
        }
        try waitForCommit(of: CommitSpan(ticket))
    }

    /// The next letters, when it is on disk that they are some, with what destinations of a forwarder said of some; nil: there are none. `isKnown`: none of them was moved before. Otherwise
    /// these are all that there are.
    private func lettersOnDisk(
        of partition: QueuePartition
    ) throws(QueueRefusal) -> (letters: [DeadLetter], refusals: [Offset: String], isKnown: Bool, generation: Int32)? {
        let ((letters, refusals, isKnown, log, generation), ticket) = try withLedger(of: partition) {
            entry, shard, nowMs throws(QueueRefusal) -> ([DeadLetter], [Offset: String], Bool, PartitionLog, Int32) in
            let isKnown = entry.areDeadLettersKnown
            // Until their end is recorded: where the move comes to nothing in the middle, nobody knows which of them were moved.
            entry.areDeadLettersKnown = false
            let letters = entry.ledger.deadLetters(max: isKnown ? Self.movedAtOnce : .max)
            if letters.isEmpty { entry.areDeadLettersKnown = true }
            return (letters, entry.forwards.refusals, isKnown, shard.log, shard.machine.generation)
        }
        if letters.isEmpty { return nil }
        try waitForCommit(of: CommitSpan(ticket))
        // Left out of its commit, what ended them may never be on disk.
        if log.hasLeftOutAppends { throw QueueRefusal(.unavailable, "the log of queues takes nothing just now") }
        return (letters, refusals, isKnown, generation)
    }

    /// Waits until commits are on disk, or known not to be just now. Returns whether they are; a partition may have been left out all the same
    /// (`PartitionLog.isFlushed`). False: they may be later. What a full disk does not take is not waited for, as that may be for ever, and
    /// the thread has the ends of waits to see to.
    func areDurable(_ commits: CommitSpan) -> Bool {
        if commits.isEmpty { return true }
        let store = broker.store
        // Nobody raises it: the thread's own signal is not to be taken by who waits here.
        let pause = Signal()
        while store.durableTicket < commits.last, !store.isOffline {
            if store.commitPending() { continue }
            if store.isHoldingCommit { break }
            // Another thread has taken them, and is at it.
            pause.wait(timeoutMs: 1)
        }
        return store.durableTicket >= commits.last
    }

    /// Waits for what was appended to a log so far. Returns whether all of it is on disk.
    private func isOnDisk(_ log: PartitionLog) -> Bool {
        let (store, end, pause) = (broker.store, log.logEndOffset, Signal())
        for _ in 0..<Self.maxPauses where log.highWatermark < end {
            if store.commitPending() { continue }
            if store.isOffline || store.isHoldingCommit { break }
            pause.wait(timeoutMs: 1)
        }
        return log.highWatermark >= end
    }

    /// Commits and milliseconds that a search waits for what is in memory alone, at most: it is tried again then.
    private static let maxPauses = 1000

    /// Waits until commits are on disk.
    func waitForCommit(of commits: CommitSpan) throws(QueueRefusal) {
        guard areDurable(commits) else { throw Self.noDisk }
    }

    static let noDisk = QueueRefusal(.unavailable, "the disk takes nothing just now")

    /// Goes on looking for letters in the dead letters. Returns whether all was looked at.
    private func continueSearch(
        _ search: inout DeadLetterSearch, of partition: QueuePartition, in target: Topic
    ) throws(QueueRefusal) -> Bool {
        let source = QueueHeader.header(QueueHeader.originTopicID, partition.log.topicID.description).value
        let index = QueueHeader.header(QueueHeader.originPartition, partition.log.partitionIndex).value
        var records = RecordIterator()
        var reads = Self.searchReads
        while search.place < target.partitions.count {
            let log = target.partitions[search.place]
            guard let from = search.next else {
                // What is in memory alone may be some of them, and be on disk later.
                if log.hasLeftOutAppends {
                    throw QueueRefusal(.unavailable, "the log of dead letters \(log.name) takes nothing just now")
                }
                guard isOnDisk(log) else { throw Self.noDisk }
                search.end = log.highWatermark
                switch log.firstOffset(
                    notBefore: search.sinceMs, visibility: .committed, takesUnreadable: true)
                {
                case .success(let first): search.next = first?.offset ?? search.end
                case .failure(let refusal):
                    throw QueueRefusal(.unavailable, "the dead letters in \(log.name) cannot be read: \(refusal)")
                }
                continue
            }
            guard from < search.end else {
                search.place += 1
                search.next = nil
                continue
            }
            if reads == 0 { return false }
            reads -= 1
            var found: [Offset] = []
            search.next = try QueueWalk(log: log, visibility: .committed).step(
                from: from, to: search.end, &records
            ) { record in
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
                if isOurs, isOurPartition, let offset { found.append(offset) }
            }
            search.found.formUnion(search.wanted.intersection(found))
        }
        return true
    }

    /// What became of letters that were to be moved.
    private struct MovedLetters {
        /// On disk in the dead letters; those that are no message any more, too.
        var offsets: [Offset] = []
        /// Why others were not moved.
        var failure: QueueRefusal?
        /// Those that were refused, or could not be read.
        var refused: [Offset] = []
        /// Some of those may be on disk later.
        var isUnclear = false
    }

    /// Appends letters, and waits until they are on disk.
    private func append(
        _ letters: [DeadLetter], _ refusals: [Offset: String], of partition: QueuePartition, to target: Queue,
        _ topic: Topic
    ) -> MovedLetters {
        var moved = MovedLetters()
        var prepared: [Int: [Prepared]] = [:]
        var bytes = 0
        var seen: [Offset] = []
        var records = RecordIterator()
        var looked = 0
        let letters = Array(letters.prefix(Self.movedAtOnce))
        let byOffset = Dictionary(uniqueKeysWithValues: letters.map { ($0.offset, $0) })
        do throws(QueueRefusal) {
            try QueueWalk(log: partition.log).visit(letters.map(\.offset), &records, looked: &looked) { record in
                guard let letter = byOffset[record.offset] else { return true }
                if bytes >= Self.movedBytes { return false }
                var message = Prepared(
                    record, letter, refusal: refusals[record.offset], of: partition, place: seen.count)
                let index = message.partition(
                    of: topic.partitions.count, target.settings, withoutGroup: UInt64(partition.log.partitionIndex))
                if !message.fits(topic.partitions[index]) { message = message.withoutBody() }
                bytes += message.body.count
                prepared[index, default: []].append(message)
                seen.append(letter.offset)
                return true
            }
        } catch {
            // Those that were read before are moved all the same.
            moved.failure = error
            if looked < letters.count { moved.refused.append(letters[looked].offset) }
        }
        var results: [Result<SentMessage, QueueRefusal>?] = Array(repeating: nil, count: seen.count)
        var commits = CommitSpan()
        for (index, messages) in prepared {
            let log = topic.partitions[index]
            appendAll(messages, to: QueuePartition(queue: target, log: log), nowMs(), &results, &commits)
        }
        let isDurable = areDurable(commits)
        let found = Set(seen)
        moved.offsets = letters[..<looked].map(\.offset).filter { !found.contains($0) }
        for (index, messages) in prepared {
            for message in messages {
                switch results[message.place] {
                case .success(let sent)?:
                    if isDurable, topic.partitions[index].isFlushed(sent.offset) {
                        moved.offsets.append(seen[message.place])
                    } else {
                        (moved.isUnclear, moved.failure) = (true, Self.noDisk)
                    }
                case .failure(let refusal)?:
                    moved.failure = moved.failure ?? refusal
                    moved.refused.append(seen[message.place])
                case nil: break
                }
            }
        }
        return moved
    }
}

/// A look for the letters of a ledger that was loaded, or whose last move came to nothing, in the dead letters: some of it at a time.
struct DeadLetterSearch {
    let partition: TopicPartition
    let target: TopicID
    /// The loading of the ledger that it is for.
    let generation: Int32
    let wanted: Set<Offset>
    /// Milliseconds since 1970: earlier ones are none of them.
    let sinceMs: Int64
    var found: Set<Offset> = []
    /// Which partition of the target is looked through, where it goes on (nil: it has not begun), and its end.
    var place = 0
    var next: Offset?
    var end = Offset.zero

    /// Clocks of two brokers may differ by as much.
    private static let clockMs: Int64 = 60_000

    init(partition: TopicPartition, target: TopicID, generation: Int32, letters: [DeadLetter]) {
        self.partition = partition
        self.target = target
        self.generation = generation
        wanted = Set(letters.map(\.offset))
        sinceMs = (letters.map(\.firstReceivedMs).min() ?? 0) - Self.clockMs
    }
}

extension QueueCoordinator.Prepared {
    /// A dead letter, with what it was before.
    /// - Parameter refusal: what a forwarder's destination said of it.
    init(_ record: RecordView, _ letter: DeadLetter, refusal: String?, of partition: QueuePartition, place: Int) {
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
            QueueHeader.header(
                QueueHeader.reason, refusal != nil ? "forward_refused" : isLimit ? "max_receives" : "rejected"),
        ]
        if let refusal { headers.append(QueueHeader.header(QueueHeader.error, refusal)) }
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

    /// The letter for a log that has no room for all of it: where the message was is in it, and the rest is there.
    fileprivate func withoutBody() -> Self {
        let own = headers.filter { $0.key.utf8.starts(with: "dead_letter.".utf8) }
        return Self(
            place: place, body: [], key: nil,
            headers: own + [QueueHeader.header(QueueHeader.omittedBytes, body.count)], group: group, id: nil,
            isDelayed: false)
    }
}
