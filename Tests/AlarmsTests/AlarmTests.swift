import Telemetry
import Testing

@testable import Alarms

/// Alarms by samples and times that are made up.
@Suite struct AlarmTests {
    private static let gauge = MetricSelector("millrace_depth")!
    private static let counter = MetricSelector("millrace_errors_total")!

    private static func rule(_ bound: AlarmRule.Bound = .above(10), _ wrong: Int = 1, _ periods: Int = 1) -> AlarmRule {
        var rule = AlarmRule("depth", gauge, bound)
        (rule.wrong, rule.periods) = (wrong, periods)
        return rule
    }

    /// A period each, of a minute.
    private func states(_ rule: AlarmRule, _ samples: [Alarm.Sample]) -> [Alarm.State] {
        var alarm = Alarm(rule)
        return samples.enumerated().map { index, sample in
            alarm.take(sample, at: Int64(index) * 60_000, nowMs: Int64(index) * 60_000)
            return alarm.state
        }
    }

    private func gauges(_ values: [Double?]) -> [Alarm.Sample] {
        values.map { Alarm.Sample(metric: $0.map { .gauges([$0]) } ?? .missing) }
    }

    @Test func aBoundIsFineAndBeyondItIsNot() {
        #expect(states(Self.rule(), gauges([10, 10.1, 10])) == [.fine, .alarm, .fine])
        #expect(states(Self.rule(.below(1)), gauges([1, 0.9, 1])) == [.fine, .alarm, .fine])
    }

    @Test func ofSeveralGaugesTheFurthestOutCounts() {
        let both = [Alarm.Sample(metric: .gauges([3, 11]))]
        #expect(states(Self.rule(), both) == [.alarm])
        #expect(states(Self.rule(.below(5)), both) == [.alarm])
        #expect(states(Self.rule(.below(2)), both) == [.fine])
    }

