import CommandSyntax
import Testing

@Suite struct RecordJSONTests {
    private func problem(_ text: String) -> String? {
        do {
            _ = try RecordJSON(parsing: Array(text.utf8))
            return nil
        } catch {
            return error.description
        }
    }

    private func read(_ text: String) throws -> RecordJSON { try RecordJSON(parsing: Array(text.utf8)) }

    /// What is written is read again as it was, whatever the bytes are.
    @Test func recordsComeBackAsTheyWere() throws {
        var generator = SystemRandomNumberGenerator()
        func bytes() -> [UInt8]? {
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: return nil
            case 1: return []
            case 2: return Array("ž\u{1F40E}\"\\\n\u{0}\u{7f}/".utf8)
            default: return (0..<Int.random(in: 1..<40, using: &generator)).map { _ in UInt8.random(in: 0...255) }
            }
        }
        for _ in 0..<2000 {
            var record = RecordJSON(key: bytes(), value: bytes())
            record.topic = Bool.random() ? "t" : nil
            record.partition = Bool.random() ? 7 : nil
            record.offset = Bool.random() ? Int64.max : nil
            record.timestampMs = Bool.random() ? Int64.random(in: -1...Int64.max) : nil
            record.headers = (0..<Int.random(in: 0..<4)).map { _ in .init(key: bytes() ?? [], value: bytes()) }
            var json = JSONWriter()
            json.object { record.write(to: &$0) }
            #expect(try RecordJSON(parsing: json.bytes) == record, "\(json.text)")
        }
    }

    @Test func onlyTheValueMustBeThere() throws {
        let record = try read(#" { "value" : "v" } "#)
        #expect(record == RecordJSON(key: nil, value: Array("v".utf8)))
        #expect(try read(#"{"value":null}"#).value == nil)
        #expect(try read(#"{"value":"","key":""}"#) == RecordJSON(key: [], value: []))
        #expect(problem(#"{"key":"k"}"#)?.contains("\"value\" is missing") == true)
    }

    @Test func whatIsNoStringIsItsJSONText() throws {
        let record = try read(#"{"key": 1.50, "value": {"a": [1, null] , "b":"\u00e9"}}"#)
        #expect(record.key == Array("1.50".utf8))
        #expect(record.value == Array(#"{"a": [1, null] , "b":"\u00e9"}"#.utf8))
    }

    @Test func timesAreNumbersOrText() throws {
        #expect(try read(#"{"value":"v","timestamp":-1}"#).timestampMs == -1)
        #expect(try read(#"{"value":"v","timestamp":"1970-01-02"}"#).timestampMs == 86_400_000)
        #expect(problem(#"{"value":"v","timestamp":-2}"#)?.contains("timestamp") == true)
        #expect(problem(#"{"value":"v","timestamp":1.5}"#)?.contains("timestamp") == true)
    }

    @Test(arguments: [
        (#"{"vlaue":"v"}"#, "there is no member \"vlaue\""), (#"{"value":"v","value_base64":"dg=="}"#, "given twice"),
        (#"{"value_base64":"dg="}"#, "base64"), (#"{"value_base64":"d=g="}"#, "base64"),
        (#"{"value_base64":7}"#, "base64"), (#"{"value":"v","partition":-1}"#, "partition"),
        (#"{"value":"v","partition":"1"}"#, "partition"), (#"{"value":"v","headers":{}}"#, "headers"),
        (#"{"value":"v","headers":[{"value":"x"}]}"#, "key"),
        (#"{"value":"v","headers":[{"key":"k","x":1}]}"#, "\"x\""),
        (#"["v"]"#, "object"), (#"{"value":"v"} x"#, "more behind"), (#"{"value":"v""#, "comma"),
        (#"{"value":"\ud800"}"#, "half of a character"), (#"{"value":"\q"}"#, "escape"), ("", "no value"),
        ("{\"value\":\"a\nb\"}", "control character"), (#"{"value":01}"#, "no value"),
        ("{\"value\":" + String(repeating: "[", count: 300), "deep"),
    ])
    func othersAreRefusedWithTheReason(text: String, expected: String) {
        #expect(problem(text)?.contains(expected) == true, "\(problem(text) ?? "taken")")
    }

    @Test func bytesThatAreNoTextAreRefused() {
        #expect(throws: JSONProblem.self) { try RecordJSON(parsing: Array("{\"value\":\"".utf8) + [0xff, 0x22, 0x7d]) }
    }
}
