import ByteBuffers

/// Which trace a request is part of, as the field `traceparent` says it:
///
///     00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
///     version 2, trace-id 32, parent-id 16, flags 2: digits of base 16, in lower case
///
/// Neither identifier is zero, and the version is not ff. One of a version to come may have more behind another dash, and is read as
/// far as version 00 goes. Anything else is none: what is dropped is dropped whole, with its `tracestate`.
/// Source: W3C Trace Context, 3.2.
struct TraceParent: Equatable {
    let traceHigh: UInt64
    let traceLow: UInt64
    let parentID: UInt64
    let flags: UInt8

    static let textLength = 55
    /// The one flag that version 00 knows: who has sent it may have recorded what he did.
    static let sampled: UInt8 = 1

    init(traceHigh: UInt64, traceLow: UInt64, parentID: UInt64, flags: UInt8) {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.parentID = parentID
        self.flags = flags
    }

    /// nil: it is none.
    init?(_ value: UnsafeRawBufferPointer) {
        let dash = UInt8(ascii: "-")
        guard value.count >= Self.textLength, value[2] == dash, value[35] == dash, value[52] == dash,
            let version = Self.number(value[0..<2]), version != 0xff,
            let high = Self.number(value[3..<19]), let low = Self.number(value[19..<35]),
            let parent = Self.number(value[36..<52]), let flags = Self.number(value[53..<55]),
            high | low != 0, parent != 0
        else { return nil }
        if value.count > Self.textLength, version == 0 || value[Self.textLength] != dash { return nil }
        // Of another version's flags this one knows one alone.
        let known = version == 0 ? flags : flags & UInt64(Self.sampled)
        self.init(traceHigh: high, traceLow: low, parentID: parent, flags: UInt8(known))
    }

    /// Of at most 16 digits in lower case.
    private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt64? {
        var number: UInt64 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): number = number << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return number
    }

    var traceID: String { Self.text(traceHigh) + Self.text(traceLow) }
    var spanID: String { Self.text(parentID) }

    /// As version 00 writes it.
    var text: String { "00-\(traceID)-\(spanID)-\(Self.text(UInt64(flags), digits: 2))" }

    private static func text(_ number: UInt64, digits: Int = 16) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: digits - text.utf8.count) + text
    }
}
