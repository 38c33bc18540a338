import HTTPWire

/// Reads JSON (RFC 8259, strictly, in UTF-8) where it stands, from the front to the end, into whatever its caller makes of it.
///
/// Who reads says what comes next, and is refused what is something else: no tree is built, each text is copied once, and what
/// nobody asks for is gone over. A member that is `null` is as one that is not there, as SDKs of some languages send it.
struct SQSInput {
    private let base: UnsafeRawPointer
    private let end: Int
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        end = bytes.count
    }

    // MARK: Structure

    /// Reads the only value of the text, an object. An empty text is one without members.
    mutating func document(_ body: (inout SQSInput, SQSKey) throws(SQSError) -> Void) throws(SQSError) {
        skipSpace()
        if position == end { return }
        try object(body)
        skipSpace()
        guard position == end else { throw failure("something follows the JSON text") }
    }

    /// Reads an object; `body` has to read, or skip, the value of each of its members but for those that are null.
    mutating func object(_ body: (inout SQSInput, SQSKey) throws(SQSError) -> Void) throws(SQSError) {
        try expect(UInt8(ascii: "{"), "an object")
        if take(UInt8(ascii: "}")) { return }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw failure("a member's name is missing") }
            let key = try key()
            try expect(UInt8(ascii: ":"), "a colon")
            if !(try takeNull()) { try body(&self, key) }
        } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"), "a comma or the object's end")
    }

    /// Reads an array; `body` has to read, or skip, each element.
    mutating func array(_ body: (inout SQSInput) throws(SQSError) -> Void) throws(SQSError) {
        try expect(UInt8(ascii: "["), "an array")
        if take(UInt8(ascii: "]")) { return }
        repeat { try body(&self) } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "]"), "a comma or the array's end")
    }

    /// Goes over a value of any kind.
    mutating func skip(depth: Int = 0) throws(SQSError) {
        guard depth < SQSLimits.maxDepth else { throw failure("values are nested too deeply") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): try object { input, _ throws(SQSError) in try input.skip(depth: depth + 1) }
        case UInt8(ascii: "["): try array { input throws(SQSError) in try input.skip(depth: depth + 1) }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"), UInt8(ascii: "f"): _ = try bool()
        case UInt8(ascii: "n"): guard try takeNull() else { throw failure("no value is here") }
        default: _ = try numberText()
        }
    }

    // MARK: Values

    mutating func bool() throws(SQSError) -> Bool {
        skipSpace()
        if takeWord("true") { return true }
        if takeWord("false") { return false }
        throw failure("true or false is missing")
    }

    /// Reads a whole number; what has a fraction, an exponent or too many digits is refused.
    mutating func integer() throws(SQSError) -> Int {
        skipSpace()
        let start = position
        guard let number = Int(try numberText()) else {
            position = start
            throw failure("a whole number is missing")
        }
        return number
    }

    /// Reads a number's text: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    private mutating func numberText() throws(SQSError) -> String {
        let start = position
        if next == UInt8(ascii: "-") { position += 1 }
        let whole = position
        skipDigits()
        guard position > whole, position == whole + 1 || byte(whole) != UInt8(ascii: "0") else {
            position = start
            throw failure("no value is here")
        }
        if next == UInt8(ascii: ".") {
            position += 1
            try requireDigits()
        }
        if let byte = next, byte | 0x20 == UInt8(ascii: "e") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            try requireDigits()
        }
        return String(decoding: raw(start, position), as: UTF8.self)
    }

    private mutating func requireDigits() throws(SQSError) {
        let start = position
        skipDigits()
        if position == start { throw failure("a digit is missing") }
    }

    private mutating func skipDigits() { while let byte = next, (0x30...0x39).contains(byte) { position += 1 } }

    /// Reads a string's text.
    mutating func string() throws(SQSError) -> String {
        skipSpace()
        let start = position
        let span = try stringSpan()
        if span.isPlain {
            if let text = String(validating: raw(span.start, span.end).bindMemory(to: UInt8.self), as: UTF8.self) {
                return text
            }
        } else if let text = String(validating: try unescaped(span), as: UTF8.self) {
            return text
        }
        position = start
        throw failure("a string is not UTF-8")
    }

    /// Reads the bytes of a string's text: those of a message, which stay bytes.
    mutating func stringBytes() throws(SQSError) -> [UInt8] {
        skipSpace()
        let start = position
        let span = try stringSpan()
        let bytes = span.isPlain ? Array(raw(span.start, span.end)) : try unescaped(span)
        guard bytes.withUnsafeBytes({ UTF8Check.isWhole($0) }) else {
            position = start
            throw failure("a string is not UTF-8")
        }
        return bytes
    }

    private mutating func key() throws(SQSError) -> SQSKey {
        let span = try stringSpan()
        if span.isPlain { return SQSKey(bytes: raw(span.start, span.end)) }
        return SQSKey(resolved: try unescaped(span))
    }

    // MARK: Strings

    private struct Span {
        var start: Int
        var end: Int
        /// Without escapes.
        var isPlain: Bool
    }

    /// Finds a string's end, and moves behind its quote.
    private mutating func stringSpan() throws(SQSError) -> Span {
        guard next == UInt8(ascii: "\"") else { throw failure("a string is missing") }
        var span = Span(start: position + 1, end: position + 1, isPlain: true)
        var at = span.start
        while true {
            // Up to eight bytes at once: without a quote, a backslash, or a control.
            while at &+ 8 <= end {
                let word = ByteScan.word(base, at)
                let marks =
                    ByteScan.equal(word, UInt8(ascii: "\"")) | ByteScan.equal(word, UInt8(ascii: "\\"))
                    | ByteScan.below(word, 0x20)
                if marks != 0 {
                    at &+= ByteScan.index(marks)
                    break
                }
                at &+= 8
            }
            guard at < end else {
                position = end
                throw failure("a string has no end")
            }
            switch byte(at) {
            case UInt8(ascii: "\""):
                span.end = at
                position = at + 1
                return span
            case UInt8(ascii: "\\"):
                span.isPlain = false
                at += 2
            case 0..<0x20:
                position = at
                throw failure("a string has an unescaped control character")
            default: at &+= 1
            }
        }
    }

    /// Resolves the escapes of a string that `stringSpan` found.
    private mutating func unescaped(_ span: Span) throws(SQSError) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(span.end - span.start)
        var at = span.start
        while at < span.end {
            let stop = ByteScan.find(UInt8(ascii: "\\"), base, from: at, end: span.end)
            text.append(contentsOf: raw(at, stop))
            guard stop < span.end else { break }
            at = stop + 2
            switch byte(stop + 1) {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte(stop + 1))
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0c)
            case UInt8(ascii: "n"): text.append(0x0a)
            case UInt8(ascii: "r"): text.append(0x0d)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "u"):
                guard let scalar = scalar(&at, span.end) else {
                    position = stop
                    throw failure("a string has a broken escape")
                }
                text.append(contentsOf: Unicode.UTF8.encode(scalar) ?? .init())
            default:
                position = stop
                throw failure("a string has a broken escape")
            }
        }
        return text
    }

    /// Reads the digits of `\u`, and of the pair's other half; nil: half of a pair alone, or no digits.
    private func scalar(_ at: inout Int, _ end: Int) -> Unicode.Scalar? {
        guard let first = unit(at, end) else { return nil }
        at += 4
        guard first & 0xfc00 == 0xd800 else { return Unicode.Scalar(first) }
        guard at + 2 <= end, byte(at) == UInt8(ascii: "\\"), byte(at + 1) == UInt8(ascii: "u"),
            let second = unit(at + 2, end), second & 0xfc00 == 0xdc00
        else { return nil }
        at += 6
        return Unicode.Scalar(0x10000 + (first & 0x3ff) << 10 + (second & 0x3ff))
    }

    private func unit(_ start: Int, _ end: Int) -> UInt32? {
        guard start + 4 <= end else { return nil }
        var value: UInt32 = 0
        for at in start..<start + 4 {
            let byte = byte(at)
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
        return value
    }

    // MARK: Bytes

    private var next: UInt8? { position < end ? byte(position) : nil }

    @inline(__always)
    private func byte(_ at: Int) -> UInt8 { ByteScan.byte(base, at) }

    private func raw(_ start: Int, _ end: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + start, count: end - start)
    }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ character: UInt8) -> Bool {
        skipSpace()
        guard next == character else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ character: UInt8, _ what: StaticString) throws(SQSError) {
        guard take(character) else { throw failure("\(what) is missing") }
    }

    private mutating func takeNull() throws(SQSError) -> Bool {
        skipSpace()
        return takeWord("null")
    }

    private mutating func takeWord(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard count <= end - position,
            raw(position, position + count).elementsEqual(
                UnsafeRawBufferPointer(start: UnsafeRawPointer(word.utf8Start), count: count))
        else { return false }
        position += count
        return true
    }

    private func failure(_ what: String) -> SQSError {
        SQSError(.serialization, "The request is not the JSON of this operation: \(what), at byte \(position + 1).")
    }
}