    @Test func soManyOfTheLastPeriodsHaveToBeWrong() {
        #expect(
            states(Self.rule(.above(0), 2, 3), gauges([1, 0, 0, 1, 0, 1, 1, 0, 0]))
                == [.fine, .fine, .fine, .fine, .fine, .alarm, .alarm, .alarm, .fine])
    }

    @Test func nothingToSeeIsWhatTheRuleSays() {
        let seen: [Double?] = [nil, 20, nil, nil]
        var rule = Self.rule(.above(10), 1, 2)
        #expect(states(rule, gauges(seen)) == [.unseen, .alarm, .alarm, .unseen])
        rule.missing = .fine
        #expect(states(rule, gauges(seen)) == [.fine, .alarm, .alarm, .fine])
        rule.missing = .wrong
        #expect(states(rule, gauges(seen)) == [.alarm, .alarm, .alarm, .alarm])
    }

    @Test func countersAreSeenByTheirGrowthASecond() {
        let rule = AlarmRule("errors", Self.counter, .above(1))
        let totals: [Double] = [1000, 1060, 1121, 1121, 5]
        // What is less than it was has begun anew.
        #expect(
            states(rule, totals.map { Alarm.Sample(metric: .counter($0)) }) == [.unseen, .fine, .alarm, .fine, .fine])
    }

    @Test func aShareIsOfWhatCameWithinThePeriod() {
        var rule = AlarmRule("errors", Self.counter, .above(0.1))
        rule.share = MetricSelector("millrace_requests_total")
        func sample(_ part: Double?, _ all: Double?) -> Alarm.Sample {
            Alarm.Sample(metric: part.map { .counter($0) } ?? .missing, share: all.map { .counter($0) } ?? .missing)
        }
        #expect(
            states(rule, [sample(nil, nil), sample(nil, 100), sample(11, 200), sample(21, 300), sample(21, 300)])
                == [.unseen, .fine, .alarm, .fine, .unseen])
    }

    @Test func aPercentileIsOfWhatCameWithinThePeriod() {
        let (metrics, selector) = (MetricsRegistry(), MetricSelector("millrace_waits_seconds")!)
        let waits = metrics.histogram("millrace_waits_seconds")
        var alarm = Alarm(AlarmRule("waits", selector, .above(0.25)))
        func period(_ at: Int64) -> Alarm.State {
            alarm.take(Alarm.Sample(metric: metrics.read(selector)), at: at, nowMs: at)
            return alarm.state
        }
        for _ in 0..<1000 { waits.observe(900_000_000) }
        #expect(period(0) == .unseen)
        for _ in 0..<1000 { waits.observe(1_000_000) }
        #expect(period(60_000) == .fine)
        for _ in 0..<1000 { waits.observe(500_000_000) }
        #expect(period(120_000) == .alarm)
        #expect(period(180_000) == .unseen)
    }

    @Test func changesAreTold() {
        var alarm = Alarm(Self.rule())
        func told(_ value: Double?, _ minute: Int64) -> String? {
            alarm.take(gauges([value])[0], at: minute * 60_000, nowMs: minute * 60_000)
            return alarm.news(nowMs: minute * 60_000).map { "\($0.before.rawValue) \($0.change.state.rawValue)" }
        }
        #expect(told(1, 0) == nil, "that there is something to see is no news")
        #expect(told(11, 1) == "OK ALARM")
        #expect(told(12, 2) == nil)
        #expect(told(1, 3) == "ALARM OK")
        #expect(told(nil, 4) == "OK NODATA")
        #expect(told(11, 5) == "NODATA ALARM")
        #expect(alarm.history.map(\.state) == [.fine, .alarm, .fine, .unseen, .alarm])
    }

    @Test func whatBeganInSilenceIsToldAfterwards() {
        var alarm = Alarm(Self.rule())
        func told(_ value: Double, _ minute: Int64) -> String? {
            alarm.take(gauges([value])[0], at: minute * 60_000, nowMs: minute * 60_000)
            return alarm.news(nowMs: minute * 60_000).map { "\($0.before.rawValue) \($0.change.state.rawValue)" }
        }
        #expect(told(1, 0) == nil)
        alarm.silence(until: 180_000)
        #expect(told(11, 1) == nil)
        #expect(told(1, 2) == nil)
        #expect(told(1, 3) == nil, "it was over before")
        alarm.silence(until: 360_000)
        #expect(told(11, 4) == nil)
        #expect(told(11, 5) == nil)
        #expect(told(11, 6) == "OK ALARM")
    }

    @Test func historyIsBounded() {
        var alarm = Alarm(Self.rule())
        for index in 0..<200 { alarm.take(gauges([index % 2 == 0 ? 1 : 11])[0], at: Int64(index), nowMs: Int64(index)) }
        #expect(alarm.history.count == Alarm.maxHistory)
        #expect(alarm.history.last?.state == .alarm)
    }

    // MARK: The board

    @Test func alarmsAreLookedAtWhenTheyAreDue() {
        let board = AlarmBoard()
        var slow = AlarmRule("slow", MetricSelector("millrace_slow")!, .above(0))
        slow.periodMs = 120_000
        board.replace(by: [Self.rule(), slow])
        var looks: [String] = []
        for at in stride(from: Int64(0), through: 120_000, by: 15_000) {
            _ = board.turn(at: at, nowMs: at) { selector in
                looks.append(selector.name)
                return .gauges([0])
            }
        }
        #expect(looks.filter { $0 == "millrace_depth" }.count == 3)
        #expect(looks.filter { $0 == "millrace_slow" }.count == 2)
    }

    @Test func aRuleThatStaysGoesOn() {
        let board = AlarmBoard()
        board.replace(by: [Self.rule()])
        #expect(board.turn(at: 0, nowMs: 0) { _ in .gauges([11]) }.map(\.change.state) == [.alarm])
        board.replace(by: [AlarmRule("other", Self.gauge, .above(0)), Self.rule()])
        #expect(board.alarm(named: "depth")?.state == .alarm && board.alarm(named: "other")?.state == .unseen)
        board.replace(by: [Self.rule(.above(20))])
        #expect(board.alarm(named: "depth")?.state == .unseen && board.all.count == 1)
        #expect(board.silence("depth", until: 5) && !board.silence("other", until: 5))
    }

    // MARK: Selectors

    @Test(arguments: [
        "millrace_x", #"millrace_x{a="b"}"#, #"millrace_x{a="b*",c="d"}"#, #"millrace_x{a="say \"so\", \\ {}"}"#,
        #"millrace_x{a="*"}"#,
    ])
    func selectorsAreReadAsTheyAreWritten(text: String) {
        #expect(MetricSelector(text).map { "\($0)" } == text)
    }

    @Test(arguments: [
        "", "9x", "millrace x", "millrace_x{}", "millrace_x{a}", "millrace_x{a=b}", #"millrace_x{a="b"#,
        #"millrace_x{a="b"} "#, #"millrace_x{a="b",a="c"}"#, #"millrace_x{a="b",}"#, #"{a="b"}"#,
        #"millrace_x{a="\n"}"#,
    ])
    func otherTextsAreNone(text: String) { #expect(MetricSelector(text) == nil) }

    @Test func seriesAreReadByTheirLabels() {
        let metrics = MetricsRegistry()
        for (status, count) in [("200", 5), ("500", 2), ("503", 1)] {
            metrics.counter("millrace_r_total", labels: ["route": "a,status=\"5", "status": status]).add(count)
        }
        metrics.gauge("millrace_g", labels: ["of": "x"]).set(3)
        metrics.list("millrace_l", help: "").set([(["of": "x"], 1), (["of": "y"], .infinity)])
        func read(_ text: String) -> String { "\(metrics.read(MetricSelector(text)!))" }
        #expect(read("millrace_r_total") == "counter(8.0)")
        #expect(read(#"millrace_r_total{status="5*"}"#) == "counter(3.0)")
        #expect(read(#"millrace_r_total{status="50"}"#) == "missing")
        #expect(read("millrace_g") == "gauges([3.0])")
        #expect(read("millrace_l") == "gauges([1.0, inf])")
        #expect(read(#"millrace_l{of="y"}"#) == "gauges([inf])")
        #expect(read("millrace_none") == "missing")
    }
}
