import BrokerTestKit
import CJSONScan
import Testing

@testable import IngestGateway

/// What is found by marks of blocks, by each implementation that this CPU has, must be what a scanner that goes from token to
/// token takes: the same texts, the same ranges.
@Suite struct JSONBlocksTests {
    private static let implementations = 0..<millrace_json_count()

    private struct Found {
        var end: millrace_json_end
        var ranges: [JSONRange]
        var position: Int
    }

    /// Finds events by one implementation, as `JSONBlocks` does by the chosen one; `room` is that of one call.
    private static func found(
        _ implementation: Int32, _ text: [UInt8], _ mode: millrace_json_mode, from position: Int = 0,
        room: Int = MILLRACE_JSON_ROOM, limits: JSONLimits = JSONLimits()
    ) -> Found {
        var found = Found(end: MILLRACE_JSON_FULL, ranges: [], position: position)
        var mode = mode
        // Of its own memory, so that a tool that watches accesses sees one beyond the text.
        text.withUnsafeBufferPointer { text in
            withUnsafeTemporaryAllocation(of: millrace_json_range.self, capacity: room) { ranges in
                while found.end == MILLRACE_JSON_FULL {
                    var scan = millrace_json_scan()
                    (scan.text, scan.length) = (text.baseAddress, text.count)
                    (scan.ranges, scan.capacity) = (ranges.baseAddress, room)
                    (scan.max_depth, scan.max_tokens) = (UInt32(limits.depth), UInt32(limits.tokens))
                    (scan.max_keys, scan.position) = (UInt32(limits.keys), found.position)
                    found.end = millrace_json_find_by(implementation, &scan, mode)
                    found.ranges += (0..<scan.count).map { JSONRange(Int(ranges[$0].start), Int(ranges[$0].end)) }
                    found.position = scan.position
                    if mode == MILLRACE_JSON_ELEMENTS { mode = MILLRACE_JSON_MORE_ELEMENTS }
                }
            }
        }
        return found
    }

    // MARK: What must be found

    /// The range of a text's only value; nil when it is no JSON.
    private static func value(of text: [UInt8], _ limits: JSONLimits) -> JSONRange? {
        text.withUnsafeBytes { raw in
            var scanner = JSONScanner(raw, limits: limits)
            guard scanner.peek() != nil else { return nil }
            let start = scanner.position
            guard (try? scanner.value()) != nil else { return nil }
            let end = scanner.position
            return (try? scanner.finish()) == nil ? nil : JSONRange(start, end)
        }
    }

    private static func elements(of text: [UInt8], _ limits: JSONLimits) -> [JSONRange]? {
        text.withUnsafeBytes { raw in
            var scanner = JSONScanner(raw, limits: limits)
            var ranges: [JSONRange] = []
            guard (try? scanner.elements(into: &ranges)) != nil, (try? scanner.finish()) != nil else { return nil }
            return ranges
        }
    }

    private static func lines(of text: [UInt8], _ limits: JSONLimits) -> [(range: JSONRange, isSound: Bool)] {
        text.withUnsafeBytes { raw in
            var lines = NDJSONLines(raw)
            var found: [(range: JSONRange, isSound: Bool)] = []
            while let line = lines.next() {
                var scanner = JSONScanner(line.bytes(of: raw), limits: limits)
                found.append((line, (try? scanner.onlyValue()) != nil))
            }
            return found
        }
    }

    // MARK: Comparing

    private static func compareValue(_ text: [UInt8], _ limits: JSONLimits) {
        let wanted = value(of: text, limits)
        for index in implementations {
            let found = found(index, text, MILLRACE_JSON_VALUE, limits: limits)
            let one = found.end == MILLRACE_JSON_FINISHED && found.ranges.count == 1 ? found.ranges[0] : nil
            check(one == wanted, index, text)
        }
    }

