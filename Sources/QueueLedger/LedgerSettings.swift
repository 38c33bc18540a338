/// In which order messages are given out.
public enum DeliveryOrder: Sendable {
    /// About as they were sent; message groups count for nothing.
    case standard
    /// About as they were sent within a group, and no group's backlog keeps the others waiting: the group with the
    /// fewest messages in flight comes first. What SQS calls fair queues.
    case fair
    /// Exactly as they were sent within a group, and one receiver at a time.
    case fifo
}

/// What becomes of a message that had its last delivery or was rejected.
public enum EndOfDeliveries: Sendable {
    /// The caller moves it to the dead letters, and confirms.
    case deadLetters
    /// It ends at once. Share groups call that archived.
    case archive
}

/// The rules of one ledger. They are not in its records: the caller gives them when it loads the ledger, from the
/// queue's or the group's settings. A change of `order` needs a loading anew; the others take effect from the next call
/// on.
public struct LedgerSettings: Sendable {
    public var order: DeliveryOrder
    /// Deliveries that a message has at most; nil: without limit. The maxReceiveCount of a redrive policy, the delivery
    /// count limit of a share group.
    public var maxReceives: Int?
    public var endOfDeliveries: EndOfDeliveries
    /// Messages in flight at most; a receive beyond it is told `overLimit`.
    public var maxInFlight: Int
    /// Offsets from the first message that is not ended to the last one given out, at most; nil: any number. The record
    /// locks of a share group.
    public var maxWindow: Int64?
    /// Milliseconds by which a message that is given back waits, by the number of its deliveries (the last one for all
    /// that are beyond); empty: not at all. A delay that the receiver names comes before it.
    public var backoffMs: [Int64] = []
    /// Messages that `fair` and `fifo` keep sorted by their groups at most. What is behind them has no state, and its
    /// groups wait. SQS scans as many: "avoid large message backlogs with the same message group ID".
    public var maxIndexed = 120_000

    /// Messages that have state at most, with `standard`: in flight, delayed, given back, ending. At it a receive gives out no
    /// message for the first time, until some of the others end: who gives back all that he gets would fill the memory.
    public var maxSlots = Self.maxSlotsLimit

    /// The greatest `maxSlots` and `maxIndexed`, about 96 MB; a log that makes state for more is refused.
    public static let maxSlotsLimit = 1 << 20
    /// De-duplication ids that are known at a time, about 64 MB: 3,500 messages a second. At it `hasRoomForID` is false, and the
    /// caller refuses to send; an id that is noted all the same takes the place of the oldest.
    public static let maxDeduplicationIDs = 1 << 20
    /// Runs of offsets with times of their own that are remembered at a time, 40 to 80 MB. At it `hasRoomForDelay` is false, and the
    /// caller refuses what is to be sent with a delay of its own.
    public static let maxRuns = 1 << 20
    /// Source: SQS quotas, "Messages per queue (in flight)".
    public static let maxInFlightStandard = 120_000
    public static let maxInFlightFIFO = 20_000
    /// 12 hours, in milliseconds, from the receive on. Source: SQS, ChangeMessageVisibility.
    public static let maxVisibilityMs: Int64 = 43_200_000
    /// Five minutes, in milliseconds, in which a de-duplication id or an attempt's id is known. Source: SQS,
    /// SendMessage.
    public static let deduplicationMs: Int64 = 300_000

    public init(
        order: DeliveryOrder = .standard, maxReceives: Int? = nil, endOfDeliveries: EndOfDeliveries = .deadLetters,
        maxInFlight: Int? = nil
    ) {
        self.order = order
        self.maxReceives = maxReceives
        self.endOfDeliveries = endOfDeliveries
        self.maxInFlight = maxInFlight ?? (order == .fifo ? Self.maxInFlightFIFO : Self.maxInFlightStandard)
    }

    /// Refuses what calls could not go by.
    func check() throws(LedgerRefusal) {
        if let step = backoffMs.first(where: { !(0...Self.maxVisibilityMs).contains($0) }) { throw .backoff(step) }
        if maxIndexed > Self.maxSlotsLimit || maxSlots > Self.maxSlotsLimit { throw .tooMuchState }
    }

    func hasReachedLimit(_ receives: UInt16) -> Bool { maxReceives.map { Int(receives) >= $0 } ?? false }

    /// Milliseconds that a message waits which is given back after so many deliveries.
    func backoff(after receives: UInt16) -> Int64 {
        backoffMs.isEmpty ? 0 : backoffMs[min(max(Int(receives), 1), backoffMs.count) - 1]
    }
}

/// Why a ledger is not made, or does not go by other rules.
public enum LedgerRefusal: Error, Equatable, Sendable {
    /// A step of the backoff, in milliseconds: less than nothing, or more than 12 hours.
    case backoff(Int64)
    /// `maxIndexed` or `maxSlots` is above `LedgerSettings.maxSlotsLimit`.
    case tooMuchState
    /// The consumer's name has so many bytes, which are more than a record's key has room for.
    case consumerName(Int)
}
