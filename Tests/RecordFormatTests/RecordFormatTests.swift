import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@Suite struct RoundTripTests {
    @Test(arguments: Compression.allCases)
    func builtBatchReadsBack(codec: Compression) throws {
        var builder = RecordBatchBuilder()
        for index in 0..<100 {
            builder.append(
                key: index % 3 == 0 ? nil : Array("key-\(index)".utf8), value: Array("value value value \(index)".utf8),
                headers: index % 2 == 0 ? [] : [RecordHeader(key: "h", value: nil), RecordHeader(key: "", value: [1])],
                timestampMs: 1_000 - Int64(index))
        }
        let slice = try builder.finish(RecordBatchBuilder.Options(compression: codec))
        let header = try RecordBatchValidator(origin: .client).validateSingle(slice)
        #expect(header.recordCount == 100)
        var records = RecordIterator()
        try records.open(header)
        try records.verifyRemaining(dense: true)
    }
}
