/// The first 16 bytes of the SHA-256 of a name that a sender or a receiver chose: of a message group, a de-duplication
/// id, a receive attempt. Names have up to 128 characters, and a ledger keeps hundreds of thousands; nobody finds two
/// with one digest.
public struct NameDigest: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64

    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}
