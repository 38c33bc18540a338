/// Why bytes are not an acceptable JSON text, and where: `position` counts bytes from the start of the scanned text.
struct JSONFailure: Error, Equatable {
    enum Reason: UInt8 {
        case unexpectedEnd
        case unexpectedByte
        case badNumber
        case badLiteral
        case badEscape
        case controlCharacter
        case invalidUTF8
        case loneSurrogate
        case nulInText
        case trailingBytes
        case tooDeep
        case tooManyTokens
        case tooManyKeys
        case tooManyElements
        case duplicateKey
    }

    var reason: Reason
    var position: Int

    /// The machine-readable name of a problem body.
    var code: StaticString {
        switch reason {
        case .invalidUTF8, .loneSurrogate: "invalid_utf8"
        case .tooDeep: "depth_exceeded"
        case .tooManyTokens, .tooManyKeys: "too_complex"
        case .tooManyElements: "too_many_events"
        case .duplicateKey: "duplicate_key"
        default: "invalid_json"
        }
    }

    /// One sentence without its place.
    var detail: StaticString {
        switch reason {
        case .unexpectedEnd: "The JSON text ends too early"
        case .unexpectedByte: "Unexpected character in the JSON text"
        case .badNumber: "A number is not a JSON number"
        case .badLiteral: "Only true, false and null are literals"
        case .badEscape: "A string has a broken escape"
        case .controlCharacter: "A string has an unescaped control character"
        case .invalidUTF8: "A string is not UTF-8"
        case .loneSurrogate: "A string has half of a surrogate pair"
        case .nulInText: "A routed string has a NUL"
        case .trailingBytes: "Something follows the JSON text"
        case .tooDeep: "Arrays and objects are nested more deeply than the limit"
        case .tooManyTokens: "The event has more values than the limit"
        case .tooManyKeys: "The event has more keys than the limit"
        case .tooManyElements: "The request has more events than the limit"
        case .duplicateKey: "A key of the envelope stands twice"
        }
    }
}

/// What one event may hold. Each limit bounds what a few bytes can make a later reader allocate.
struct JSONLimits {
    /// Nested arrays and objects. The scanner keeps one bit for each in a 64-bit word.
    var depth = 64
    /// Values and keys of one event.
    var tokens = 100_000
    /// Keys of one event, at all levels together.
    var keys = 2_000
    /// Events of one request: each costs a record and, in a reply, a line.
    var elements = 100_000
}

enum JSONKind: UInt8 {
    case object, array, string, number, `true`, `false`, null
}

/// A range of the scanned bytes. 32 bits are enough: a request is at most 16 MiB.
struct JSONRange: Equatable {
    var start: UInt32
    var end: UInt32

    @inline(__always)
    init(_ start: Int, _ end: Int) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.end = UInt32(truncatingIfNeeded: end)
    }

    @inline(__always) var count: Int { Int(end) - Int(start) }

    @inline(__always)
    func bytes(of text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: text[Int(start)..<Int(end)])
    }
}
