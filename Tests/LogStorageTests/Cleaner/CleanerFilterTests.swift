import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@testable import LogStorage

/// What of a batch stays, and in which form.
@Suite struct CleanerFilterTests {
    private let now: Int64 = 2_000_000_000_000
    private let retention: Int64 = 1000

    struct Seen: Equatable {
        var offset: Int64
        var key: String?
        var value: String?
        var timestamp: Int64
    }

    private func filter(
        nowMs: Int64? = nil, end: Int64 = .max, lastOffsets: [Int64: Int64] = [:], _ ends: TransactionEnds? = nil
    ) -> CleanerFilter {
        CleanerFilter(
            nowMs: nowMs ?? now, deleteRetentionMs: retention, endOffset: end, lastOffsets: lastOffsets,
            transactions: ends ?? TransactionEnds(from: 0))
    }

    private func batch(
        _ records: [(String?, String?)], at base: Int64 = 0, codec: Compression = .none,
        _ change: (inout RecordBatchBuilder.Options) -> Void = { _ in }
    ) throws -> ByteSlice {
        var builder = RecordBatchBuilder()
        for (index, record) in records.enumerated() {
            builder.append(
                key: record.0.map { Array($0.utf8) }, value: record.1.map { Array($0.utf8) },
                headers: [RecordHeader(key: "h", value: [7])], timestampMs: 1000 + Int64(index))
        }
        var options = RecordBatchBuilder.Options(compression: codec)
        options.baseOffset = Offset(base)
        options.partitionLeaderEpoch = LeaderEpoch(3)
        change(&options)
        return try builder.finish(options)
    }

    /// The outcome for a batch: its bytes, or nil when it goes. `newest`: keys whose newest record is elsewhere.
    private func decide(
        _ batch: ByteSlice, _ filter: inout CleanerFilter, newest: [String: Int64], latest: Int64 = .max - 1
    ) throws -> (bytes: [UInt8]?, isSame: Bool) {
        var map = OffsetMap(bytes: 1 << 16, records: 100, latestOffset: -1)
        for (key, offset) in newest { _ = Array(key.utf8).withUnsafeBytes { map.put($0, offset: offset) } }
        map.latestOffset = latest
        var records = RecordIterator()
        var builder = RecordBatchBuilder()
        let header = RecordBatchHeader(unchecked: batch.pointer)
        switch try filter.decide(header, map, &records, &builder) {
        case .same: return (batch.array, true)
        case .gone: return (nil, false)
        case .changed(let slice):
            _ = try RecordBatchValidator(origin: .broker).validateSingle(slice)
            return (slice.array, false)
        }
    }

    private func records(_ bytes: [UInt8]) throws -> [Seen] {
        try bytes.withUnsafeBytes { raw in
            var iterator = RecordIterator()
            try iterator.open(RecordBatchHeader(unchecked: raw.baseAddress!))
            var seen: [Seen] = []
            while let record = try iterator.next() {
                #expect(record.headers.map(\.copied) == [RecordHeader(key: "h", value: [7])])
                seen.append(
                    Seen(
                        offset: record.offset.rawValue, key: record.key.map { String(decoding: $0, as: UTF8.self) },
                        value: record.value.map { String(decoding: $0, as: UTF8.self) },
                        timestamp: record.timestampMs))
            }
            return seen
        }
    }

    private func header<Value>(_ bytes: [UInt8], _ body: (RecordBatchHeader) -> Value) -> Value {
        bytes.withUnsafeBytes { body(RecordBatchHeader(unchecked: $0.baseAddress!)) }
    }

