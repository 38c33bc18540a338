import Security

/// When the keys of one issuer are fetched, and for how long they are good. Time is a parameter.
///
/// ```
///   due ── begin ──► running ── end ──► waits: `interval` after a success, 1 s to a minute after failures
///    ▲                                    │
///    └── the time has come, or a token names a key that is not there (once in `minGap`)
/// ```
struct KeySchedule {
    /// Whoever sends tokens chooses the key's id in them, so what unknown ones bring about has a bound.
    static let minGap = Duration.seconds(30)
    /// Keys that could not be fetched again for so long are not used any more: the issuer may have taken one back.
    static let maxAge = Duration.seconds(86_400)
    /// After a failure; doubled with each.
    static let minRetry = Duration.seconds(1)
    static let maxRetry = Duration.seconds(60)

    private let interval: Duration
    private let gap: Duration
    /// When the next fetch is due.
    private(set) var next: MonotonicTime
    private(set) var isRunning = false
    /// Fetches that have begun, which is the number of the last.
    private(set) var begun = 0
    private var lastBegun: MonotonicTime?
    private var lastSuccess: MonotonicTime?
    private var retry = minRetry

    init(interval: Duration, now: MonotonicTime) {
        self.interval = interval
        gap = min(Self.minGap, interval)
        next = now
    }

    /// A token names a key that is not there. The number of the fetch that may bring it; nil: none does, for now.
    mutating func ask(now: MonotonicTime) -> Int? {
        if isRunning { return begun }
        if next > now {
            if let lastBegun, now - lastBegun < gap { return nil }
            next = now
        }
        return begun + 1
    }

    mutating func begin(now: MonotonicTime) {
        isRunning = true
        begun += 1
        lastBegun = now
    }

    mutating func end(isGood: Bool, now: MonotonicTime) {
        isRunning = false
        if isGood {
            lastSuccess = now
            retry = Self.minRetry
            next = now + interval
        } else {
            next = now + min(retry, interval)
            retry = min(retry * 2, Self.maxRetry)
        }
    }

    /// When the keys are too old; nil: there are none.
    var outdated: MonotonicTime? { lastSuccess.map { $0 + Self.maxAge } }

    /// The keys are gone.
    mutating func forget() { lastSuccess = nil }

    /// How old the keys are.
    func age(now: MonotonicTime) -> Duration? { lastSuccess.map { now - $0 } }
}
