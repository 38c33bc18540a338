import HTTPWire

/// Checks that bytes are JSON (RFC 8259, strictly, in UTF-8) without building anything: it moves a position over them and
/// tells where values begin and end. What it accepted is stored byte for byte as it came.
///
/// Strings are scanned eight bytes at a time; a container costs one bit. Numbers are checked, never converted.
struct JSONScanner {
    let base: UnsafeRawPointer
    let end: Int
    let limits: JSONLimits
    /// The next byte to look at.
    var position = 0
    /// Of the current event.
    private(set) var tokens = 0
    private(set) var keys = 0

    init(_ bytes: UnsafeRawBufferPointer, limits: JSONLimits = JSONLimits()) {
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        end = bytes.count
        self.limits = limits
    }

    // MARK: Whole texts

    /// Checks one value with nothing but whitespace around it.
    mutating func onlyValue() throws(JSONFailure) -> JSONKind {
        let kind = try value()
        try finish()
        return kind
    }

    /// Checks that only whitespace is left.
    mutating func finish() throws(JSONFailure) {
        position = skipSpace(position)
        if position < end { throw JSONFailure(reason: .trailingBytes, position: position) }
    }

    /// The kind of the next value, by its first byte; `nil` when there is none or no value begins so.
    mutating func peek() -> JSONKind? {
        position = skipSpace(position)
        return position < end ? Self.kind(byte(position)) : nil
    }

    /// Splits an array into the ranges of its elements, each checked as an event of its own, without whitespace around.
    mutating func elements(into ranges: inout [JSONRange]) throws(JSONFailure) {
        position = skipSpace(position)
        guard position < end, byte(position) == UInt8(ascii: "[") else { throw unexpected(position) }
        position = skipSpace(position &+ 1)
        if position < end, byte(position) == UInt8(ascii: "]") {
            position &+= 1
            return
        }
        while true {
            guard ranges.count < limits.elements else {
                throw JSONFailure(reason: .tooManyElements, position: position)
            }
            beginEvent()
            let start = position
            _ = try value(outerDepth: 1)
            ranges.append(JSONRange(start, position))
            position = skipSpace(position)
            guard position < end else { throw unexpected(position) }
            let next = byte(position)
            if next == UInt8(ascii: "]") {
                position &+= 1
                return
            }
            guard next == UInt8(ascii: ",") else { throw unexpected(position) }
            position = skipSpace(position &+ 1)
        }
    }

    /// Starts the counts of tokens and keys anew.
    mutating func beginEvent() {
        tokens = 0
        keys = 0
    }

    // MARK: One value

