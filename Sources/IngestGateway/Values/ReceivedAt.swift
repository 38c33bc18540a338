import Glibc

/// The present moment as `2026-11-21T10:00:00.123Z`; the part down to the second is made once a second.
struct ReceivedAt {
    static let textLength = 24

    private var second = Int64.min
    private(set) var text = [UInt8](repeating: 0, count: textLength)

    mutating func update(toMs milliseconds: Int64) {
        let seconds = milliseconds / 1000
        if seconds != second { refresh(seconds) }
        let rest = Int(milliseconds % 1000)
        text[20] = UInt8(ascii: "0") &+ UInt8(rest / 100)
        text[21] = UInt8(ascii: "0") &+ UInt8(rest / 10 % 10)
        text[22] = UInt8(ascii: "0") &+ UInt8(rest % 10)
    }

    private mutating func refresh(_ seconds: Int64) {
        second = seconds
        var moment = Int(seconds)
        var parts = tm()
        gmtime_r(&moment, &parts)
        func put(_ value: Int32, _ width: Int, at position: Int) {
            var rest = value
            for index in stride(from: position + width - 1, through: position, by: -1) {
                text[index] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            }
        }
        text = Array("0000-00-00T00:00:00.000Z".utf8)
        put(parts.tm_year + 1900, 4, at: 0)
        put(parts.tm_mon + 1, 2, at: 5)
        put(parts.tm_mday, 2, at: 8)
        put(parts.tm_hour, 2, at: 11)
        put(parts.tm_min, 2, at: 14)
        put(parts.tm_sec, 2, at: 17)
    }

    /// Any moment, for replies that show many.
    static func text(ofMs milliseconds: Int64) -> String {
        var value = ReceivedAt()
        value.update(toMs: max(milliseconds, 0))
        return String(decoding: value.text, as: UTF8.self)
    }
}
