/// The attribute bits of a v2 batch; the lowest three are the codec. Source: KIP-98, KIP-534 (delete horizon).
public struct RecordBatchAttributes: OptionSet, Sendable {
    public var rawValue: Int16
    @inlinable public init(rawValue: Int16) { self.rawValue = rawValue }

    /// All records bear the broker's append time (`maxTimestamp`) instead of their own.
    public static let logAppendTime = RecordBatchAttributes(rawValue: 1 << 3)
    public static let transactional = RecordBatchAttributes(rawValue: 1 << 4)
    /// A transaction's end or another mark of the brokers; never shown to applications.
    public static let control = RecordBatchAttributes(rawValue: 1 << 5)
    /// `baseTimestamp` is the delete horizon.
    public static let deleteHorizon = RecordBatchAttributes(rawValue: 1 << 6)

    @usableFromInline static let codecMask: Int16 = 0b111

    /// The number in the codec bits, known or not.
    @inlinable public var codecNumber: Int8 { Int8(truncatingIfNeeded: rawValue & Self.codecMask) }
    /// How the records are compressed; `nil` for a number that means nothing.
    @inlinable public var compression: Compression? { Compression(rawValue: codecNumber) }

    @inlinable
    public func with(_ compression: Compression) -> RecordBatchAttributes {
        RecordBatchAttributes(rawValue: rawValue & ~Self.codecMask | Int16(compression.rawValue))
    }
}
