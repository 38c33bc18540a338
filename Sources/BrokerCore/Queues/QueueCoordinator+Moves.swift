import ByteBuffers
import JobLedger
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Security
import Telemetry

/// Moves that are under way.
struct QueueMoves {
    struct Entry {
        let order: QueueMoveOrder
        let job: RunningJob
        var move: QueueMove
        /// Where a move without a destination may go: the queues whose dead letters these were when it began, which is what its caller was
        /// asked for. The headers that name a letter's queue are anybody's who may write to the queue.
        let origins: Set<ExactString>
        /// Of the queue that it moves from: another one may have its name by then.
        let sourceNumber: UInt64
        /// Milliseconds since 1970 before which nothing more is moved.
        var nextMs: Int64 = 0
        /// What its job was told last, and milliseconds since 1970 from which on it is told more.
        var told = JobProgress()
        var tellAtMs: Int64 = 0
        /// The job has ended, too.
        var isTold = false
        /// By message the newest handle of those that stay: leased for as long as that lasts, so that the others come.
        var staying: [Place: String] = [:]
        /// In the log that they went to, perhaps not on disk yet, with their handles where they were: nothing else is moved before.
        var appended: [Appended] = []
        var commits = CommitSpan()
        /// By message that was moved the newest handle where it was: that it ended there is not on disk.
        var unsettled: [Place: String] = [:]
        /// Those that were moved, and were not leased any more when they were to end where they were: they end when they come again.
        var left: Set<Place> = []
        /// Milliseconds since 1970 from which on leases are made longer.
        var renewAtMs: Int64 = 0

        var isActive: Bool { move.state == .running || move.state == .cancelling }
    }

    struct Place: Hashable {
        let partitionIndex: Int32
        let offset: Offset

        init(_ message: ReceivedMessage) {
            partitionIndex = message.partitionIndex
            offset = message.offset
        }
    }

    struct Appended {
        let log: PartitionLog
        let offset: Offset
        let place: Place
        let handle: String
    }

    /// By source: one of each, until its job has ended, too.
    var bySource: [ExactString: Entry] = [:]
}

/// Moves dead letters back: received from their queue, sent to where they were, ended when that is on disk; by the coordinator's thread,
/// some at a time. A stop between the last two leaves a message in both. What cannot be moved stays: what was moved back too often, has lost
/// its body, is too large for where it goes, or names a queue that is gone or was none of those whose dead letters these are. That a move
/// looks at a message is no delivery of it, however the move ends: so none of them ends by that.
extension QueueCoordinator {
    /// Messages of one step at most: of all that are moved in a second where that is limited.
    private static let moveStep = 100
    /// The lease of what is being moved, made longer by half as long as the move lasts: should that end in the middle, its messages come
    /// again after that.
    private static let moveVisibilityMs: Int64 = 60_000
    /// Messages that stay, and those that were moved and did not end where they were yet, of one move at most: with more it fails, as it has
    /// to remember them.
    public static let maxStaying = 10_000
    /// Times that a message is moved back: behind it, it stays.
    public static let maxRedrives = 10
    public static let perSecondLimits = 1...500
    /// How often a move tells its job how far it is, in milliseconds.
    private static let tellingMs: Int64 = 1000

    public func startMove(_ order: QueueMoveOrder) -> QueueOutcome<Result<QueueMove, QueueRefusal>> {
        do throws(QueueRefusal) {
            let (origins, sourceNumber) = try check(order)
            let expected = try counts(of: order.source, withOldest: false).answer.get().visible
            if let refusal = broker.jobs.makeTopic() { throw QueueRefusal(refusal) }
            let source = ExactString(order.source)
            // One at a time: moves begin on the broker's own thread.
            if moves.withLock({ $0.bySource[source] != nil }) {
                throw QueueRefusal(.inUse, "messages of \(order.source) are being moved already")
            }
            let redrive = Job.Redrive(
                source: order.source, destination: order.destination, perSecond: order.perSecond, expected: expected)
            let job = Job(
                id: .made(atMs: nowMs()), redrive, route: order.route, topic: Self.topicPrefix + order.source,
                owner: order.owner, createdMs: nowMs())
            guard let move = QueueMove(job) else { preconditionFailure("a redrive is no move") }
            let begun: (job: RunningJob, commits: CommitSpan)
            do throws(JobRefusal) { begun = try broker.jobs.begin(job) } catch { throw QueueRefusal(error) }
            moves.withLock { moves in
                moves.bySource[source] = QueueMoves.Entry(
                    order: order, job: begun.job, move: move, origins: origins, sourceNumber: sourceNumber)
            }
            signal.raise()
            return QueueOutcome(.success(move), begun.commits)
        } catch {
            return QueueOutcome(.failure(error))
        }
    }

