import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import HTTPWire
import KafkaModel
import RecordFormat
import Testing

@testable import BrokerCore
@testable import IngestGateway

/// Who is refused reads why, and what to do.
@Suite struct RefusalWordsTests {
    private static let yaml = """
        routes:
          - {path: /pointers, to: events, formats: [json, ndjson], idempotency: {pointers: [/id, /of/b], required: true}}
          - {path: /header, to: events, idempotency: {header: X-Delivery}}
          - {path: /cloud, to: events, formats: [cloudevents], idempotency: {cloudevents: true}}
          - {path: /rows, to: rows, formats: [csv, ndjson]}
          - {path: /named, to: rows, formats: csv, csv: {columns: [a, b]}}
          - {path: /rated, to: fresh, rate: {rps: 5}}
        """

    private func node(_ change: (inout GatewayOptions) -> Void = { _ in }) throws -> GatewayHarness {
        var options = GatewayOptions()
        change(&options)
        return try GatewayHarness(options, configuration: GatewayConfiguration(yaml: Self.yaml, options))
    }

    private func error(
        _ node: GatewayHarness, _ path: String, _ body: String, _ fields: [String], status: Int
    ) throws -> String {
        let reply = try node.call("POST", path, body, fields: fields)
        #expect(reply.status == status, "\(path): \(reply.text)")
        return reply.string("error") ?? ""
    }

    @Test func whereAKeyIsToBePutIsNamed() throws {
        let node = try node()
        let key = ["Idempotency-Key: k"]
        for (path, place) in [
            ("/pointers", "elsewhere: /id and /of/b of the event."),
            ("/header", "elsewhere: the header field x-delivery."),
            ("/cloud", "elsewhere: source and id of the CloudEvent."),
        ] {
            let type = path == "/cloud" ? ["Content-Type: application/cloudevents+json"] : []
            #expect(try error(node, path, "{}", key + type, status: 400).contains(place), "\(path)")
        }
        let missing = "The event's idempotency key is required: /id and /of/b of the event"
        #expect(try error(node, "/pointers", "{\"id\":1}", [], status: 400) == missing)
        let several = try node.call("POST", "/pointers", "[{\"id\":1},{\"id\":2,\"of\":{\"b\":1}}]")
        #expect(several.status == 207 && several.text.contains(missing), "\(several.text)")
        #expect(try node.call("POST", "/pointers", "{\"id\":1,\"of\":{\"b\":1}}").status == 201)
        let other = try error(node, "/pointers", "{\"id\":1,\"of\":{\"b\":1},\"c\":1}", [], status: 422)
        #expect(other == "The event's idempotency key was stored before, with other content.")
        #expect(try node.call("PUT", "/v1/queues/jobs", "{}").status == 201)
        #expect(try error(node, "/v1/queues/jobs/messages", "{}", key, status: 400).contains("deduplication_id"))
    }

