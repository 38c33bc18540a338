import ByteBuffers

/// Standard base64 with padding, for record bytes that are no text.
enum Base64 {
    static func write(_ bytes: UnsafeRawBufferPointer, into out: inout ByteWriter) {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        let symbols = alphabet.utf8Start
        let target = out.append(uninitialized: (bytes.count + 2) / 3 * 4)
            .assumingMemoryBound(to: UInt8.self)
        var at = 0
        var to = 0
        while at < bytes.count {
            let left = bytes.count - at
            let triple =
                UInt32(bytes[at]) << 16 | (left > 1 ? UInt32(bytes[at + 1]) << 8 : 0)
                | (left > 2 ? UInt32(bytes[at + 2]) : 0)
            target[to] = symbols[Int(triple >> 18)]
            target[to + 1] = symbols[Int(triple >> 12 & 63)]
            target[to + 2] = left > 1 ? symbols[Int(triple >> 6 & 63)] : UInt8(ascii: "=")
            target[to + 3] = left > 2 ? symbols[Int(triple & 63)] : UInt8(ascii: "=")
            at += 3
            to += 4
        }
    }
}
