/// Remembers where in a segment recent reads ended, so that a reader that continues there need not search an index that
/// is no longer in memory.
///
/// Bounded: `capacity` marks, the oldest is forgotten first.
struct ReadMarks {
    private var marks: [(offset: Int64, position: Int64)] = []
    private var next = 0

    /// Readers of one segment that each keep their place; further ones look into the index.
    static let capacity = 16

    /// The batch behind those that end at `offset` (exclusive) begins at byte `position`.
    mutating func record(_ offset: Int64, at position: Int64) {
        if marks.contains(where: { $0.offset == offset }) { return }
        if marks.count < Self.capacity { return marks.append((offset, position)) }
        marks[next] = (offset, position)
        next = (next + 1) % Self.capacity
    }

    func position(of offset: Int64) -> Int64? { marks.first { $0.offset == offset }?.position }
}
