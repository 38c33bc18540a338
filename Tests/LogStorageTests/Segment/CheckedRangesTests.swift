import Testing

@testable import LogStorage

/// What is known to be whole, and for how long.
@Suite struct CheckedRangesTests {
    private let second = 1_000_000_000

    @Test func neighboursAreOneRange() {
        var ranges = CheckedRanges()
        #expect(ranges.end(from: 0, now: 0) == 0)
        ranges.insert(0..<100, now: 0)
        ranges.insert(100..<150, now: second)
        ranges.insert(300..<400, now: second)
        #expect(ranges.end(from: 0, now: second) == 150)
        #expect(ranges.end(from: 149, now: second) == 150)
        #expect(ranges.end(from: 150, now: second) == 150)
        #expect(ranges.end(from: 350, now: second) == 400)
        // The gap filled: one run to the end.
        ranges.insert(150..<300, now: second)
        #expect(ranges.end(from: 20, now: second) == 400)
    }

    @Test func aCheckHoldsForItsLifetime() {
        var ranges = CheckedRanges()
        ranges.insert(0..<100, now: 0)
        // Grown late, it would outlive its first check: a range of its own.
        ranges.insert(100..<200, now: CheckedRanges.growth)
        let end = CheckedRanges.lifetime
        #expect(ranges.end(from: 0, now: end - 1) == 200)
        #expect(ranges.end(from: 0, now: end) == 0)
        #expect(ranges.end(from: 100, now: end) == 200)
        #expect(ranges.end(from: 100, now: end + CheckedRanges.growth) == 100)
    }

    @Test func theOldestIsForgottenWhenThereAreTooMany() {
        var ranges = CheckedRanges()
        for place in 0...CheckedRanges.capacity { ranges.insert(Int64(place * 10)..<Int64(place * 10 + 5), now: place) }
        #expect(ranges.end(from: 0, now: 100) == 0)
        #expect(ranges.end(from: 10, now: 100) == 15)
        ranges.removeAll()
        #expect(ranges.end(from: 10, now: 100) == 10)
    }
}