    private static func compareElements(_ text: [UInt8], room: Int, _ limits: JSONLimits) {
        guard let bracket = text.firstIndex(where: { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }),
            text[bracket] == UInt8(ascii: "[")
        else { return }
        let wanted = elements(of: text, limits)
        for index in implementations {
            let found = found(index, text, MILLRACE_JSON_ELEMENTS, from: bracket + 1, room: room, limits: limits)
            let all = found.end == MILLRACE_JSON_FINISHED ? found.ranges : nil
            check(all == wanted, index, text)
        }
    }

    private static func compareLines(_ text: [UInt8], room: Int, _ limits: JSONLimits) {
        let wanted = lines(of: text, limits)
        for index in implementations {
            let found = found(index, text, MILLRACE_JSON_LINES, room: room, limits: limits)
            let sound = wanted.prefix { $0.isSound }
            guard found.end == MILLRACE_JSON_UNSOUND else {
                check(sound.count == wanted.count, index, text)
                check(found.ranges == wanted.map(\.range), index, text)
                continue
            }
            // Sound ones may be left out whose end is in the block of what is wrong.
            check(sound.count < wanted.count, index, text)
            check(found.ranges == sound.prefix(found.ranges.count).map(\.range), index, text)
            if found.ranges.count < sound.count {
                let next = sound[found.ranges.count].range
                let end = text[Int(next.end)...].firstIndex(of: 0x0a) ?? text.count
                let wrong = wanted[min(sound.count, wanted.count - 1)].range
                let start = text[..<Int(wrong.start)].lastIndex(of: 0x0a) ?? 0
                check(start < end + 64, index, text)
            }
        }
    }

    /// Cheaper than an expectation, of which there would be a million.
    private static func check(_ isRight: Bool, _ implementation: Int32, _ text: [UInt8], line: Int = #line) {
        guard !isRight else { return }
        Issue.record(
            "\(name(implementation)), seen at line \(line): \(String(decoding: text, as: UTF8.self).debugDescription)")
    }

    private static func compare(_ text: [UInt8], room: Int = MILLRACE_JSON_ROOM, limits: JSONLimits = JSONLimits()) {
        compareValue(text, limits)
        compareElements(text, room: room, limits)
        compareLines(text, room: room, limits)
    }

    private static func name(_ index: Int32) -> String { String(cString: millrace_json_name_at(index)) }

    // MARK: Cases

    @Test func theChosenOneIsTheLast() {
        #expect(String(cString: millrace_json_name()) == Self.name(millrace_json_count() - 1))
    }

    /// The texts of the scanner's own tests, at each place of a block and over its end.
    @Test func everyKnownTextIsTakenOrNotAtEachPlaceOfABlock() {
        let texts = JSONScannerTests.valid + JSONScannerTests.invalid.map(\.0)
        for text in texts.map({ Array($0.utf8) }) {
            for before in 0..<66 {
                let spaces = [UInt8](repeating: 0x20, count: before)
                Self.compareValue(spaces + text, JSONLimits())
                guard before % 13 == 0 || before > 60 else { continue }
                Self.compare([UInt8(ascii: "[")] + spaces + text + Array(",0]".utf8))
                Self.compare(Array("{\"a\":1}\n".utf8) + spaces + text + Array("\n[]".utf8))
            }
        }
    }

    @Test func everySequenceOfTwoBytesBeyondASCIIAndBehind() {
        // Each first byte with each second, as 1 to 4 bytes, over the end of a block.
        for first in UInt8(0x80)...0xff {
            for second: UInt8 in [0x22, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff] {
                for rest in [[], [0x80], [0xbf, 0x80], [0x80, 0x80, 0x80]] as [[UInt8]] {
                    for before in [0, 61, 62] {
                        let spaces = [UInt8](repeating: 0x20, count: before)
                        Self.compareValue(spaces + [0x22, first, second] + rest + [0x22], JSONLimits())
                    }
                }
            }
        }
    }

    @Test func rowsOfBackslashesEscapeEachSecond() {
        for count in 0..<70 {
            for before in [0, 1, 61, 62, 63] {
                for after in ["\"", "n\"", "u0041\"", "u00g1\"", "\"\"", "x\""] {
                    let row = String(repeating: "\\", count: count)
                    let text = String(repeating: " ", count: before) + "\"" + row + after
                    Self.compareValue(Array(text.utf8), JSONLimits())
                }
            }
        }
    }

