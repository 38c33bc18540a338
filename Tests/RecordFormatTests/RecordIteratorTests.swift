import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@Suite struct RecordIteratorTests {
    /// A batch with `records` as its uncompressed records, whatever they are.
    static func batch(records: [UInt8], count: Int32, lastOffsetDelta: Int32? = nil) -> [UInt8] {
        changed(Array(GoldenBatches.none.prefix(RecordBatchHeader.size)) + records) {
            $0.store(Int32($0.count - RecordBatchHeader.lengthOverhead), at: RecordBatchHeader.Field.batchLength)
            $0.store(count, at: RecordBatchHeader.Field.recordCount)
            $0.store(lastOffsetDelta ?? count - 1, at: RecordBatchHeader.Field.lastOffsetDelta)
        }
    }

    static func error(of bytes: [UInt8]) -> RecordBatchError? {
        do throws(RecordBatchError) {
            _ = try readAll(bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test func defectsInsideARecordAreNamed() {
        // length 6, attributes, timestamp delta, offset delta, key -1, value -1, no headers
        let good: [UInt8] = [12, 0, 0, 0, 1, 1, 0]
        #expect(Self.error(of: Self.batch(records: good, count: 1)) == nil)
        let cases: [([UInt8], RecordBatchError.RecordDefect)] = [
            ([13, 0, 0, 0, 1, 1, 0], .length),  // own length -7
            ([10, 0, 0, 0, 1, 1, 0], .length),  // own length one too short
            ([14, 0, 0, 0, 1, 1, 0, 9], .unusedBytes),
            ([14, 0, 0, 0, 1, 1, 0], .length),  // own length past the batch's end
            ([0], .length),  // own length 0
            ([12, 0, 0, 0, 3, 1, 0], .length),  // key length -2
            ([12, 0, 0, 0, 20, 1, 0], .length),  // key past the end
            ([12, 0, 0, 0, 1, 3, 0], .length),  // value length -2
            ([12, 0, 0, 0, 1, 1, 1], .length),  // header count -1
            ([12, 0, 0, 0, 1, 1, 2], .length),  // a header that is not there
            ([16, 0, 0, 0, 1, 1, 2, 1, 0], .length),  // header key length -1
            ([12, 0, 0, 2, 1, 1, 0], .offsetDelta),  // past the last offset
            ([12, 0, 0, 1, 1, 1, 0], .offsetDelta),  // negative
            ([12, 0, 0], .length),
            ([24, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, 1, 0], .length),  // offset delta of more than 32 bits
            ([22, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0], .length),  // offset delta 0 in six bytes
            ([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], .length),
        ]
        for (records, defect) in cases {
            #expect(
                Self.error(of: Self.batch(records: records, count: 1)) == .invalidRecord(index: 0, defect),
                "\(records)")
        }
        #expect(Self.error(of: Self.batch(records: good + [0], count: 1)) == .trailingBytes(1))
        #expect(
            Self.error(of: Self.batch(records: good + good, count: 2)) == .invalidRecord(index: 1, .offsetDelta))
        #expect(Self.error(of: Self.batch(records: good, count: 2)) == .invalidRecord(index: 1, .length))
        #expect(
            Self.error(of: Self.batch(records: good, count: -3))
                == .invalidRecordCount(recordCount: -3, lastOffsetDelta: -4))
    }

    @Test func afterADefectThereIsNothingMore() throws {
        let bytes = Self.batch(records: [12, 0, 0, 0, 3, 1, 0, 12, 0, 0, 2, 1, 1, 0], count: 2)
        try bytes.withUnsafeBytes { raw in
            var records = RecordIterator()
            try records.open(RecordBatchHeader(unchecked: raw.baseAddress!))
            #expect(throws: RecordBatchError.invalidRecord(index: 0, .length)) { _ = try records.next() }
            let after = try records.next() == nil
            #expect(after)
        }
    }

    @Test func keysAndDenseOffsetsAreCheckedOnRequest() throws {
        try GoldenBatches.lz4.withUnsafeBytes { raw in
            var records = RecordIterator()
            try records.open(RecordBatchHeader(unchecked: raw.baseAddress!))
            try records.verifyRemaining(dense: true)
            try records.open(RecordBatchHeader(unchecked: raw.baseAddress!))
            #expect(throws: RecordBatchError.invalidRecord(index: 1, .missingKey)) {
                try records.verifyRemaining(requiresKeys: true)
            }
        }
        try GoldenBatches.deleteHorizonWithGaps.withUnsafeBytes { raw in
            var records = RecordIterator()
            try records.open(RecordBatchHeader(unchecked: raw.baseAddress!))
            try records.verifyRemaining(requiresKeys: true)
            try records.open(RecordBatchHeader(unchecked: raw.baseAddress!))
            #expect(throws: RecordBatchError.invalidRecord(index: 0, .offsetDelta)) {
                try records.verifyRemaining(dense: true)
            }
        }
    }

    @Test func outputLimitHoldsForEveryCodec() throws {
        let plainSize = GoldenBatches.none.count - RecordBatchHeader.size
        for (name, bytes) in GoldenBatches.full where name != "logAppendTime" && name != "transactional" {
            if name == "none" { continue }
            #expect(try readAll(bytes, outputLimit: plainSize).count == 5, "\(name)")
            #expect(throws: RecordBatchError.compression(.outputLimit(plainSize - 1)), "\(name)") {
                try readAll(bytes, outputLimit: plainSize - 1)
            }
        }
    }

    /// The CRC is made right after each flip, so that the reader itself meets the damage.
    @Test func noFlippedBitMakesTheReaderLeaveItsBytes() throws {
        for (_, original) in GoldenBatches.all {
            var records = RecordIterator(outputLimit: 4_096)
            for position in RecordBatchHeader.Field.attributes..<original.count {
                for bit in 0..<8 {
                    let bytes = changed(original) { $0[position] ^= 1 << bit }
                    bytes.withUnsafeBytes { raw in
                        do {
                            try records.open(RecordBatchHeader(unchecked: raw.baseAddress!))
                            var total = 0
                            while let record = try records.next() {
                                // Touch every byte that is handed out.
                                for field in [record.key, record.value, record.headers.bytes] {
                                    total += field?.reduce(0) { $0 + Int($1) } ?? 0
                                }
                                total += record.headers.reduce(0) { $0 + $1.key.count + ($1.value?.count ?? 0) }
                            }
                            #expect(total >= 0)
                        } catch {
                            #expect(error is RecordBatchError)
                        }
                    }
                }
            }
        }
    }

    @Test func randomRecordsRoundTripInEveryCodec() throws {
        let seed: UInt64 = 0x5eed_0020
        var random = SeededGenerator(seed: seed)
        var builder = RecordBatchBuilder(capacity: 100)
        for round in 0..<60 {
            let codec = Compression.allCases[round % Compression.allCases.count]
            var records: [PlainRecord] = []
            for offset in 0..<Int.random(in: 1...60, using: &random) {
                var record = PlainRecord(
                    Int64(offset), Int64.random(in: -5...2_000_000_000_000, using: &random), key: nil, value: nil)
                if Bool.random(using: &random) { record.key = random.bytes(Int.random(in: 0...40, using: &random)) }
                if Bool.random(using: &random) {
                    record.value = random.text(Int.random(in: 0...3_000, using: &random))
                }
                for index in 0..<Int.random(in: 0...3, using: &random) {
                    record.headers.append(
                        RecordHeader(
                            key: "header-\(index)",
                            value: Bool.random(using: &random)
                                ? random.bytes(Int.random(in: 0...200, using: &random)) : nil))
                }
                builder.append(record)
                records.append(record)
            }
            let options = RecordBatchBuilder.Options(compression: codec)
            let bytes = try builder.finish(options).array
            let isEmpty = builder.isEmpty
            #expect(isEmpty)
            #expect(refusal(of: bytes) == nil)
            #expect(try readAll(bytes) == records, "seed \(seed), round \(round)")
            let times = records.map(\.timestampMs)
            bytes.withUnsafeBytes { raw in
                let header = RecordBatchHeader(unchecked: raw.baseAddress!)
                #expect(header.maxTimestampMs == times.max())
                #expect(header.baseTimestampMs == times.first)
            }
        }
    }

    @Test func extremeTimestampsSurvive() throws {
        var builder = RecordBatchBuilder()
        for time: Int64 in [.max, .min, 0, -1] { builder.append(key: nil, value: [1], timestampMs: time) }
        let bytes = try builder.finish().array
        #expect(try readAll(bytes).map(\.timestampMs) == [.max, .min, 0, -1])
    }

    @Test func aFinishedSliceKeepsItsBytesWhileTheBuilderGoesOn() throws {
        var builder = RecordBatchBuilder()
        builder.append(key: nil, value: Array("first".utf8), timestampMs: 1)
        let first = try builder.finish()
        let copy = first.array
        builder.append(key: nil, value: Array("other".utf8), timestampMs: 2)
        _ = try builder.finish()
        #expect(first.array == copy)
    }
}
