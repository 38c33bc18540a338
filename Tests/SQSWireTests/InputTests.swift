import BrokerTestKit
import KafkaModel
import Testing

@testable import SQSWire

/// The reader of JSON, with its own eyes and through requests.
@Suite struct InputTests {
    private func skips(_ text: String) -> Bool {
        Array(text.utf8).withUnsafeBytes { bytes in
            var input = SQSInput(bytes)
            return (try? input.document { input, _ throws(SQSError) in try input.skip() }) != nil
        }
    }

    @Test func whatIsJSONIsGoneOver() {
        for good in [
            "{}", " { } ", #"{"a":1}"#, #"{"a":[1,-0,1.5,1e9,2E-3,"x",true,false,null,{"b":[]}],"c":{}}"#, "",
            #"{"a":"\u00e9\n\\\"\/"}"#, "{\"\u{e9}\":\"12345678\u{1f600}\"}", "{\"a\"\t:\r\n1 }",
        ] { #expect(skips(good), "\(good)") }
    }

    @Test func whatIsNoJSONIsRefused() {
        for bad in [
            "[]", "1", "\"a\"", "{", "{]", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{,"a":1}"#, #"{"a":01}"#,
            #"{"a":1.}"#,
            #"{"a":.5}"#, #"{"a":+1}"#, #"{"a":1e}"#, #"{"a":tru}"#, #"{"a":nul}"#, #"{"a":"x}"#, #"{"a":[1,]}"#,
            #"{"a":[1 2]}"#, #"{"a":1 "b":2}"#, "{} {}", "{}x", #"{a:1}"#, #"{"a":'x'}"#, #"{"a":"\q"}"#,
            "{\"a\":\"\u{0}\"}", #"{"a":-}"#, "\u{feff}{}", "{\"a\":\"\\",
        ] { #expect(!skips(bad), "\(bad)") }
        for bytes in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]] as [[UInt8]] {
            let text = Array(#"{"QueueUrl":"orders","MessageBody":""#.utf8) + bytes + Array("\"}".utf8)
            let error = #expect(throws: SQSError.self) {
                try text.withUnsafeBytes { try SQSRequest(.sendMessage, json: $0) }
            }
            #expect(error?.kind == .serialization)
        }
    }

    @Test func nestingHasAnEnd() {
        func nested(_ depth: Int) -> String {
            "{\"a\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
        }
        #expect(skips(nested(SQSLimits.maxDepth)) && !skips(nested(SQSLimits.maxDepth + 1)))
        #expect(!skips("{\"a\":" + String(repeating: "[", count: 1_000_000)))
    }

    @Test func aMemberStandsOnce() {
        for twice in [
            #"{"QueueUrl":"orders","QueueUrl":"other"}"#, #"{"QueueUrl":"orders","\u0051ueueUrl":"other"}"#,
            #"{"QueueUrl":"orders","Tags":{"a":"1","\u0061":"2"}}"#,
            #"{"QueueUrl":"orders","Tags":{"a":"1"},"tags":{"a":"1"}}"#,
            #"{"QueueUrl":"orders","MessageBody":"x","MessageAttributes":{"a":{"DataType":"String","StringValue":"1"},"a":{"DataType":"String","StringValue":"2"}}}"#,
        ] { #expect(refusal(.sendMessage, twice)?.kind == .serialization, "\(twice)") }
        // What no operation knows is nobody's to be misled by.
        #expect(refusal(.purgeQueue, #"{"QueueUrl":"orders","X":1,"X":2}"#) == nil)
    }

    @Test func mapsAndListsHaveAnEnd() {
        let tags = (0..<51).map { "\"\($0)\":\"\"" }.joined(separator: ",")
        #expect(refusal(.tagQueue, #"{"QueueUrl":"orders","Tags":{\#(tags)}}"#)?.kind == .invalidParameterValue)
        let names = Array(repeating: "\"a\"", count: 257).joined(separator: ",")
        #expect(
            refusal(.receiveMessage, #"{"QueueUrl":"orders","MessageAttributeNames":[\#(names)]}"#)?.kind
                == .invalidParameterValue)
    }

    /// Requests that are cut or changed anywhere are read or refused, and nothing else happens.
    @Test func noBytesEndTheReading() throws {
        var random = SeededRandom(seed: 17)
        for captured in try Captured.all() {
            let operation = try #require(captured.operation)
            for end in captured.body.indices {
                _ = try? Array(captured.body[..<end]).withUnsafeBytes { try SQSRequest(operation, json: $0) }
            }
            for _ in 0..<300 {
                var bytes = captured.body
                for _ in 0..<random.number(in: 1...4) {
                    bytes[random.below(bytes.count)] = UInt8(random.below(256))
                }
                _ = try? bytes.withUnsafeBytes { try SQSRequest(operation, json: $0) }
                _ = try? bytes.withUnsafeBytes { try SQSForm($0) }
            }
        }
    }
}
