import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@testable import LogStorage

/// The cleaner's parts that know of no files: the map, the plan, the transactions' ends, the names.
@Suite struct CleanerPartsTests {
    // MARK: Map

    @Test func theMapKnowsTheNewestOffsetOfEachKey() {
        var map = OffsetMap(bytes: 1 << 16, records: 1000, latestOffset: -1)
        var expected: [Int: Int64] = [:]
        var random = SeededRandom(seed: 7)
        for offset in 0..<1000 as Range<Int64> {
            let key = random.below(300)
            #expect(withUnsafeBytes(of: key) { map.put($0, offset: offset) })
            expected[key] = offset
        }
        #expect(map.count == expected.count)
        for key in 0..<400 { #expect(withUnsafeBytes(of: key) { map.offset(of: $0) } == expected[key]) }
    }

    @Test func theMapKeepsToItsMemory() {
        var map = OffsetMap(bytes: 2400, records: .max, latestOffset: -1)
        #expect(map.capacity == 90)
        var taken = 0
        while withUnsafeBytes(of: taken, { map.put($0, offset: Int64(taken)) }) { taken += 1 }
        #expect(taken == 90)
        // Known keys go on.
        #expect(withUnsafeBytes(of: 5) { map.put($0, offset: 1000) })
        #expect(withUnsafeBytes(of: 5) { map.offset(of: $0) } == 1000)
        #expect(withUnsafeBytes(of: 90) { map.offset(of: $0) } == nil)
        // A short log gets a small map.
        #expect(OffsetMap(bytes: 16 << 20, records: 9, latestOffset: -1).capacity < 20)
    }

    // MARK: Plan

    private let now: Int64 = 1_000_000

    /// Segments of ten offsets and 100 bytes each, a second apart, the last one 1 second old.
    private func closed(_ count: Int) -> [CleanerPlan.SegmentFacts] {
        (0..<count).map { number in
            let time = now - Int64(count - number) * 1000
            return CleanerPlan.SegmentFacts(
                baseOffset: Int64(number) * 10, endOffset: Int64(number) * 10 + 10, size: 100, firstTimestampMs: time,
                maxTimestampMs: time)
        }
    }

    private func plan(
        _ count: Int, dirtyFrom: Int64 = 0, limit: Int64 = .max, horizonMs: Int64 = .max,
        _ change: (inout LogSettings) -> Void = { _ in }
    ) -> (plan: CleanerPlan, isDue: Bool) {
        var settings = LogSettings()
        change(&settings)
        let plan = CleanerPlan(
            closed: closed(count),
            progress: CleanerProgress(firstDirtyOffset: dirtyFrom, earliestHorizonMs: horizonMs), limit: limit,
            settings: settings, nowMs: now)
        return (plan, plan.isDue(settings))
    }

    @Test func aLogIsDueWhenEnoughOfItIsDirty() {
        #expect(plan(4, dirtyFrom: 10).plan.dirtyRatio == 0.75)
        #expect(plan(4, dirtyFrom: 10).isDue)
        // Half is not more than half.
        #expect(plan(4, dirtyFrom: 20).plan.dirtyRatio == 0.5)
        #expect(!plan(4, dirtyFrom: 20).isDue)
        #expect(plan(4, dirtyFrom: 20) { $0.minCleanableDirtyRatio = 0.4 }.isDue)
        // A segment that is dirty in part counts.
        #expect(plan(4, dirtyFrom: 19).isDue)
        #expect(!plan(4, dirtyFrom: 40) { $0.minCleanableDirtyRatio = 0 }.isDue)
        #expect(!plan(0).isDue)
    }

    @Test func progressBeyondTheLogIsNotBelieved() {
        #expect(plan(4, dirtyFrom: 41).plan.firstDirtyOffset == 0)
    }

    @Test func nothingPastTheLimitIsTouched() {
        #expect(plan(4, limit: 39).plan.endOffset == 30)
        #expect(plan(4, limit: 40).plan.endOffset == 40)
        #expect(plan(4, limit: 5).plan.segments.isEmpty)
    }

    @Test func youngRecordsWait() {
        let waiting = plan(4) { $0.minCompactionLagMs = 2500 }
        #expect(waiting.plan.endOffset == 20)
        #expect(plan(4) { $0.minCompactionLagMs = .max }.plan.segments.isEmpty)
        // What is clean already does not wait.
        #expect(plan(4, dirtyFrom: 40) { $0.minCompactionLagMs = 2500 }.plan.endOffset == 40)
    }

    @Test func oldRecordsDoNotWaitForTheRatio() {
        #expect(!plan(4, dirtyFrom: 20) { $0.maxCompactionLagMs = 2000 }.isDue)
        #expect(plan(4, dirtyFrom: 20) { $0.maxCompactionLagMs = 1999 }.isDue)
    }

    @Test func aTombstonesTimeMakesALogDue() {
        #expect(plan(4, dirtyFrom: 40, horizonMs: now).isDue)
        #expect(!plan(4, dirtyFrom: 40, horizonMs: now + 1).isDue)
    }

    @Test func neighboursThatFitBecomeOneSegment() {
        let segments = closed(5)
        #expect(CleanerPlan.fits(segments[1], behind: segments[0], size: 150, segmentBytes: 250))
        #expect(!CleanerPlan.fits(segments[1], behind: segments[0], size: 151, segmentBytes: 250))
        var far = segments[4]
        far.endOffset = Int64(Int32.max)
        #expect(CleanerPlan.fits(far, behind: segments[0], size: 0, segmentBytes: 250))
        #expect(!CleanerPlan.fits(far, behind: segments[0], size: 0, segmentBytes: 99))
        far.endOffset += 1
        #expect(!CleanerPlan.fits(far, behind: segments[0], size: 0, segmentBytes: 250))
    }

    // MARK: Transactions

    private func note(_ ends: inout TransactionEnds, _ producer: Int64, at offset: Int64, _ marker: Bool? = nil) {
        var batch = TestBatch(count: 1, baseOffset: offset)
        batch.producerID = producer
        batch.isTransactional = true
        batch.isControl = marker != nil
        batch.bytes().withUnsafeBytes { bytes in
            let header = RecordBatchHeader(unchecked: bytes.baseAddress!)
            ends.record(header, marker: marker.map { EndTransactionMarker(isCommit: $0, coordinatorEpoch: 0) })
        }
    }

    @Test func aProducersNextMarkerDecides() {
        var ends = TransactionEnds(from: 5)
        note(&ends, 1, at: 10)
        note(&ends, 2, at: 11)
        note(&ends, 1, at: 12, false)
        note(&ends, 1, at: 13)
        note(&ends, 1, at: 14, true)
        #expect(ends.isAborted(1, at: 10))
        #expect(!ends.isAborted(1, at: 13))
        #expect(!ends.isAborted(2, at: 11))
        #expect(!ends.isAborted(3, at: 11))
        // Before the start another pass has decided.
        #expect(ends.isAborted(1, at: 5) && !ends.isAborted(1, at: 4))
        #expect(ends.firstUndecidedOffset == 11)
        note(&ends, 2, at: 15, false)
        #expect(ends.firstUndecidedOffset == nil)
    }

    // MARK: Names and progress

    @Test func anExchangesNameSaysWhatItReplaces() {
        #expect(CleanerName.range(ofExchange: CleanerName.exchange(0, 77)) == 0..<77)
        for name in ["x.swap", "00000000000000000000.log", CleanerName.exchange(77, 77), CleanerName.unfinished(0)] {
            #expect(CleanerName.range(ofExchange: name) == nil)
        }
    }

    @Test func progressIsReadBackAndDamageIsNotBelieved() {
        let partition = TopicPartition(topicID: TopicID(high: 1, low: 2), partitionIndex: 3)
        let bytes = CleanerProgress.encode([(partition, CleanerProgress(firstDirtyOffset: 4, earliestHorizonMs: 5))])
        #expect(
            CleanerProgress.decode(bytes) == [partition: CleanerProgress(firstDirtyOffset: 4, earliestHorizonMs: 5)])
        for at in bytes.indices where at != 6 && at != 7 {
            var damaged = bytes
            damaged[at] ^= 1
            #expect(CleanerProgress.decode(damaged) == nil, "byte \(at)")
        }
    }
}
