import Telemetry
import Testing

@Suite struct LatencyHistogramTests {
    @Test func nothingSeenHasNoQuantiles() {
        let histogram = LatencyHistogram()
        #expect(histogram.count == 0)
        #expect(histogram.quantile(0.99) == 0)
    }

    @Test func smallValuesAreExact() {
        var histogram = LatencyHistogram()
        for value in 0..<64 { histogram.observe(nanoseconds: Int64(value)) }
        #expect(histogram.quantile(0) == 0)
        #expect(histogram.quantile(0.5) == 31)
        #expect(histogram.quantile(1) == 63)
    }

    /// Every quantile lies at the true value or at most a 32nd above it, over all sizes.
    @Test(arguments: [0.01, 0.5, 0.9, 0.99, 0.999, 1])
    func quantilesAreAtMostAThirtySecondTooHigh(fraction: Double) {
        var histogram = LatencyHistogram()
        var values: [Int64] = []
        var value: Int64 = 1
        while value < 1 << 58 {
            values.append(value)
            histogram.observe(nanoseconds: value)
            value += value / 7 + 1
        }
        let exact = values[max(0, Int((Double(values.count) * fraction).rounded(.up)) - 1)]
        let found = histogram.quantile(fraction)
        #expect(found >= exact && found <= exact + exact / 32, "\(exact) \(found)")
    }

    @Test func quantilesNeverExceedTheLongestWait() {
        var histogram = LatencyHistogram()
        histogram.observe(nanoseconds: 1_000_001, times: 3)
        histogram.observe(nanoseconds: -5)
        #expect(histogram.longest == 1_000_001)
        #expect(histogram.quantile(0.999) == 1_000_001)
        #expect(histogram.quantile(0.2) == 0)
    }

    @Test func mergedHistogramsCountAsOne() {
        var one = LatencyHistogram()
        var other = LatencyHistogram()
        for _ in 0..<90 { one.observe(nanoseconds: 10) }
        for _ in 0..<10 { other.observe(nanoseconds: 50) }
        one.merge(other)
        #expect(one.count == 100)
        #expect(one.longest == 50)
        #expect(one.quantile(0.9) == 10)
        #expect(one.quantile(0.91) == 50)
    }
}
