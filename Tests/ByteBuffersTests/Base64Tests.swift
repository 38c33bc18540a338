import ByteBuffers
import Testing

@Suite struct Base64Tests {
    /// RFC 4648, section 10.
    private static let examples = [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ]

    @Test func itIsThatOfItsRFC() {
        for (plain, coded) in Self.examples {
            #expect(Base64.encode(plain.utf8) == coded)
            #expect(Base64.decode(coded.utf8) == Array(plain.utf8))
            let url = coded.filter { $0 != "=" }
            #expect(Base64.encodeURL(plain.utf8) == url)
            #expect(Base64.decodeURL(url.utf8) == Array(plain.utf8))
            var writer = ByteWriter()
            Array(plain.utf8).withUnsafeBytes { Base64.write($0, into: &writer) }
            #expect(String(decoding: writer.bytes, as: UTF8.self) == coded)
        }
        #expect(Base64.encode([0xfb, 0xff]) == "+/8=" && Base64.encodeURL([0xfb, 0xff]) == "-_8")
    }

    @Test func everyLengthAndByteComesBack() {
        let all = (0..<256).map { UInt8($0) }
        for count in 0...all.count {
            #expect(Base64.decode(Base64.encode(all.prefix(count)).utf8) == Array(all.prefix(count)))
            #expect(Base64.decodeURL(Base64.encodeURL(all.suffix(count)).utf8) == Array(all.suffix(count)))
            // Of a collection whose bytes are not in one place.
            #expect(Base64.encode(all.prefix(count).lazy.map { $0 }) == Base64.encode(all.prefix(count)))
        }
    }

    /// Padding missing, too much, in the middle; bits after the last byte; the other alphabet; blanks.
    @Test(arguments: ["Zg", "Zg=", "Zh==", "Zm9=", "Zg===", "Z===", "=", "====", "Zg==Zg==", "Zm9v\n", "Zm 9", "-_8="])
    func thereIsOneTextForEachValue(_ text: String) {
        #expect(Base64.decode(text.utf8) == nil)
    }

    @Test(arguments: ["Zg==", "Zh", "Zm9", "Z", "+/8", "Zm9v ", "Zm9v="])
    func thereIsOneURLTextForEachValue(_ text: String) {
        #expect(Base64.decodeURL(text.utf8) == nil)
    }
}