    @Test(arguments: Compression.allCases)
    func recordsStayAtTheirOffsetsInABatchOfTheSameBounds(_ codec: Compression) throws {
        let batch = try batch([("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")], at: 10, codec: codec) {
            $0.producerID = ProducerID(9)
            $0.producerEpoch = ProducerEpoch(1)
            $0.baseSequence = Sequence32(40)
        }
        var filter = filter()
        let (bytes, _) = try decide(batch, &filter, newest: ["a": 13, "b": 11, "c": 99])
        let left = try #require(bytes)
        #expect(
            try records(left) == [
                Seen(offset: 11, key: "b", value: "2", timestamp: 1001),
                Seen(offset: 13, key: "a", value: "4", timestamp: 1003),
            ])
        header(left) { header in
            #expect(header.baseOffset == Offset(10) && header.lastOffset == Offset(13))
            #expect(header.attributes.compression == codec)
            #expect(header.partitionLeaderEpoch == LeaderEpoch(3))
            #expect(header.producerID == ProducerID(9) && header.producerEpoch == ProducerEpoch(1))
            #expect(header.baseSequence == Sequence32(40) && header.lastSequence == Sequence32(43))
            #expect(header.recordCount == 2)
        }
    }

    @Test func aBatchOfWhichAllStaysIsNotTouched() throws {
        var filter = filter()
        #expect(try decide(batch([("a", "1"), ("b", "2")], codec: .lz4), &filter, newest: ["a": 0]).isSame)
        // Past what the map knows nothing is judged.
        #expect(try decide(batch([("a", "1")], at: 50), &filter, newest: ["a": 99], latest: 49).isSame)
    }

    @Test func aBatchOfWhichNothingStaysGoes() throws {
        var filter = filter()
        #expect(try decide(batch([("a", "1"), (nil, "2")]), &filter, newest: ["a": 5]).bytes == nil)
    }

    @Test func theNewestBatchOfAProducerStaysEmpty() throws {
        let batch = try batch([("a", "1"), ("a", "2")], at: 4, codec: .zstd) {
            $0.producerID = ProducerID(9)
            $0.producerEpoch = ProducerEpoch(0)
            $0.baseSequence = Sequence32(7)
        }
        var filter = filter(lastOffsets: [9: 5])
        let left = try #require(try decide(batch, &filter, newest: ["a": 50]).bytes)
        #expect(left.count == RecordBatchHeader.size)
        header(left) { header in
            #expect(header.baseOffset == Offset(4) && header.lastOffset == Offset(5) && header.recordCount == 0)
            #expect(header.producerID == ProducerID(9) && header.lastSequence == Sequence32(8))
            #expect(header.maxTimestampMs == 1001 && header.attributes.compression == Compression.none)
        }
        // Once empty it stays as it is, until its producer writes again or is forgotten.
        let empty = left.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        #expect(try decide(empty, &filter, newest: [:]).isSame)
        var later = self.filter(lastOffsets: [9: 80])
        #expect(try decide(empty, &later, newest: [:]).bytes == nil)
    }

    @Test func theLastBatchOfAPassStaysEmpty() throws {
        var filter = filter(end: 3)
        let left = try #require(try decide(batch([("a", "1")], at: 2), &filter, newest: ["a": 9]).bytes)
        header(left) { #expect($0.recordCount == 0 && $0.lastOffset == Offset(2)) }
    }

    @Test func aTombstoneGetsAHorizonAndGoesWhenItHasPassed() throws {
        let batch = try batch([("a", nil), ("b", "2")])
        var first = filter()
        let marked = try #require(try decide(batch, &first, newest: ["a": 0]).bytes)
        #expect(first.earliestHorizonMs == now + retention)
        header(marked) { header in
            #expect(header.attributes.contains(.deleteHorizon) && header.baseTimestampMs == now + retention)
            #expect(header.maxTimestampMs == 1001)
        }
        // The timestamps are the records' own, relative to another base.
        #expect(try records(marked).map(\.timestamp) == [1000, 1001])
        let stored = marked.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        // A pass before the horizon changes nothing, and does not move it.
        var second = filter(nowMs: now + retention - 1)
        #expect(try decide(stored, &second, newest: [:]).isSame)
        #expect(second.earliestHorizonMs == now + retention)
        var third = filter(nowMs: now + retention)
        let left = try #require(try decide(stored, &third, newest: [:]).bytes)
        #expect(try records(left).map(\.key) == ["b"])
        #expect(third.earliestHorizonMs == .max)
    }

    @Test func aBatchWithLogAppendTimeKeepsIt() throws {
        let batch = try batch([("a", "1"), ("b", "2")]) { $0.logAppendTimeMs = 5555 }
        var filter = filter()
        let left = try #require(try decide(batch, &filter, newest: ["a": 9]).bytes)
        #expect(try records(left) == [Seen(offset: 1, key: "b", value: "2", timestamp: 5555)])
        header(left) { #expect($0.attributes.contains(.logAppendTime) && $0.maxTimestampMs == 5555) }
    }

    // MARK: Transactions

    private func data(_ producer: Int64, at offset: Int64, key: String) throws -> ByteSlice {
        try batch([(key, "v")], at: offset) {
            $0.producerID = ProducerID(producer)
            $0.producerEpoch = ProducerEpoch(0)
            $0.baseSequence = Sequence32(0)
            $0.attributes = [.transactional]
        }
    }

    private func marker(_ producer: Int64, at offset: Int64, isCommit: Bool) -> ByteSlice {
        EndTransactionMarker(isCommit: isCommit, coordinatorEpoch: 1).batch(
            producerID: ProducerID(producer), producerEpoch: ProducerEpoch(0), timestampMs: 1,
            baseOffset: Offset(offset))
    }

    private func ends(_ batches: [ByteSlice]) throws -> TransactionEnds {
        var ends = TransactionEnds(from: 0)
        var records = RecordIterator()
        for batch in batches {
            let header = RecordBatchHeader(unchecked: batch.pointer)
            ends.record(header, marker: try records.marker(of: header))
        }
        return ends
    }

    @Test func abortedDataGoesAndCommittedStays() throws {
        let aborted = try data(1, at: 0, key: "a")
        let committed = try data(2, at: 1, key: "b")
        let ends = try ends([aborted, committed, marker(1, at: 2, isCommit: false), marker(2, at: 3, isCommit: true)])
        var filter = filter(ends)
        #expect(try decide(aborted, &filter, newest: [:]).bytes == nil)
        #expect(try decide(committed, &filter, newest: [:]).isSame)
        // Their data was still there in this pass: the markers stay as they are.
        #expect(try decide(marker(1, at: 2, isCommit: false), &filter, newest: [:]).isSame)
        #expect(try decide(marker(2, at: 3, isCommit: true), &filter, newest: [:]).isSame)
    }

    @Test(arguments: [true, false])
    func aMarkerOfNothingGetsAHorizonAndGoes(_ isCommit: Bool) throws {
        let batch = marker(1, at: 2, isCommit: isCommit)
        var first = filter()
        let marked = try #require(try decide(batch, &first, newest: [:]).bytes)
        header(marked) { #expect($0.isControl && $0.attributes.contains(.deleteHorizon) && $0.recordCount == 1) }
        let stored = marked.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        var records = RecordIterator()
        #expect(
            try records.marker(of: RecordBatchHeader(unchecked: stored.pointer))
                == EndTransactionMarker(isCommit: isCommit, coordinatorEpoch: 1))
        var second = filter(nowMs: now + retention - 1)
        #expect(try decide(stored, &second, newest: [:]).isSame)
        var third = filter(nowMs: now + retention)
        #expect(try decide(stored, &third, newest: [:]).bytes == nil)
        // As the newest of its producer it keeps the epoch.
        var fencing = filter(nowMs: now + retention, lastOffsets: [1: 2])
        let left = try #require(try decide(stored, &fencing, newest: [:]).bytes)
        header(left) { #expect($0.recordCount == 0 && $0.isControl && $0.producerID == ProducerID(1)) }
    }

    @Test func recordsThatCannotBeReadAreAnError() throws {
        var bytes = try batch([("a", "1")]).array
        bytes[RecordBatchHeader.size] = 0xff
        let damaged = bytes.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        var filter = filter()
        #expect(throws: (any Error).self) { try decide(damaged, &filter, newest: [:]) }
    }
}
