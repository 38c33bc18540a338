/// How long is waited until something is tried again that did not work: twice as long each time, up to a limit, so that what
/// goes on not working costs next to nothing, and what works again is found soon.
struct Backoff: Sendable {
    static let firstMs: Int64 = 100
    static let mostMs = firstMs << 6

    private var failures = 0

    /// Counts one more failure; gives the time until the next try.
    mutating func failed() -> Int64 {
        let wait = Self.firstMs << Int64(failures)
        if wait < Self.mostMs { failures += 1 }
        return wait
    }

    /// It has worked.
    mutating func reset() { failures = 0 }
}
