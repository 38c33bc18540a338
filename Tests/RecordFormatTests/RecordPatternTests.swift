import ByteBuffers
import RecordFormat
import Testing

@Suite struct RecordPatternTests {
    /// The bytes of a batch of `values`, each record appended by itself or by a pattern.
    private func batch(
        _ values: [[UInt8]], key: [UInt8]?, headers: [RecordHeader], timestamps: [Int64], byPattern: Bool,
        end: [UInt8] = []
    ) -> [UInt8] {
        var builder = RecordBatchBuilder()
        var pattern = RecordPattern()
        builder.begin()
        let encoded = EncodedRecordHeaders(headers)
        encoded.bytes.withUnsafeBytes { headerBytes in
            (key ?? []).withUnsafeBytes { keyBytes in
                pattern.set(key: key == nil ? nil : keyBytes, headers: headerBytes, headerCount: encoded.count)
            }
        }
        for (index, value) in values.enumerated() {
            let time = timestamps[index % timestamps.count]
            if byPattern {
                value.withUnsafeBytes { bytes in
                    let place = builder.append(value: bytes, like: pattern, timestampMs: time)
                    for (at, byte) in end.enumerated() {
                        (place - end.count).storeBytes(of: byte, toByteOffset: at, as: UInt8.self)
                    }
                }
            } else {
                builder.append(key: key, value: value, headers: headers, timestampMs: time)
            }
        }
        return builder.finishUncompressed().array
    }

    @Test(arguments: [nil, [], Array("k".utf8), Array(repeating: UInt8(7), count: 17), Array(repeating: 9, count: 300)])
    func recordsAreTheSameAsOnesAppendedByThemselves(key: [UInt8]?) {
        // All lengths about those where copying, or a length's own length, changes; and enough for large offsets.
        let lengths = Array(0...70) + [127, 128, 255, 256, 257, 8191, 8192, 100_000] + Array(repeating: 3, count: 9000)
        let values = lengths.map { length in (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ length) } }
        let manyHeaders = [
            RecordHeader(key: "trace", value: Array("abc".utf8)), RecordHeader(key: "none", value: nil),
            RecordHeader(key: "event_id", value: Array(repeating: 0x61, count: 36)),
        ]
        for headers in [[], manyHeaders] {
            let times: [[Int64]] = [[1_700_000_000_000], [1_700_000_000_000, 1_699_999_000_000, 1_700_000_000_100]]
            for timestamps in times {
                #expect(
                    batch(values, key: key, headers: headers, timestamps: timestamps, byPattern: true)
                        == batch(values, key: key, headers: headers, timestamps: timestamps, byPattern: false))
            }
        }
    }

    @Test func whatDiffersIsWrittenBehindTheRecord() {
        let values = [Array("one".utf8), Array("two".utf8)]
        func headers(_ id: String) -> [RecordHeader] { [RecordHeader(key: "id", value: Array(id.utf8))] }
        let patched = batch(
            values, key: nil, headers: headers("aaaa0000"), timestamps: [5], byPattern: true, end: Array("4321".utf8))
        #expect(patched == batch(values, key: nil, headers: headers("aaaa4321"), timestamps: [5], byPattern: false))
    }

    @Test func theEndOfThePatternIsWrittenAnew() {
        var pattern = RecordPattern()
        let encoded = EncodedRecordHeaders([RecordHeader(key: "id", value: Array("aaaa".utf8))])
        encoded.bytes.withUnsafeBytes { pattern.set(key: nil, headers: $0, headerCount: 1) }
        let count = pattern.count
        pattern.setEnd(count: 4) { $0.storeBytes(of: 0x6262_6262, as: UInt32.self) }
        #expect(pattern.count == count)
        var builder = RecordBatchBuilder()
        builder.begin()
        Array("v".utf8).withUnsafeBytes { _ = builder.append(value: $0, like: pattern, timestampMs: 5) }
        let expected = batch(
            [Array("v".utf8)], key: nil, headers: [RecordHeader(key: "id", value: Array("bbbb".utf8))], timestamps: [5],
            byPattern: false)
        #expect(builder.finishUncompressed().array == expected)
    }

    @Test func reservedMemoryServesAWholeBatch() {
        var builder = RecordBatchBuilder()
        builder.begin()
        builder.reserve(1 << 20)
        let value = [UInt8](repeating: 1, count: 1000)
        while builder.sizeInBytes + 1100 <= 1 << 20 { builder.append(key: nil, value: value, timestampMs: 1) }
        #expect(builder.finishUncompressed().chunk.capacity == 1 << 20)
    }
}
