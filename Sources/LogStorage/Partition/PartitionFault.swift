import StorageIO

/// The failure of a partition's own files or folder. The partition is served as far as possible, and no other partition
/// is affected. Appends are refused, so that what waits for its files does not grow.
struct PartitionFault {
    enum Kind {
        /// Its files do not take what was appended. All of it is readable, and the journal keeps what is acknowledged.
        case unwritable
        /// It could not be opened at the start, so nothing of it is served.
        case unopened
    }

    let kind: Kind
    var error: StorageError
    /// Failed attempts in a row, and when the last one was.
    var attempts = 1
    var triedMs: Int64

    /// How many failed attempts for want of descriptors or memory are hidden from clients; most shortages are over
    /// before.
    static let maxQuietAttempts = 5
    /// Time between two attempts.
    static let retryMs: Int64 = 1000

    var refusesAppends: Bool { kind == .unopened || !error.isNotNow || attempts > Self.maxQuietAttempts }

    func isDue(_ nowMs: Int64) -> Bool { nowMs - triedMs >= Self.retryMs || nowMs < triedMs }
}
