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
        /// Milliseconds since 1970 before which nothing more is moved.
        var nextMs: Int64 = 0
    }

    /// By source, newest last.
    var bySource: [ExactString: [Entry]] = [:]
    var running = 0
}

/// Moves dead letters back: received from their queue, sent to where they were, ended when that is on disk; by the coordinator's thread,
/// some at a time. A stop between the last two leaves a message in both.
extension QueueCoordinator {
    /// Moves of all queues that are under way at most.
    static let maxMoves = 100
    /// Messages of one step at most: of all that are moved in a second where that is limited.
    private static let moveStep = 100
    /// The lease of what is being moved: should the move end in the middle, its messages come again after that.
    private static let moveVisibilityMs: Int64 = 60_000
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
            guard !deadLetterSources(of: source).isEmpty || destination != nil else {
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
                if known.contains(where: { $0.move.state == .running || $0.move.state == .cancelling }) {
                    throw QueueRefusal(.inUse, "messages of \(source) are being moved already")
                }
                guard moves.running < Self.maxMoves else {
                    throw QueueRefusal(.limit, "\(Self.maxMoves) moves are under way, which is as many as there may be")
                }
                moves.running += 1
                known.append(QueueMoves.Entry(move: move))
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
                entries.first { $0.nextMs <= nowMs && ($0.move.state == .running || $0.move.state == .cancelling) }
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
                moves.bySource[source]![place] = entry
            }
        }
        return moves.withLock { moves in
            if moves.running == 0 { return .max }
            return moves.bySource.values.flatMap { $0 }.filter { $0.move.state == .running }.map(\.nextMs).min() ?? 0
        }
    }

    private func step(_ entry: inout QueueMoves.Entry, _ nowMs: Int64) {
        if entry.move.state == .cancelling {
            entry.move.state = .cancelled
            return
        }
        do throws(QueueRefusal) {
            let most = min(Self.moveStep, entry.move.perSecond ?? Self.moveStep)
            let count = try moveBack(entry.move, most)
            entry.move.moved += count.moved
            if count.received == 0 {
                entry.move.state = .completed
            } else if let perSecond = entry.move.perSecond {
                entry.nextMs = nowMs + Int64(1000 * count.received / perSecond)
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

    private func moveBack(_ move: QueueMove, _ most: Int) throws(QueueRefusal) -> (moved: Int, received: Int) {
        let source = try find(move.source).queue
        var request = QueueReceive()
        request.maxMessages = most
        request.visibilityMs = Self.moveVisibilityMs
        let messages: [ReceivedMessage]
        switch tryReceive(request, from: source).answer {
        case .messages(let found): messages = found
        case .overLimit: throw QueueRefusal(.unavailable, "as many messages are in flight as may be")
        case .refused(let refusal): throw refusal
        }
        if messages.isEmpty { return (0, 0) }
        var commits = CommitSpan()
        var appended: [(log: PartitionLog, offset: Offset)] = []
        var handles: [String] = []
        var byTarget: [ExactString: [ReceivedMessage]] = [:]
        for message in messages {
            guard let target = move.destination ?? message.deadLetter?.queue,
                (message.deadLetter?.redriveCount ?? 0) < Self.maxRedrives
            else { continue }
            byTarget[ExactString(target), default: []].append(message)
        }
        for (name, group) in byTarget {
            let target = try find(name.text)
            var prepared: [Int: [Prepared]] = [:]
            for (place, message) in group.enumerated() {
                let back = Prepared(moving: message, place: place)
                let count = target.topic.partitions.count
                let index =
                    target.queue.settings.order == .fifo && target.queue.settings.deduplicationScope == .queue
                    ? 0 : Int((back.group?.low ?? UInt64(bitPattern: message.offset.rawValue)) % UInt64(count))
                prepared[index, default: []].append(back)
            }
            var results: [Result<SentMessage, QueueRefusal>?] = Array(repeating: nil, count: group.count)
            for (index, messages) in prepared {
                let log = target.topic.partitions[index]
                appendAll(messages, to: QueuePartition(queue: target.queue, log: log), nowMs(), &results, &commits)
                for message in messages {
                    guard let result = results[message.place] else { continue }
                    appended.append((log, try result.get().offset))
                    handles.append(group[message.place].handle)
                }
            }
        }
        try waitForCommit(of: commits, appended)
        let settled = acknowledge(handles, in: move.source)
        _ = try settled.answer.get()
        try waitForCommit(of: settled.commits, [])
        return (handles.count, messages.count)
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
