/// Messages by state: exact at every moment, each a sum that is kept as messages move.
public struct LedgerCounters: Equatable, Sendable {
    /// May be received now (ApproximateNumberOfMessages).
    public var visible = 0
    /// Leased (ApproximateNumberOfMessagesNotVisible).
    public var inFlight = 0
    /// Wait for a time (ApproximateNumberOfMessagesDelayed).
    public var delayed = 0
    /// On their way to the dead letters; they count for no limit.
    public var ending = 0
    /// May not be given yet (`DeliveryLedger.hold`).
    public var held = 0
    /// Ended since the ledger was loaded, in any way.
    public var ended = 0

    /// Messages that are not ended.
    public var live: Int { visible + inFlight + delayed + ending + held }

    public init() {}
}
