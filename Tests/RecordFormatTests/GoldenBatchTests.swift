import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@Suite struct GoldenBatchTests {
    @Test func javaBatchesAreValid() {
        for (name, bytes) in GoldenBatches.all {
            #expect(refusal(of: bytes, RecordBatchValidator(origin: .broker)) == nil, "\(name)")
        }
        for (name, bytes) in GoldenBatches.full { #expect(refusal(of: bytes) == nil, "\(name)") }
    }

    @Test func javaRecordsReadBackFromEveryCodec() throws {
        for (name, bytes) in GoldenBatches.full {
            let base = bytes.withUnsafeBytes { RecordBatchHeader(unchecked: $0.baseAddress!).baseOffset.rawValue }
            let expected = goldenRecords.map { record in
                var moved = record
                moved.offset += base
                if name == "logAppendTime" { moved.timestampMs = 1_700_000_000_777 }
                return moved
            }
            #expect(try readAll(bytes) == expected, "\(name)")
        }
    }

    @Test func headerFieldsAreWhereJavaWroteThem() {
        GoldenBatches.transactional.withUnsafeBytes { raw in
            let header = RecordBatchHeader(unchecked: raw.baseAddress!)
            #expect(header.baseOffset == Offset(500))
            #expect(header.lastOffset == Offset(504))
            #expect(header.totalSize == raw.count)
            #expect(header.partitionLeaderEpoch == LeaderEpoch(12))
            #expect(header.magic == 2)
            #expect(header.attributes == .transactional)
            #expect(header.baseTimestampMs == 1_700_000_000_000)
            #expect(header.maxTimestampMs == 1_700_000_000_100)
            #expect(header.producerID == ProducerID(9001))
            #expect(header.producerEpoch == ProducerEpoch(7))
            #expect(header.baseSequence == Sequence32(.max - 1))
            // The sequence wraps to 0 after 2^31 - 1.
            #expect(header.lastSequence == Sequence32(2))
            #expect(header.recordCount == 5)
            #expect(header.isTransactional && !header.isControl && header.hasProducerID)
            #expect(header.recordsBytes.count == raw.count - 61)
        }
        GoldenBatches.zstd.withUnsafeBytes { raw in
            let header = RecordBatchHeader(unchecked: raw.baseAddress!)
            #expect(header.attributes.compression == .zstd)
            #expect(!header.hasProducerID && header.lastSequence == .none)
        }
        GoldenBatches.deleteHorizonWithGaps.withUnsafeBytes { raw in
            let header = RecordBatchHeader(unchecked: raw.baseAddress!)
            #expect(header.attributes == .deleteHorizon)
            #expect(header.baseTimestampMs == 1_700_000_009_999)
            #expect(header.lastOffset == Offset(109))
        }
    }

    @Test func builderWritesTheBytesOfJava() throws {
        var builder = RecordBatchBuilder()
        for record in goldenRecords { builder.append(record) }
        #expect(try builder.finish().array == GoldenBatches.none)

        for record in goldenRecords { builder.append(record) }
        var options = RecordBatchBuilder.Options()
        options.baseOffset = Offset(500)
        options.partitionLeaderEpoch = LeaderEpoch(12)
        options.producerID = ProducerID(9001)
        options.producerEpoch = ProducerEpoch(7)
        options.baseSequence = Sequence32(.max - 1)
        options.attributes = .transactional
        #expect(try builder.finish(options).array == GoldenBatches.transactional)

        for record in goldenRecords { builder.append(record) }
        options = RecordBatchBuilder.Options()
        options.baseOffset = Offset(10)
        options.partitionLeaderEpoch = LeaderEpoch(4)
        options.logAppendTimeMs = 1_700_000_000_777
        #expect(try builder.finish(options).array == GoldenBatches.logAppendTime)
    }

    @Test func builderWritesWhatCompactionLeavesAsJavaDoes() throws {
        var builder = RecordBatchBuilder()
        builder.begin(baseTimestampMs: 1_700_000_009_999)
        builder.append(goldenRecords[0], offsetDelta: 1)
        builder.append(goldenRecords[2], offsetDelta: 4)
        var options = RecordBatchBuilder.Options()
        options.baseOffset = Offset(100)
        options.partitionLeaderEpoch = LeaderEpoch(4)
        options.attributes = .deleteHorizon
        options.lastOffsetDelta = 9
        let slice = try builder.finish(options)
        #expect(slice.array == GoldenBatches.deleteHorizonWithGaps)
        let read = try readAll(slice.array)
        #expect(read.map(\.offset) == [101, 104])
        #expect(read.map(\.timestampMs) == [1_700_000_000_000, 1_699_999_999_990])

        options = RecordBatchBuilder.Options(compression: .zstd)
        options.baseOffset = Offset(300)
        options.partitionLeaderEpoch = LeaderEpoch(4)
        options.producerID = ProducerID(9001)
        options.producerEpoch = ProducerEpoch(7)
        options.baseSequence = Sequence32(41)
        options.attributes = .transactional
        options.lastOffsetDelta = 9
        options.emptyMaxTimestampMs = 1_700_000_000_000
        let empty = try builder.finish(options)
        #expect(empty.array == GoldenBatches.emptyAfterCompaction)
        #expect(try readAll(empty.array).isEmpty)
    }

    @Test func markersAreThoseOfJava() throws {
        for (golden, commit, offset, epoch) in [
            (GoldenBatches.commitMarker, true, Int64(77), Int32(21)),
            (GoldenBatches.abortMarker, false, 78, 22),
        ] {
            let marker = EndTransactionMarker(isCommit: commit, coordinatorEpoch: epoch)
            let slice = marker.batch(
                producerID: ProducerID(9001), producerEpoch: ProducerEpoch(7),
                timestampMs: 1_699_999_999_923 + offset, baseOffset: Offset(offset),
                partitionLeaderEpoch: LeaderEpoch(3))
            #expect(slice.array == golden)

            var records = RecordIterator()
            let header = RecordBatchHeader(unchecked: UnsafeRawPointer(slice.pointer))
            try records.open(header)
            let record = try #require(try records.next())
            #expect(EndTransactionMarker(record) == marker)
            #expect(ControlRecordType(key: record.key) == (commit ? .commit : .abort))
            #expect(header.isControl && header.isTransactional)
        }
        #expect(refusal(of: GoldenBatches.commitMarker) == .controlBatchFromClient)
    }
}
