import ByteBuffers
import Foundation
import Glibc
import Testing

@testable import Telemetry

@Suite struct MetricsRegistryTests {
    private func page(_ registry: MetricsRegistry) -> String {
        var writer = ByteWriter()
        registry.render(into: &writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test func sameNameAndLabelsGiveTheSameCounter() {
        let registry = MetricsRegistry()
        registry.counter("millrace_requests_total", help: "Requests.", labels: ["route": "events"]).add(2)
        registry.counter("millrace_requests_total", labels: ["route": "events"]).add()
        registry.counter("millrace_requests_total", labels: ["route": "ingest"]).add(7)
        let text = page(registry)
        #expect(text.contains("# HELP millrace_requests_total Requests.\n# TYPE millrace_requests_total counter\n"))
        #expect(
            text.contains("millrace_requests_total{route=\"events\"} 3\nmillrace_requests_total{route=\"ingest\"} 7\n"))
    }

    @Test func labelValuesAreEscaped() {
        let registry = MetricsRegistry()
        registry.gauge("millrace_g", labels: ["l": "a\"b\\c\nd"]).set(-4)
        #expect(page(registry).contains("millrace_g{l=\"a\\\"b\\\\c\\nd\"} -4\n"))
    }

    @Test func readingsAreTakenWhenThePageIsMade() {
        let registry = MetricsRegistry()
        let source = Gauge()
        registry.reading("millrace_r") { Double(source.value) }
        source.set(5)
        #expect(page(registry).contains("millrace_r 5.0\n"))
    }

    @Test func seriesPastTheLimitWorkButAreNotShown() {
        let registry = MetricsRegistry()
        for index in 0..<MetricsRegistry.maxSeries {
            _ = registry.counter("millrace_c_total", labels: ["i": "\(index % 64)x\(index / 64)"])
        }
        let extra = registry.counter("millrace_extra_total")
        extra.add(3)
        #expect(extra.value == 3)
        let text = page(registry)
        #expect(!text.contains("millrace_extra_total"))
        #expect(text.contains("millrace_telemetry_series_refused_total 1\n"))
    }

    @Test func histogramPageIsCumulativeAndEndsWithInfinity() {
        let registry = MetricsRegistry()
        let histogram = registry.histogram("millrace_wait_seconds")
        for value in [500, 3_000, 5_000_000, 60_000_000_000] { histogram.observe(value) }
        let text = page(registry)
        #expect(
            text.contains("millrace_wait_seconds_bucket{le=\"4.096e-06\"} 2\n")
                || text.contains("millrace_wait_seconds_bucket{le=\"4.0960000000000005e-06\"} 2\n"))
        #expect(text.contains("millrace_wait_seconds_bucket{le=\"+Inf\"} 4\n"))
        #expect(text.contains("millrace_wait_seconds_count 4\n"))
        #expect(text.contains("millrace_wait_seconds_sum 60.005003"))
    }
}

@Suite struct HistogramTests {
    @Test func everyValueFallsBelowItsBucketsBoundAndNotBelowThePreviousOne() {
        for value in [0, 1, 1023, 1024, 1279, 1280, 1_000_000, 123_456_789, 1 << 34, (1 << 35) - 1, 1 << 35, 1 << 50] {
            let index = Histogram.bucket(of: UInt64(value))
            #expect(Double(value) < Histogram.upperBound(of: index))
            if index > 0 { #expect(Double(value) >= Histogram.upperBound(of: index - 1)) }
        }
    }

    @Test func quantileIsWithinAQuarterAbove() {
        let histogram = Histogram()
        for value in 1...10_000 { histogram.observe(value * 1000) }
        let median = histogram.quantile(0.5)
        #expect(median >= 5_000_000 && median <= 5_000_000 * 1.25)
        #expect(Histogram().quantile(0.99) == 0)
    }
}

/// The log's settings are the process's, so its cases run one after another.
@Suite(.serialized) struct LogTests {
    private func captured(_ format: Log.Format, _ body: () -> Void) -> String {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        Log.configure(level: .info, format: format, descriptor: ends[1])
        body()
        Log.configure()
        close(ends[1])
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = read(ends[0], &piece, piece.count)
            if count <= 0 { break }
            bytes += piece[..<count]
        }
        close(ends[0])
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func aTextLineHasTimeLevelMessageAndFields() {
        let line = captured(.text) { Log.info("listener started", "port", 8080, "host", "a b") }
        #expect(line.hasSuffix("Z INFO  listener started  port=8080 host=\"a b\"\n"))
    }

    @Test func aPeerCannotForgeALine() {
        let line = captured(.json) { Log.warning("refused", "reason", "x\n{\"level\":\"error\"}\u{1}") }
        #expect(line.hasSuffix("\"reason\":\"x\\n{\\\"level\\\":\\\"error\\\"}\\u0001\"}\n"))
        #expect(line.utf8.filter { $0 == 0x0a }.count == 1)
    }