    /// Gives the queues that letters may go back to, of those that the caller was asked for, and the number of the source.
    func check(_ order: QueueMoveOrder) throws(QueueRefusal) -> (origins: Set<ExactString>, sourceNumber: UInt64) {
        let queue = try find(order.source).queue
        if let destination = order.destination {
            let target = try find(destination).queue
            if target.number == queue.number {
                throw QueueRefusal(.invalid, "a queue's messages are moved to another one")
            }
            guard (target.settings.order == .fifo) == (queue.settings.order == .fifo) else {
                throw QueueRefusal(.invalid, "messages of a FIFO queue are moved to FIFO queues, of others to others")
            }
        }
        let origins = deadLetterSources(of: order.source)
        guard !origins.isEmpty || order.destination != nil else {
            throw QueueRefusal(.invalid, "\(order.source) is no queue of dead letters")
        }
        if let perSecond = order.perSecond, !Self.perSecondLimits.contains(perSecond) {
            throw QueueRefusal(.invalid, "a move takes 1 to 500 messages a second")
        }
        if let most = order.most, most < 1 { throw QueueRefusal(.invalid, "a move takes one message at least") }
        guard (1...Self.maxRedrives).contains(order.maxRedrives) else {
            throw QueueRefusal(.invalid, "a message is moved back 1 to \(Self.maxRedrives) times")
        }
        if let problem = order.selection.problem ?? order.edit.problem { throw QueueRefusal(.invalid, problem) }
        let found = Set(origins.map { ExactString($0) })
        return (order.origins.map { found.intersection($0) } ?? found, queue.number)
    }

    public func moves(from source: String) -> Result<[QueueMove], QueueRefusal> {
        do throws(QueueRefusal) {
            let queue = try find(source).queue
            let current = moves.withLock { $0.bySource[ExactString(source)]?.move }
            let known: [Job]
            do throws(JobRefusal) { known = try broker.jobs.jobs() } catch { throw QueueRefusal(error) }
            // Those of a queue that had the name before are not this one's.
            let own = known.lazy.compactMap(QueueMove.init).filter { move in
                move.source.isExactly(source) && move.startedMs >= queue.record.createdMs
            }
            return .success(own.prefix(QueueMove.maxKept).map { $0.id == current?.id ? current ?? $0 : $0 })
        } catch {
            return .failure(error)
        }
    }

    public func cancelMove(_ id: String) -> QueueMove? {
        let found = moves.withLock { moves -> QueueMove? in
            for (source, entry) in moves.bySource where entry.move.id.isExactly(id) && entry.move.state == .running {
                moves.bySource[source]?.move.state = .cancelling
                // Not when its next messages are due.
                moves.bySource[source]?.nextMs = 0
                return moves.bySource[source]?.move
            }
            return nil
        }
        if found != nil { signal.raise() }
        return found
    }

    /// Goes on with the moves that are under way; returns when they are to go on, in milliseconds since 1970.
    func runMoves() -> Int64 {
        let nowMs = nowMs()
        for entry in moves.withLock({ $0.bySource.values.filter { $0.nextMs <= nowMs } }) {
            var entry = entry
            if entry.move.state == .running, entry.job.isCancelled { entry.move.state = .cancelling }
            if entry.isActive { step(&entry, nowMs) }
            if !entry.isActive { giveBackStaying(&entry) }
            tell(&entry, nowMs)
            let source = ExactString(entry.move.source)
            moves.withLock { moves in
                // It may have been told to end meanwhile.
                if moves.bySource[source]?.move.state == .cancelling, entry.move.state == .running {
                    (entry.move.state, entry.nextMs) = (.cancelling, 0)
                }
                moves.bySource[source] = entry.isTold ? nil : entry
            }
        }
        return moves.withLock { $0.bySource.values.map(\.nextMs).min() ?? .max }
    }

