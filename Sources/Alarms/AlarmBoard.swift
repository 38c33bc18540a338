import ByteBuffers
public import Telemetry

/// All alarms of a broker. A turn of its thread looks at those that are due; edges list and silence them, from any thread. Nothing of it is
/// stored: after a start every alarm begins at NODATA.
public final class AlarmBoard: Sendable {
    /// How often a turn is made: the least period.
    public static let turnMs = AlarmRule.periodLimitsMs.lowerBound
    /// A silence at most.
    public static let maxSilenceMs: Int64 = 30 * 86_400_000

    private let alarms = Lock<[Alarm]>([])

    public init() {}

    /// Takes these rules in the place of those that there are. An alarm whose rule stays as it is goes on.
    public func replace(by rules: [AlarmRule]) {
        alarms.withLock { alarms in
            let before = alarms
            alarms = rules.map { rule in before.first { $0.rule == rule } ?? Alarm(rule) }
        }
    }

    /// In the order of their names.
    public var all: [Alarm] { alarms.withLock { $0 }.sorted { $0.rule.name < $1.rule.name } }

    public func alarm(named name: String) -> Alarm? { alarms.withLock { $0.first { $0.rule.name == name } } }

    /// Tells nothing of one until then (milliseconds since 1970), or tells again. False: there is none of that name.
    public func silence(_ name: String, until ms: Int64) -> Bool {
        alarms.withLock { alarms in
            guard let index = alarms.firstIndex(where: { $0.rule.name == name }) else { return false }
            alarms[index].silence(until: ms)
            return true
        }
    }

    /// Looks at the metrics of the alarms that are due, outside the lock, and returns what is to be told.
    ///
    /// - Parameters:
    ///   - at: milliseconds of a clock that is not set.
    ///   - nowMs: milliseconds since 1970.
    public func turn(at: Int64, nowMs: Int64, _ read: (MetricSelector) -> MetricReading) -> [Alarm.News] {
        let due = alarms.withLock { $0.filter { $0.dueAt.map { $0 <= at } ?? true }.map(\.rule) }
        let samples = due.map { rule in
            (rule, Alarm.Sample(metric: read(rule.metric), share: rule.share.map(read) ?? .missing))
        }
        return alarms.withLock { alarms in
            for (rule, sample) in samples {
                // It may have been replaced meanwhile.
                guard let index = alarms.firstIndex(where: { $0.rule == rule }) else { continue }
                alarms[index].take(sample, at: at, nowMs: nowMs)
            }
            return alarms.indices.compactMap { alarms[$0].news(nowMs: nowMs) }
        }
    }
}
