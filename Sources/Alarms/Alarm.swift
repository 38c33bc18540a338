import Telemetry

/// A rule and what has become of it: a pure state machine that is given the readings, one a period.
///
///     NODATA ──a period with something to see──► OK ◄──fewer──► ALARM
///        ▲                                       │  `wrong` of the last `periods`
///        └────────── none in all of them ────────┴───────────────┘
public struct Alarm: Sendable {
    public enum State: String, Sendable {
        case unseen = "NODATA"
        case fine = "OK"
        case alarm = "ALARM"
    }

    /// A change of the state.
    public struct Change: Sendable, Equatable {
        public let state: State
        /// Milliseconds since 1970.
        public let atMs: Int64
        /// What was seen last; nil: nothing.
        public let value: Double?
    }

    /// What is told of a change.
    public struct News: Sendable, Equatable {
        public let rule: AlarmRule
        public let before: State
        public let change: Change
    }

    /// What its metrics say at one time.
    struct Sample: Sendable {
        var metric: MetricReading
        var share = MetricReading.missing
    }

    public let rule: AlarmRule
    public private(set) var state = State.unseen
    /// Of the last period; nil: there was nothing to see.
    public private(set) var value: Double?
    /// The newest last, `maxHistory` at most.
    public private(set) var history: [Change] = []
    /// Until then nothing is told: milliseconds since 1970.
    public private(set) var silentUntilMs: Int64 = 0

    public static let maxHistory = 50

    /// Of the last periods: whether each was wrong; nil: that counts for nothing.
    private var recent: [Bool?] = []
    private var last: (sample: Sample, at: Int64)?
    private var told = State.unseen

    public init(_ rule: AlarmRule) { self.rule = rule }

    /// When the next sample is due, by the clock that `take` is given; nil: now.
    var dueAt: Int64? { last.map { $0.at + rule.periodMs } }

    /// Ends a period. The first sample only begins one of a metric that is seen by its growth.
    ///
    /// - Parameters:
    ///   - at: milliseconds of a clock that is not set.
    ///   - nowMs: milliseconds since 1970.
    mutating func take(_ sample: Sample, at: Int64, nowMs: Int64) {
        let before = last
        last = (sample, at)
        if before == nil, !sample.metric.isSeenAtOnce { return }
        value = seen(sample, since: before, at)
        let isWrong = value.map(rule.bound.isPassed)
        recent.append(isWrong ?? (rule.missing == .unseen ? nil : rule.missing == .wrong))
        if recent.count > rule.periods { recent.removeFirst() }
        let wrong = recent.count { $0 == true }
        let next: State =
            wrong >= rule.wrong ? .alarm : recent.contains { $0 != nil } ? .fine : .unseen
        if next == state { return }
        state = next
        history.append(Change(state: next, atMs: nowMs, value: value))
        if history.count > Self.maxHistory { history.removeFirst() }
    }

    private func seen(_ sample: Sample, since before: (sample: Sample, at: Int64)?, _ at: Int64) -> Double? {
        switch sample.metric {
        case .missing:
            // Of a share, none of all that there was: a series comes with its first count.
            guard rule.share != nil, let all = Self.growth(sample.share, since: before?.sample.share ?? .missing) else {
                return nil
            }
            return all > 0 ? 0 : nil
        case .gauges(let numbers):
            if case .below = rule.bound { return numbers.min() }
            return numbers.max()
        case .histogram(let now):
            guard case .histogram(let then)? = before?.sample.metric else { return nil }
            return now.quantile(rule.percentile / 100, since: then)
        case .counter:
            guard let before, let growth = Self.growth(sample.metric, since: before.sample.metric) else { return nil }
            guard rule.share != nil else {
                let seconds = Double(at - before.at) / 1000
                return seconds > 0 ? growth / seconds : nil
            }
            guard let all = Self.growth(sample.share, since: before.sample.share), all > 0 else { return nil }
            return growth / all
        }
    }

    /// A counter that was not there before has begun at 0, as one that is less than it was.
    private static func growth(_ now: MetricReading, since then: MetricReading) -> Double? {
        guard case .counter(let now) = now else { return nil }
        if case .counter(let then) = then, then <= now { return now - then }
        return now
    }

    /// What is to be told now. What has changed while it was silent is told afterwards, if it is still so.
    mutating func news(nowMs: Int64) -> News? {
        guard nowMs >= silentUntilMs, state != told, let change = history.last else { return nil }
        let before = told
        told = state
        // That there is something to see at last is no news.
        if before == .unseen, state == .fine { return nil }
        return News(rule: rule, before: before, change: change)
    }

    mutating func silence(until ms: Int64) { silentUntilMs = ms }
}

extension MetricReading {
    /// Whether one look suffices.
    fileprivate var isSeenAtOnce: Bool {
        switch self {
        case .gauges, .missing: true
        case .counter, .histogram: false
        }
    }
}
