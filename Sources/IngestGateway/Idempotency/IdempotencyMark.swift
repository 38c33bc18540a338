import ByteBuffers
import HTTPWire
import RecordFormat

/// What the first record of a request's batch says of the request: the header `idempotency` with the text
/// `1 KEY FINGERPRINT REJECTED`, digests in base 16. By it a start finds requests whose line in the log of requests was lost.
///
/// A header that is none of ours (consumers may copy them from topic to topic) does no harm: its key is one that nobody has.
struct IdempotencyMark: Equatable {
    var key: ShortDigest
    var fingerprint: ShortDigest
    /// Events of the request that were not appended.
    var rejected: Int

    static let headerName: StaticString = "idempotency"
    /// Bytes that it adds to a record, at most.
    static let maxBytes = 120

    /// Writes it as one header of a record.
    func write(into out: inout ByteWriter) {
        var text = ByteWriter(capacity: Self.maxBytes)
        text.text("1 ")
        key.write(into: &text)
        text.text(" ")
        fingerprint.write(into: &text)
        text.text(" ")
        text.decimal(rejected)
        out.varint(Int32(Self.headerName.utf8CodeUnitCount))
        out.text(Self.headerName)
        out.varint(Int32(text.count))
        out.bytes(text.bytes)
    }

    init(key: ShortDigest, fingerprint: ShortDigest, rejected: Int) {
        self.key = key
        self.fingerprint = fingerprint
        self.rejected = rejected
    }

    /// nil: the record has none.
    init?(of headers: RecordHeadersView) {
        for header in headers where header.key.equals(Self.headerName) {
            guard let text = header.value else { return nil }
            let parts = text.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
                .map { UnsafeRawBufferPointer(rebasing: $0) }
            guard parts.count == 4, parts[0].equals("1"), let key = ShortDigest(text: parts[1]),
                let fingerprint = ShortDigest(text: parts[2]), let rejected = parts[3].decimalValue
            else { return nil }
            self.init(key: key, fingerprint: fingerprint, rejected: rejected)
            return
        }
        return nil
    }
}
