import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// Compaction of a whole log on the simulated disk: what stays, what readers see meanwhile, what a crash leaves.
@Suite struct CompactionTests {
    static let now = TestStore.now

    struct Seen: Equatable {
        var offset: Int64
        var key: String
        var value: String?
    }

    private static func settings(_ change: (inout LogSettings) -> Void = { _ in }) -> LogSettings {
        var settings = TestStore.settings
        settings.segmentBytes = 400
        settings.isCompacted = true
        settings.deletesByRetention = false
        settings.minCleanableDirtyRatio = 0
        settings.deleteRetentionMs = 1000
        change(&settings)
        return settings
    }

    private func store(_ change: (inout LogSettings) -> Void = { _ in }) throws -> TestStore {
        try TestStore(settings: Self.settings(change))
    }

    @discardableResult
    private func put(
        _ store: TestStore, _ key: String?, _ value: String?, producer: (id: Int64, sequence: Int32)? = nil,
        nowMs: Int64 = CompactionTests.now
    ) -> Int64 {
        var batch = TestBatch([TestRecord(key: key, value)])
        batch.baseTimestamp = nowMs
        if let producer {
            (batch.producerID, batch.producerEpoch, batch.baseSequence) = (producer.id, 0, producer.sequence)
        }
        return store.append(batch, nowMs: nowMs).baseOffset.rawValue
    }

    private static let filler = String(repeating: ".", count: 90)

    /// Updates of three keys round and round, and a last one that has a segment of its own.
    private func fill(_ store: TestStore, updates: Int = 24) throws {
        for number in 0..<updates { put(store, "k\(number % 3)", "\(number) \(Self.filler)") }
        try store.checkpoint()
        try #require(store.log.segmentCount > 3)
    }

    private func records(_ store: TestStore, maxBytes: Int = 1 << 20) throws -> [Seen] {
        try Self.records(of: store.log, maxBytes: maxBytes)
    }

    static func records(of log: PartitionLog, maxBytes: Int = 1 << 20) throws -> [Seen] {
        var seen: [Seen] = []
        var offset = log.logStartOffset
        var records = RecordIterator()
        while offset < log.highWatermark {
            let fetched = try log.read(from: offset, maxBytes: maxBytes).get()
            if fetched.slices.isEmpty { break }
            for slice in fetched.slices {
                var cursor = RecordBatchCursor(slice.bytes, validator: RecordBatchValidator(origin: .broker))
                while let batch = try cursor.next() {
                    try records.open(batch)
                    while let record = try records.next() {
                        if record.offset < log.logStartOffset { continue }
                        seen.append(
                            Seen(
                                offset: record.offset.rawValue,
                                key: record.key.map { String(decoding: $0, as: UTF8.self) } ?? "-",
                                value: record.value.map { String(decoding: $0, as: UTF8.self) }))
                    }
                    offset = batch.lastOffset + 1
                }
            }
        }
        return seen
    }

    /// The newest value of each key, and no key whose newest record is a tombstone.
    static func table(_ records: [Seen]) -> [String: String] {
        var table: [String: String] = [:]
        for record in records { table[record.key] = record.value }
        return table
    }

    private func plan(_ store: TestStore) -> CleanerPlan {
        store.log.state.withLock { state in
            CleanerPlan(
                closed: store.log.closedSegments(state), progress: state.cleaner, limit: state.checkpointedSegmentBase,
                settings: state.settings, nowMs: Self.now)
        }
    }

    private func logs(_ store: TestStore) -> [String] { store.files.filter { $0.hasSuffix(".log") } }

    @Test func theNewestRecordOfEachKeyIsLeft() throws {
        let store = try store()
        try fill(store)
        let before = try records(store)
        let size = store.log.sizeInBytes
        let closedEnd = store.log.state.withLock { $0.segments.last!.baseOffset }
        #expect(store.store.clean(nowMs: Self.now) == 1)
        let after = try records(store)
        #expect(Self.table(after) == Self.table(before))
        // One record of each key in the closed part; the active segment is as it was.
        #expect(after.filter { $0.offset < closedEnd }.count == 3)
        #expect(after.filter { $0.offset >= closedEnd } == before.filter { $0.offset >= closedEnd })
        #expect(after.allSatisfy { before.contains($0) })
        #expect(store.log.sizeInBytes < size / 2)
        #expect(store.log.logStartOffset == .zero)
        // Small neighbours have become one.
        #expect(store.log.segmentCount == 3)
        #expect(logs(store).count == store.log.segmentCount)
        // There is nothing left to do.
        #expect(store.store.clean(nowMs: Self.now) == 0)
        for _ in 0..<2 {
            #expect(try records(store) == after)
            #expect(try records(store, maxBytes: 1) == after)
            try store.crash()
            #expect(store.store.clean(nowMs: Self.now) == 0, "progress was lost")
        }
    }

