import StorageIO

/// A partition whose own files or folder do not do what they should: it is served as far as it can be, and nobody
/// else notices. Its appends are refused, so that what waits for its files does not grow.
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

    /// Attempts after which a want of descriptors or memory is told to clients: most are over before.
    static let maxQuietAttempts = 5
    /// Time between two attempts.
    static let retryMs: Int64 = 1000

    var refusesAppends: Bool { kind == .unopened || !error.isNotNow || attempts > Self.maxQuietAttempts }

    func isDue(_ nowMs: Int64) -> Bool { nowMs - triedMs >= Self.retryMs || nowMs < triedMs }
}
