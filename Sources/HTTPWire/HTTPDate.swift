import Glibc

/// The 29 bytes of a `Date` field (`Sat, 21 Nov 2026 10:00:00 GMT`), made once a second. One for each event loop.
public struct HTTPDate: Sendable {
    @usableFromInline var second = Int.min
    @usableFromInline var text: [UInt8] = []

    public init() {}

    /// The date at `seconds` since 1970.
    @inlinable
    public mutating func bytes(atSecond seconds: Int) -> [UInt8] {
        if seconds != second { refresh(seconds) }
        return text
    }

    @usableFromInline
    mutating func refresh(_ seconds: Int) {
        second = seconds
        text = Self.format(seconds)
    }

    static func format(_ seconds: Int) -> [UInt8] {
        var moment = seconds
        var parts = tm()
        gmtime_r(&moment, &parts)
        let days: [StaticString] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months: [StaticString] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let day =
            "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) \(parts.tm_year + 1900)"
        return Array("\(day) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT".utf8)
    }
}
