import CommandSyntax
import Testing

@Suite struct JSONWriterTests {
    @Test func objectsArraysAndValuesAreSeparated() {
        var json = JSONWriter()
        json.object { json in
            json.member("a", 1)
            json.member("b", "x")
            json.array("c") { json in
                json.integer(1)
                json.string("2")
                json.object { _ in }
                json.array { json in json.integer(-3) }
            }
            json.member("d", nil as String?)
            json.object("e") { json in json.member("f", true) }
            json.member("g", nil as Int64?)
        }
        #expect(json.text == #"{"a":1,"b":"x","c":[1,"2",{},[-3]],"d":null,"e":{"f":true},"g":null}"#)
    }

    @Test func controlCharactersQuotesAndBackslashesAreEscaped() {
        var json = JSONWriter()
        json.string("a\"b\\c\n\r\t\u{1}\u{7f}é🙂")
        #expect(json.text == #""a\"b\\c\n\r\t\u0001\u007fé🙂""#)
    }

    @Test func controlCharactersOfTwoBytesAreEscapedAndTheirNeighboursAreNot() {
        var json = JSONWriter()
        json.string("\u{7f}\u{80}\u{85}\u{9b}\u{9f}\u{a0}Â\u{c2}é")
        #expect(json.text == "\"\\u007f\\u0080\\u0085\\u009b\\u009f\u{a0}Â\u{c2}é\"")
    }

    @Test func bytesThatAreNotTextBecomeBase64() {
        func member(_ bytes: [UInt8]?) -> String {
            var json = JSONWriter()
            json.object { json in json.member("v", bytes: bytes) }
            return json.text
        }
        #expect(member(Array("text".utf8)) == #"{"v":"text"}"#)
        #expect(member(nil) == #"{"v":null}"#)
        #expect(member([]) == #"{"v":""}"#)
        #expect(member([0xff]) == #"{"v_base64":"/w=="}"#)
        #expect(member([0xff, 0xfe]) == #"{"v_base64":"//4="}"#)
        #expect(member([0xff, 0xfe, 0x00]) == #"{"v_base64":"//4A"}"#)
        #expect(member([0xff, 0xfe, 0x00, 0x10]) == #"{"v_base64":"//4AEA=="}"#)
    }
}

@Suite struct TextTableTests {
    @Test func columnsAreAlignedWithoutTrailingSpaces() {
        var table = TextTable([("NAME", .left), ("N", .right), ("LAST", .left)])
        table.append(["a", "1", "x"])
        table.append(["longer", "1000", ""])
        #expect(table.text == "NAME       N  LAST\na          1  x\nlonger  1000\n")
    }
}

/// A client chooses its id, and a group its name.
@Suite struct TerminalTextTests {
    @Test func controlCharactersAreShownAndNotObeyed() {
        #expect(TerminalText.escaped("plain é\u{a0}") == "plain é\u{a0}")
        #expect(TerminalText.escaped("a\u{1b}[2J\u{9b}2J\u{7}\r\n") == "a\\u001b[2J\\u009b2J\\u0007\\u000d\\u000a")
        #expect(TerminalText.escaped("one\ntwo\u{85}", keepsLines: true) == "one\ntwo\\u0085")
    }

    @Test func cellsOfATableCannotMoveTheCursor() {
        var table = TextTable([("NAME", .left), ("N", .right)])
        table.append(["g\u{1b}]0;x\u{7}", "1"])
        #expect(table.text == "NAME               N\ng\\u001b]0;x\\u0007  1\n")
    }
}

