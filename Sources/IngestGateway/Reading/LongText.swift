import ByteBuffers
import HTTPWire

/// One key, value or header on its way into a reply, in pieces: a record may be as large as a topic allows, and its text six
/// times that.
///
/// What it is must be known before its first byte is written, so text is looked through first. States, in this order:
/// checking (is it UTF-8?), then writing, as JSON, text or base64, then done.
struct LongText {
    enum Encoding { case json, text, base64 }

    private let bytes: UnsafeRawBufferPointer
    /// Line ends of JSON are written as spaces: there are none within its tokens.
    private let isOneLine: Bool
    /// Known once all of it was looked at.
    private(set) var encoding: Encoding?
    /// Bytes that were looked at.
    private var checked = 0
    /// Bytes that were written.
    private var written = 0

    /// Bytes that one step looks at or writes: at six bytes of text for one, a slice of a reply. A multiple of 3, as base64
    /// needs.
    static let stepBytes = 12 << 10

    /// `encoding`: known already.
    init(_ bytes: UnsafeRawBufferPointer, encoding: Encoding? = nil, isOneLine: Bool = false) {
        self.bytes = bytes
        self.encoding = encoding
        self.isOneLine = isOneLine
    }

    /// Takes one step; true when all is written.
    mutating func advance(_ out: inout ByteWriter, _ work: inout Int) -> Bool {
        work += min(bytes.count, Self.stepBytes)
        guard let encoding else {
            check()
            return false
        }
        let end = min(bytes.count, written + Self.stepBytes)
        let piece = UnsafeRawBufferPointer(rebasing: bytes[written..<end])
        if encoding != .json, written == 0 { out.text("\"") }
        switch encoding {
        case .json: if isOneLine { Self.writeLine(piece, &out) } else { out.bytes(piece) }
        case .text: JSONText.writeInside(piece, into: &out)
        case .base64: Base64.write(piece, into: &out)
        }
        written = end
        guard end == bytes.count else { return false }
        if encoding != .json { out.text("\"") }
        return true
    }

    private static func writeLine(_ piece: UnsafeRawBufferPointer, _ out: inout ByteWriter) {
        var rest = piece[...]
        while let end = rest.firstIndex(where: { $0 == 0x0a || $0 == 0x0d }) {
            out.bytes(UnsafeRawBufferPointer(rebasing: rest[..<end]))
            out.text(" ")
            rest = rest[(end + 1)...]
        }
        out.bytes(UnsafeRawBufferPointer(rebasing: rest))
    }

    private mutating func check() {
        var end = min(bytes.count, checked + Self.stepBytes)
        // Not within a character: it has at most three bytes that continue it.
        for _ in 0..<3 where end < bytes.count && bytes[end] & 0xc0 == 0x80 { end -= 1 }
        guard JSONText.isUTF8(UnsafeRawBufferPointer(rebasing: bytes[checked..<end])) else { return encoding = .base64 }
        checked = end
        if end == bytes.count { encoding = .text }
    }
}
