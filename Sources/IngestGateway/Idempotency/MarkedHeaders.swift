import ByteBuffers
import RecordFormat

/// The headers of a request's first record, with its mark before the others, and the key of its records.
struct MarkedHeaders {
    private let headers: [UInt8]
    private let count: Int32
    private let key: UnsafeRawBufferPointer?

    init(
        _ mark: IdempotencyMark, before others: UnsafeRawBufferPointer, count: Int32, key: UnsafeRawBufferPointer?
    ) {
        var out = ByteWriter(capacity: IdempotencyMark.maxBytes + others.count)
        mark.write(into: &out)
        // The identifier of an event stays at the end.
        out.bytes(others)
        headers = out.array
        self.count = count + 1
        self.key = key
    }

    /// Appends the record; gives its end.
    func append(
        _ value: UnsafeRawBufferPointer, to builder: inout RecordBatchBuilder, timestampMs: Int64
    ) -> UnsafeMutableRawPointer {
        var pattern = RecordPattern(capacity: headers.count + (key?.count ?? 0) + 16)
        headers.withUnsafeBytes { pattern.set(key: key, headers: $0, headerCount: count) }
        return builder.append(value: value, like: pattern, timestampMs: timestampMs)
    }
}