    /// Checks the value at `position`, whitespace before it allowed, and moves behind it. `outerDepth` containers are
    /// already open around it.
    mutating func value(outerDepth: Int = 0) throws(JSONFailure) -> JSONKind {
        var at = skipSpace(position)
        guard at < end else { throw unexpected(at) }
        guard let kind = Self.kind(byte(at)) else { throw unexpected(at) }
        // Bit 0 belongs to the innermost container: 1 for an object.
        var containers: UInt64 = 0
        var depth = outerDepth
        values: while true {
            tokens &+= 1
            switch byte(at) {
            case UInt8(ascii: "\""): at = try string(at &+ 1)
            case UInt8(ascii: "{"):
                depth &+= 1
                guard depth <= limits.depth else { throw JSONFailure(reason: .tooDeep, position: at) }
                at = skipSpace(at &+ 1)
                if at < end, byte(at) == UInt8(ascii: "}") {
                    at &+= 1
                    depth &-= 1
                } else {
                    containers = containers &<< 1 | 1
                    at = try key(at)
                    continue values
                }
            case UInt8(ascii: "["):
                depth &+= 1
                guard depth <= limits.depth else { throw JSONFailure(reason: .tooDeep, position: at) }
                at = skipSpace(at &+ 1)
                guard at < end else { throw unexpected(at) }
                if byte(at) == UInt8(ascii: "]") {
                    at &+= 1
                    depth &-= 1
                } else {
                    containers = containers &<< 1
                    continue values
                }
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): at = try number(at)
            case UInt8(ascii: "t"): at = try literal("true", at)
            case UInt8(ascii: "f"): at = try literal("false", at)
            case UInt8(ascii: "n"): at = try literal("null", at)
            default: throw unexpected(at)
            }
            // Behind a value: close containers until one goes on.
            while depth > outerDepth {
                at = skipSpace(at)
                guard at < end else { throw unexpected(at) }
                let next = byte(at)
                if next == UInt8(ascii: ",") {
                    at = skipSpace(at &+ 1)
                    if containers & 1 == 1 { at = try key(at) }
                    guard at < end else { throw unexpected(at) }
                    continue values
                }
                guard next == (containers & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
                    throw unexpected(at)
                }
                at &+= 1
                depth &-= 1
                containers &>>= 1
            }
            break
        }
        guard tokens &+ keys <= limits.tokens else { throw JSONFailure(reason: .tooManyTokens, position: at) }
        guard keys <= limits.keys else { throw JSONFailure(reason: .tooManyKeys, position: at) }
        position = at
        return kind
    }

    /// Checks `"key" :` and gives the position of the value.
    @inline(__always)
    private mutating func key(_ start: Int) throws(JSONFailure) -> Int {
        guard start < end, byte(start) == UInt8(ascii: "\"") else { throw unexpected(start) }
        keys &+= 1
        var at = try string(start &+ 1)
        at = skipSpace(at)
        guard at < end, byte(at) == UInt8(ascii: ":") else { throw unexpected(at) }
        at = skipSpace(at &+ 1)
        guard at < end else { throw unexpected(at) }
        return at
    }

    // MARK: Tokens

    @inline(__always)
    func byte(_ at: Int) -> UInt8 { base.load(fromByteOffset: at, as: UInt8.self) }

    func unexpected(_ at: Int) -> JSONFailure {
        JSONFailure(reason: at < end ? .unexpectedByte : .unexpectedEnd, position: at)
    }

    @inline(__always)
    static func kind(_ byte: UInt8) -> JSONKind? {
        switch byte {
        case UInt8(ascii: "{"): .object
        case UInt8(ascii: "["): .array
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): .number
        case UInt8(ascii: "t"): .true
        case UInt8(ascii: "f"): .false
        case UInt8(ascii: "n"): .null
        default: nil
        }
    }

    @inline(__always)
    func skipSpace(_ start: Int) -> Int {
        // Compact texts have none, texts written for people have one here and there.
        if start < end, byte(start) > 0x20 { return start }
        return skipSpaceSlowly(start)
    }

    @inline(never)
    private func skipSpaceSlowly(_ start: Int) -> Int {
        var at = start
        while at < end {
            let byte = byte(at)
            guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { break }
            at &+= 1
        }
        return at
    }

    /// Checks a string from behind its opening quote and gives the position behind the closing one.
    @inline(__always)
    func string(_ start: Int) throws(JSONFailure) -> Int {
        var at = start
        while at &+ 8 <= end {
            let word = ByteScan.word(base, at)
            let mark =
                ByteScan.equal(word, UInt8(ascii: "\"")) | ByteScan.equal(word, UInt8(ascii: "\\"))
                | ByteScan.below(word, 0x20) | (word & ByteScan.highs)
            if mark == 0 {
                at &+= 8
                continue
            }
            at &+= ByteScan.index(mark)
            if byte(at) == UInt8(ascii: "\"") { return at &+ 1 }
            at = try unusual(at)
        }
        return try stringEnd(at)
    }

    /// The same byte by byte, for the last few of the text.
    @inline(never)
    private func stringEnd(_ start: Int) throws(JSONFailure) -> Int {
        var at = start
        while at < end {
            let byte = byte(at)
            if byte == UInt8(ascii: "\"") { return at &+ 1 }
            if byte == UInt8(ascii: "\\") || byte < 0x20 || byte >= 0x80 {
                at = try unusual(at)
            } else {
                at &+= 1
            }
        }
        throw unexpected(end)
    }

    /// An escape, or a run of characters beyond ASCII; anything else that stopped the scan is an error.
    @inline(never)
    private func unusual(_ at: Int) throws(JSONFailure) -> Int {
        let byte = byte(at)
        if byte >= 0x80 { return try beyondASCII(at) }
        guard byte == UInt8(ascii: "\\") else { throw JSONFailure(reason: .controlCharacter, position: at) }
        guard at &+ 1 < end else { throw unexpected(end) }
        switch self.byte(at &+ 1) {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return at &+ 2
        case UInt8(ascii: "u"):
            guard at &+ 6 <= end else { throw unexpected(end) }
            for index in 2..<6 where JSONText.hex(self.byte(at &+ index)) == nil {
                throw JSONFailure(reason: .badEscape, position: at)
            }
            return at &+ 6
        default: throw JSONFailure(reason: .badEscape, position: at)
        }
    }

    /// Checks a run of multi-byte characters: no overlong form, no surrogate, nothing above U+10FFFF.
    private func beyondASCII(_ start: Int) throws(JSONFailure) -> Int {
        var at = start
        while at < end {
            let first = byte(at)
            if first < 0x80 { break }
            let length: Int
            var second: ClosedRange<UInt8> = 0x80...0xbf
            switch first {
            case 0xc2...0xdf: length = 2
            case 0xe0: (length, second) = (3, 0xa0...0xbf)
            case 0xed: (length, second) = (3, 0x80...0x9f)
            case 0xe1...0xef: length = 3
            case 0xf0: (length, second) = (4, 0x90...0xbf)
            case 0xf1...0xf3: length = 4
            case 0xf4: (length, second) = (4, 0x80...0x8f)
            default: throw JSONFailure(reason: .invalidUTF8, position: at)
            }
            guard at &+ length <= end, second.contains(byte(at &+ 1)) else {
                throw JSONFailure(reason: .invalidUTF8, position: at)
            }
            for index in 2..<max(length, 2) where byte(at &+ index) & 0xc0 != 0x80 {
                throw JSONFailure(reason: .invalidUTF8, position: at)
            }
            at &+= length
        }
        return at
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    @inline(__always)
    private func number(_ start: Int) throws(JSONFailure) -> Int {
        var at = start
        if byte(at) == UInt8(ascii: "-") { at &+= 1 }
        let integer = at
        at = digits(at)
        let count = at &- integer
        guard count > 0, count == 1 || byte(integer) != UInt8(ascii: "0") else {
            throw JSONFailure(reason: .badNumber, position: start)
        }
        if at < end, byte(at) == UInt8(ascii: ".") {
            let fraction = at &+ 1
            at = digits(fraction)
            guard at > fraction else { throw JSONFailure(reason: .badNumber, position: start) }
        }
        if at < end, byte(at) | 0x20 == UInt8(ascii: "e") {
            at &+= 1
            if at < end, byte(at) == UInt8(ascii: "+") || byte(at) == UInt8(ascii: "-") { at &+= 1 }
            let exponent = at
            at = digits(exponent)
            guard at > exponent else { throw JSONFailure(reason: .badNumber, position: start) }
        }
        return at
    }

    @inline(__always)
    private func digits(_ start: Int) -> Int {
        var at = start
        while at < end, byte(at) &- UInt8(ascii: "0") < 10 { at &+= 1 }
        return at
    }

    @inline(__always)
    private func literal(_ text: StaticString, _ start: Int) throws(JSONFailure) -> Int {
        let count = text.utf8CodeUnitCount
        guard start &+ count <= end else { throw JSONFailure(reason: .badLiteral, position: start) }
        for index in 1..<count where byte(start &+ index) != text.utf8Start[index] {
            throw JSONFailure(reason: .badLiteral, position: start)
        }
        return start &+ count
    }
}
