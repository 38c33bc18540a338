internal import ByteBuffers

/// The bytes of one log line, newline included: at most `Log.maxLine`, whatever is in it, and JSON to its end.
///
/// A value is cut at `maxValue` encoded bytes, between two characters; a field that has no room any more is left out.
struct LogLine {
    /// A single huge value leaves room for the rest of the line.
    static let maxValue = Log.maxLine / 4

    private(set) var bytes: [UInt8]

    init(
        _ time: String, _ level: Log.Level, _ message: StaticString, _ pairs: [(String, String)], asJSON: Bool
    ) {
        bytes = []
        if asJSON {
            bytes += "{\"time\":\"\(time)\",\"level\":\"\(level)\",\"message\":".utf8
            bytes += Self.quoted(message.description)
            for (key, value) in pairs { append([0x2c] + Self.quoted(key) + [0x3a] + Self.quoted(value)) }
            bytes += "}\n".utf8
        } else {
            let name = "\(level)".uppercased()
            bytes += "\(time) \(name)\(name.utf8.count < 5 ? " " : "") \(message)".utf8
            for (index, (key, value)) in pairs.enumerated() {
                append(Array("\(index == 0 ? "  " : " ")\(key)=".utf8) + Self.plainOrQuoted(value))
            }
            bytes.append(UInt8(ascii: "\n"))
        }
    }

    private mutating func append(_ field: [UInt8]) {
        // Two bytes are kept for the end.
        if bytes.count + field.count + 2 <= Log.maxLine { bytes += field }
    }

    private static func plainOrQuoted(_ value: String) -> [UInt8] {
        let isPlain =
            !value.isEmpty && value.utf8.count <= maxValue
            && value.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && $0 != "=" && !isControl($0) }
        return isPlain ? Array(value.utf8) : quoted(value)
    }

    /// Of C0, DEL or C1: some terminals obey the last, too.
    private static func isControl(_ character: Unicode.Scalar) -> Bool {
        character.value < 0x20 || (0x7f...0x9f).contains(character.value)
    }

    /// Returns `value` as a JSON string, cut between two characters.
    static func quoted(_ value: String) -> [UInt8] {
        var bytes: [UInt8] = [0x22]
        var value = value
        value.withUTF8 { text in
            let text = UnsafeRawBufferPointer(text)
            var at = 0
            while at < text.count, bytes.count < maxValue {
                var end = at + 1
                while end < text.count, text[end] & 0xc0 == 0x80 { end += 1 }
                JSONEscape.forEachPiece(of: UnsafeRawBufferPointer(rebasing: text[at..<end])) { bytes += $0 }
                at = end
            }
        }
        bytes.append(0x22)
        return bytes
    }
}

/// Which lines of a message that repeats are written. Time is given, in ms of any steady clock.
struct LineLimiter {
    private struct Message {
        var windowEndsMs: Int64
        var written: Int
        var leftOut = 0
    }

    /// By the address of the message's text: as many as there are places in the code.
    private var messages: [UInt: Message] = [:]

    /// Returns how many lines of this message were left out before this one, which is to be written; `nil`: leave it
    /// out.
    mutating func admit(_ message: UInt, atMs now: Int64) -> Int? {
        guard var known = messages[message] else {
            messages[message] = Message(windowEndsMs: now + Log.repeatWindowMs, written: 1)
            return 0
        }
        if now >= known.windowEndsMs {
            messages[message] = Message(windowEndsMs: now + Log.repeatWindowMs, written: 1)
            return known.leftOut
        }
        if known.written < Log.maxRepeats {
            known.written += 1
            messages[message] = known
            return 0
        }
        known.leftOut += 1
        messages[message] = known
        return nil
    }
}
