import ByteBuffers
import HTTPWire
import RecordFormat

/// What the first record of a request's batch says of the request: the header `idempotency` with the text
/// `1 KEY FINGERPRINT REJECTED`, digests in base 16. By it a start finds requests whose line in the log of requests was lost.
///
/// Where events have keys of their own, each record has the mark of its event, `2 KEY FINGERPRINT`; and the first record of such a batch has
/// one in any case, `2` alone if its event has no key, so that a start sees by the first record whether to look at the others.
///
/// A header that was copied from another topic, as consumers may do, does no harm: its key is one that nobody has there. Who writes to the topic
/// can make one for a key that he can guess; see the page Idempotency.
struct IdempotencyMark: Equatable {
    var key: ShortDigest
    var fingerprint: ShortDigest
    /// Events of the request that were not appended.
    var rejected: Int

    static let headerName: StaticString = "idempotency"
    /// Bytes that a mark adds to a record, at most.
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
        Self.writeHeader(text.bytes, into: &out)
    }

    fileprivate static func writeHeader(_ text: UnsafeRawBufferPointer, into out: inout ByteWriter) {
        out.varint(Int32(headerName.utf8CodeUnitCount))
        out.text(headerName)
        out.varint(Int32(text.count))
        out.bytes(text)
    }

    init(key: ShortDigest, fingerprint: ShortDigest, rejected: Int) {
        self.key = key
        self.fingerprint = fingerprint
        self.rejected = rejected
    }
}

/// What a record's header says.
enum RecordMark {
    case request(IdempotencyMark)
    /// nil: this event has no key, and others of its batch may have.
    case event(EventDigests?)

    static func writeEvent(_ key: EventDigests?, into out: inout ByteWriter) {
        var text = ByteWriter(capacity: IdempotencyMark.maxBytes)
        text.text("2")
        if let key {
            text.text(" ")
            key.key.write(into: &text)
            text.text(" ")
            key.fingerprint.write(into: &text)
        }
        IdempotencyMark.writeHeader(text.bytes, into: &out)
    }

    /// nil: the record has none.
    init?(of headers: RecordHeadersView) {
        for header in headers where header.key.equals(IdempotencyMark.headerName) {
            guard let text = header.value else { return nil }
            let parts = text.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
                .map { UnsafeRawBufferPointer(rebasing: $0) }
            switch (parts.count, parts[0].equals("1"), parts[0].equals("2")) {
            case (4, true, _):
                guard let key = ShortDigest(text: parts[1]), let fingerprint = ShortDigest(text: parts[2]),
                    let rejected = parts[3].decimalValue
                else { return nil }
                self = .request(IdempotencyMark(key: key, fingerprint: fingerprint, rejected: rejected))
            case (3, _, true):
                guard let key = ShortDigest(text: parts[1]), let fingerprint = ShortDigest(text: parts[2]) else {
                    return nil
                }
                self = .event(EventDigests(key: key, fingerprint: fingerprint))
            case (1, _, true): self = .event(nil)
            default: return nil
            }
            return
        }
        return nil
    }
}
