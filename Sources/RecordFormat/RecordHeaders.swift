import ByteBuffers

/// One header of a record, copied: for tests, tools and slow paths. Source: KIP-82.
public struct RecordHeader: Equatable, Sendable {
    public var key: String
    public var value: [UInt8]?

    public init(key: String, value: [UInt8]?) {
        self.key = key
        self.value = value
    }
}

/// Headers as the record format writes them, encoded once and appended to many records.
public struct EncodedRecordHeaders: Sendable {
    public private(set) var bytes: [UInt8] = []
    public private(set) var count: Int32 = 0

    public init() {}

    public init(_ headers: [RecordHeader]) {
        for header in headers {
            var key = header.key
            key.withUTF8 { key in
                if let value = header.value {
                    value.withUnsafeBytes { append(key: UnsafeRawBufferPointer(key), value: $0) }
                } else {
                    append(key: UnsafeRawBufferPointer(key), value: nil)
                }
            }
        }
    }

    public mutating func append(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?) {
        precondition(key.count <= Int(Int32.max) && (value?.count ?? 0) <= Int(Int32.max))
        appendVarint(Int32(key.count))
        bytes.append(contentsOf: key)
        if let value {
            appendVarint(Int32(value.count))
            bytes.append(contentsOf: value)
        } else {
            appendVarint(-1)
        }
        count += 1
    }

    private mutating func appendVarint(_ value: Int32) {
        var rest = UInt32(bitPattern: (value &<< 1) ^ (value &>> 31))
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}

/// A record's headers in place. `RecordIterator` has walked them before it hands them out, so that reading cannot fail.
public struct RecordHeadersView: Sequence {
    public struct Element {
        public let key: UnsafeRawBufferPointer
        /// `nil` for a null value.
        public let value: UnsafeRawBufferPointer?

        public var copied: RecordHeader {
            RecordHeader(key: String(decoding: key, as: UTF8.self), value: value.map(Array.init))
        }
    }

    public let count: Int32
    /// All headers, encoded; to be appended to another record as they are.
    public let bytes: UnsafeRawBufferPointer

    @usableFromInline
    init(count: Int32, bytes: UnsafeRawBufferPointer) {
        self.count = count
        self.bytes = bytes
    }

    public func makeIterator() -> Iterator { Iterator(reader: ByteReader(bytes), remaining: count) }

    public struct Iterator: IteratorProtocol {
        var reader: ByteReader
        var remaining: Int32

        public mutating func next() -> Element? {
            guard remaining > 0 else { return nil }
            remaining -= 1
            do {
                return try reader.recordHeader()
            } catch {
                preconditionFailure("headers were walked before: \(error)")
            }
        }
    }
}

extension ByteReader {
    /// The next header of a record.
    mutating func recordHeader() throws(DecodeError) -> RecordHeadersView.Element {
        let key = try bytes(Int(try varint()))
        let valueLength = Int(try varint())
        if valueLength == -1 { return RecordHeadersView.Element(key: key, value: nil) }
        return RecordHeadersView.Element(key: key, value: try bytes(valueLength))
    }
}
