public import KafkaModel

/// Offsets from `first` to `last`, both inclusive.
public struct OffsetRange: Hashable, Sendable {
    public var first: Offset
    public var last: Offset

    public init(_ first: Offset, _ last: Offset) {
        precondition(first <= last, "a range from \(first.rawValue) to \(last.rawValue)")
        self.first = first
        self.last = last
    }

    public init(_ offset: Offset) { self.init(offset, offset) }

    /// Offsets in the range, whether or not there is a message at each.
    public var count: Int64 { last - first + 1 }

    public func contains(_ offset: Offset) -> Bool { first <= offset && offset <= last }

    /// The greatest offset that a ledger takes: sums of two offsets, or of an offset and a count, never overflow.
    static let maxOffset = Offset(1 << 61)

    /// Returns the offsets as ranges in ascending order, each offset once.
    public static func covering(_ offsets: [Offset]) -> [OffsetRange] { covering(offsets.map(\.rawValue)) }

    static func covering(_ offsets: [Int64]) -> [OffsetRange] {
        var ranges: [OffsetRange] = []
        for offset in offsets.sorted() {
            if let last = ranges.last?.last.rawValue, offset <= last + 1 {
                ranges[ranges.count - 1].last = Offset(offset)
            } else {
                ranges.append(OffsetRange(Offset(offset)))
            }
        }
        return ranges
    }
}