    private func giveBackStaying(_ entry: inout QueueMoves.Entry) {
        if let queue = try? source(of: entry) {
            giveBack(Array(entry.staying.values), to: queue, wereCounted: false)
        }
        entry.staying = [:]
    }

    /// The queue that it moves from, not another one that has got its name.
    private func source(of entry: QueueMoves.Entry) throws(QueueRefusal) -> Queue {
        let queue = try find(entry.move.source).queue
        guard queue.number == entry.sourceNumber else {
            throw QueueRefusal(.notFound, "the queue \(entry.move.source) was deleted, and another one has its name")
        }
        return queue
    }

    /// Tells a move's job how far it is, and how it has ended.
    private func tell(_ entry: inout QueueMoves.Entry, _ nowMs: Int64) {
        let progress = JobProgress(
            bytes: 0, accepted: Int64(entry.move.moved), rejected: Int64(entry.move.stayed), line: 0)
        do throws(JobRefusal) {
            switch entry.move.state {
            case .running, .cancelling:
                guard progress != entry.told, nowMs >= entry.tellAtMs else { return }
                _ = try broker.jobs.progress(of: entry.job, progress, JobFloors())
                (entry.told, entry.tellAtMs) = (progress, nowMs + Self.tellingMs)
            case .completed, .cancelled, .failed:
                let state: Job.State =
                    entry.move.state == .completed ? .finished : entry.move.state == .cancelled ? .cancelled : .failed
                _ = try broker.jobs.end(JobEnd(entry.job.id, state, reason: entry.move.failure), progress)
                entry.isTold = true
            }
        } catch .unavailable {
            // It is over when that can be told.
            if !entry.isActive { entry.nextMs = nowMs + Self.refusedMoveMs }
        } catch {
            Log.error("a move has lost its job, and ends where it is", "queue", entry.move.source, "reason", "\(error)")
            entry.isTold = true
        }
    }

    private func step(_ entry: inout QueueMoves.Entry, _ nowMs: Int64) {
        if entry.move.state == .cancelling {
            // What is on its way ends where it was, if that can be said by now.
            _ = try? conclude(&entry)
            entry.move.state = .cancelled
            return
        }
        do throws(QueueRefusal) {
            let left = entry.order.most.map { $0 - entry.move.moved - entry.appended.count } ?? .max
            guard left > 0 || !entry.appended.isEmpty || !entry.unsettled.isEmpty else {
                entry.move.state = .completed
                return
            }
            let most = min(Self.moveStep, entry.move.perSecond ?? Self.moveStep, max(left, 0))
            guard let moved = try moveBack(&entry, most, nowMs) else {
                entry.move.state = .completed
                return
            }
            if let perSecond = entry.move.perSecond { entry.nextMs = nowMs + Int64(1000 * moved / perSecond) }
        } catch {
            if error.kind == .unavailable || error.kind == .diskFull {
                entry.nextMs = nowMs + Self.refusedMoveMs
            } else {
                entry.move.state = .failed
                entry.move.failure = error.message
            }
        }
    }

    private static let refusedMoveMs: Int64 = 1000

    /// What becomes of the messages of one step.
    private struct Moving {
        var appended: [QueueMoves.Appended] = []
        var commits = CommitSpan()
        var staying: [ReceivedMessage] = []
        /// Handles of those that were not taken this time, and why.
        var refused: [String] = []
        var failure: QueueRefusal?
    }

