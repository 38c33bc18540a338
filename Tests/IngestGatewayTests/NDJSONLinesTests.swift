import BrokerTestKit
import ByteBuffers
import RecordFormat
import Testing

@testable import IngestGateway

/// What is found in one go must be what a scan of each line by itself finds.
@Suite struct NDJSONLinesTests {
    private struct Line: Equatable {
        var text: [UInt8]
        var isJSON: Bool
    }

    private func lines(of body: [UInt8], inOneGo: Bool, limits: JSONLimits = JSONLimits()) -> [Line] {
        body.withUnsafeBytes { raw in
            var lines = NDJSONLines(raw, limits: limits)
            var found: [Line] = []
            while true {
                if inOneGo {
                    var sound: [JSONRange] = []
                    lines.appendSound(to: &sound)
                    found += sound.map { Line(text: Array($0.bytes(of: raw)), isJSON: true) }
                }
                guard let line = lines.next() else { return found }
                var scanner = JSONScanner(line.bytes(of: raw), limits: limits)
                let isJSON = (try? scanner.onlyValue()) != nil
                found.append(Line(text: Array(line.bytes(of: raw)), isJSON: isJSON))
            }
        }
    }

    /// How many lines the fast way takes before one that it leaves to the other.
    private func sound(_ body: [UInt8], limits: JSONLimits = JSONLimits()) -> Int {
        body.withUnsafeBytes { raw in
            var lines = NDJSONLines(raw, limits: limits)
            var found: [JSONRange] = []
            lines.appendSound(to: &found)
            return found.count
        }
    }

    private static let padding = Array(String(repeating: "0\n", count: 40).utf8)
    private static let seeds = [
        #"{"date":"2001/01/01 00:47","delay":66,"distance":1750,"origin":"DTW","destination":"LAS"}"#,
        #"{"a":[1,-2.5e+10,0.25,true,false,null,{},[],{"b":{"c":"d"}}], "é":"ü\n\u00e9\\","x":"#
            + #""abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"}"#,
        #""just a string""#, "-0", "[[[[[]]]]]", #"  {"spaces" : [ 1 , 2 ] }  "#, "{}", "12345678901234567890",
    ]

    @Test func soundLinesAreTakenInOneGo() {
        let body = Self.seeds.joined(separator: "\r\n\n") + "\n"
        #expect(sound(Array(body.utf8) + Self.padding) == Self.seeds.count + 40)
        #expect(sound(Array(body.utf8.dropLast())) == Self.seeds.count, "the last line needs no line feed")
    }

    @Test(arguments: 0..<8)
    func aChangedByteNeverChangesWhatIsFound(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let interesting =
            Array("\"\\{}[],: \t\r\n0123eE+-.tfnu\u{0}\u{1f}".utf8) + [0x7f, 0x80, 0xc3, 0xe2, 0xf0, 0xff]
        for line in Self.seeds {
            for _ in 0..<400 {
                var bytes = Array(line.utf8)
                for _ in 0..<Int.random(in: 0...2, using: &random) {
                    let at = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: bytes[at] = interesting.randomElement(using: &random)!
                    case 1: bytes.insert(interesting.randomElement(using: &random)!, at: at)
                    default: if bytes.count > 1 { bytes.remove(at: at) }
                    }
                }
                // Somewhere in a block of marks, between lines that are sound.
                let before = Array(String(repeating: "1", count: Int.random(in: 1...70, using: &random)).utf8) + [0x0a]
                let body = before + bytes + [0x0a] + Self.padding
                #expect(lines(of: body, inOneGo: true) == lines(of: body, inOneGo: false), "\(bytes)")
            }
        }
    }

    @Test func everyLengthOfBodyIsReadWithinItsBytes() {
        let whole = Array(Self.seeds.joined(separator: "\n").utf8)
        for count in 0...whole.count {
            let body = Array(whole[..<count])
            #expect(lines(of: body, inOneGo: true) == lines(of: body, inOneGo: false), "\(count) bytes")
        }
    }

    @Test func aLineOverALimitIsLeftToTheOtherWay() {
        func isSound(_ line: String, _ change: (inout JSONLimits) -> Void) -> Bool {
            var limits = JSONLimits()
            change(&limits)
            return sound(Array("\(line)\n".utf8) + Self.padding, limits: limits) > 0
        }
        #expect(!isSound("[[[1]]]") { $0.depth = 2 })
        #expect(isSound("[[[1]]]") { $0.depth = 3 })
        let wide = "{\"a\":1,\"b\":2}"
        #expect(!isSound(wide) { $0.keys = 1 })
        #expect(isSound(wide) { $0.keys = 2 })
        #expect(!isSound(wide) { $0.tokens = 4 })
        #expect(isSound(wide) { $0.tokens = 5 })
    }

    /// A string's end at each place of a block of marks, with each kind of byte that could be taken for it.
    @Test func stringsEndWhereTheirQuoteIs() {
        for length in 0..<200 {
            let text = String(repeating: "a", count: length)
            for (inside, isJSON) in [("", true), ("\\\"", true), ("é", true), ("\u{1}", false), (" !#", true)] {
                let body = Array("[\"\(text)\(inside)\",\"b\"]\n".utf8)
                var scanned = false
                body.withUnsafeBytes { raw in
                    var scanner = JSONScanner(raw)
                    scanned = (try? scanner.onlyValue()) != nil
                }
                #expect(scanned == isJSON, "\(length) \(inside)")
                #expect(lines(of: body + Self.padding, inOneGo: true).first?.isJSON == isJSON, "\(length) \(inside)")
            }
        }
    }
}