@Suite struct TimeTextTests {
    @Test(arguments: [
        ("0", 0), ("1700000000000", 1_700_000_000_000), ("1970-01-01", 0), ("2026-01-31", 1_769_817_600_000),
        ("2024-02-29T23:59:59.999Z", 1_709_251_199_999), ("2024-02-29 23:59", 1_709_251_140_000),
        ("2026-01-31T12:30:00+02:00", 1_769_855_400_000), ("2026-01-31T12:30:00-0230", 1_769_871_600_000),
        ("2026-01-31T12:30:00.5", 1_769_862_600_500),
    ])
    func timesAreRead(text: String, expected: Int64) { #expect(TimeText.milliseconds(text) == expected) }

    @Test(arguments: [
        "", "-1", "2026-13-01", "2023-02-29", "2026-01-31T", "2026-01-31T24:00:00", "2026-01-31T12:30:00X",
        "2026-01-31T12:30:00.Z", "yesterday", "2026-1-1", "２０２６-01-01",
    ])
    func othersAreRefused(text: String) { #expect(TimeText.milliseconds(text) == nil) }

    /// A producer may write any 64 bits as a record's time.
    @Test func timesThatNoTextCanSayAreTheirNumber() {
        #expect(TimeText.iso(253_402_300_799_999) == "9999-12-31T23:59:59.999Z")
        #expect(TimeText.iso(-62_135_596_800_000) == "0001-01-01T00:00:00.000Z")
        for time in [.min, .min + 1, .min + 86_399_999, -62_135_596_800_001, 253_402_300_800_000, Int64.max] {
            #expect(TimeText.iso(time) == String(time))
        }
    }

    @Test func theTextFormRoundTripsOverFourCenturies() {
        #expect(TimeText.iso(0) == "1970-01-01T00:00:00.000Z")
        #expect(TimeText.iso(-1) == "1969-12-31T23:59:59.999Z")
        var milliseconds: Int64 = 0
        while milliseconds < 12_622_780_800_000 {
            let text = TimeText.iso(milliseconds)
            #expect(TimeText.milliseconds(text) == milliseconds, "\(text)")
            milliseconds += 86_400_000 * 13 + 3_723_004
        }
    }
}

@Suite struct RecordTemplateTests {
    @Test func fieldsLiteralsAndEscapesAreTakenApart() throws {
        let template = try RecordTemplate.parse("%t/%p %o\\t%k=%v%%\\n").get()
        #expect(
            template.parts == [
                .topic, .literal(Array("/".utf8)), .partition, .literal(Array(" ".utf8)), .offset,
                .literal([0x09]), .key, .literal(Array("=".utf8)), .value, .literal(Array("%\n".utf8)),
            ])
    }

    @Test(arguments: ["%", "%x", "a\\", "\\q"])
    func unknownFieldsAndEscapesAreRefused(format: String) {
        guard case .failure(let failure) = RecordTemplate.parse(format) else {
            Issue.record("taken")
            return
        }
        #expect(!failure.reason.isEmpty)
    }

    @Test func separatorsHaveTheSameEscapes() {
        #expect(RecordTemplate.unescape("\\t") == [0x09])
        #expect(RecordTemplate.unescape("::") == Array("::".utf8))
        #expect(RecordTemplate.unescape("\\x") == nil)
    }
}

@Suite struct StartPositionTests {
    @Test func positionsAreRead() {
        #expect(StartPosition("beginning") == .beginning)
        #expect(StartPosition("end") == .end)
        #expect(StartPosition("12") == .offset(12))
        #expect(StartPosition("-3") == .last(3))
        #expect(StartPosition("@1970-01-02") == .time(86_400_000))
        #expect(StartPosition("1970-01-02T00:00:00Z") == .time(86_400_000))
        #expect(StartPosition("-1h", nowMs: 10_000_000) == .time(6_400_000))
        #expect(StartPosition("@-500ms", nowMs: 10_000_000) == .time(9_999_500))
        // Longer ago than there is time.
        #expect(StartPosition("-7d", nowMs: 10_000_000) == .time(0))
        #expect(StartPosition("-1y") == nil && StartPosition("-h") == nil && StartPosition("1h") == nil)
        #expect(StartPosition("@x") == nil && StartPosition("start") == nil && StartPosition("") == nil)
        #expect(StartPosition("-9223372036854775808") == nil)
    }

    @Test func topicsMayNamePartitions() {
        #expect(TopicSelection("t")?.partitions == nil)
        #expect(TopicSelection("t:0,2")?.partitions == [0, 2])
        #expect(TopicSelection("t:") == nil && TopicSelection(":1") == nil && TopicSelection("t:-1") == nil)
        #expect(TopicSelection("t:1,,2") == nil)
    }
}
