internal import ByteBuffers
public import KafkaModel

/// What a lane wants done. Each is named once; what came of it is told by the call that the case names.
public enum ForwardAction: Equatable, Sendable {
    /// A producer session of the destination: `ForwardLane.producer(_:)`, or `producerFailed(nowMs:)`.
    case openProducer
    /// The intent is to be on disk: then `recorded(_:)`.
    case record(ForwardIntent)
    /// The batch is to be sent: then `answered(_:_:nowMs:)`.
    case send(ForwardIntent)
    /// The destination has the messages: they end, and the intent is settled, in this order and both on disk: then `ended(_:)`.
    case end(partitionIndex: Int32, [Offset])
    /// The destination does not take the message: it goes to the dead letters, and the intent is settled, likewise: then `ended(_:)`;
    /// `kept(_:nowMs:)` where there are no dead letters.
    case giveUp(partitionIndex: Int32, Offset, reason: String)
}

/// Forwards one partition of a queue to a topic, each message once: a state machine without sockets, files or clocks.
///
/// A lane is made anew from the intents on disk after a start, and whenever something that it wanted done was not: what it had in memory
/// is received from the queue again. Times are milliseconds since 1970, or since any other moment that stays.
public struct ForwardLane: Sendable {
    enum Phase: Equatable {
        case recording
        /// On disk, and to be sent when its time has come.
        case recorded
        case sending
        case accepted
        case refused(String)
        /// Its end is being made durable; whether the destination took its sequences.
        case ending(wasAccepted: Bool)
    }

    struct Batch {
        var intent: ForwardIntent
        var messages: [ForwardMessage]
        var bytes: Int
        var phase: Phase
        /// That it is to be recorded was said.
        var isTold = false
    }

    /// What goes to one partition of the destination: one batch at a time.
    struct Line {
        var waiting = FIFO<ForwardMessage>()
        var waitingBytes = 0
        /// When the first of `waiting` came.
        var sinceMs: Int64 = 0
        /// Halves of a batch that was refused, and batches whose producer was lost, the next one last: as they are.
        var pieces: [[ForwardMessage]] = []
        var batch: Batch?
        /// Whose sequences these are; nil: nobody's yet.
        var producer: ForwardProducer?
        var nextSequence = Sequence32(0)
        /// Failures since the last success, and when the batch is sent again.
        var failures = 0
        var retryAtMs = Int64.min
    }

    public private(set) var settings: ForwardSettings
    private let destination: [UInt8]
    private var partitionCount: Int32
    var lines: [Int32: Line] = [:]
    /// All messages that the lane has.
    var live: Set<Offset> = []
    var liveBytes = 0
    /// Those that were under way when the lane was made.
    var old: Set<Offset> = []
    var producer: ForwardProducer?
    var isOpening = false
    var producerFailures = 0
    var producerAtMs = Int64.min
    /// Bytes of a batch that the destination takes, as far as is known.
    var knownLimit: Int
    /// Where the next message without a key goes.
    private var turn: Int32
    var random: UInt64

    /// - Parameters:
    ///   - destination: names the topic, `ForwardIntent.destinationBytes` bytes.
    ///   - partitionCount: of that topic, 1 or more.
    ///   - maxBatchBytes: of a batch that it takes, where that is known.
    ///   - seed: of the jitter, and of the partition that comes first.
    public init(
        _ settings: ForwardSettings, destination: [UInt8], partitionCount: Int32, maxBatchBytes: Int = .max,
        seed: UInt64
    ) {
        precondition(partitionCount > 0, "a destination of \(partitionCount) partitions")
        self.settings = settings
        self.destination = destination
        self.partitionCount = partitionCount
        knownLimit = maxBatchBytes
        random = seed
        turn = Int32(seed % UInt64(partitionCount))
    }

    // MARK: What it takes

    /// Takes up a batch of before: it is sent again, unchanged. To be called for all of them before anything else.
    public mutating func restore(_ intent: ForwardIntent) {
        precondition(intent.destination == destination, "a batch for another destination")
        let messages = intent.offsets.map { ForwardMessage(offset: $0, bytes: 0, keyHash: nil) }
        var line = lines[intent.partitionIndex] ?? Line()
        precondition(line.batch == nil, "two batches for partition \(intent.partitionIndex)")
        line.batch = Batch(intent: intent, messages: messages, bytes: 0, phase: .recorded)
        line.producer = intent.producer
        line.nextSequence = intent.baseSequence
        lines[intent.partitionIndex] = line
        live.formUnion(intent.offsets)
        old.formUnion(intent.offsets)
    }

    /// How much more it takes from its queue just now; a message more where that is large. Where order counts it takes nothing before
    /// the batches of before have ended: whoever was given a group's messages meanwhile has to be behind them.
    public var room: (messages: Int, bytes: Int) {
        if settings.isOrdered, !old.isEmpty { return (0, 0) }
        let most = settings.maxBuffered
        return (max(0, most.messages - live.count), max(0, most.bytes - liveBytes))
    }

    /// Whether the lane has the message already: it was leased again, as its lease was over.
    public func has(_ offset: Offset) -> Bool { live.contains(offset) }

