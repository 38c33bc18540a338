import KafkaModel
import QueueLedger

/// A ledger with the two logs that it stands on, in memory: the messages and its own records. Each step is appended and
/// applied as a coordinator does it.
struct LedgerDriver {
    struct Message {
        var visibleAtMs: Int64
        var group: UInt64
        /// There is nothing at the offset.
        var isGap = false
    }

    static let id = LedgerID(partition: TopicPartition(topicID: TopicID(high: 1, low: 2), partitionIndex: 3))

    var ledger: DeliveryLedger
    let settings: LedgerSettings
    /// By offset.
    var messages: [Message] = []
    var log: [LedgerEntry] = []
    var nowMs: Int64
    /// Changes a record before the state takes it in: what a fault would do.
    var fault: (LedgerRecord) -> LedgerRecord? = { $0 }

    init(_ settings: LedgerSettings = LedgerSettings(), nowMs: Int64 = 1_000_000) {
        self.settings = settings
        self.nowMs = nowMs
        ledger = try! DeliveryLedger(id: Self.id, settings: settings, start: .zero)
        try! ledger.finishLoading(generation: 1, logEndOffset: .zero, nowMs: nowMs)
    }

    var counters: LedgerCounters { ledger.counters }

    // MARK: Messages

    mutating func send(_ count: Int = 1, delayMs: Int64 = 0, group: UInt64 = 0) {
        for _ in 0..<count {
            let offset = Offset(Int64(messages.count))
            let visibleAtMs = delayMs == 0 ? 0 : nowMs + delayMs
            messages.append(Message(visibleAtMs: visibleAtMs, group: group))
            ledger.arrive(arrived(offset), nowMs: nowMs)
        }
    }

    mutating func sendGap() { messages.append(Message(visibleAtMs: 0, group: 0, isGap: true)) }

    func arrived(_ offset: Offset) -> ArrivedMessage {
        let message = messages[Int(offset.rawValue)]
        return ArrivedMessage(
            offset: offset, visibleAtMs: message.visibleAtMs, group: NameDigest(high: 0, low: message.group))
    }

    /// Reads groups for the ledger as long as it wants some.
    mutating func index() {
        while let range = ledger.rangeToIndex {
            let offsets = (range.first.rawValue...range.last.rawValue).filter { !messages[Int($0)].isGap }
            ledger.index(offsets.map { arrived(Offset($0)) }, through: range.last, nowMs: nowMs)
        }
    }

    // MARK: Steps

    mutating func perform<Reply>(_ decide: (inout DeliveryLedger, Int64) -> LedgerStep<Reply>) -> Reply {
        var step = decide(&ledger, nowMs)
        log += ledger.entries(of: step)
        step.records = step.records.compactMap(fault)
        ledger.apply(step)
        return step.reply
    }

    mutating func receive(
        _ count: Int = 1, visibilityMs: Int64 = 30_000, attempt: UInt64? = nil, owner: UInt32 = 0
    ) -> [LeasedMessage] {
        if case .messages(let messages) = tryReceive(
            count, visibilityMs: visibilityMs, attempt: attempt, owner: owner)
        {
            return messages
        }
        return []
    }

    mutating func tryReceive(
        _ count: Int = 1, visibilityMs: Int64 = 30_000, attempt: UInt64? = nil, owner: UInt32 = 0
    ) -> ReceiveReply {
        index()
        return perform { ledger, now in
            ledger.receive(
                ReceiveRequest(
                    maxMessages: count, visibilityMs: visibilityMs,
                    attempt: attempt.map { NameDigest(high: 9, low: $0) }, owner: owner), nowMs: now)
        }
    }

    mutating func acknowledge(_ messages: [LeasedMessage]) -> [SettleOutcome] {
        perform { $0.acknowledge(messages.map(\.receipt), nowMs: $1) }
    }

    mutating func changeVisibility(_ messages: [LeasedMessage], to visibilityMs: Int64) -> [SettleOutcome] {
        perform { $0.changeVisibility(messages.map { ($0.receipt, visibilityMs) }, nowMs: $1) }
    }

    mutating func release(_ messages: [LeasedMessage], delayMs: Int64? = nil) -> [SettleOutcome] {
        perform { $0.release(messages.map { ($0.receipt, delayMs) }, nowMs: $1) }
    }

    mutating func reject(_ messages: [LeasedMessage]) -> [SettleOutcome] {
        perform { $0.reject(messages.map(\.receipt), nowMs: $1) }
    }

    mutating func pass(_ ms: Int64) {
        nowMs += ms
        perform { $0.advance(nowMs: $1) }
        index()
    }

    mutating func snapshot() {
        let entries = ledger.snapshot()
        log += entries
        ledger.snapshotAppended(entries)
    }

    // MARK: Loading anew

    /// A ledger made of the first `count` records (all when nil) of the log, or of a compacted one, at the present
    /// time.
    func loaded(
        first count: Int? = nil, compacted: Bool = false, generation: Int32 = 2, from log: [LedgerEntry]? = nil
    ) throws -> DeliveryLedger {
        var entries = Array((log ?? self.log).prefix(count ?? .max))
        if compacted { entries = Self.compact(entries) }
        var ledger = try DeliveryLedger(id: Self.id, settings: settings, start: .zero)
        for entry in entries {
            try entry.key.withUnsafeBytes { key in
                let key = try LedgerKey(key)
                try entry.value.withUnsafeBytes { try ledger.replay(key, $0) }
            }
        }
        let end = Offset(Int64(messages.count))
        for range in ledger.rangesToRead(logEndOffset: end) {
            for offset in range.first.rawValue...range.last.rawValue where !messages[Int(offset)].isGap {
                ledger.arrive(arrived(Offset(offset)), nowMs: nowMs)
            }
        }
        try ledger.finishLoading(generation: generation, logEndOffset: end, nowMs: nowMs)
        return ledger
    }

    /// What a log keeps that has the newest value of each key only.
    static func compact(_ entries: [LedgerEntry]) -> [LedgerEntry] {
        var newest: [[UInt8]: Int] = [:]
        for (index, entry) in entries.enumerated() { newest[entry.key] = index }
        return entries.enumerated().filter { newest[$1.key] == $0 }.map(\.element)
    }
}

extension [LeasedMessage] {
    var offsets: [Int64] { map(\.receipt.offset.rawValue) }
}
