/// One entry of a segment's sparse index, 16 bytes. It says: the batch at byte `position` begins with offset
/// `baseOffset + relativeOffset`, and no batch before it has a timestamp above `maxTimestampBefore`.
///
/// One table serves both look-ups, by offset and by time. Entries are strictly ascending in offset and position, and
/// never descend in time. The segment's first batch needs no entry.
struct IndexEntry: Equatable, Sendable {
    var relativeOffset: UInt32
    var position: UInt32
    var maxTimestampBefore: Int64

    static let encodedSize = 16
    /// Where a search begins that finds no entry.
    static let origin = IndexEntry(relativeOffset: 0, position: 0, maxTimestampBefore: .min)
}
