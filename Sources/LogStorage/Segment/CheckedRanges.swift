/// Which bytes of a segment's file had their batches' CRCs checked a short while ago, so that many readers of the same
/// records do not each pay for it.
///
/// Bounded: `capacity` ranges, the oldest is forgotten first. Times are monotonic nanoseconds.
struct CheckedRanges {
    private struct Part {
        var bytes: Range<Int64>
        /// The time of the range's first check, from which the whole range expires.
        var since: Int
    }
    private var parts: [Part] = []

    static let capacity = 32
    /// How long a check holds.
    static let lifetime = 60 * 1_000_000_000
    /// How long a range may grow before a new one begins.
    static let growth = 10 * 1_000_000_000

    /// The batches in `bytes` are whole.
    mutating func insert(_ bytes: Range<Int64>, now: Int) {
        guard !bytes.isEmpty else { return }
        parts.removeAll { now - $0.since >= Self.lifetime }
        for index in parts.indices
        where parts[index].bytes.upperBound == bytes.lowerBound && now - parts[index].since < Self.growth {
            parts[index].bytes = parts[index].bytes.lowerBound..<bytes.upperBound
            return
        }
        if parts.count == Self.capacity { parts.removeFirst() }
        parts.append(Part(bytes: bytes, since: now))
    }

    /// Exclusive end of what has been checked from `position` on; `position` itself when it has not.
    func end(from position: Int64, now: Int) -> Int64 {
        var end = position
        while let part = parts.first(where: { $0.bytes.contains(end) && now - $0.since < Self.lifetime }) {
            end = part.bytes.upperBound
        }
        return end
    }

    mutating func removeAll() { parts = [] }
}
