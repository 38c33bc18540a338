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

        /// The header at `at`; `nil` when it reaches past `end`.
        init?(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) {
            guard let keyLength = Varint.read32(&at, end), keyLength >= 0, Int(keyLength) <= end - at else {
                return nil
            }
            key = UnsafeRawBufferPointer(start: at, count: Int(keyLength))
            at += Int(keyLength)
            guard let valueLength = Varint.read32(&at, end), valueLength >= -1, Int(valueLength) <= end - at else {
                return nil
            }
            value = valueLength < 0 ? nil : UnsafeRawBufferPointer(start: at, count: Int(valueLength))
            if valueLength > 0 { at += Int(valueLength) }
        }

        public var copied: RecordHeader {
            RecordHeader(key: String(decoding: key, as: UTF8.self), value: value.map(Array.init))
        }
    }

    public let count: Int32
    /// All headers, encoded; to be appended to another record as they are.
    public let bytes: UnsafeRawBufferPointer

    /// Passes over the headers at `at`, count first; `nil` when they reach past `end`.
    @inline(__always)
    init?(walking at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) {
        guard let count = Varint.read32(&at, end), count >= 0 else { return nil }
        let start = at
        if count > 0 {
            guard let last = Self.walk(count, from: at, end) else { return nil }
            at = last
        }
        self.count = count
        bytes = UnsafeRawBufferPointer(start: start, count: at - start)
    }

    /// Returns where `count` headers from `start` end; `nil` when they reach past `end`.
    private static func walk(
        _ count: Int32, from start: UnsafeRawPointer, _ end: UnsafeRawPointer
    ) -> UnsafeRawPointer? {
        var at = start
        for _ in 0..<count { guard Element(&at, end) != nil else { return nil } }
        return at
    }

    public func makeIterator() -> Iterator {
        let start = bytes.baseAddress!
        return Iterator(at: start, end: start + bytes.count, remaining: count)
    }

    public struct Iterator: IteratorProtocol {
        var at: UnsafeRawPointer
        let end: UnsafeRawPointer
        var remaining: Int32

        public mutating func next() -> Element? {
            guard remaining > 0 else { return nil }
            remaining -= 1
            guard let header = Element(&at, end) else { preconditionFailure("headers changed after they were walked") }
            return header
        }
    }
}
