import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Security
import Telemetry

/// Moves that are under way, and the newest of those that are over.
struct QueueMoves {
    struct Entry {
        var move: QueueMove
        /// Where a move without a destination may go: the queues whose dead letters these were when it began, which is what its caller was
        /// asked for. The headers that name a letter's queue are anybody's who may write to the queue.
        let origins: Set<ExactString>
        /// Milliseconds since 1970 before which nothing more is moved.
        var nextMs: Int64 = 0
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

    /// By source, newest last.
    var bySource: [ExactString: [Entry]] = [:]
    var running = 0

    /// Forgets a queue's.
    mutating func forget(_ source: String) {
        for entry in bySource.removeValue(forKey: ExactString(source)) ?? [] where entry.isActive { running -= 1 }
    }
}

/// Moves dead letters back: received from their queue, sent to where they were, ended when that is on disk; by the coordinator's thread,
/// some at a time. A stop between the last two leaves a message in both. What cannot be moved stays: what was moved back too often, has lost
/// its body, is too large for where it goes, or names a queue that is gone or was none of those whose dead letters these are. That a move
/// looks at a message is no delivery of it, however the move ends: so none of them ends by that.
extension QueueCoordinator {
    /// Moves of all queues that are under way at most.
    static let maxMoves = 100
    /// Messages of one step at most: of all that are moved in a second where that is limited.
    private static let moveStep = 100
    /// The lease of what is being moved, made longer by half as long as the move lasts: should that end in the middle, its messages come
    /// again after that.
    private static let moveVisibilityMs: Int64 = 60_000
    /// Messages that stay, and those that were moved and did not end where they were yet, of one move at most: with more it fails, as it has
    /// to remember them.
    private static let maxStaying = 10_000
    /// Times that a message is moved back: behind it, it stays.
    public static let maxRedrives = 10
    public static let perSecondLimits = 1...500

    public func startMove(
        from source: String, to destination: String?, perSecond: Int?
    ) -> Result<QueueMove, QueueRefusal> {
        do throws(QueueRefusal) {
            let queue = try find(source).queue
            if let destination {
                let target = try find(destination).queue
                if target.number == queue.number {
                    throw QueueRefusal(.invalid, "a queue's messages are moved to another one")
                }
                guard (target.settings.order == .fifo) == (queue.settings.order == .fifo) else {
                    throw QueueRefusal(
                        .invalid, "messages of a FIFO queue are moved to FIFO queues, of others to others")
                }
            }
            let origins = deadLetterSources(of: source)
            guard !origins.isEmpty || destination != nil else {
                throw QueueRefusal(.invalid, "\(source) is no queue of dead letters")
            }
            if let perSecond, !Self.perSecondLimits.contains(perSecond) {
                throw QueueRefusal(.invalid, "a move takes 1 to 500 messages a second")
            }
            let expected = try counts(of: source, withOldest: false).answer.get().visible
            let move = QueueMove(
                id: UUIDText.random(), source: source, destination: destination, perSecond: perSecond,
                expected: expected, startedMs: nowMs())
            try moves.withLock { moves throws(QueueRefusal) in
                var known = moves.bySource[ExactString(source)] ?? []
                if known.contains(where: \.isActive) {
                    throw QueueRefusal(.inUse, "messages of \(source) are being moved already")
                }
                guard moves.running < Self.maxMoves else {
                    throw QueueRefusal(.limit, "\(Self.maxMoves) moves are under way, which is as many as there may be")
                }
                moves.running += 1
                known.append(QueueMoves.Entry(move: move, origins: Set(origins.map { ExactString($0) })))
                moves.bySource[ExactString(source)] = Array(known.suffix(QueueMove.maxKept))
            }
            signal.raise()
            return .success(move)
        } catch {
            return .failure(error)
        }
    }

    public func moves(from source: String) -> [QueueMove] {
        moves.withLock { $0.bySource[ExactString(source)]?.reversed().map(\.move) ?? [] }
    }

    public func cancelMove(_ id: String) -> QueueMove? {
        let found = moves.withLock { moves -> QueueMove? in
            for (source, entries) in moves.bySource {
                guard let place = entries.firstIndex(where: { $0.move.id.isExactly(id) && $0.move.state == .running })
                else { continue }
                moves.bySource[source]![place].move.state = .cancelling
                // Not when its next messages are due.
                moves.bySource[source]![place].nextMs = 0
                return moves.bySource[source]![place].move
            }
            return nil
        }
        if found != nil { signal.raise() }
        return found
    }