@Suite struct EventBatchTests {
    private func text(_ id: UUIDv7) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: UUIDv7.textLength) { buffer, count in
            id.write(to: buffer.baseAddress!)
            count = UUIDv7.textLength
        }
    }

    @Test func theLastDigitsAreTheEndOfTheText() {
        let id = UUIDv7(high: 0x0192_3456_789a_7bcd, low: 0x8123_4567_89ab_cdef)
        #expect(String(decoding: text(id), as: UTF8.self) == "01923456-789a-7bcd-8123-456789abcdef")
        var digits = [UInt8](repeating: 0, count: UUIDv7.lastDigits)
        digits.withUnsafeMutableBytes { id.writeLastDigits(to: $0.baseAddress!) }
        #expect(String(decoding: digits, as: UTF8.self) == "89abcdef")
    }

    @Test func identifiersCountUpBeyondTheirLastDigitsAndOverRejectedEvents() throws {
        let first = UUIDv7(high: 0x0192_3456_789a_7bcd, low: 0x8000_0000_ffff_fffe)
        let body = Array("0,1,2,3,4".utf8)
        let events = (0..<5).map { JSONRange($0 * 2, $0 * 2 + 1) }
        var headers = ByteWriter()
        headers.varint(8)
        headers.bytes(Array("event_id".utf8))
        headers.varint(Int32(UUIDv7.textLength))
        headers.bytes(text(first))
        var builder = RecordBatchBuilder()
        var packer = SlicePacker(pool: .shared)
        var pattern = RecordPattern()
        pattern.set(key: nil, headers: headers.bytes, headerCount: 1)
        var batches: [EventBatch] = []
        body.withUnsafeBytes { body in
            events.withUnsafeBufferPointer { events in
                GatewayLoop.build(
                    &builder, &packer, &batches, &pattern, events,
                    rejections: [Rejection(index: 1, kind: .invalidJSON, detail: "wrong")], body: body,
                    firstID: first, timestampMs: 1, maxBatchBytes: 300)
            }
        }
        var found: [[UInt8]] = []
        var iterator = RecordIterator()
        for batch in batches {
            let header = RecordBatchHeader(unchecked: batch.slice.pointer)
            #expect(header.crc == header.computedCRC())
            #expect(Int(header.recordCount) == batch.count)
            try iterator.open(header)
            while let record = try iterator.next() {
                for header in record.headers { found.append(header.value.map(Array.init) ?? []) }
            }
        }
        #expect(batches.count > 1)
        #expect(found == (0..<4).map { text(first.advanced(by: $0)) })
    }
}