/// The name of a member: bytes of the text, or of a copy where it has escapes. Valid while the text is.
struct SQSKey {
    private let bytes: UnsafeRawBufferPointer
    private let resolved: [UInt8]?

    init(bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        resolved = nil
    }

    init(resolved: [UInt8]) {
        bytes = UnsafeRawBufferPointer(start: nil, count: 0)
        self.resolved = resolved
    }

    func equals(_ name: StaticString) -> Bool {
        let wanted = UnsafeRawBufferPointer(start: UnsafeRawPointer(name.utf8Start), count: name.utf8CodeUnitCount)
        if let resolved { return resolved.count == wanted.count && resolved.elementsEqual(wanted) }
        return bytes.count == wanted.count && bytes.elementsEqual(wanted)
    }

    /// Nil: it is not UTF-8.
    var text: String? {
        if let resolved { return String(validating: resolved, as: UTF8.self) }
        return String(validating: bytes.bindMemory(to: UInt8.self), as: UTF8.self)
    }
}

enum UTF8Check {
    /// Whether bytes are whole characters of UTF-8. ASCII, which most messages are, costs an eighth of a step a byte.
    static func isWhole(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        var at = 0
        while at &+ 8 <= bytes.count, ByteScan.word(base, at) & ByteScan.highs == 0 { at &+= 8 }
        while at < bytes.count, ByteScan.byte(base, at) < 0x80 { at &+= 1 }
        return at == bytes.count
            || String(
                validating: UnsafeRawBufferPointer(rebasing: bytes[at...]).bindMemory(to: UInt8.self), as: UTF8.self)
                != nil
    }
}
