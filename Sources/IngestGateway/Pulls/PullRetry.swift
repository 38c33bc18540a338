import HTTPWire

/// When a page that was not to be had is asked for again: a pure state machine. The wait doubles, and a random share of it is waited, so
/// that many who failed together do not come back together; a server that says when is asked then.
struct PullRetry {
    struct Rule: Sendable, Equatable {
        /// Times that a page is asked for.
        var attempts = 8
        /// Of the first wait at most.
        var baseMs: Int64 = 500
        /// Of any wait at most.
        var mostMs: Int64 = 60_000
        /// Of a wait that a server asks for: a longer one is cut.
        var mostAskedMs: Int64 = 300_000
    }

    let rule: Rule
    /// In a row.
    private(set) var failures = 0

    init(_ rule: Rule) { self.rule = rule }

    /// Counts a failure. Gives the milliseconds until the next try; nil: there is none.
    ///
    /// - Parameters:
    ///   - askedMs: what the server asks for.
    ///   - random: any number of a range.
    mutating func failed(askedMs: Int64? = nil, random: (ClosedRange<Int64>) -> Int64) -> Int64? {
        failures += 1
        guard failures < rule.attempts else { return nil }
        if let askedMs { return min(max(0, askedMs), rule.mostAskedMs) }
        // Past thirty doublings any base has reached any limit.
        return random(0...min(rule.mostMs, rule.baseMs << Int64(min(failures - 1, 30))))
    }

    /// What a field Retry-After asks for, in milliseconds: seconds, or a date. nil: it is neither. Source: RFC 9110, 10.2.3.
    static func milliseconds(of retryAfter: String, nowMs: Int64) -> Int64? {
        if (1...9).contains(retryAfter.utf8.count), let seconds = UInt32(retryAfter) { return Int64(seconds) * 1000 }
        return HTTPDate.second(of: retryAfter).map { max(0, Int64($0) * 1000 - nowMs) }
    }
}
