import ByteBuffers
import KafkaModel
import Testing

@testable import RecordFormat

/// The quick ways over a producer's plain records say what the full one says, of any bytes, down to the record and the
/// defect.
@Suite struct RecordWalkTests {
    /// A batch's bytes with what both ways say of it.
    struct Batch {
        var bytes: [UInt8]

        /// `place` is a record's number.
        init(
            count: Int, timeMs: Int64 = 1_700_000_000_000, timeOf: (Int) -> Int64 = { Int64($0 / 40) },
            key: (Int) -> Int?, value: (Int) -> Int?, headers: (Int) -> [RecordHeader] = { _ in [] }
        ) {
            var builder = RecordBatchBuilder()
            for place in 0..<count {
                builder.append(
                    key: key(place).map { [UInt8](repeating: 1, count: $0) },
                    value: value(place).map { [UInt8](repeating: 7, count: $0) },
                    headers: headers(place), timestampMs: timeMs + timeOf(place))
            }
            bytes = builder.finishUncompressed().array
        }

        func defect(quickly: Bool) -> RecordBatchError? {
            bytes.withUnsafeBytes { raw in
                do throws(RecordBatchError) {
                    try RecordBatchValidator.checkRecords(
                        RecordBatchHeader(unchecked: raw.baseAddress!), quickly: quickly)
                    return nil
                } catch {
                    return error
                }
            }
        }

        /// What both ways say; a failure when they differ.
        func verdict(_ comment: @autoclosure () -> String) -> RecordBatchError? {
            let full = defect(quickly: false)
            let quick = defect(quickly: true)
            if quick != full {
                Issue.record("\(comment()): quick \(String(describing: quick)), full \(String(describing: full))")
            }
            return full
        }

        /// Records that the quick ways pass before the first that needs the full one.
        var passedQuickly: Int32 {
            bytes.withUnsafeBytes { raw in
                let records = RecordBatchHeader(unchecked: raw.baseAddress!)
                var walk = RecordWalk(
                    records.recordsBytes.baseAddress!, records.recordsBytes.baseAddress! + records.recordsBytes.count,
                    count: records.recordCount)
                walk.passShortRecords()
                return walk.index
            }
        }
    }

    static let sizes: [Int] = [0, 1, 50, 58, 62, 63, 64, 65, 100, 300]
    static let keySizes: [Int?] = [nil, 0, 3, 63, 70]

    /// All of them, though their lengths, timestamps and numbers have one byte or two, and the numbers three.
    @Test func recordsOfShortFieldsArePassedQuickly() {
        for key in Self.keySizes {
            for size in [10, 62, 63, 64, 100, 300] {
                let equal = Batch(count: 300, key: { _ in key }, value: { _ in size })
                #expect(equal.passedQuickly == 300, "equal records: key \(String(describing: key)), value \(size)")
                #expect(equal.verdict("equal records") == nil)
                let mixed = Batch(
                    count: 300, timeOf: { Int64($0 * 13) }, key: { $0 % 5 == 0 ? nil : key }, value: { size + $0 % 7 })
                #expect(mixed.passedQuickly == 300, "mixed records: key \(String(describing: key)), value \(size)")
                #expect(mixed.verdict("mixed records") == nil)
            }
        }
        let many = Batch(count: 9_000, timeOf: { _ in 0 }, key: { _ in nil }, value: { $0 % 1_000 == 999 ? 12 : 10 })
        #expect(many.passedQuickly == 9_000)
    }

    /// What a run may not take: a field of one record among equal ones is another, or holds another value.
    @Test func everyByteOfARecordCountsInARun() {
        var refused = 0
        var accepted = 0
        for key in Self.keySizes {
            for size in Self.sizes {
                for (count, place) in [(12, 8), (72, 70)] {
                    let plain = Batch(
                        count: count, timeOf: { Int64(count == 12 ? $0 % 2 : $0 * 3) }, key: { _ in key },
                        value: { _ in size })
                    let bounds = self.bounds(of: place, in: plain)
                    let fields = Array(bounds.prefix(10)) + Array(bounds.suffix(size + 4).prefix(5)) + bounds.suffix(2)
                    for at in Set(fields) {
                        let original = plain.bytes[at]
                        let others: [UInt8] =
                            count == 12
                            ? Array(0...255)
                            : (0..<8).map { original ^ 1 << UInt8($0) } + [original &+ 2, original &- 2]
                        for byte in others {
                            var changed = plain
                            changed.bytes[at] = byte
                            let verdict = changed.verdict(
                                "key \(key ?? -1), value \(size), record \(place), byte \(at - bounds.lowerBound): \(byte)"
                            )
                            if verdict == nil { accepted += 1 } else { refused += 1 }
                        }
                    }
                }
            }
        }
        #expect(refused > 50_000 && accepted > 10_000, "\(refused) refused, \(accepted) accepted")
    }