    /// Moves `most` messages at most, and counts them, also where it throws: what could not be moved is given back then. Returns how many were
    /// on their way; nil: there is none that is not leased.
    private func moveBack(_ entry: inout QueueMoves.Entry, _ most: Int, _ nowMs: Int64) throws(QueueRefusal) -> Int? {
        let source = try source(of: entry)
        renew(&entry, nowMs)
        try conclude(&entry)
        if most == 0 { return 0 }
        // Those that are looked at and not meant cost no time of a rate.
        let messages = try take(entry.order.selection.isAll ? most : Self.moveStep, from: source)
        if messages.isEmpty { return nil }
        var moving = Moving()
        var byTarget: [ExactString: [ReceivedMessage]] = [:]
        var room = most
        for message in messages {
            let place = QueueMoves.Place(message)
            // Leases may end all the same: where the thread had no time for them, or after twelve hours.
            if entry.left.remove(place) != nil {
                entry.unsettled[place] = message.handle
            } else if entry.staying[place] != nil {
                entry.staying[place] = message.handle
            } else if let target = target(of: message, entry.order, entry.origins) {
                if room == 0 {
                    moving.refused.append(message.handle)
                } else {
                    room -= 1
                    byTarget[target, default: []].append(message)
                }
            } else {
                moving.staying.append(message)
            }
        }
        for (name, group) in byTarget {
            let target: (queue: Queue, topic: Topic)
            do throws(QueueRefusal) { target = try find(name.text) } catch {
                // One of the queues that they came from has gone: its messages stay, the others go on.
                if entry.order.destination == nil {
                    moving.staying += group
                } else {
                    moving.failure = error
                    moving.refused += group.map(\.handle)
                }
                continue
            }
            append(group, by: entry.order.edit, to: target.queue, target.topic, &moving)
        }
        (entry.appended, entry.commits) = (moving.appended, moving.commits)
        do throws(QueueRefusal) { try conclude(&entry) } catch { moving.failure = moving.failure ?? error }
        for message in moving.staying { entry.staying[QueueMoves.Place(message)] = message.handle }
        entry.move.stayed = entry.staying.count
        giveBack(moving.refused, to: source, wereCounted: false)
        if let failure = moving.failure { throw failure }
        guard entry.staying.count + entry.left.count <= Self.maxStaying else {
            throw QueueRefusal(
                .limit, "more than \(Self.maxStaying) messages stay, which is as many as a move passes over")
        }
        return most - room
    }

    /// Makes the leases of what stays and of what was moved longer. What is not leased any more comes again.
    private func renew(_ entry: inout QueueMoves.Entry, _ nowMs: Int64) {
        guard nowMs >= entry.renewAtMs else { return }
        entry.renewAtMs = nowMs + Self.moveVisibilityMs / 2
        var rest = (Array(entry.staying.values) + Array(entry.unsettled.values) + entry.appended.map(\.handle))[...]
        while !rest.isEmpty {
            let some = rest.prefix(LedgerRecord.maxLeased)
            rest = rest.dropFirst(some.count)
            _ = changeVisibility(some.map { ($0, Self.moveVisibilityMs) }, in: entry.move.source)
        }
    }

    /// Ends what was moved where it was, as soon as it is on disk where it went. Refused: that comes before anything else is moved.
    private func conclude(_ entry: inout QueueMoves.Entry) throws(QueueRefusal) {
        if !entry.appended.isEmpty {
            // What may be on disk later stays leased: given back, it would be moved again.
            try waitForCommit(of: entry.commits)
            let appended = entry.appended
            entry.appended = appended.filter { !$0.log.isFlushed($0.offset) }
            for message in appended where message.log.isFlushed(message.offset) {
                entry.unsettled[message.place] = message.handle
            }
            entry.move.moved += appended.count - entry.appended.count
        }
        try settle(&entry)
        if !entry.appended.isEmpty { throw Self.noDisk }
    }

    private func take(_ most: Int, from source: Queue) throws(QueueRefusal) -> [ReceivedMessage] {
        var request = QueueReceive()
        request.maxMessages = most
        request.visibilityMs = Self.moveVisibilityMs
        request.isCounted = false
        switch tryReceive(request, from: source).answer {
        case .messages(let found): return found
        case .overLimit: throw QueueRefusal(.unavailable, "as many messages are in flight as may be")
        case .refused(let refusal): throw refusal
        }
    }

    private func settle(_ entry: inout QueueMoves.Entry) throws(QueueRefusal) {
        var rest = Array(entry.unsettled)[...]
        while !rest.isEmpty {
            let some = rest.prefix(LedgerRecord.maxLeased)
            rest = rest.dropFirst(some.count)
            let settled = acknowledge(some.map(\.value), in: entry.move.source)
            let settlements = try settled.answer.get()
            try waitForCommit(of: settled.commits)
            for ((place, _), settlement) in zip(some, settlements) {
                if case .refused(let refusal) = settlement { throw refusal }
                entry.unsettled[place] = nil
                // Its lease has ended, or somebody else had it meanwhile.
                if settlement != .settled(.done) { entry.left.insert(place) }
            }
        }
    }

