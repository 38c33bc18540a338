import Testing

@testable import LogStorage

@Suite struct PaceTests {
    private static let second = 1_000_000_000

    @Test func whatComesAtThePaceIsTaken() {
        let pace = Pace(bytesPerSecond: 1000, maxAheadNs: Self.second / 4)
        let taken = (0..<50).count { pace.take(100, at: $0 * Self.second / 10) }
        #expect(taken == 50)
    }

    @Test func whatIsTooFarAheadIsNotTakenAndNotCounted() {
        let pace = Pace(bytesPerSecond: 1000, maxAheadNs: Self.second / 4)
        let atOnce = [pace.take(250, at: 0), pace.take(1, at: 0), pace.take(1, at: 0)]
        #expect(atOnce == [true, false, false])
        let later = [pace.take(101, at: Self.second / 10), pace.take(100, at: Self.second / 10)]
        #expect(later == [false, true])
    }

    @Test func aRestIsNoCreditBeyondTheMost() {
        let pace = Pace(bytesPerSecond: 1000, maxAheadNs: Self.second)
        let rested = 100 * Self.second
        let taken = [
            pace.take(1000, at: 0), pace.take(1001, at: rested), pace.take(1000, at: rested), pace.take(1, at: rested),
        ]
        #expect(taken == [true, false, true, false])
    }
}