    /// C1 is two bytes above 0x7f in UTF-8, and some terminals obey it as they obey ESC [.
    @Test(arguments: [
        ("\u{1b}", "1b"), ("\u{7f}", "7f"), ("\u{80}", "80"), ("\u{85}", "85"), ("\u{9b}", "9b"), ("\u{9f}", "9f"),
    ])
    func noControlCharacterReachesTheTerminal(control: String, number: String) {
        for asJSON in [false, true] {
            let line = String(
                decoding: LogLine("t", .info, "m", [("k", control + "2J")], asJSON: asJSON).bytes, as: UTF8.self)
            #expect(line.contains("\"\\u00\(number)2J\"") && !line.contains(control), "\(line.debugDescription)")
        }
        // What only begins like one is as it was.
        #expect(
            LogLine("t", .info, "m", [("k", "\u{a0}é")], asJSON: false).bytes == Array("t INFO  m  k=\u{a0}é\n".utf8))
    }

    @Test func levelsBelowTheThresholdAreSilentAndLongLinesAreCut() {
        // Other suites of this process may log at the same time.
        #expect(!captured(.text) { Log.debug("quiet") }.contains("quiet"))
        let long = String(repeating: "y", count: 100_000)
        let lines = captured(.text) { Log.error("long", "value", long) }.split(separator: "\n")
        #expect(lines.contains { $0.contains("yyy") && $0.utf8.count < Log.maxLine })
        #expect(lines.allSatisfy { $0.utf8.count < Log.maxLine })
    }

    /// Whatever the values are, a line is whole JSON of bounded length, and gives them back as far as they go.
    @Test(arguments: ["\u{1}", "é", "🙂", "\"\\", "\u{9b}", "x\n"])
    func aLineIsWholeJSONHoweverLongItsValuesAre(unit: String) throws {
        for count in [0, 1, 300, 2047, 2048, 5000] {
            let value = String(repeating: unit, count: count)
            let pairs = (0..<12).map { ("k\($0)", value) }
            let line = LogLine("t", .warning, "m \"q\"", pairs, asJSON: true).bytes
            #expect(line.count <= Log.maxLine && line.last == 0x0a)
            #expect(line.filter { $0 == 0x0a }.count == 1)
            let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: String]
            #expect(object?["message"] == "m \"q\"" && object?["level"] == "warning")
            let first = try #require(object?["k0"])
            #expect(count > 300 ? value.hasPrefix(first) && !first.isEmpty : first == value)
            let text = LogLine("t", .warning, "m", pairs, asJSON: false).bytes
            #expect(text.count <= Log.maxLine && text.filter { $0 == 0x0a }.count == 1)
            #expect(String(validating: text, as: UTF8.self) != nil)
        }
    }

    @Test func aMessageThatRepeatsIsWrittenAHundredTimesInAHundredSeconds() {
        var limiter = LineLimiter()
        var written = 0
        for time in 0..<1000 where limiter.admit(1, atMs: Int64(time)) != nil { written += 1 }
        #expect(written == Log.maxRepeats)
        // Another message is not held back, and the first one says what was left out when its time comes again.
        #expect(limiter.admit(2, atMs: 999) == 0)
        #expect(limiter.admit(1, atMs: Log.repeatWindowMs - 1) == nil)
        #expect(limiter.admit(1, atMs: Log.repeatWindowMs) == 1000 - Log.maxRepeats + 1)
        #expect(limiter.admit(1, atMs: Log.repeatWindowMs + 1) == 0)
    }

    @Test func aFloodOfOneLineEndsAtItsLimit() {
        let before = Log.linesLeftOut.value
        let lines = captured(.text) { for number in 0..<300 { Log.warning("flood", "number", number) } }
        #expect(lines.split(separator: "\n").filter { $0.contains("flood") }.count == Log.maxRepeats)
        #expect(Log.linesLeftOut.value >= before + UInt64(300 - Log.maxRepeats))
    }

    @Test func levelsAndFormatsHaveNames() {
        #expect(Log.Level(name: "debug") == .debug && Log.Level(name: "loud") == nil)
        #expect(Log.Format(name: "json") == .json && Log.Format(name: "xml") == nil)
    }

    @Test func timestampsAreRFC3339() {
        #expect(Log.timestamp(seconds: 0, milliseconds: 7) == "1970-01-01T00:00:00.007Z")
        #expect(Log.timestamp(seconds: 1_700_000_000, milliseconds: 0) == "2023-11-14T22:13:20.000Z")
    }
}

@Suite struct ProcessMetricsTests {
    @Test func descriptorsAreCountedEitherWay() throws {
        let before = ProcessMetrics.countDescriptors()
        #expect(before > 2)
        let opened = (0..<50).map { _ in open("/dev/null", O_RDONLY) }
        defer { for descriptor in opened { close(descriptor) } }
        // Other suites of this process open and close some at the same time.
        #expect(ProcessMetrics.countDescriptors() >= before + 25)
        #expect(abs(ProcessMetrics.openDescriptors - ProcessMetrics.countDescriptors()) < 25)
        #expect(ProcessMetrics.maxDescriptors > 50)
    }

    @Test func memoryAndTimeAreThisProcesss() {
        #expect(ProcessMetrics.residentBytes > 1 << 20)
        #expect(ProcessMetrics.cpuSeconds > 0)
    }
}
