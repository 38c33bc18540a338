/// `20150830T123600Z`, the form in which AWS writes moments.
public enum BasicDate {
    /// Nil for another form, and for a day or time that does not exist.
    public static func parse(_ text: String) -> UnixTime? {
        let bytes = Array(text.utf8)
        guard bytes.count == 16, bytes[8] == UInt8(ascii: "T"), bytes[15] == UInt8(ascii: "Z") else { return nil }
        func number(_ range: Range<Int>) -> Int? {
            bytes[range].reduce(0 as Int?) { sum, byte in
                sum.flatMap { (0x30...0x39).contains(byte) ? $0 * 10 + Int(byte - 0x30) : nil }
            }
        }
        guard let year = number(0..<4), let month = number(4..<6), let day = number(6..<8), let hour = number(9..<11),
            let minute = number(11..<13), let second = number(13..<15), (1...12).contains(month), hour < 24,
            minute < 60,
            second < 60
        else { return nil }
        let days = days(year, month, day)
        let civil = self.civil(days)
        guard civil.year == year, civil.month == month, civil.day == day else { return nil }
        return UnixTime(seconds: Int64(days * 86_400 + hour * 3_600 + minute * 60 + second))
    }

    public static func text(_ time: UnixTime) -> String {
        let seconds = Int(time.seconds)
        let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
        let rest = seconds - days * 86_400
        let civil = civil(days)
        func padded(_ number: Int, _ width: Int = 2) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
        }
        return padded(civil.year, 4) + padded(civil.month) + padded(civil.day) + "T" + padded(rest / 3_600)
            + padded(rest / 60 % 60) + padded(rest % 60) + "Z"
    }

    /// Days since 1970 of a day of the Gregorian calendar; years begin in March, so that a leap day is the last one.
    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shifted = month > 2 ? year : year - 1
        let monthDays = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5
        return 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + monthDays + day - 1 - 719_468
    }

    private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }
}
