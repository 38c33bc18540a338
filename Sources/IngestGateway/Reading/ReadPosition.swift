import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage

/// A place in all partitions of a topic: `p0:123,p1:456`, the next offset of each. A partition that is not in it is read from its
/// beginning: so is one that is made later.
struct ReadPosition: Equatable {
    var offsets: [Int32: Offset] = [:]

    init(_ offsets: [Int32: Offset] = [:]) { self.offsets = offsets }

    /// nil: it is none, or names a partition twice.
    init?(_ text: UnsafeRawBufferPointer) {
        for part in text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let piece = UnsafeRawBufferPointer(rebasing: part)
            guard piece.first == UInt8(ascii: "p"), let colon = piece.firstIndex(of: UInt8(ascii: ":")),
                let number = UnsafeRawBufferPointer(rebasing: piece[1..<colon]).decimalValue,
                let index = Int32(exactly: number),
                let offset = UnsafeRawBufferPointer(rebasing: piece[(colon + 1)...]).decimalValue,
                offsets.updateValue(Offset(Int64(offset)), forKey: index) == nil
            else { return nil }
        }
    }

    /// Writes that of sources, which are in the order of their partitions.
    static func write(_ sources: [PartitionSource], into out: inout ByteWriter) {
        for (place, source) in sources.enumerated() {
            out.text(place == 0 ? "p" : ",p")
            out.decimal(Int(source.partition.partitionIndex))
            out.text(":")
            out.decimal(Int(source.next.rawValue))
        }
    }
}

/// A moment as a parameter says it: milliseconds since 1970, or a time of RFC 3339.
enum ReadTime {
    /// nil: it is neither. Parts of a millisecond are cut off.
    static func milliseconds(_ text: UnsafeRawBufferPointer) -> Int64? {
        if let number = text.decimalValue { return Int64(number) }
        guard TextFormat.dateTime.holds(Array(text)) else { return nil }
        func number(_ range: Range<Int>) -> Int64 {
            text[range].reduce(0) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
        }
        var milliseconds = days(number(0..<4), number(5..<7), number(8..<10)) * 86_400_000
        milliseconds += number(11..<13) * 3_600_000 + number(14..<16) * 60_000 + number(17..<19) * 1000
        var at = 19
        if text[at] == UInt8(ascii: ".") {
            at += 1
            var unit: Int64 = 100
            while text[at] &- UInt8(ascii: "0") <= 9 {
                milliseconds += Int64(text[at] - UInt8(ascii: "0")) * unit
                unit /= 10
                at += 1
            }
        }
        if text.count - at == 6 {
            let offset = number(at + 1..<at + 3) * 3_600_000 + number(at + 4..<at + 6) * 60_000
            milliseconds += text[at] == UInt8(ascii: "-") ? offset : -offset
        }
        return milliseconds
    }

    /// Days from 1970-01-01 to a day of the Gregorian calendar: years of it begin with March, so that the odd day is the last.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month > 2 ? year : year - 1
        let (era, yearOfEra) = (shifted / 400, shifted % 400)
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
