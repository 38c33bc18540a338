/// Text as it stands between the quotes of a JSON string (RFC 8259, section 7): of log lines, of what commands print, and of
/// the gateway's replies.
///
/// Escaped are quotes, backslashes and all control characters: besides those of JSON (C0) also DEL and C1, which some terminals
/// obey. Everything else stands as it is.
public enum JSONEscape {
    /// Calls `put` with the pieces of the escaped text, in order. `text` is UTF-8; a C1 character whose two bytes come with two
    /// calls stays.
    @inlinable
    public static func forEachPiece(of text: UnsafeRawBufferPointer, _ put: (UnsafeRawBufferPointer) -> Void) {
        // Up to here it was put.
        var clean = 0
        var at = 0
        while at < text.count {
            let byte = text[at]
            var character = byte
            var length = 1
            if byte == 0xc2 {
                // It begins the C1 controls, and the other half of U+0080 to U+00BF.
                guard at + 1 < text.count, text[at + 1] & 0xe0 == 0x80 else {
                    at += 1
                    continue
                }
                character = text[at + 1]
                length = 2
            } else if byte >= 0x20, byte != 0x22, byte != 0x5c, byte != 0x7f {
                at += 1
                continue
            }
            if clean < at { put(UnsafeRawBufferPointer(rebasing: text[clean..<at])) }
            let written = escape(of: character)
            withUnsafeBytes(of: written.bytes.littleEndian) {
                put(UnsafeRawBufferPointer(rebasing: $0[..<written.count]))
            }
            at += length
            clean = at
        }
        if clean < text.count { put(UnsafeRawBufferPointer(rebasing: text[clean...])) }
    }

    /// Returns the bytes of a character's escape, the first in the lowest place, and their number.
    @usableFromInline
    static func escape(of character: UInt8) -> (bytes: UInt64, count: Int) {
        let letter: UInt8
        switch character {
        case 0x22, 0x5c: letter = character
        case 0x0a: letter = UInt8(ascii: "n")
        case 0x0d: letter = UInt8(ascii: "r")
        case 0x09: letter = UInt8(ascii: "t")
        default:
            // \u00 and two digits.
            return (0x3030_755c | UInt64(digit(character >> 4)) << 32 | UInt64(digit(character & 15)) << 40, 6)
        }
        return (0x5c | UInt64(letter) << 8, 2)
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
