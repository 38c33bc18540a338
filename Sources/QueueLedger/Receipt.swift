public import KafkaModel

/// Names one delivery of one message: what a receiver hands back to acknowledge, extend or give back.
///
/// A message's newest receipt alone has an effect. `ReceiptSeal` makes text of it that nobody else can make.
public struct Receipt: Hashable, Sendable {
    public var offset: Offset
    public var lease: LeaseNumber

    public init(offset: Offset, lease: LeaseNumber) {
        self.offset = offset
        self.lease = lease
    }
}

/// The number of one receive call that gave messages out: no two calls of one ledger have the same, also not when a
/// crash lost the record of one. The upper 24 bits are the ledger's generation, that is one loading of it; the rest
/// counts its calls from 1 on: 0 is no lease's.
public struct LeaseNumber: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    static let callBits: UInt64 = 40

    /// - Parameter generation: its lower 24 bits count.
    init(generation: Int32, call: UInt64) {
        precondition(call + 1 < 1 << Self.callBits, "a ledger was not loaded anew for a trillion receive calls")
        rawValue = UInt64(UInt32(bitPattern: generation) & 0xff_ffff) << Self.callBits | (call + 1)
    }
}

/// What all messages of one receive call have in common.
struct LeaseTerms: Equatable, Sendable {
    var number: UInt64
    /// Milliseconds since 1970.
    var startMs: Int64
    var deadlineMs: Int64
    /// The member of a share group; 0: nobody in particular.
    var owner: UInt32
}
