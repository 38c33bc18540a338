import ByteBuffers
import KafkaModel
import RecordFormat

/// A record with its bytes copied.
struct PlainRecord: Equatable {
    var offset: Int64
    var timestampMs: Int64
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [RecordHeader]

    init(
        _ offset: Int64, _ timestampMs: Int64, key: String?, value: String?, headers: [RecordHeader] = []
    ) {
        self.offset = offset
        self.timestampMs = timestampMs
        self.key = key.map { Array($0.utf8) }
        self.value = value.map { Array($0.utf8) }
        self.headers = headers
    }

    init(_ record: RecordView) {
        offset = record.offset.rawValue
        timestampMs = record.timestampMs
        key = record.key.map(Array.init)
        value = record.value.map(Array.init)
        headers = record.headers.map(\.copied)
    }
}

/// The records of the batches in `GoldenBatches`, at offsets from 0.
let goldenRecords: [PlainRecord] = [
    PlainRecord(
        0, 1_700_000_000_000, key: "key-0", value: "value zero",
        headers: [
            RecordHeader(key: "trace", value: Array("abc".utf8)), RecordHeader(key: "empty", value: []),
            RecordHeader(key: "none", value: nil),
        ]),
    PlainRecord(1, 1_700_000_000_005, key: nil, value: "no key"),
    PlainRecord(2, 1_699_999_999_990, key: "tombstone", value: nil),
    PlainRecord(3, 1_700_000_000_100, key: "", value: ""),
    PlainRecord(4, 1_700_000_000_042, key: "gr\u{fc}\u{df}e", value: String(repeating: "x", count: 300)),
]

extension RecordBatchBuilder {
    mutating func append(_ record: PlainRecord, offsetDelta: Int32? = nil) {
        append(
            key: record.key, value: record.value, headers: record.headers, timestampMs: record.timestampMs,
            offsetDelta: offsetDelta)
    }
}

/// What `validator` says of the one batch in `bytes`; `nil` when it accepts it.
func refusal(of bytes: [UInt8], _ validator: RecordBatchValidator = .init(origin: .client)) -> RecordBatchError? {
    bytes.withUnsafeBytes { raw in
        do throws(RecordBatchError) {
            _ = try validator.validateSingle(raw)
            return nil
        } catch {
            return error
        }
    }
}

/// All records of one whole batch.
func readAll(_ bytes: [UInt8], outputLimit: Int = 1 << 20) throws(RecordBatchError) -> [PlainRecord] {
    try bytes.withRawBytes { raw throws(RecordBatchError) in
        var records = RecordIterator(outputLimit: outputLimit)
        var all: [PlainRecord] = []
        try records.open(try RecordBatchHeader.first(in: raw))
        while let record = try records.next() { all.append(PlainRecord(record)) }
        return all
    }
}

/// `bytes` after `change`, with a CRC that is right for them.
func changed(_ bytes: [UInt8], _ change: (inout [UInt8]) -> Void) -> [UInt8] {
    var copy = bytes
    change(&copy)
    copy.withUnsafeMutableBytes { RecordBatchHeader.updateCRC(at: $0.baseAddress!) }
    return copy
}

extension [UInt8] {
    mutating func store<T: FixedWidthInteger>(_ value: T, at position: Int) {
        Swift.withUnsafeBytes(of: value.bigEndian) { replaceSubrange(position..<position + $0.count, with: $0) }
    }
}

extension [UInt8] {
    /// `withUnsafeBytes` that keeps the type of the error.
    func withRawBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeBufferPointer { elements throws(Failure) in try body(UnsafeRawBufferPointer(elements)) }
    }
}

/// A small generator, so that a failure can be repeated from its seed.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    // SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }

    /// Bytes that compress: words of a small vocabulary.
    mutating func text(_ count: Int) -> [UInt8] {
        var text: [UInt8] = []
        while text.count < count { text += Array("word-\(next() % 50) ".utf8) }
        return Array(text.prefix(count))
    }
}