    /// Takes messages that were leased to it, in the queue's order. Those that it has already change nothing.
    public mutating func take(_ messages: [ForwardMessage], nowMs: Int64) {
        for message in messages where live.insert(message.offset).inserted {
            liveBytes += message.bytes
            let index = message.keyHash.map { Int32($0 & 0x7fff_ffff) % partitionCount } ?? openTurn()
            var line = lines.removeValue(forKey: index) ?? Line()
            if line.waiting.isEmpty { line.sinceMs = nowMs }
            line.waiting.append(message)
            line.waitingBytes += message.bytes
            lines[index] = line
        }
    }

    /// The partition of messages without keys: one for each batch.
    private mutating func openTurn() -> Int32 {
        if let line = lines[turn], line.waiting.count >= settings.maxRecords || line.waitingBytes >= batchBytes {
            turn = (turn + 1) % partitionCount
        }
        return turn
    }

    private var batchBytes: Int { min(settings.maxBytes, knownLimit) }

    /// The destination has more partitions now. Keys go to others from then on; where order counts only while the lane is empty, as a
    /// group would have two ways. Returns whether that is so from now on.
    public mutating func setPartitionCount(_ count: Int32) -> Bool {
        precondition(count > 0, "a destination of \(count) partitions")
        guard !settings.isOrdered || live.isEmpty || count == partitionCount else { return false }
        partitionCount = count
        turn %= count
        return true
    }

    public var isEmpty: Bool { live.isEmpty }

    // MARK: What it wants

    /// What is to be done now. Each action is given once.
    public mutating func actions(nowMs: Int64) -> [ForwardAction] {
        var actions: [ForwardAction] = []
        var wantsProducer = false
        for index in lines.keys.sorted() {
            guard var line = lines.removeValue(forKey: index) else { continue }
            if line.batch == nil, hasBatch(line, nowMs) {
                if let producer { cut(&line, index, producer) } else { wantsProducer = true }
            }
            if let action = next(of: &line, nowMs) { actions.append(action) }
            lines[index] = line
        }
        if wantsProducer, !isOpening, nowMs >= producerAtMs {
            isOpening = true
            actions.append(.openProducer)
        }
        return actions
    }

    /// When there is something to do that nobody tells, which may be over already; nil: never.
    public var nextDeadlineMs: Int64? {
        var next: Int64?
        for line in lines.values {
            let atMs: Int64
            if let batch = line.batch {
                switch batch.phase {
                case .recorded: atMs = line.retryAtMs
                // What was answered ends at once.
                case .accepted, .refused: atMs = .min
                case .recording, .sending, .ending: continue
                }
            } else if !line.pieces.isEmpty {
                atMs = line.retryAtMs
            } else if !line.waiting.isEmpty {
                atMs = isFull(line) ? line.sinceMs : line.sinceMs + settings.windowMs
            } else {
                continue
            }
            let isWithoutProducer = producer == nil && line.batch == nil
            if isWithoutProducer, isOpening { continue }
            let dueMs = isWithoutProducer ? max(atMs, producerAtMs) : atMs
            next = min(next ?? .max, dueMs)
        }
        return next
    }

    private func isFull(_ line: Line) -> Bool {
        line.waiting.count >= settings.maxRecords || line.waitingBytes >= batchBytes
    }

    private func hasBatch(_ line: Line, _ nowMs: Int64) -> Bool {
        if !line.pieces.isEmpty { return nowMs >= line.retryAtMs }
        guard !line.waiting.isEmpty else { return false }
        return isFull(line) || nowMs >= line.sinceMs + settings.windowMs
    }

    /// Makes the next batch of a line.
    private mutating func cut(_ line: inout Line, _ index: Int32, _ producer: ForwardProducer) {
        var messages: [ForwardMessage] = []
        if let piece = line.pieces.popLast() {
            messages = piece
        } else {
            var bytes = 0
            while let message = line.waiting.first, messages.count < min(settings.maxRecords, ForwardIntent.maxMessages)
            {
                guard messages.isEmpty || bytes + message.bytes <= batchBytes else { break }
                bytes += message.bytes
                messages.append(message)
                line.waiting.removeFirst()
            }
            line.waitingBytes -= bytes
            // What is left came later than the first: it waits no longer than its window.
            if index == turn { turn = (turn + 1) % partitionCount }
        }
        if line.producer != producer { (line.producer, line.nextSequence) = (producer, Sequence32(0)) }
        let intent = ForwardIntent(
            destination: destination, partitionIndex: index, producer: producer, baseSequence: line.nextSequence,
            offsets: messages.map(\.offset))
        line.batch = Batch(
            intent: intent, messages: messages, bytes: messages.reduce(0) { $0 + $1.bytes }, phase: .recording)
    }

    private func next(of line: inout Line, _ nowMs: Int64) -> ForwardAction? {
        guard let batch = line.batch else { return nil }
        let index = batch.intent.partitionIndex
        switch batch.phase {
        case .recording where !batch.isTold:
            line.batch!.isTold = true
            return .record(batch.intent)
        case .recorded where nowMs >= line.retryAtMs:
            line.batch!.phase = .sending
            return .send(batch.intent)
        case .accepted:
            line.batch!.phase = .ending(wasAccepted: true)
            return .end(partitionIndex: index, batch.intent.offsets)
        case .refused(let reason):
            line.batch!.phase = .ending(wasAccepted: false)
            return .giveUp(partitionIndex: index, batch.intent.offsets[0], reason: reason)
        case .recording, .recorded, .sending, .ending: return nil
        }
    }
}
