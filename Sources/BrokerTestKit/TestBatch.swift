import ByteBuffers

/// One record of a `TestBatch`.
public struct TestRecord: Equatable, Sendable {
    public struct Header: Equatable, Sendable {
        public var key: String
        public var value: [UInt8]?

        public init(_ key: String, _ value: [UInt8]?) {
            self.key = key
            self.value = value
        }
    }

    public var key: [UInt8]?
    /// `nil` is a tombstone.
    public var value: [UInt8]?
    public var headers: [Header]
    /// Milliseconds after the batch's `baseTimestamp`.
    public var timestampDelta: Int64

    public init(key: [UInt8]? = nil, value: [UInt8]?, headers: [Header] = [], timestampDelta: Int64 = 0) {
        self.key = key
        self.value = value
        self.headers = headers
        self.timestampDelta = timestampDelta
    }

    public init(key: String? = nil, _ value: String?) {
        self.init(key: key.map { Array($0.utf8) }, value: value.map { Array($0.utf8) })
    }
}

/// An uncompressed record batch (magic 2) for tests, built by code of its own, so that the product's builder and
/// readers are held against a second opinion.
///
/// ```
///  0 baseOffset i64       21 attributes i16       43 producerID i64
///  8 batchLength i32      23 lastOffsetDelta i32  51 producerEpoch i16
/// 12 leaderEpoch i32      27 baseTimestamp i64    53 baseSequence i32
/// 16 magic i8             35 maxTimestamp i64     57 record count i32
/// 17 crc u32 of 21...                             61 records
/// ```
/// Source: Kafka's record batch format, KIP-98.
public struct TestBatch: Sendable {
    public var records: [TestRecord]
    public var baseOffset: Int64 = 0
    public var leaderEpoch: Int32 = -1
    public var baseTimestamp: Int64 = 1_700_000_000_000
    public var producerID: Int64 = -1
    public var producerEpoch: Int16 = -1
    public var baseSequence: Int32 = -1
    public var isTransactional = false
    public var isControl = false

    public init(_ records: [TestRecord]) { self.records = records }

    /// A valid batch of `count` records with values of `valueSize` bytes that name their index.
    public init(count: Int, valueSize: Int = 32, baseOffset: Int64 = 0) {
        records = (0..<count).map { index in
            var value = Array("record \(index) ".utf8.prefix(valueSize))
            value.append(contentsOf: repeatElement(UInt8(ascii: "."), count: valueSize - value.count))
            return TestRecord(value: value)
        }
        self.baseOffset = baseOffset
    }

    /// The whole batch as it travels and as it is stored.
    public func bytes() -> [UInt8] {
        var writer = ByteWriter(capacity: 256)
        writer.int64(baseOffset)
        writer.int32(0)
        writer.int32(leaderEpoch)
        writer.int8(2)
        writer.integer(UInt32(0))
        writer.int16((isTransactional ? 0x10 : 0) | (isControl ? 0x20 : 0))
        writer.int32(Int32(records.count - 1))
        writer.int64(baseTimestamp)
        writer.int64(baseTimestamp + (records.map(\.timestampDelta).max() ?? 0))
        writer.int64(producerID)
        writer.int16(producerEpoch)
        writer.int32(baseSequence)
        writer.int32(Int32(records.count))
        for (index, record) in records.enumerated() {
            let body = Self.body(of: record, offsetDelta: Int32(index))
            writer.varint(Int32(body.count))
            writer.bytes(body)
        }
        writer.overwrite(Int32(writer.count - 12), at: 8)
        let crc = testCRC32C(UnsafeRawBufferPointer(rebasing: writer.bytes[21...]))
        writer.overwrite(crc, at: 17)
        return writer.array
    }

    private static func body(of record: TestRecord, offsetDelta: Int32) -> [UInt8] {
        var writer = ByteWriter()
        writer.int8(0)
        writer.varlong(record.timestampDelta)
        writer.varint(offsetDelta)
        field(record.key, &writer)
        field(record.value, &writer)
        writer.varint(Int32(record.headers.count))
        for header in record.headers {
            field(Array(header.key.utf8), &writer)
            field(header.value, &writer)
        }
        return writer.array
    }

    private static func field(_ bytes: [UInt8]?, _ writer: inout ByteWriter) {
        writer.varint(bytes.map { Int32($0.count) } ?? -1)
        if let bytes { writer.bytes(bytes) }
    }
}

/// CRC-32C bit by bit: slow, and plain enough to check the fast ones against. Source: RFC 3720, appendix B.4.
public func testCRC32C(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var crc = ~UInt32(0)
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = (crc &>> 1) ^ (0x82F6_3B78 & (0 &- (crc & 1))) }
    }
    return ~crc
}