    /// Goes on with the moves that are under way; returns when they are to go on, in milliseconds since 1970.
    func runMoves() -> Int64 {
        let nowMs = nowMs()
        let due = moves.withLock { moves -> [QueueMoves.Entry] in
            if moves.running == 0 { return [] }
            return moves.bySource.values.compactMap { entries in
                entries.first { $0.nextMs <= nowMs && $0.isActive }
            }
        }
        for entry in due {
            var entry = entry
            step(&entry, nowMs)
            moves.withLock { moves in
                let source = ExactString(entry.move.source)
                guard let place = moves.bySource[source]?.firstIndex(where: { $0.move.id.isExactly(entry.move.id) })
                else { return }
                // It may have been told to end meanwhile.
                let isCancelled = moves.bySource[source]![place].move.state == .cancelling
                if isCancelled, entry.move.state == .running { entry.move.state = .cancelled }
                if entry.move.state != .running { moves.running -= 1 }
                moves.bySource[source]![place] =
                    entry.isActive ? entry : QueueMoves.Entry(move: entry.move, origins: [])
            }
            if !entry.isActive, let queue = directory.byName[ExactString(entry.move.source)] {
                giveBack(Array(entry.staying.values), to: queue, wereCounted: false)
            }
        }
        return moves.withLock { moves in
            if moves.running == 0 { return .max }
            return moves.bySource.values.flatMap { $0 }.filter(\.isActive).map(\.nextMs).min() ?? .max
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
            let most = min(Self.moveStep, entry.move.perSecond ?? Self.moveStep)
            guard let received = try moveBack(&entry, most, nowMs) else {
                entry.move.state = .completed
                return
            }
            if let perSecond = entry.move.perSecond {
                entry.nextMs = nowMs + Int64(1000 * received / perSecond)
            }
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

    /// Moves some messages, and counts them, also where it throws: what could not be moved is given back then. Returns how many messages
    /// there were that it had not seen; nil: there is none that is not leased.
    private func moveBack(_ entry: inout QueueMoves.Entry, _ most: Int, _ nowMs: Int64) throws(QueueRefusal) -> Int? {
        let source = try find(entry.move.source).queue
        renew(&entry, nowMs)
        try conclude(&entry)
        let messages = try take(most, from: source)
        if messages.isEmpty { return nil }
        var moving = Moving()
        var byTarget: [ExactString: [ReceivedMessage]] = [:]
        var seen = 0
        for message in messages {
            let place = QueueMoves.Place(message)
            // Leases may end all the same: where the thread had no time for them, or after twelve hours.
            if entry.left.remove(place) != nil {
                entry.unsettled[place] = message.handle
                seen += 1
            } else if entry.staying[place] != nil {
                entry.staying[place] = message.handle
                seen += 1
            } else if let target = target(of: message, entry) {
                byTarget[target, default: []].append(message)
            } else {
                moving.staying.append(message)
            }
        }
        for (name, group) in byTarget {
            let target: (queue: Queue, topic: Topic)
            do throws(QueueRefusal) { target = try find(name.text) } catch {
                // One of the queues that they came from has gone: its messages stay, the others go on.
                if entry.move.destination == nil {
                    moving.staying += group
                } else {
                    moving.failure = error
                    moving.refused += group.map(\.handle)
                }
                continue
            }
            append(group, to: target.queue, target.topic, &moving)
        }
        (entry.appended, entry.commits) = (moving.appended, moving.commits)
        do throws(QueueRefusal) { try conclude(&entry) } catch { moving.failure = moving.failure ?? error }
        for message in moving.staying { entry.staying[QueueMoves.Place(message)] = message.handle }
        giveBack(moving.refused, to: source, wereCounted: false)
        if let failure = moving.failure { throw failure }
        guard entry.staying.count + entry.left.count <= Self.maxStaying else {
            throw QueueRefusal(.limit, "more than \(Self.maxStaying) messages cannot be moved to where they were")
        }
        return messages.count - seen
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

    private func append(_ group: [ReceivedMessage], to target: Queue, _ topic: Topic, _ moving: inout Moving) {
        var prepared: [Int: [Prepared]] = [:]
        for (place, message) in group.enumerated() {
            let back = Prepared(moving: message, place: place)
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
    private func target(of message: ReceivedMessage, _ entry: QueueMoves.Entry) -> ExactString? {
        let origin = message.deadLetter
        guard (origin?.redriveCount ?? 0) < Self.maxRedrives, origin?.omittedBytes == nil else { return nil }
        if let destination = entry.move.destination { return ExactString(destination) }
        guard let name = origin.map({ ExactString($0.queue) }), entry.origins.contains(name) else { return nil }
        return name
    }
}

extension QueueCoordinator.Prepared {
    /// A dead letter on its way back.
    fileprivate init(moving message: ReceivedMessage, place: Int) {
        self.place = place
        body = message.body
        key = message.key
        headers = message.headers
        if let groupID = message.groupID { headers.append(QueueHeader.header(QueueHeader.group, groupID)) }
        let redrives = (message.deadLetter?.redriveCount ?? 0) + 1
        headers.append(QueueHeader.header(QueueHeader.redrives, redrives))
        group = message.groupID.map { NameDigest(of: $0.utf8) }
        id = nil
        isDelayed = false
    }
}

/// A random UUID (RFC 9562, version 4) in its usual text form.
enum UUIDText {
    static func random() -> String {
        var bytes = Randomness.bytes(16)
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        return text(bytes)
    }

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
