import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@Suite struct RecordBatchValidatorTests {
    typealias Field = RecordBatchHeader.Field
    let plain = GoldenBatches.none

    @Test func everyDefectOfAHeaderHasItsError() {
        let size = plain.count
        #expect(refusal(of: []) == .noBatch)
        #expect(refusal(of: changed(plain) { $0[Field.magic] = 1 }) == .unsupportedMagic(1))
        #expect(refusal(of: changed(plain) { $0[Field.attributes + 1] = 5 }) == .unknownCompression(5))
        #expect(refusal(of: plain + [0]) == .severalBatches(trailingBytes: 1))
        #expect(refusal(of: plain + plain) == .severalBatches(trailingBytes: size))
        #expect(
            refusal(of: plain, RecordBatchValidator(origin: .client, maxBatchBytes: size - 1))
                == .tooLarge(size: size, limit: size - 1))
        #expect(refusal(of: plain, RecordBatchValidator(origin: .client, maxBatchBytes: size)) == nil)
        for length: Int32 in [-1, .min, 0, 48] {
            var bytes = plain
            bytes.store(length, at: Field.batchLength)
            #expect(refusal(of: bytes) == .invalidLength(length))
        }
        var long = plain
        long.store(Int32.max, at: Field.batchLength)
        #expect(refusal(of: long) == .truncated(needed: Int(Int32.max) + 12, available: size))
    }

    /// A producer's records fill the batch, and each its own length. What follows the length and CRC is changed here.
    @Test func recordsMustFillTheirBatch() {
        func verdict(_ records: [[UInt8]], count: Int32? = nil, behind: [UInt8] = []) -> RecordBatchError? {
            var bytes = Array(plain[..<RecordBatchHeader.size]) + records.joined() + behind
            let count = count ?? Int32(records.count)
            bytes.store(count, at: Field.recordCount)
            bytes.store(count - 1, at: Field.lastOffsetDelta)
            bytes.store(Int32(bytes.count - RecordBatchHeader.lengthOverhead), at: Field.batchLength)
            bytes.withUnsafeMutableBytes { RecordBatchHeader.updateCRC(at: $0.baseAddress!) }
            return refusal(of: bytes)
        }
        /// Length 7: attributes, timestamp and offset delta, null key, value of one byte, no headers.
        func record(_ delta: UInt8, length: UInt8 = 7, value: UInt8 = 1, rest: [UInt8] = []) -> [UInt8] {
            [length << 1, 0, 0, delta << 1, 1, value << 1, 0x61, 0] + rest
        }
        #expect(verdict([record(0), record(1)]) == nil)
        #expect(verdict([record(0), record(1)], behind: [9]) == .trailingBytes(1))
        #expect(verdict([record(0), record(1)], count: 1) == .trailingBytes(8))
        #expect(verdict([record(0), record(1), record(2)], count: 4)?.errorCode == .invalidRecord)
        #expect(verdict([record(0), record(1, length: 8, rest: [0])]) == .invalidRecord(index: 1, .unusedBytes))
        #expect(verdict([record(0), record(1, length: 9)]) == .invalidRecord(index: 1, .length))
        #expect(verdict([record(0), record(1, value: 2)]) == .invalidRecord(index: 1, .length))
        #expect(verdict([record(0), record(2)]) == .invalidRecord(index: 1, .offsetDelta))
        #expect(RecordBatchError.trailingBytes(1).errorCode == .invalidRecord)
    }

    @Test func minusOneAloneIsNoTimestamp() {
        func verdict(base: Int64, maximum: Int64, secondDelta: Int64 = 0) -> RecordBatchError? {
            var builder = RecordBatchBuilder()
            for time in [base, base &+ secondDelta] { builder.append(key: nil, value: [1], timestampMs: time) }
            let bytes = builder.finishUncompressed().array
            return refusal(of: changed(bytes) { $0.store(maximum, at: Field.maxTimestamp) })
        }
        #expect(verdict(base: -1, maximum: -1) == nil)
        #expect(verdict(base: -1, maximum: 5, secondDelta: 6) == nil)
        #expect(verdict(base: 0, maximum: 0) == nil)
        #expect(verdict(base: -2, maximum: 5) == .invalidTimestamp(index: 0, timestampMs: -2))
        #expect(verdict(base: .min, maximum: .min)?.errorCode == .invalidTimestamp)
        #expect(verdict(base: 5, maximum: -2) == .invalidTimestamp(index: 0, timestampMs: -2))
        #expect(verdict(base: 5, maximum: 5, secondDelta: -7) == .invalidTimestamp(index: 1, timestampMs: -2))
    }

    @Test func countsMustFitTheOffsets() {
        for (count, delta): (Int32, Int32) in [(5, 5), (5, 3), (0, -1), (-1, -2), (.min, .max), (6, 4), (.max, .max)] {
            let bytes = changed(plain) {
                $0.store(count, at: Field.recordCount)
                $0.store(delta, at: Field.lastOffsetDelta)
            }
            #expect(refusal(of: bytes) == .invalidRecordCount(recordCount: count, lastOffsetDelta: delta))
        }
        // More records than the bytes can hold, though count and offsets agree.
        let crowded = changed(plain) {
            $0.store(Int32(1000), at: Field.recordCount)
            $0.store(Int32(999), at: Field.lastOffsetDelta)
        }
        #expect(refusal(of: crowded) == .invalidRecordCount(recordCount: 1000, lastOffsetDelta: 999))
    }

    @Test func brokersMayLeaveGapsButNotMoreRecordsThanOffsets() {
        let broker = RecordBatchValidator(origin: .broker)
        #expect(refusal(of: GoldenBatches.deleteHorizonWithGaps, broker) == nil)
        #expect(refusal(of: GoldenBatches.emptyAfterCompaction, broker) == nil)
        #expect(
            refusal(of: GoldenBatches.deleteHorizonWithGaps) == .invalidRecordCount(recordCount: 2, lastOffsetDelta: 9))
        for (count, delta): (Int32, Int32) in [(6, 4), (-1, 4), (1, -1), (0, -1)] {
            let bytes = changed(plain) {
                $0.store(count, at: Field.recordCount)
                $0.store(delta, at: Field.lastOffsetDelta)
            }
            #expect(refusal(of: bytes, broker) == .invalidRecordCount(recordCount: count, lastOffsetDelta: delta))
        }
    }

    @Test func aProducerSessionNeedsASequence() {
        let bytes = changed(GoldenBatches.idempotentZstd) { $0.store(Int32(-1), at: Field.baseSequence) }
        #expect(refusal(of: bytes) == .invalidSequence(-1))
        #expect(refusal(of: bytes, RecordBatchValidator(origin: .broker)) == nil)
    }

    @Test func everyFlippedBitIsNoticedUnlessOutsideTheCRC() {
        let outside = Set(Field.baseOffset..<Field.batchLength).union(Field.partitionLeaderEpoch..<Field.magic)
        for (name, original) in [("none", plain), ("lz4", GoldenBatches.lz4)] {
            for position in original.indices {
                for bit in 0..<8 {
                    var bytes = original
                    bytes[position] ^= 1 << bit
                    let error = refusal(of: bytes)
                    if (error == nil) != outside.contains(position) {
                        Issue.record("\(name): bit \(bit) of byte \(position): \(String(describing: error))")
                    }
                }
            }
        }
    }

    @Test func everyTruncationIsNoticed() {
        for (name, original) in GoldenBatches.full {
            for length in 1..<original.count {
                let needed = length < RecordBatchHeader.size ? RecordBatchHeader.size : original.count
                let error = refusal(of: Array(original[..<length]))
                if error != .truncated(needed: needed, available: length) {
                    Issue.record("\(name) cut to \(length): \(String(describing: error))")
                }
            }
        }
    }

    @Test func garbageIsRefused() {
        var random = SeededGenerator(seed: 0x5eed_0010)
        for _ in 0..<2_000 {
            let garbage = random.bytes(Int.random(in: 0...200, using: &random))
            #expect(refusal(of: garbage) != nil)
        }
    }

    @Test func cursorWalksBatchesAndStopsAtTheTornOne() throws {
        let bytes = GoldenBatches.none + GoldenBatches.gzip + GoldenBatches.commitMarker.dropLast()
        try bytes.withUnsafeBytes { raw throws in
            for validator in [nil, RecordBatchValidator(origin: .broker)] {
                var cursor = RecordBatchCursor(raw, validator: validator)
                let first = try cursor.next()
                let second = try cursor.next()
                #expect(first?.attributes.compression == Compression.none)
                #expect(second?.attributes.compression == .gzip)
                let torn = cursor.position
                #expect(torn == GoldenBatches.none.count + GoldenBatches.gzip.count)
                #expect(throws: RecordBatchError.truncated(needed: 78, available: 77)) { try cursor.next() }
                #expect(cursor.position == torn)
            }
            var empty = RecordBatchCursor(UnsafeRawBufferPointer(start: nil, count: 0))
            let nothing = try empty.next() == nil
            #expect(nothing)
        }
    }

    @Test func cursorWithoutValidatorDoesNotComputeTheCRC() throws {
        var bytes = plain
        bytes[70] ^= 1
        try bytes.withUnsafeBytes { raw in
            var quick = RecordBatchCursor(raw)
            let found = try quick.next()
            let header = try #require(found)
            var careful = RecordBatchCursor(raw, validator: RecordBatchValidator(origin: .client))
            #expect(throws: RecordBatchError.corruptCRC(stored: header.crc, computed: header.computedCRC())) {
                try careful.next()
            }
        }
    }

    @Test func assigningAnOffsetKeepsTheCRC() {
        var bytes = plain
        bytes.withUnsafeMutableBytes { raw in
            RecordBatchHeader.assign(
                baseOffset: Offset(1 << 40), partitionLeaderEpoch: LeaderEpoch(99), at: raw.baseAddress!)
            let header = RecordBatchHeader(unchecked: UnsafeRawPointer(raw.baseAddress!))
            #expect(header.baseOffset == Offset(1 << 40))
            #expect(header.lastOffset == Offset(1 << 40 + 4))
            #expect(header.partitionLeaderEpoch == LeaderEpoch(99))
            #expect(header.crc == header.computedCRC())
        }
        #expect(refusal(of: bytes) == nil)
    }

    @Test func logAppendTimeBecomesTheTimestampOfAllRecords() throws {
        for original in [plain, GoldenBatches.snappyXerial] {
            var bytes = original
            bytes.withUnsafeMutableBytes { RecordBatchHeader.setLogAppendTime(4_242, at: $0.baseAddress!) }
            #expect(refusal(of: bytes) == nil)
            #expect(try readAll(bytes).map(\.timestampMs) == [4_242, 4_242, 4_242, 4_242, 4_242])
        }
    }

    @Test func errorsAnswerAsKafkaDoes() {
        #expect(RecordBatchError.corruptCRC(stored: 1, computed: 2).errorCode == .corruptMessage)
        #expect(RecordBatchError.tooLarge(size: 2, limit: 1).errorCode == .messageTooLarge)
        #expect(RecordBatchError.controlBatchFromClient.errorCode == .invalidRecord)
        #expect(RecordBatchError.unsupportedMagic(1).errorCode == .invalidRecord)
        #expect(RecordBatchError.unknownCompression(7).errorCode == .unsupportedCompressionType)
        #expect(RecordBatchError.compression(.corrupt(.gzip)).errorCode == .corruptMessage)
    }

    /// A producer's library shows them to its user: sentences, and no names of ours.
    @Test func errorsAreSentences() {
        #expect(
            "\(RecordBatchError.corruptCRC(stored: 1, computed: 2))"
                == "Record is corrupt (stored crc = 1, computed crc = 2)")
        let defects: [RecordBatchError.RecordDefect] = [.length, .unusedBytes, .offsetDelta, .missingKey]
        let packed: [CompressionError] = [.corrupt(.gzip), .outputLimit(9), .unavailable(.zstd)]
        let errors: [RecordBatchError] =
            [
                .truncated(needed: 2, available: 1), .invalidLength(-1), .tooLarge(size: 2, limit: 1),
                .unsupportedMagic(1),
                .unknownCompression(7), .invalidRecordCount(recordCount: 3, lastOffsetDelta: 4), .invalidSequence(-2),
                .controlBatchFromClient, .noBatch, .severalBatches(trailingBytes: 5),
                .invalidTimestamp(index: 3, timestampMs: -5), .trailingBytes(4),
            ] + defects.map { .invalidRecord(index: 3, $0) } + packed.map { .compression($0) }
        for error in errors {
            let text = "\(error)"
            #expect(text.first?.isUppercase == true && text.split(separator: " ").count > 4, "\(text)")
            // A case's name would have a capital within a word, and a value a label with a colon.
            #expect(text.split(separator: " ").allSatisfy { !$0.dropFirst().contains(where: \.isUppercase) }, "\(text)")
            #expect(text.firstMatch(of: #/\(\w+:/#) == nil, "\(text)")
        }
        #expect(Set(errors.map { "\($0)" }).count == errors.count)
    }
}
