public import ByteBuffers
public import KafkaModel

/// The delivery state of one partition of a topic's log for one consumer of it: a queue, or a share group.
///
/// A pure state machine. A call decides, and gives a `LedgerStep`: the records to append, and the reply. The caller
/// appends them, then hands the step to `apply`, which alone changes what messages are; the reply leaves once the
/// records are on disk. Where the log refuses them nothing is applied, and it is as if the call had never come. No
/// other call may come between a call and its `apply`. Loading is the same `apply`, of the records read back. Times are
/// milliseconds since 1970.
///
/// States, invariants and the rules for callers are in the module's article.
public struct DeliveryLedger: Sendable {
    public enum Phase: Equatable, Sendable {
        /// `replay` and `arrive` are building the state.
        case loading
        case active
    }

    public let id: LedgerID
    public internal(set) var settings: LedgerSettings
    public private(set) var phase = Phase.loading

    // The messages: each that was told and is not ended is in exactly one of these.
    var slots = MessageSlots()
    var backlog = Backlog()
    /// Not to be given yet, see `hold`.
    var held = Backlog()

    /// The available ones without a group.
    var ready = SlotList()
    /// Those that wait for their move to the dead letters, longest first.
    var ending = SlotList()
    var groups = MessageGroups()
    /// Messages in slots by state.
    var counts = StateCounts()
    var ended = 0
    /// Those that had their last delivery, or were rejected, since the ledger was made.
    var lost = 0
    var meter = FlowMeter()

    /// Every message below was told to the ledger; exclusive.
    var end: Int64
    /// Every message below is ended; exclusive. `floor` may be higher.
    var start: Int64
    var holdFrom = OffsetRange.maxOffset.rawValue
    /// While loading: offsets that no record has spoken of. A message at another one that has no slot is ended.
    var fresh: OffsetRanges?

    /// Which loading this is, and how many receives it had; together the numbers of leases.
    var generation: Int32 = 0
    var calls: UInt64 = 0
    var sent = DeduplicationWindow()
    var attempts = ReceiveAttempts()
    var journal = LedgerJournal()

    /// Makes a ledger that loads.
    ///
    /// - Parameter start: the first offset that its consumer is to see, when no record says otherwise.
    public init(id: LedgerID, settings: LedgerSettings, start: Offset) throws(LedgerRefusal) {
        precondition(start >= .zero && start <= OffsetRange.maxOffset, "a ledger from offset \(start.rawValue) on")
        let nameBytes = id.consumer.text.utf8.count
        guard nameBytes <= LedgerKey.maxConsumerBytes else { throw .consumerName(nameBytes) }
        try settings.check()
        self.id = id
        self.settings = settings
        self.start = start.rawValue
        end = start.rawValue
        fresh = OffsetRanges(from: start.rawValue)
    }

    /// Goes by other rules from now on; `order` is to stay as it is.
    public mutating func change(_ settings: LedgerSettings) throws(LedgerRefusal) {
        precondition(settings.order == self.settings.order, "another order needs a loading anew")
        try settings.check()
        self.settings = settings
    }

    // MARK: What it tells

    public var counters: LedgerCounters {
        var counters = LedgerCounters()
        counters.visible = counts[.available] + backlog.visible
        counters.inFlight = counts[.inFlight]
        counters.delayed = counts[.delayed] + backlog.delayed
        counters.ending = counts[.ending]
        counters.held = held.visible + held.delayed
        counters.ended = ended
        return counters
    }

    /// Messages that were acknowledged, and that had their last delivery or were rejected, since the ledger was made: what a caller compares
    /// before and after a call.
    public var outcomes: (acknowledged: Int, lost: Int) { (meter.allAcknowledged, lost) }

    /// What has come and gone of late; see `LedgerFlow`.
    public func flow(nowMs: Int64) -> LedgerFlow { meter.flow(nowMs, end: end) }

    /// All messages below are ended; exclusive. Where a share group's start offset is.
    public var floor: Offset {
        var floor = end
        if let slot = slots.first { floor = min(floor, slots.offsets[Int(slot)]) }
        if let first = backlog.firstOffset { floor = min(floor, first) }
        if let first = held.firstOffset { floor = min(floor, first) }
        return Offset(floor)
    }

    /// Every message below was told; exclusive.
    public var toldEnd: Offset { Offset(end) }

    /// Whether a receive would give something now: who waits for messages is woken then.
    public var hasDeliverable: Bool { hasDeliverable(takesNew: true) }

