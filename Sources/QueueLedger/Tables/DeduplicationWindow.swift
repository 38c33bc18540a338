internal import ByteBuffers
internal import KafkaModel

/// The de-duplication ids of the last five minutes, with the messages that were sent under them. It holds deleted ones
/// as well: an id counts for five minutes whatever became of its message. After a restart the log tells them anew.
struct DeduplicationWindow: Sendable {
    private struct Sent: Sendable {
        var offset: Int64
        var atMs: Int64
    }

    private var messages: [NameDigest: Sent] = [:]
    private var order = IDsByTime()

    var nextDeadline: Int64? { order.nextDeadline }
    var memoryBytes: Int { messages.capacity * 40 + order.memoryBytes }
    var count: Int { order.count }

    func original(of id: NameDigest, nowMs: Int64) -> Int64? {
        guard let sent = messages[id], sent.atMs + LedgerSettings.deduplicationMs > nowMs else { return nil }
        return sent.offset
    }

    mutating func note(_ id: NameDigest, offset: Int64, atMs: Int64) {
        if order.count >= LedgerSettings.maxDeduplicationIDs { forgetFirst() }
        messages[id] = Sent(offset: offset, atMs: atMs)
        order.insert(id, atMs: atMs)
    }

    private mutating func forgetFirst() {
        guard let first = order.removeFirst() else { return }
        if messages[first.id]?.atMs == first.atMs { messages[first.id] = nil }
    }

    /// Gives back the room of what is gone, where it is the greater part.
    mutating func shrink() {
        guard messages.count * 8 < messages.capacity else { return }
        var copy: [NameDigest: Sent] = [:]
        copy.reserveCapacity(messages.count)
        for (id, sent) in messages { copy[id] = sent }
        messages = copy
    }

    /// Forgets what is over, `most` ids at most: `original` looks at the time itself.
    mutating func passTime(_ nowMs: Int64, most: Int) {
        for _ in 0..<most {
            guard let firstMs = order.firstMs, firstMs + LedgerSettings.deduplicationMs <= nowMs else { break }
            forgetFirst()
        }
        if order.count == 0, !messages.isEmpty { messages = [:] }
    }
}

/// Ids by the times from which their five minutes count, which come in any order: clocks are set back, and producers write times of
/// their own.
private struct IDsByTime: Sendable {
    struct Entry: HeapElement, Sendable {
        var id: NameDigest
        var atMs: Int64
        /// Of those of one time the one that came first is forgotten first.
        var number: Int

        func precedes(_ other: Entry) -> Bool { atMs != other.atMs ? atMs < other.atMs : number < other.number }
    }

    private var heap = BinaryHeap<Entry>()
    private var next = 0
    /// The greatest time in it: its id is the last to go.
    private var latestMs = Int64.min

    var count: Int { heap.count }
    var memoryBytes: Int { heap.count * MemoryLayout<Entry>.stride }
    /// The earliest time in it.
    var firstMs: Int64? { heap.first?.atMs }
    /// When all of them are over; earlier ones are forgotten on the way, by whatever call comes.
    var nextDeadline: Int64? { heap.count == 0 ? nil : latestMs + LedgerSettings.deduplicationMs }

    mutating func insert(_ id: NameDigest, atMs: Int64) {
        heap.insert(Entry(id: id, atMs: atMs, number: next))
        next += 1
        latestMs = max(latestMs, atMs)
    }

    /// Takes out the one of the earliest time.
    mutating func removeFirst() -> (id: NameDigest, atMs: Int64)? {
        guard let first = heap.first else { return nil }
        if heap.count == 1 { self = IDsByTime() } else { heap.removeFirst() }
        return (first.id, first.atMs)
    }
}

/// What a receive attempt was given.
struct ReceiveAttempt: Sendable {
    var id: NameDigest
    /// Milliseconds since 1970 of the first time.
    var atMs: Int64
    /// Of the leases, unless they were changed since.
    var deadlineMs: Int64
    var receipts: [Receipt]
}

/// Which messages were given to a receive attempt, for five minutes. In memory alone: after a restart an attempt that
/// is made again gets other messages, and its first ones come again when their leases end.
struct ReceiveAttempts: Sendable {
    /// Attempts that are known at most: the oldest is forgotten beyond it, as after a restart.
    private static let maxAttempts = 10_000

    private var attempts: [NameDigest: ReceiveAttempt] = [:]
    private var order = IDsByTime()

    var nextDeadline: Int64? { order.nextDeadline }
    /// Of all attempts.
    private var receiptCount = 0
    var memoryBytes: Int {
        attempts.capacity * 48 + order.memoryBytes + receiptCount * MemoryLayout<Receipt>.stride
    }

    subscript(id: NameDigest) -> ReceiveAttempt? { attempts[id] }

    /// Notes an attempt, or that it was made again.
    mutating func note(_ attempt: ReceiveAttempt) {
        let before = attempts.updateValue(attempt, forKey: attempt.id)
        receiptCount += attempt.receipts.count - (before?.receipts.count ?? 0)
        if before?.atMs == attempt.atMs { return }
        order.insert(attempt.id, atMs: attempt.atMs)
        if order.count > Self.maxAttempts { forgetFirst() }
    }

    mutating func passTime(_ nowMs: Int64) {
        while let firstMs = order.firstMs, firstMs + LedgerSettings.deduplicationMs <= nowMs { forgetFirst() }
    }

    private mutating func forgetFirst() {
        guard let first = order.removeFirst() else { return }
        if let attempt = attempts[first.id], attempt.atMs == first.atMs {
            receiptCount -= attempt.receipts.count
            attempts[first.id] = nil
        }
        if order.count == 0 { attempts = [:] }
    }
}