    /// Where a record lies in the batch.
    private func bounds(of place: Int, in batch: Batch) -> Range<Int> {
        batch.bytes.withUnsafeBytes { raw in
            var at = UnsafeRawPointer(raw.baseAddress! + RecordBatchHeader.size)
            let end = UnsafeRawPointer(raw.baseAddress! + raw.count)
            var index = 0
            while true {
                let start = at
                let length = Varint.read32(&at, end)!
                at += Int(length)
                if index == place { return start - raw.baseAddress!..<at - raw.baseAddress! }
                index += 1
            }
        }
    }

    @Test func anyRecordsAndAnyDamageHaveOneVerdict() {
        var random = SeededGenerator(seed: 11)
        var accepted = 0
        for round in 0..<6_000 {
            func choose<T>(_ list: [T]) -> T { list[Int(random.next() % UInt64(list.count))] }
            let step = choose([1, 1, 2, 5])
            let base = choose([1, 10, 60, 62, 100, 300, 8_170])
            let count = base > 1_000 ? 6 : choose([1, 2, 8, 70, 140])
            let key = choose(Self.keySizes)
            let timeMs: Int64 = choose([1_700_000_000_000, 1_700_000_000_000, 1 << 14, 1 << 14 - 1, -1, 1 << 62 + 1])
            let spread = choose([1, 1, 100, 40_000])
            let odd = choose([5, 1_000])
            var batch = Batch(
                count: count, timeMs: timeMs, timeOf: { Int64($0 * spread % 9_973) }, key: { _ in key },
                value: { $0 % odd == 4 ? nil : base + $0 / step % 3 },
                headers: { $0 % odd == 3 ? [RecordHeader(key: "h", value: [1])] : [] })
            for _ in 0..<(round % 8 == 0 ? 0 : 1 + random.next() % 3) {
                let bounds = bounds(of: Int(random.next() % UInt64(count)), in: batch)
                let at = bounds.lowerBound + Int(random.next() % UInt64(min(14, bounds.count)))
                let old = batch.bytes[at]
                batch.bytes[at] = choose([
                    old ^ 0x80, old &+ 2, old &- 2, old ^ 1, 0, 0x80, UInt8(truncatingIfNeeded: random.next()),
                ])
                // Damage that moves what follows is enough for one batch.
                if batch.defect(quickly: false) != nil { break }
            }
            if random.next() % 16 == 0 {
                batch.bytes.store(Int32(count) + choose([-1, 1]), at: RecordBatchHeader.Field.recordCount)
            }
            if batch.verdict("round \(round)") == nil { accepted += 1 }
        }
        #expect(accepted > 1_000 && accepted < 5_000, "\(accepted) accepted")
    }

    /// Varints longer than they need be are right in any field, however a record is walked, but for a number's.
    @Test func longFormsOfNumbersAreRead() {
        func record(_ index: UInt8, _ fields: [[UInt8]]) -> [UInt8] {
            let body = [0] + fields.joined()
            return [UInt8(body.count) << 1] + body
        }
        let plain = Batch(count: 1, key: { _ in nil }, value: { _ in 20 })
        let value = [UInt8](repeating: 7, count: 20)
        for field in 0..<5 {
            var records: [[UInt8]] = []
            for index in UInt8(0)..<20 {
                var fields: [[UInt8]] = [[2], [index << 1], [1], [40], [0]]
                if index >= 9 { fields[field] = [fields[field][0] | 0x80, 0] }
                fields[3] += value
                records.append(record(index, fields))
            }
            var batch = plain
            batch.bytes = Array(plain.bytes[..<RecordBatchHeader.size]) + records.joined()
            batch.bytes.store(Int32(20), at: RecordBatchHeader.Field.recordCount)
            batch.bytes.store(
                Int32(batch.bytes.count - RecordBatchHeader.lengthOverhead), at: RecordBatchHeader.Field.batchLength)
            #expect(batch.verdict("field \(field)") == nil)
        }
    }
}
