/// Why a pass ended before its end.
enum CleanerStop: Error {
    /// The store stops, or the partition is deleted.
    case asked
    /// Segments were taken away meanwhile: the next pass plans anew.
    case changed
    /// Not enough room on the disk for a second copy.
    case noRoom
    /// The segment at `baseOffset` is not what was written. It stays as it is.
    case damaged(baseOffset: Int64, what: String)
}
