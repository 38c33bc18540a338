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

    /// The second since 1970 that such a text names; nil: it is none. The two forms that are out of use are not read. Source: RFC 9110, 5.6.7.
    public static func second(of text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard bytes.count == 29 else { return nil }
        func number(_ range: Range<Int>) -> Int? { Int(String(decoding: bytes[range], as: UTF8.self)) }
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard let day = number(5..<7), let year = number(12..<16), let hour = number(17..<19),
            let minute = number(20..<22), let second = number(23..<25), (1970...9999).contains(year),
            let month = months.firstIndex(of: String(decoding: bytes[8..<11], as: UTF8.self))
        else { return nil }
        let date = days(year: year, month: month + 1, day: day)
        let found = date * 86_400 + hour * 3600 + minute * 60 + second
        // What is not the same when it is written is none: a day that the month has not, a weekday that it was not.
        return format(found) == bytes ? found : nil
    }

    /// Days since 1970; the inverse of `civilDate`.
    private static func days(year: Int, month: Int, day: Int) -> Int {
        let fromMarch = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = (fromMarch / 400, fromMarch % 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
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
