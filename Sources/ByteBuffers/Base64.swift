/// The text forms of bytes of RFC 4648. Reading is strict: one text for each value, so that two texts that differ never mean
/// the same bytes.
public enum Base64 {
    /// Section 4, with padding.
    public static func encode(_ bytes: some Collection<UInt8>) -> String { text(bytes, standard, isPadded: true) }

    /// Section 5, without padding.
    public static func encodeURL(_ bytes: some Collection<UInt8>) -> String { text(bytes, url, isPadded: false) }

    /// Appends the text of section 4. It can be appended piece by piece, where each piece but the last has a multiple of
    /// three bytes.
    public static func write(_ bytes: UnsafeRawBufferPointer, into out: inout ByteWriter) {
        let target = out.append(uninitialized: (bytes.count + 2) / 3 * 4)
        write(bytes, standard, isPadded: true, to: target.assumingMemoryBound(to: UInt8.self))
    }

    /// Reads the text of section 4. Padding is mandatory; other characters, and bits that are not zero after the last byte,
    /// make it nil.
    public static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        contiguous(text) { text in
            guard text.count % 4 == 0 else { return nil }
            let padding = text.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
            return bytes(text.dropLast(padding), standardValues)
        }
    }

    /// Reads the text of section 5. Padding makes it nil, as do other characters and bits that are not zero after the last
    /// byte.
    public static func decodeURL(_ text: some Collection<UInt8>) -> [UInt8]? {
        contiguous(text) { bytes($0[...], urlValues) }
    }

    private static let standard: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    private static let url: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    private static let standardValues = values(of: standard)
    private static let urlValues = values(of: url)

    /// Value by character; 255 for none.
    private static func values(of alphabet: StaticString) -> [UInt8] {
        var values = [UInt8](repeating: 255, count: 256)
        for value in 0..<64 { values[Int(alphabet.utf8Start[value])] = UInt8(value) }
        return values
    }

    /// Code of another module is not made for each kind of collection; what has its bytes in one place is read there.
    private static func contiguous<Result>(
        _ bytes: some Collection<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result {
        bytes.withContiguousStorageIfAvailable(body) ?? Array(bytes).withUnsafeBufferPointer(body)
    }

    private static func text(_ bytes: some Collection<UInt8>, _ alphabet: StaticString, isPadded: Bool) -> String {
        contiguous(bytes) { bytes in
            let count = isPadded ? (bytes.count + 2) / 3 * 4 : (bytes.count * 8 + 5) / 6
            return String(unsafeUninitializedCapacity: count) { target in
                guard let start = target.baseAddress else { return 0 }
                write(UnsafeRawBufferPointer(bytes), alphabet, isPadded: isPadded, to: start)
                return count
            }
        }
    }

    /// Writes to memory that has room for the whole text.
    private static func write(
        _ bytes: UnsafeRawBufferPointer, _ alphabet: StaticString, isPadded: Bool,
        to target: UnsafeMutablePointer<UInt8>
    ) {
        let symbols = alphabet.utf8Start
        var at = 0
        var to = 0
        while at < bytes.count {
            let left = bytes.count - at
            let triple =
                UInt32(bytes[at]) << 16 | (left > 1 ? UInt32(bytes[at + 1]) << 8 : 0)
                | (left > 2 ? UInt32(bytes[at + 2]) : 0)
            target[to] = symbols[Int(triple >> 18)]
            target[to + 1] = symbols[Int(triple >> 12 & 63)]
            if left > 1 { target[to + 2] = symbols[Int(triple >> 6 & 63)] }
            if left > 2 { target[to + 3] = symbols[Int(triple & 63)] }
            if isPadded, left < 3 { for pad in left..<3 { target[to + 1 + pad] = UInt8(ascii: "=") } }
            at += 3
            to += 4
        }
    }

    private static func bytes(_ text: Slice<UnsafeBufferPointer<UInt8>>, _ values: [UInt8]) -> [UInt8]? {
        // One character left over holds six bits: no whole byte.
        guard text.count % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count * 3 / 4)
        var bits: UInt32 = 0
        var held = 0
        for character in text {
            let value = values[Int(character)]
            guard value != 255 else { return nil }
            bits = (bits << 6 | UInt32(value)) & 0xfff
            held += 6
            if held >= 8 {
                held -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
            }
        }
        return bits & (1 << UInt32(held) - 1) == 0 ? bytes : nil
    }
}