    @Test func longTokensGoOnFromBlockToBlock() {
        for count in [1, 30, 62, 63, 64, 65, 127, 128, 129, 300] {
            let digits = String(repeating: "1", count: count)
            let letters = String(repeating: "a", count: count)
            let spaces = String(repeating: " ", count: count)
            for text in [
                digits, "-\(digits)", "0\(digits)", "\(digits).\(digits)", "\(digits).\(digits).1",
                "\(digits)e\(digits)",
                "\(digits)e", "\(digits)e5x", "\(digits)e-\(digits)", "\(digits)-", "\(digits)x",
                "[\(digits)e5,\(digits)E6]",
                "{\"\(letters)\":\"\(letters)\"}", "{\"\(letters)\"\(spaces):\(spaces)1\(spaces),\(spaces)\"b\":2}",
                "{\"\(letters)\"\(spaces),\"b\":2}", "{\"a\":1,\(spaces)}", "[1\(spaces)2]", "[\(spaces)]",
                "\"\(letters)",
                "\"\(letters)\\\"", "[\"\(letters)\"\(spaces)\"\(letters)\"]", "{\"a\"\(spaces):\(spaces)}",
                "{\(spaces)\"\(letters)\"}", "[\(spaces)true\(spaces),\(spaces)null]\(spaces)", "[1]\(spaces)2",
            ] { Self.compare(Array(text.utf8)) }
        }
    }

    @Test func limitsHoldWhereTheyHoldForTheScanner() {
        let texts = [
            "[[[1]]]", "{\"a\":{\"b\":{}}}", "[[],[[]],[[[]]]]", "{\"a\":1,\"b\":2}",
            "{\"a\":{\"b\":1},\"c\":[2,{\"d\":3}]}",
            "[{\"a\":1},{\"a\":1,\"b\":2},{}]", "[1,[2,3],4]", "1\n[2,3]\n[4,5,6]\n{\"a\":[7]}\n",
            String(repeating: "[", count: 70), String(repeating: "[", count: 64) + String(repeating: "]", count: 64),
            String(repeating: "[{\"a\":", count: 32) + "1" + String(repeating: "}]", count: 32),
            "[" + (0..<40).map { "{\"k\($0)\":\($0)}" }.joined(separator: ",") + "]",
            "{" + (0..<40).map { "\"k\($0)\":\($0)" }.joined(separator: ",") + "}",
        ]
        for text in texts.map({ Array($0.utf8) }) {
            for most in [1, 2, 3, 4, 5, 6, 40, 41, 79, 80, 81, 82] {
                var limits = JSONLimits()
                limits.tokens = most
                Self.compare(text, limits: limits)
                limits = JSONLimits()
                limits.keys = most
                Self.compare(text, limits: limits)
                limits = JSONLimits()
                limits.depth = min(most, 64)
                Self.compare(text, limits: limits)
            }
        }
    }

    @Test func manyEventsAreFoundInSeveralCalls() {
        for count in [1, 127, 128, 129, 255, 256, 257, 700, 2000] {
            for (separator, element) in [(",", "1"), (", ", "{}"), (",\n", "{\"a\":\"b\"}")] {
                let list = Array(repeating: element, count: count).joined(separator: separator)
                Self.compareElements(Array("[\(list)]".utf8), room: MILLRACE_JSON_ROOM, JSONLimits())
                Self.compareElements(
                    Array("[\(list)]\(String(repeating: " ", count: 200))".utf8), room: MILLRACE_JSON_ROOM, JSONLimits()
                )
            }
            let lines = String(repeating: "1\n", count: count) + String(repeating: "\r\n", count: count)
            Self.compareLines(Array(lines.utf8), room: MILLRACE_JSON_ROOM, JSONLimits())
        }
    }

