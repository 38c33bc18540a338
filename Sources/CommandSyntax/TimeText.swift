internal import Configuration

/// Times as people write them: ms since 1970, a date and time of ISO 8601, or how long ago.
public enum TimeText {
    /// What `milliseconds` takes, or `-1h`: so long before `nowMs`.
    public static func moment(_ text: String, nowMs: Int64) -> Int64? {
        milliseconds(text) ?? ago(text).map { max(0, nowMs - $0) }
    }

    /// Ms of `-90s`, `-1h`, `-7d`; `nil` without a unit, since `-5` means a count elsewhere.
    static func ago(_ text: String) -> Int64? {
        guard text.hasPrefix("-"), text.last?.isLetter == true else { return nil }
        return Quantity.milliseconds(String(text.dropFirst())).flatMap { $0 >= 0 ? $0 : nil }
    }

    /// Ms since 1970 of `1700000000000`, `2026-01-31`, `2026-01-31T12:30:00`, `...:00.250Z`, `...+02:00`; without a
    /// zone it is UTC. `nil` when it is none of these or no such day exists.
    public static func milliseconds(_ text: String) -> Int64? {
        if let number = Int64(text) { return number >= 0 ? number : nil }
        var rest = Substring(text)
        guard let year = digits(&rest, 4), skip(&rest, "-"), let month = digits(&rest, 2), skip(&rest, "-"),
            let day = digits(&rest, 2), (1...12).contains(month), (1...daysIn(month, year)).contains(day)
        else { return nil }
        var milliseconds = daysSince1970(year, month, day) * 86_400_000
        if rest.isEmpty { return milliseconds }
        guard skip(&rest, "T") || skip(&rest, " "), let hour = digits(&rest, 2), skip(&rest, ":"),
            let minute = digits(&rest, 2), hour < 24, minute < 60
        else { return nil }
        milliseconds += (hour * 60 + minute) * 60_000
        if skip(&rest, ":") {
            guard let second = digits(&rest, 2), second < 60 else { return nil }
            milliseconds += second * 1000
            if skip(&rest, ".") {
                let fraction = rest.prefix { $0.isASCII && $0.isNumber }
                guard !fraction.isEmpty, fraction.count <= 9 else { return nil }
                rest = rest.dropFirst(fraction.count)
                milliseconds += Int64((fraction + "00").prefix(3))!
            }
        }
        if rest.isEmpty || rest == "Z" { return milliseconds }
        let isWest = rest.hasPrefix("-")
        guard skip(&rest, "+") || skip(&rest, "-"), let hours = digits(&rest, 2), hours < 24 else { return nil }
        _ = skip(&rest, ":")
        guard let minutes = digits(&rest, 2), minutes < 60, rest.isEmpty else { return nil }
        let shift = (hours * 60 + minutes) * 60_000
        return isWest ? milliseconds + shift : milliseconds - shift
    }

    /// The years 1 to 9999, in ms since 1970: those that four digits can say.
    private static let sayable: Range<Int64> = -62_135_596_800_000..<253_402_300_800_000

    /// `2026-01-31T12:30:00.250Z`; a time that no such text can say is the number itself. A record's time is whatever its
    /// producer wrote.
    public static func iso(_ milliseconds: Int64) -> String {
        guard sayable.contains(milliseconds) else { return String(milliseconds) }
        let days = (milliseconds >= 0 ? milliseconds : milliseconds - 86_399_999) / 86_400_000
        let inDay = milliseconds - days * 86_400_000
        let (year, month, day) = civil(days)
        return padded(year, 4) + "-" + padded(month, 2) + "-" + padded(day, 2) + "T" + padded(inDay / 3_600_000, 2)
            + ":" + padded(inDay / 60_000 % 60, 2) + ":" + padded(inDay / 1000 % 60, 2) + "."
            + padded(inDay % 1000, 3) + "Z"
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func digits(_ rest: inout Substring, _ count: Int) -> Int64? {
        let text = rest.prefix(count)
        guard text.count == count, text.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
        rest = rest.dropFirst(count)
        return Int64(text)
    }

    private static func skip(_ rest: inout Substring, _ character: Character) -> Bool {
        guard rest.first == character else { return false }
        rest.removeFirst()
        return true
    }

    private static func isLeap(_ year: Int64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func daysIn(_ month: Int64, _ year: Int64) -> Int64 {
        [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Int(month) - 1]
    }

    /// Days from 1970-01-01; a year is counted from March, so that the leap day is its last.
    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    }

    private static func civil(_ days: Int64) -> (Int64, Int64, Int64) {
        // Years are looked for near the mean: 16 steps at most for what `sayable` has.
        var year = 1970 + days / 366
        while daysSince1970(year + 1, 1, 1) <= days { year += 1 }
        while daysSince1970(year, 1, 1) > days { year -= 1 }
        var month: Int64 = 1
        while month < 12, daysSince1970(year, month + 1, 1) <= days { month += 1 }
        return (year, month, days - daysSince1970(year, month, 1) + 1)
    }
}
