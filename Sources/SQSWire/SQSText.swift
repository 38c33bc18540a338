import ByteBuffers

/// What texts may hold.
enum SQSText {
    /// The position of the first character that no message may hold: one that XML 1.0 has no place for. Of the controls below
    /// U+0020 tabs and line ends are taken, and beyond, U+FFFE and U+FFFF are not. `bytes` are UTF-8.
    static func firstForbidden(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var at = 0
        while at < bytes.count {
            // Eight bytes at once: of none a bit above 0x7f, none below 0x20.
            if at &+ 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                if (word | ((word &- 0x2020_2020_2020_2020) & ~word)) & 0x8080_8080_8080_8080 == 0 {
                    at &+= 8
                    continue
                }
            }
            let byte = bytes[at]
            if byte < 0x20, byte != 0x09, byte != 0x0a, byte != 0x0d { return at }
            if byte == 0xef, at + 2 < bytes.count, bytes[at + 1] == 0xbf, bytes[at + 2] >= 0xbe { return at }
            at &+= 1
        }
        return nil
    }

    static func firstForbidden(_ text: String) -> Int? {
        var copy = text
        return copy.withUTF8 { firstForbidden(UnsafeRawBufferPointer($0)) }
    }

    /// Letters, digits, hyphens and underscores, of ASCII, at least one and at most `most`.
    static func isName(_ text: String, upTo most: Int) -> Bool {
        (1...most).contains(text.utf8.count) && text.utf8.allSatisfy(isNameByte)
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// Ids of groups, de-duplication and attempts: visible ASCII, which is letters, digits and punctuation.
    static func isID(_ text: String) -> Bool {
        (1...SQSLimits.maxIDBytes).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }

    /// As much of a client's text as an error shows.
    static func quoted(_ text: String) -> String {
        guard text.utf8.count > SQSLimits.maxQuotedBytes else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: SQSLimits.maxQuotedBytes)
        // Back to where a character begins.
        while text.utf8[end] & 0xc0 == 0x80 { end = text.utf8.index(before: end) }
        return text[..<end] + "…"
    }

    /// A whole number of ASCII digits, as attributes have it.
    static func number(_ text: String) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 12, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }
}