    @Test(arguments: 0..<8)
    func aChangedByteChangesNothingAboutWhoIsRight(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let interesting =
            Array("\"\\{}[],: \t\r\n0123eE+-.tfnu/bx".utf8) + [0, 0x1f, 0x7f, 0x80, 0xbf, 0xc3, 0xe2, 0xed, 0xf0, 0xff]
        for _ in 0..<120 {
            var writer = TextWriter(random: random)
            let mode = Int.random(in: 0..<3, using: &random)
            var text: [UInt8] = []
            switch mode {
            case 0: text = writer.value(depth: 4)
            case 1: text = writer.list((0..<Int.random(in: 0...5, using: &random)).map { _ in 2 })
            default:
                for _ in 0..<Int.random(in: 0...5, using: &random) {
                    text += writer.value(depth: 2).filter { $0 != 0x0a } + [0x0a]
                }
            }
            random = writer.random
            Self.compare(text)
            for _ in 0..<6 {
                var changed = text
                for _ in 0..<Int.random(in: 1...2, using: &random) where !changed.isEmpty {
                    let at = Int.random(in: 0..<changed.count, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: changed[at] = interesting.randomElement(using: &random)!
                    case 1: changed.insert(interesting.randomElement(using: &random)!, at: at)
                    default: changed.remove(at: at)
                    }
                }
                Self.compare(changed)
            }
        }
    }
}

/// Writes JSON texts at random: all kinds of tokens, whitespace or none between them.
private struct TextWriter {
    var random: SeededRandom

    mutating func value(depth: Int) -> [UInt8] {
        switch Int.random(in: depth > 0 ? 0..<9 : 4..<9, using: &random) {
        case 0, 1:
            let count = Int.random(in: 0...4, using: &random)
            var text: [UInt8] = [UInt8(ascii: "{")]
            for index in 0..<count {
                text += space() + string() + space() + [UInt8(ascii: ":")] + space() + value(depth: depth - 1) + space()
                if index + 1 < count { text.append(UInt8(ascii: ",")) }
            }
            return text + space() + [UInt8(ascii: "}")]
        case 2, 3: return list((0..<Int.random(in: 0...4, using: &random)).map { _ in depth - 1 })
        case 4, 5: return string()
        case 6: return Array(["true", "false", "null"].randomElement(using: &random)!.utf8)
        default: return number()
        }
    }

    mutating func list(_ depths: [Int]) -> [UInt8] {
        var text: [UInt8] = [UInt8(ascii: "[")]
        for (index, depth) in depths.enumerated() {
            text += space() + value(depth: depth) + space()
            if index + 1 < depths.count { text.append(UInt8(ascii: ",")) }
        }
        return text + space() + [UInt8(ascii: "]")]
    }

    private mutating func space() -> [UInt8] {
        guard Int.random(in: 0..<5, using: &random) == 0 else { return [] }
        let count = Int.random(in: 1...(Int.random(in: 0..<20, using: &random) == 0 ? 90 : 2), using: &random)
        return (0..<count).map { _ in [0x20, 0x09, 0x0d, 0x0a].randomElement(using: &random)! }
    }

    private mutating func number() -> [UInt8] {
        func digits(_ most: Int) -> String {
            String(
                (0..<Int.random(in: 1...most, using: &random)).map { _ in "0123456789".randomElement(using: &random)! })
        }
        var text = Bool.random(using: &random) ? "-" : ""
        text += ["0", "7", "1\(digits(6))", "9\(digits(80))"].randomElement(using: &random)!
        if Int.random(in: 0..<3, using: &random) == 0 { text += ".\(digits(5))" }
        if Int.random(in: 0..<4, using: &random) == 0 {
            text += ["e", "E", "e-", "E+"].randomElement(using: &random)! + digits(3)
        }
        return Array(text.utf8)
    }

    private mutating func string() -> [UInt8] {
        let pieces = [
            "a", "word", "with space", "\\\"", "\\\\", "\\n", "\\/", "\\u00e9", "\\uD83D\\uDE00", "é", "€", "😀",
            "\u{7f}",
            "{}[],:", "a rather long piece of text that crosses the end of a block, it does",
        ]
        let count = Int.random(in: 0...5, using: &random)
        return Array("\"\((0..<count).map { _ in pieces.randomElement(using: &random)! }.joined())\"".utf8)
    }
}