    @Test func everyOffsetCanBeReadFrom() throws {
        let store = try store()
        try fill(store)
        store.store.clean(nowMs: Self.now)
        let all = try records(store)
        for offset in 0..<store.log.highWatermark.rawValue {
            let found = try store.read(from: offset, maxBytes: 1)
            // The first batch that ends at or behind it.
            let batch = try #require(found.first)
            #expect(batch.upperBound >= offset)
            #expect(
                all.first { $0.offset >= offset }.map { batch.upperBound <= $0.offset || batch.contains($0.offset) }
                    != false)
        }
        #expect(try store.read(from: store.log.highWatermark.rawValue).isEmpty)
    }

    @Test func theActiveSegmentAndWhatIsNotCheckpointedWait() throws {
        let store = try store()
        try fill(store)
        store.store.clean(nowMs: Self.now)
        let boundary = store.log.state.withLock { $0.checkpointedSegmentBase }
        for number in 0..<9 { put(store, "k\(number % 3)", Self.filler) }
        store.store.commitPending()
        #expect(plan(store).endOffset <= boundary)
        // The cleaner makes the checkpoint that it needs.
        let checkpoints = store.store.statistics.checkpoints.load(ordering: .relaxed)
        #expect(store.store.clean(nowMs: Self.now) == 1)
        #expect(store.store.statistics.checkpoints.load(ordering: .relaxed) > checkpoints)
        #expect(store.log.state.withLock { $0.cleaner.firstDirtyOffset == $0.segments.last!.baseOffset })
    }

    @Test func tombstonesGoWhenTheirTimeHasCome() throws {
        let store = try store()
        put(store, "a", Self.filler)
        put(store, "b", Self.filler)
        put(store, "a", nil)
        try fill(store)
        store.store.clean(nowMs: Self.now)
        #expect(try records(store).filter { $0.key == "a" } == [Seen(offset: 2, key: "a", value: nil)])
        store.store.clean(nowMs: Self.now + 999)
        #expect(try records(store).contains { $0.key == "a" })
        try store.crash()
        // Nothing was written since: the tombstone's own time makes the log due.
        #expect(store.store.clean(nowMs: Self.now + 1000) == 1)
        for _ in 0..<2 {
            #expect(try !records(store).contains { $0.key == "a" })
            #expect(try records(store).contains { $0.key == "b" })
            try store.crash()
        }
        #expect(store.store.clean(nowMs: Self.now + 2000) == 0)
    }

    @Test func aProducersSequenceSurvives() throws {
        let store = try store()
        for sequence in 0..<4 as Range<Int32> { put(store, "p", "\(sequence)", producer: (7, sequence)) }
        try fill(store)
        put(store, "p", "new")
        try fill(store, updates: 9)
        store.store.clean(nowMs: Self.now)
        // The last batch of the producer stands there without its record.
        #expect(try store.read(from: 0, maxBytes: 1) == [3...3])
        #expect(try records(store).filter { $0.key == "p" }.map(\.value) == ["new"])
        try store.crash()
        let retried = put(store, "p", "3", producer: (7, 3))
        #expect(retried == 3)
        #expect(put(store, "p", "4", producer: (7, 4)) > 3)
    }

    /// Its newest batch may be lost in a crash, and then the one before it is the newest.
    @Test func theNewestBatchOfAProducerIsTheNewestOnDisk() throws {
        let store = try store()
        for sequence in 0..<4 as Range<Int32> { put(store, "p", "\(sequence)", producer: (7, sequence)) }
        put(store, "p", "new")
        try fill(store)
        put(store, "q", "not on disk", producer: (7, 4))
        _ = try CleanerPass(store.log, plan(store), nowMs: Self.now).run()
        try store.crash()
        #expect(try store.read(from: 0, maxBytes: 1) == [3...3])
        #expect(put(store, "p", "3", producer: (7, 3)) == 3)
    }

    @Test func aMapThatIsFullGoesOnNextTime() throws {
        let store = try store()
        for round in 0..<3 {
            for key in 0..<20 { put(store, "key \(key)", "\(round) \(Self.filler)") }
        }
        try store.checkpoint()
        let expected = Self.table(try records(store))
        var options = TestStore.options
        // Room for about ten keys.
        options.cleanerMapBytes = OffsetMap.slotBytes * 12
        let small = try TestStore(
            store.fileSystem.crash(keeping: .everything), options: options, settings: Self.settings())
        var rounds = 0
        while small.store.clean(nowMs: Self.now) == 1 {
            rounds += 1
            #expect(Self.table(try records(small)) == expected)
            try #require(rounds < 50)
        }
        #expect(rounds > 3)
        let closedEnd = small.log.state.withLock { $0.segments.last!.baseOffset }
        let left = try records(small).filter { $0.offset < closedEnd }.map(\.key)
        #expect(Set(left).count == left.count)
    }

    @Test func aReaderOfAnOldSegmentIsNotDisturbed() throws {
        let store = try store()
        try fill(store)
        let before = try records(store)
        let fetched = try store.log.read(from: .zero, maxBytes: 300).get()
        store.store.clean(nowMs: Self.now)
        var cursor = RecordBatchCursor(fetched.slices[0].bytes, validator: RecordBatchValidator(origin: .broker))
        #expect(try cursor.next()?.baseOffset == .zero)
        #expect(try records(store).allSatisfy { before.contains($0) })
    }

    /// The CRC covers byte 100, and neither the base offset (5) nor the leader epoch (14).
    @Test(arguments: [100, 5, 14] as [Int64])
    func aDamagedSegmentStaysAsItIs(byte: Int64) throws {
        let store = try store()
        try fill(store)
        let second = logs(store)[1]
        store.fileSystem.flipBit(store.path(second), at: byte)
        let damaged = try #require(store.fileSystem.contents(store.path(second)))
        store.store.clean(nowMs: Self.now)
        store.store.clean(nowMs: Self.now + 5000)
        #expect(store.fileSystem.contents(store.path(second)) == damaged)
        #expect(store.store.statistics.uncleanablePartitions.load(ordering: .relaxed) == 1)
        #expect(!store.store.isOffline)
        #expect(logs(store).contains(second) && logs(store).count == store.log.segmentCount)
        #expect(!store.files.contains { $0.hasSuffix(".cleaned") || $0.hasSuffix(".swap") })
    }

    @Test func recordsOfTheTimeBeforeWithoutKeyGo() throws {
        let store = try store { $0.isCompacted = false }
        for _ in 0..<8 { put(store, nil, Self.filler) }
        var settings = store.log.settings
        settings.isCompacted = true
        store.log.apply(settings)
        try fill(store, updates: 12)
        #expect(store.store.clean(nowMs: Self.now) == 1)
        #expect(try !records(store).contains { $0.key == "-" })
        // And back: nothing is compacted any more.
        settings.isCompacted = false
        store.log.apply(settings)
        try fill(store, updates: 12)
        #expect(store.store.clean(nowMs: Self.now) == 0)
    }

    @Test func bothPoliciesAreKept() throws {
        let store = try store {
            $0.deletesByRetention = true
            $0.retentionMs = 1000
        }
        try fill(store)
        store.store.clean(nowMs: Self.now)
        #expect(store.log.enforceRetention(nowMs: Self.now + 2000))
        try store.checkpoint()
        #expect(try records(store).isEmpty)
        #expect(logs(store).count <= 1)
        #expect(put(store, "k", "v", nowMs: Self.now + 2000) == 24)
    }

    @Test func timesAreFoundAfterCompaction() throws {
        let store = try store()
        for number in 0..<20 as Range<Int64> {
            put(store, "k\(number % 4)", Self.filler, nowMs: Self.now + number * 10)
        }
        try store.checkpoint()
        store.store.clean(nowMs: Self.now + 1000)
        let left = try records(store)
        for number in 0..<20 as Range<Int64> {
            let found = try store.log.firstOffset(notBefore: Self.now + number * 10).get()
            #expect(found?.offset.rawValue == left.first { $0.offset >= number }?.offset)
        }
    }

    @Test func abortedDataGoesFromALog() throws {
        let store = try store()
        func transactional(_ producer: Int64, _ sequence: Int32, _ key: String) {
            var batch = TestBatch([TestRecord(key: key, Self.filler)])
            (batch.producerID, batch.producerEpoch, batch.baseSequence) = (producer, 0, sequence)
            batch.isTransactional = true
            _ = store.append(batch)
        }
        func end(_ producer: Int64, isCommit: Bool) throws {
            let batch = EndTransactionMarker(isCommit: isCommit, coordinatorEpoch: 0).batch(
                producerID: ProducerID(producer), producerEpoch: ProducerEpoch(0), timestampMs: Self.now)
            _ = try store.log.append(batch, origin: .broker, nowMs: Self.now).get()
        }
        put(store, "x", "old")
        transactional(1, 0, "x")
        transactional(2, 0, "y")
        try end(1, isCommit: false)
        try end(2, isCommit: true)
        try fill(store)
        // A transaction without an end: nothing from it on is decided.
        transactional(3, 0, "z")
        try fill(store)
        store.store.clean(nowMs: Self.now)
        let open = store.log.state.withLock { $0.cleaner.firstDirtyOffset }
        #expect(open == 29)
        let left = try records(store)
        // What the aborted record would have replaced is still there.
        #expect(left.first { $0.key == "x" } == Seen(offset: 0, key: "x", value: "old"))
        #expect(!left.contains { $0.offset == 1 })
        #expect(left.contains { $0.offset == 2 } && left.contains { $0.key == "z" })
        // Both markers are there; that of the aborted one has its data's end to tell until its horizon.
        #expect(try store.read(from: 3, maxBytes: 1) == [3...3])
        #expect(try store.read(from: 4, maxBytes: 1) == [4...4])
        try end(3, isCommit: true)
        try fill(store)
        store.store.clean(nowMs: Self.now)
        store.store.clean(nowMs: Self.now + 1000)
        store.store.clean(nowMs: Self.now + 2000)
        // The marker of nothing has gone but for its producer, of whom it is the newest batch.
        #expect(try records(store).first { $0.key == "x" }?.offset == 0)
        #expect(store.log.state.withLock { $0.cleaner.firstDirtyOffset } > open)
    }

    @Test func aDeletedPartitionIsLeftInPeace() throws {
        let store = try store()
        try fill(store)
        try store.store.removePartition(store.log)
        #expect(store.store.clean(nowMs: Self.now) == 0)
        #expect(!store.store.isOffline)
        #expect(try !store.fileSystem.exists(store.folder))
    }

    @Test func aFullDiskStopsCompactionAndNothingElse() throws {
        let store = try store()
        try fill(store)
        let before = try records(store)
        store.fileSystem.capacity = store.fileSystem.usedBytes
        store.store.clean(nowMs: Self.now)
        #expect(!store.store.isOffline)
        #expect(try records(store) == before)
        store.fileSystem.capacity = nil
        #expect(store.store.clean(nowMs: Self.now) == 1)
        #expect(try records(store).count < before.count)
    }

    /// The power goes at every call of a round, with everything, nothing or some of what was not synced kept.
    @Test(arguments: [SimulatedFileSystem.Keeping.nothing, .everything, .random])
    func aCrashAtAnyCallLosesNothing(_ keeping: SimulatedFileSystem.Keeping) throws {
        var call = 0
        while true {
            let store = try store()
            put(store, "gone", "x")
            put(store, "gone", nil)
            try fill(store, updates: 18)
            store.store.clean(nowMs: Self.now)
            try fill(store, updates: 9)
            let expected = Self.table(try records(store))
            // This round merges, rewrites, and drops the tombstone.
            store.fileSystem.haltAtCall(store.fileSystem.callCount + call)
            store.store.clean(nowMs: Self.now + 1000)
            let isHalted = store.fileSystem.isHalted
            try store.crash(keeping: keeping)
            #expect(Self.table(try records(store)) == expected, "call \(call)")
            #expect(store.log.logStartOffset == .zero && store.log.logEndOffset == Offset(29), "call \(call)")
            #expect(!store.files.contains { $0.hasSuffix(".cleaned") || $0.hasSuffix(".swap") }, "call \(call)")
            // And the round can be made after all.
            store.store.clean(nowMs: Self.now + 1000)
            #expect(Self.table(try records(store)) == expected, "call \(call)")
            #expect(try !records(store).contains { $0.key == "gone" }, "call \(call)")
            #expect(logs(store).count == store.log.segmentCount, "call \(call)")
            guard isHalted else { break }
            call += 1
        }
        #expect(call > 20)
    }
}
