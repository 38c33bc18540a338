/// One change of a ledger, as its log holds it. A ledger's state is what these make of the messages of its partition,
/// in their order; what time does (a lease that ends, a delay that is over) is no record, since the deadlines are in
/// them.
public enum LedgerRecord: Equatable, Sendable {
    /// Messages were given out.
    case leased(LeaseRecord)
    /// Messages ended: never again to be given out.
    case ended([OffsetRange], EndReason)
    /// Leases were given back; the messages are available from `visibleAtMs` on (0: at once). An uncounted one never
    /// reached its receiver, and takes its delivery back.
    case released([OffsetRange], visibleAtMs: Int64, isUncounted: Bool)
    /// Leases end at another time, in milliseconds since 1970.
    case extended([OffsetRange], deadlineMs: Int64)
    /// Messages are given up, whatever the number of their deliveries.
    case rejected([OffsetRange])
    /// All messages below this offset ended: purged, or gone with the log's oldest segments.
    case started(at: Int64)

    /// Messages of one receive at most: what one record may make state for.
    public static let maxLeased = 4096
}

/// Why messages ended.
public enum EndReason: UInt8, Sendable {
    case acknowledged = 0
    /// The dead letters have them.
    case deadLettered = 1
    /// The last delivery failed, or it was rejected, and no dead letters are kept.
    case archived = 2
    /// There is no message at the offset: a control record, an aborted transaction's, or compacted away.
    case gap = 3
}

/// What one receive call gave out.
public struct LeaseRecord: Equatable, Sendable {
    var terms: LeaseTerms
    /// In ascending order.
    var ranges: [LeasedRange]
}

/// Neighbouring messages that were given out equally often, this time included.
struct LeasedRange: Equatable, Sendable {
    var range: OffsetRange
    var receives: UInt16
}
