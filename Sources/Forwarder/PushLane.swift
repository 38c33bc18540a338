internal import ByteBuffers

/// The rules by which one subscription makes its batches.
public struct PushSettings: Equatable, Sendable {
    /// Messages of a batch at most.
    public var maxRecords = 10
    /// Bytes of a batch's messages at most; a single message may have more.
    public var maxBytes = 1 << 20
    /// Milliseconds that a message waits for others of its batch.
    public var windowMs: Int64 = 0
    /// Batches under way at most.
    public var concurrency = 1

    public static let recordsLimits = 1...10_000
    public static let bytesLimits = 1024...(6 << 20)
    public static let windowLimitsMs: ClosedRange<Int64> = 0...300_000
    public static let concurrencyLimits = 1...32
    /// How long nothing is sent behind a failure: so many milliseconds, doubled with each failure in a row up to the second, each time
    /// between half of it and all.
    public static let firstPauseMs: Int64 = 100
    public static let maxPauseMs: Int64 = 30_000
    /// Milliseconds that a receiver is left alone at most, whatever it asks for.
    public static let maxAskedPauseMs: Int64 = 900_000

    public init() {}
}

/// Why a batch was in vain.
public struct PushFailure: Error, Equatable, Sendable {
    /// Names for counters: a receiver cannot make more of them.
    public enum Kind: String, CaseIterable, Sendable {
        case unreachable, timedOut = "timed_out", lost, busy, redirect, clientError = "status_4xx"
        case serverError = "status_5xx", unreadable
    }

    public var kind: Kind
    /// For people.
    public var reason: String

    public init(_ kind: Kind, _ reason: String) { (self.kind, self.reason) = (kind, reason) }
}

/// What became of one batch.
public enum PushOutcome: Equatable, Sendable {
    /// The receiver has looked at all of it: the messages at these places have failed, the others are done.
    case answered(failed: [Int])
    /// All of it has failed, or nobody knows.
    case failed(PushFailure)
    /// The receiver has not looked at it: it could not be reached, or takes nothing just now, for so many milliseconds where it says so.
    case untouched(PushFailure, pauseMs: Int64?)
}

/// Makes batches of a queue's messages for a receiver, and says how many may be under way: a state machine without sockets, threads or
/// clocks. Times are milliseconds since any moment that stays.
///
/// ```
///   take ─► waiting ── full, or its window is over ─► nextBatch ─► under way ─► ended
/// ```
/// One batch is under way at first. Each that the receiver has answered and that had no room for more, which is a backlog, lets one more be; a
/// failure halves them, and nothing is sent for a while.
public struct PushLane<Message> {
    public struct Batch {
        public var messages: [Message]
        public var bytes: Int
        /// It had room for no more.
        public var isFull: Bool
    }

    public let settings: PushSettings
    private var waiting = FIFO<(message: Message, bytes: Int)>()
    private var waitingBytes = 0
    /// When the first of `waiting` came.
    private var sinceMs: Int64 = 0
    public private(set) var underWay = 0
    /// Batches that may be under way.
    public private(set) var allowed = 1
    /// Failures in a row, and until when nothing is sent.
    private var failures = 0
    private var pausedUntilMs = Int64.min
    private var random: UInt64

    /// - Parameter seed: of the jitter.
    public init(_ settings: PushSettings, seed: UInt64) {
        self.settings = settings
        random = seed
    }

    /// Messages and bytes that it takes now: what fits into the next batch, where that could be sent.
    public func room(nowMs: Int64) -> (messages: Int, bytes: Int) {
        if isPaused(nowMs) || underWay >= allowed || isFull { return (0, 0) }
        return (settings.maxRecords - waiting.count, settings.maxBytes - waitingBytes)
    }

    public mutating func take(_ message: Message, bytes: Int, nowMs: Int64) {
        if waiting.isEmpty { sinceMs = nowMs }
        waiting.append((message, bytes))
        waitingBytes += bytes
    }

    private var isFull: Bool { waiting.count >= settings.maxRecords || waitingBytes >= settings.maxBytes }

    /// A clock that was set back makes no wait longer than it may be.
    private func isPaused(_ nowMs: Int64) -> Bool {
        nowMs < pausedUntilMs && pausedUntilMs - nowMs <= PushSettings.maxAskedPauseMs
    }

    /// The batch that is to be sent now; nil: none is.
    public mutating func nextBatch(nowMs: Int64) -> Batch? {
        guard !waiting.isEmpty, !isPaused(nowMs), underWay < allowed else { return nil }
        guard isFull || nowMs >= sinceMs + settings.windowMs || nowMs < sinceMs else { return nil }
        var batch = Batch(messages: [], bytes: 0, isFull: isFull)
        while let next = waiting.first, batch.messages.count < settings.maxRecords {
            guard batch.messages.isEmpty || batch.bytes + next.bytes <= settings.maxBytes else { break }
            batch.messages.append(next.message)
            batch.bytes += next.bytes
            waiting.removeFirst()
        }
        waitingBytes -= batch.bytes
        underWay += 1
        return batch
    }

    /// What was taken and is in no batch: it is the queue's again.
    public mutating func takeWaiting() -> [Message] {
        var messages: [Message] = []
        while let next = waiting.first {
            messages.append(next.message)
            waiting.removeFirst()
        }
        waitingBytes = 0
        return messages
    }

    /// A batch is under way no more. Returns whether nothing is sent for a while: what waits is better given back.
    public mutating func ended(_ outcome: PushOutcome, wasFull: Bool, nowMs: Int64) -> Bool {
        precondition(underWay > 0, "a batch has ended that was not under way")
        underWay -= 1
        switch outcome {
        case .answered:
            failures = 0
            if wasFull { allowed = min(settings.concurrency, allowed + 1) }
            return isPaused(nowMs)
        case .failed: pause(nil, nowMs)
        case .untouched(_, let pauseMs): pause(pauseMs, nowMs)
        }
        return true
    }

    private mutating func pause(_ askedMs: Int64?, _ nowMs: Int64) {
        failures += 1
        allowed = max(1, allowed / 2)
        let step = min(PushSettings.maxPauseMs, PushSettings.firstPauseMs << Int64(min(failures - 1, 20)))
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let wait = step / 2 + Int64(random >> 33) % (step / 2 + 1)
        let asked = min(PushSettings.maxAskedPauseMs, max(0, askedMs ?? 0))
        let until = nowMs + max(wait, asked)
        pausedUntilMs = isPaused(nowMs) ? max(pausedUntilMs, until) : until
    }

    /// When there is something to do that nobody tells; nil: never.
    public func nextDeadlineMs(nowMs: Int64) -> Int64? {
        if isPaused(nowMs) { return pausedUntilMs }
        if waiting.isEmpty || underWay >= allowed { return nil }
        return isFull ? nowMs : max(nowMs, sinceMs + settings.windowMs)
    }
}
