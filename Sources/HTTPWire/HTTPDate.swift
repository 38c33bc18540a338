/// The 29 bytes of a `Date` field (`Sat, 21 Nov 2026 10:00:00 GMT`), made once a second. One for each event loop.
public struct HTTPDate: Sendable {
    @usableFromInline var second = Int.min
    @usableFromInline var text: [UInt8] = []

    public init() {}

    /// Returns the date at `seconds` since 1970.
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
        let days = (seconds >= 0 ? seconds : seconds - 86_399) / 86_400
        let second = seconds - days * 86_400
        let date = civilDate(daysSince1970: days)
        let weekdays: [StaticString] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months: [StaticString] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let weekday = weekdays[((days % 7) + 7) % 7]
        let day = "\(weekday), \(two(date.day)) \(months[date.month - 1]) \(date.year)"
        return Array("\(day) \(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60)) GMT".utf8)
    }

    /// Returns the Gregorian date of a day. Years are counted from March, so that the leap day is a year's last.
    static func civilDate(daysSince1970 days: Int) -> (year: Int, month: Int, day: Int) {
        // 1 March of the year 0 is 719,468 days before 1970; 400 years have 146,097 days.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
