/// Percent-decoding, done once: what comes out is never decoded again.
public enum PercentDecoding {
    /// Whether `bytes` has nothing to decode.
    @inlinable
    public static func isPlain(_ bytes: UnsafeRawBufferPointer) -> Bool {
        for byte in bytes where byte == UInt8(ascii: "%") || byte == UInt8(ascii: "+") { return false }
        return true
    }

    /// `bytes` decoded as UTF-8 text. `nil` for a broken escape, an escaped NUL, or bytes that are not UTF-8.
    ///
    /// A `+` means a space in a query (HTML forms) and itself in a path.
    public static func string(_ bytes: UnsafeRawBufferPointer, plusIsSpace: Bool = false) -> String? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var at = 0
        while at < bytes.count {
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "%"):
                guard at + 2 < bytes.count, let high = hex(bytes[at + 1]), let low = hex(bytes[at + 2]) else {
                    return nil
                }
                guard high | low != 0 else { return nil }
                decoded.append(high << 4 | low)
                at += 3
            case UInt8(ascii: "+") where plusIsSpace:
                decoded.append(0x20)
                at += 1
            default:
                decoded.append(byte)
                at += 1
            }
        }
        return String(validating: decoded, as: UTF8.self)
    }

    /// Whether something is escaped that needs no escape: such a text is a second spelling of another. Source: RFC 3986, 2.3 and 6.2.2.2.
    public static func hasEscapedUnreserved(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        var at = ByteScan.find(UInt8(ascii: "%"), base, from: 0, end: bytes.count)
        while at + 2 < bytes.count {
            if let high = hex(bytes[at + 1]), let low = hex(bytes[at + 2]), isUnreserved(high << 4 | low) {
                return true
            }
            at = ByteScan.find(UInt8(ascii: "%"), base, from: at + 1, end: bytes.count)
        }
        return false
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

/// The `name=value` pairs of a query.
public struct QueryItems {
    private let query: UnsafeRawBufferPointer
    private var at = 0

    public init(_ query: UnsafeRawBufferPointer) { self.query = query }

    /// Returns the next pair as it stands on the wire, empty pairs left out; `nil` after the last.
    public mutating func next() -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        while at < query.count {
            var end = at
            var equals = -1
            while end < query.count, query[end] != UInt8(ascii: "&") {
                if equals < 0, query[end] == UInt8(ascii: "=") { equals = end }
                end += 1
            }
            let from = at
            at = end + 1
            if end == from { continue }
            let nameEnd = equals < 0 ? end : equals
            let valueStart = equals < 0 ? end : equals + 1
            return (
                UnsafeRawBufferPointer(rebasing: query[from..<nameEnd]),
                UnsafeRawBufferPointer(rebasing: query[valueStart..<end])
            )
        }
        return nil
    }
}
