/// A part of a log whose bytes are not what was written. It is not served, and it stays on disk as it was found.
public struct DamagedRange: Sendable, Equatable {
    /// The file that holds it, by its base offset.
    public var segmentBase: Int64
    /// Bytes of that file; equal when the bytes are gone as a whole (a missing or shortened file, lost journal frames).
    public var startPosition: Int64
    /// Exclusive.
    public var endPosition: Int64
    /// Offsets that are lost with it; a read from any of them is refused.
    public var baseOffset: Int64
    /// Exclusive.
    public var endOffset: Int64
    /// What was found, for a person.
    public var reason: String
    /// `log repair` has set the bytes aside: the offsets are a gap now, which readers pass over.
    public var isRepaired = false

    /// One line: file, bytes, offsets, reason.
    public var description: String {
        let place =
            startPosition == endPosition
            ? "missing behind byte \(endPosition)" : "quarantined: bytes \(startPosition) to \(endPosition - 1)"
        return "\(Segment.name(segmentBase, ".log")): \(place), offsets \(baseOffset) to \(endOffset - 1): \(reason)"
    }
}

extension DamagedRange {
    /// Returns whether this range stands for bytes missing behind a segment that ends at byte `size`.
    func isMissing(behind size: Int64, of segmentBase: Int64) -> Bool {
        self.segmentBase == segmentBase && startPosition == endPosition && startPosition == size
    }

    func overlaps(_ other: DamagedRange) -> Bool {
        if startPosition == endPosition || other.startPosition == other.endPosition {
            return baseOffset <= other.endOffset && other.baseOffset <= endOffset
                && startPosition <= other.endPosition && other.startPosition <= endPosition
        }
        return startPosition <= other.endPosition && other.startPosition <= endPosition
    }
}