    @Test func whatIsWrongWithATypeIsSaid() throws {
        let node = try node()
        let events = "/v1/topics/rows/events"
        let latin = "Content-Type: application/json; charset=latin1"
        #expect(try error(node, events, "{}", [latin], status: 415).contains("only UTF-8"))
        #expect(
            try error(node, events, "a,b", ["Content-Type: text/csv"], status: 415).contains("routes whose formats"))
        #expect(try node.call("PUT", "/v1/queues/jobs", "{}").status == 201)
        let queue = try error(node, "/v1/queues/jobs/messages", "a,b", ["Content-Type: text/csv"], status: 415)
        #expect(!queue.contains("routes whose formats"))
    }

    @Test func aHeaderOfRowsIsWhatTheRouteTakesItFor() throws {
        let node = try node()
        func post(_ path: String, _ parameter: String) throws -> Int {
            try node.call("POST", path, "a,b\n1,2\n", fields: ["Content-Type: text/csv\(parameter)"]).status
        }
        #expect(try post("/rows", "; header=present") == 201)
        #expect(try post("/rows", "; header=absent") == 415)
        #expect(try post("/named", "; header=\"absent\"; charset=utf-8") == 201)
        #expect(try post("/named", ";header=present") == 415)
        #expect(try post("/named", "") == 201)
        #expect(try node.values("rows").count == 1 + 2 + 2)
    }

    @Test func bodiesThatALineIsLostOfAreNamed() throws {
        let node = try node()
        let csv = ["Content-Type: text/csv"]
        #expect(try error(node, "/rows", "a,b1,2", csv, status: 422).contains("--data-binary"))
        #expect(try error(node, "/rows", "a,b\n", csv, status: 422) == "The body has no rows.")
        #expect(try error(node, "/rows", "a,b\n1\n", csv, status: 400).contains("The row has 1 cell, and the header 2"))
    }

    @Test func packedBodiesAndMarksOfTheByteOrderAreNamed() throws {
        let node = try node()
        let client = try node.connect()
        for (bytes, words) in [
            ([0x1f, 0x8b, 0x08, 0x00], "Content-Encoding: gzip"), ([0x28, 0xb5, 0x2f, 0xfd], "Content-Encoding: zstd"),
            ([0xef, 0xbb, 0xbf, 0x7b, 0x7d], "byte order mark"),
        ] as [([UInt8], String)] {
            for path in ["/v1/topics/rows/events", "/rated"] {
                try client.send(HTTPClient.request("POST", path, bytes, fields: ["Content-Type: application/json"]))
                let reply = try client.receive()
                #expect(reply.status == 400 && reply.string("error")?.contains(words) == true, "\(path): \(reply.text)")
            }
        }
        #expect(try node.call("PUT", "/v1/queues/jobs", "{}").status == 201)
        for path in ["/v1/queues/jobs/messages", "/v1/queues/jobs/messages:receive"] {
            let packed: [UInt8] = [0x1f, 0x8b, 0x08, 0x00]
            try client.send(HTTPClient.request("POST", path, packed, fields: ["Content-Type: application/json"]))
            #expect(
                try client.receive().string("error")
                    == "The body is packed by gzip, and is read here as it is: send it unpacked.", "\(path)")
        }
    }

    @Test func aMarkBeforeTheFirstOfSeveralLinesIsNamed() throws {
        let node = try node()
        let bytes = JSONText.byteOrderMark + Array("{\"n\":1}\n{\"n\":2}\n".utf8)
        let fields = ["Content-Type: application/x-ndjson"]
        let reply = try node.call("POST", "/v1/topics/rows/events", bytes: bytes, fields: fields)
        #expect(reply.status == 207 && reply.text.contains("byte order mark"), "\(reply.text)")
        #expect(try node.values("rows") == ["{\"n\":2}"])
    }

    @Test func whatMakesALongBodyBeTakenWholeIsNamed() throws {
        let node = try node { $0.maxRequestBytes = 4096 }
        let lines = String(repeating: "{\"a\":\"0123456789\"}\n", count: 400)
        let type = "Content-Type: application/x-ndjson"
        let path = "/v1/topics/rows/events"
        #expect(try node.call("POST", path, lines, fields: [type]).status == 201)
        let keyed = try error(node, path, lines, [type, "Idempotency-Key: k"], status: 413)
        #expect(keyed.contains("Idempotency-Key asks for all or nothing") && keyed.contains("any length"), "\(keyed)")
        let atomic = try error(node, path, lines, [type, "X-Batch-Mode: atomic"], status: 413)
        #expect(atomic.contains("X-Batch-Mode: atomic asks"), "\(atomic)")
    }

    @Test func theRequestThatMakesItsTopicHearsOfTheRate() throws {
        let node = try node { ($0.callerRate, $0.callerBurst) = (5, 7) }
        for _ in 1...2 {
            let policy = try node.call("POST", "/rated", "{}").fields["ratelimit-policy"]
            #expect(policy == #""rated";q=5;w=1, "caller";q=7;w=1"#, "\(policy ?? "none")")
        }
    }

    @Test func callsOfAQueueAreToldWhatTheyLack() throws {
        let node = try node()
        #expect(try node.call("PUT", "/v1/queues/jobs", "{}").status == 201)
        let receive = "/v1/queues/jobs/messages:receive"
        #expect(try error(node, receive, "{\"wait\":1}", [], status: 400).contains("no member wait here"))
        #expect(try error(node, receive, "{\"wait_ms\":20001}", [], status: 422).contains("wait_ms is 0 to 20000"))
        #expect(try error(node, receive, "", [], status: 400).contains("send {}"))
    }
}