    /// The same of a receive that says `ReceiveRequest.takesNew`.
    public func hasDeliverable(takesNew: Bool) -> Bool {
        guard counts[.inFlight] < settings.maxInFlight else { return false }
        if !ready.isEmpty || groups.first != nil { return true }
        guard takesNew, settings.order == .standard, slots.count < settings.maxSlots, let next = backlog.peek(1).first
        else {
            return false
        }
        return next.lowerBound <= lastOfWindow
    }

    /// Whether another de-duplication id may be noted (`LedgerSettings.maxDeduplicationIDs`).
    public var hasRoomForID: Bool { sent.count < LedgerSettings.maxDeduplicationIDs }

    /// Whether messages with delays of their own may come (`LedgerSettings.maxRuns`).
    public var hasRoomForDelay: Bool { backlog.runCount + held.runCount < LedgerSettings.maxRuns }

    /// The earliest time at which `advance` may have something to do, in milliseconds since 1970; nil: never.
    public var nextDeadline: Int64? {
        let slot = slots.timers.first.map { slots.deadlines[Int($0)] }
        // What is ending is archived by the next call.
        let archive: Int64? = settings.endOfDeliveries == .archive && !ending.isEmpty ? 0 : nil
        return [archive, slot, backlog.nextDeadline, sent.nextDeadline, attempts.nextDeadline].compactMap { $0 }.min()
    }

    /// Bytes of memory that the ledger's tables take, with what they have in reserve.
    public var memoryBytes: Int {
        slots.memoryBytes + groups.memoryBytes + backlog.memoryBytes + held.memoryBytes + sent.memoryBytes
            + attempts.memoryBytes + meter.memoryBytes
    }

    // MARK: Loading

    /// Ends the loading. All of the log's messages that `rangesToRead` names were told.
    ///
    /// - Parameters:
    ///   - generation: of this loading: never the same as of one before. The leader epoch alone is not enough, as a
    ///     ledger whose commit failed is loaded anew under the same one.
    ///   - logEndOffset: exclusive; that of `rangesToRead`. What was not told below it is ended.
    /// - Throws: the records read do not belong together, or speak of messages at `logEndOffset` or behind it; the
    ///   ledger must not be served then.
    public mutating func finishLoading(
        generation: Int32, logEndOffset: Offset, nowMs: Int64
    ) throws(DecodeError) {
        precondition(phase == .loading, "a ledger that is \(phase) was told that it is loaded")
        try journal.finishReplay()
        // A log that has lost its end gives those offsets to other messages, which would count as given out or ended.
        let ahead = logEndOffset.rawValue..<OffsetRange.maxOffset.rawValue + 1
        guard fresh!.overlap(with: ahead) == [ahead] else {
            throw .invalid("a ledger's message behind the end of the messages' log", position: 0)
        }
        fresh = nil
        // The last messages may be ended, and are told no more then.
        end = max(end, logEndOffset.rawValue)
        self.generation = generation
        if settings.order != .standard {
            // All messages were told with their groups: one that was not is no longer in the log.
            for slot in slots.occupied where slots.groups[Int(slot)] == MessageGroups.none { remove(slot) }
        }
        ended = 0
        phase = .active
        // Lists are in the order of the offsets from here on.
        for slot in slots.occupied.sorted(by: { slots.offsets[Int($0)] < slots.offsets[Int($1)] }) { enterList(slot) }
        passTime(nowMs)
        meter.look(nowMs, end: end)
    }

    func requireActive() { precondition(phase == .active, "a ledger that is loading was asked") }
}

/// What a call decides: what to append, what to answer once that is on disk.
public struct LedgerStep<Reply: Sendable>: Sendable {
    /// To be appended in this order, as one batch (`DeliveryLedger.entries`); none: the reply may leave at once, unless
    /// earlier records of the ledger are not on disk yet.
    public var records: [LedgerRecord] = []
    public var reply: Reply
    /// Which messages an attempt's id stands for; not stored.
    var attempt: ReceiveAttempt?
    /// Whether a number was taken for a lease.
    var takesLease = false
}

/// Messages in slots, by state.
struct StateCounts: Equatable, Sendable {
    private var available = 0
    private var inFlight = 0
    private var delayed = 0
    private var ending = 0

    subscript(state: MessageState) -> Int {
        get {
            switch state {
            case .free: 0
            case .available: available
            case .inFlight: inFlight
            case .delayed: delayed
            case .ending: ending
            }
        }
        set {
            switch state {
            case .free: break
            case .available: available = newValue
            case .inFlight: inFlight = newValue
            case .delayed: delayed = newValue
            case .ending: ending = newValue
            }
        }
    }
}
