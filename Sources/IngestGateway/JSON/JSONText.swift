import ByteBuffers
import HTTPWire

/// Strings of JSON: resolving escapes, and writing them.
enum JSONText {
    /// What some programs write before UTF-8, and JSON has not. Source: RFC 8259, section 8.1.
    static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

    static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- UInt8(ascii: "a") &+ 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- UInt8(ascii: "A") &+ 10
        default: nil
        }
    }

    /// Returns the UTF-8 bytes of a checked string's inside, its escapes resolved; `nil` when half of a surrogate pair
    /// is in it.
    static func unescaped(_ inside: UnsafeRawBufferPointer) -> [UInt8]? {
        var text: [UInt8] = []
        text.reserveCapacity(inside.count)
        var at = 0
        while at < inside.count {
            let byte = inside[at]
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                at += 1
                continue
            }
            switch inside[at + 1] {
            case UInt8(ascii: "u"):
                var scalar = unit(inside, at + 2)
                at += 6
                if scalar & 0xfc00 == 0xd800 {
                    guard at + 6 <= inside.count, inside[at] == UInt8(ascii: "\\"), inside[at + 1] == UInt8(ascii: "u")
                    else { return nil }
                    let low = unit(inside, at + 2)
                    guard low & 0xfc00 == 0xdc00 else { return nil }
                    scalar = 0x10000 + (scalar & 0x3ff) << 10 + (low & 0x3ff)
                    at += 6
                }
                guard let scalar = Unicode.Scalar(scalar) else { return nil }
                text += Array(String(Character(scalar)).utf8)
                continue
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0c)
            case UInt8(ascii: "n"): text.append(0x0a)
            case UInt8(ascii: "r"): text.append(0x0d)
            case UInt8(ascii: "t"): text.append(0x09)
            case let literal: text.append(literal)
            }
            at += 2
        }
        return text
    }

    private static func unit(_ inside: UnsafeRawBufferPointer, _ at: Int) -> UInt32 {
        var value: UInt32 = 0
        for index in at..<at + 4 { value = value << 4 | UInt32(hex(inside[index]) ?? 0) }
        return value
    }

    /// Writes `text` as a JSON string, quotes included. `text` must be UTF-8.
    static func write(_ text: UnsafeRawBufferPointer, into out: inout ByteWriter) {
        out.int8(0x22)
        writeInside(text, into: &out)
        out.int8(0x22)
    }

    /// Writes `text`, or a piece of it, as it stands between the quotes of a JSON string.
    static func writeInside(_ text: UnsafeRawBufferPointer, into out: inout ByteWriter) {
        JSONEscape.forEachPiece(of: text) { out.bytes($0) }
    }

    /// Whether `bytes` are whole UTF-8 characters.
    static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        let end = bytes.count
        var at = 0
        while true {
            while at &+ 8 <= end, ByteScan.word(base, at) & ByteScan.highs == 0 { at &+= 8 }
            guard at < end else { return true }
            if ByteScan.byte(base, at) < 0x80 {
                at &+= 1
            } else {
                at = JSONScan.beyondASCII(base, at, end)
                if at < 0 { return false }
            }
        }
    }

    static func write(_ text: String, into out: inout ByteWriter) {
        var copy = text
        copy.withUTF8 { write(UnsafeRawBufferPointer($0), into: &out) }
    }
}