    private func append(
        _ group: [ReceivedMessage], by edit: MessageEdit, to target: Queue, _ topic: Topic, _ moving: inout Moving
    ) {
        var prepared: [Int: [Prepared]] = [:]
        for (place, message) in group.enumerated() {
            let back = Prepared(moving: message, by: edit, place: place)
            let index = back.partition(
                of: topic.partitions.count, target.settings, withoutGroup: UInt64(bitPattern: message.offset.rawValue))
            prepared[index, default: []].append(back)
        }
        var results: [Result<SentMessage, QueueRefusal>?] = Array(repeating: nil, count: group.count)
        for (index, messages) in prepared {
            let log = topic.partitions[index]
            let partition = QueuePartition(queue: target, log: log)
            appendAll(messages, to: partition, nowMs(), &results, &moving.commits)
            for message in messages {
                switch results[message.place] {
                case .success(let sent)?:
                    let own = group[message.place]
                    moving.appended.append(
                        QueueMoves.Appended(
                            log: log, offset: sent.offset, place: QueueMoves.Place(own), handle: own.handle))
                case .failure(let refusal)? where refusal.kind == .tooLarge: moving.staying.append(group[message.place])
                case .failure(let refusal)?:
                    moving.failure = moving.failure ?? refusal
                    moving.refused.append(group[message.place].handle)
                case nil: break
                }
            }
        }
    }

    /// Where a message goes; nil: it stays.
    func target(
        of message: ReceivedMessage, _ order: QueueMoveOrder, _ origins: Set<ExactString>
    ) -> ExactString? {
        guard order.selection.selects(message) else { return nil }
        let origin = message.deadLetter
        guard (origin?.redriveCount ?? 0) < order.maxRedrives else { return nil }
        // What has lost its body goes with another one alone.
        if origin?.omittedBytes != nil, order.edit.body == nil { return nil }
        if let destination = order.destination { return ExactString(destination) }
        guard let name = origin.map({ ExactString($0.queue) }), origins.contains(name) else { return nil }
        return name
    }
}

extension QueueCoordinator.Prepared {
    /// A dead letter on its way back.
    fileprivate init(moving message: ReceivedMessage, by edit: MessageEdit, place: Int) {
        self.place = place
        body = edit.body ?? message.body
        key = message.key
        let changed = Set((Array(edit.set.keys) + Array(edit.removed)).map { ExactString($0) })
        headers = message.headers.filter { !changed.contains(ExactString($0.key)) }
        headers += edit.set.sorted { $0.key < $1.key }.map { RecordHeader(key: $0.key, value: $0.value) }
        if let groupID = message.groupID { headers.append(QueueHeader.header(QueueHeader.group, groupID)) }
        let redrives = (message.deadLetter?.redriveCount ?? 0) + 1
        headers.append(QueueHeader.header(QueueHeader.redrives, redrives))
        // As `QueueRecordMarks`: where no header names a group, the key does.
        group = message.groupID.map { NameDigest(of: $0.utf8) } ?? message.key.map { NameDigest(of: $0) }
        id = nil
        isDelayed = false
    }
}

extension JobID {
    /// A new one, of this time in milliseconds since 1970 (RFC 9562, version 7).
    fileprivate static func made(atMs nowMs: Int64) -> JobID {
        func word(_ bytes: [UInt8]) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        let high = UInt64(max(0, nowMs)) << 16 | 0x7000 | word(Randomness.bytes(2)) & 0x0fff
        return JobID(high: high, low: word(Randomness.bytes(8)) & 0x3fff_ffff_ffff_ffff | 1 << 63)
    }
}

extension QueueRefusal {
    fileprivate init(_ refusal: JobRefusal) {
        switch refusal {
        case .tooManyRunning(let most):
            self.init(.limit, "\(most) moves are under way, which is as many as there may be")
        case .unavailable(let words): self.init(.unavailable, "jobs cannot be kept: \(words)")
        case .notFound, .ended: preconditionFailure("a job that begins or is looked for is \(refusal)")
        }
    }
}

/// A UUID in its usual text form.
enum UUIDText {
    /// - Parameter bytes: 16 of them.
    static func text(_ bytes: some Collection<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
