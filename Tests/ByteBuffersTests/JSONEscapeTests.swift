import ByteBuffers
import Testing

@Suite struct JSONEscapeTests {
    private func escaped(_ text: [UInt8]) -> String {
        var out: [UInt8] = []
        text.withUnsafeBytes { JSONEscape.forEachPiece(of: $0) { out += $0 } }
        return String(decoding: out, as: UTF8.self)
    }

    @Test func whatIsPlainStands() {
        for text in ["", "plain", "é\u{a0}\u{bf}€😀", "/'~"] { #expect(escaped(Array(text.utf8)) == text) }
    }

    @Test func quotesBackslashesAndControlCharactersAreEscaped() {
        #expect(escaped(Array("a\"b\\c\n\r\td".utf8)) == #"a\"b\\c\n\r\td"#)
        for scalar in (UInt32(0)..<0x20).map({ Unicode.Scalar($0)! })
            + (UInt32(0x7f)...0x9f).map({ Unicode.Scalar($0)! })
        where !"\n\r\t".unicodeScalars.contains(scalar) {
            let hex = String(scalar.value, radix: 16)
            let expected = "x\\u" + String(repeating: "0", count: 4 - hex.count) + hex + "y"
            #expect(escaped(Array("x\(Character(scalar))y".utf8)) == expected)
        }
    }

    /// The first byte of a C1 character begins half of the letters of western Europe, too, and may end a piece.
    @Test func aHalfCharacterStands() {
        var out: [UInt8] = []
        for piece: [UInt8] in [[0x61, 0xc2], [0x85]] {
            piece.withUnsafeBytes { JSONEscape.forEachPiece(of: $0) { out += $0 } }
        }
        #expect(out == [0x61, 0xc2, 0x85])
        #expect(escaped([0xc2, 0x22]) == "\u{fffd}\\\"")
    }
}
