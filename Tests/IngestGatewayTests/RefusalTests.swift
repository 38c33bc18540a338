import BrokerCore
import BrokerTestKit
import ByteBuffers
import IngestGateway
import LogStorage
import Testing

/// What is not done is refused by name, and what would be multiplied is bounded.
@Suite struct RefusalTests {
    private static let paths = ["/v1/topics/t/events", "/events", "/ingest", "/"]

    @Test(arguments: [
        "Prefer: respond-async", "X-Event-Time: garbage", "X-Event-Type: t",
        "X-Record-Header-Tenant: a", "x-record-header-: a", "ce-specversion: 1.0",
    ])
    func fieldsThatHaveNoEffectAreRefusedByName(field: String) throws {
        let node = try GatewayHarness()
        let name = field.split(separator: ":")[0]
        // A prefix alone names no header.
        let isRefused = name != "x-record-header-"
        let body = "{\"event_type\":\"a\",\"payload\":{}}"
        for path in Self.paths {
            let reply = try node.call("POST", path, body, fields: [field])
            guard isRefused else {
                #expect(reply.status < 300)
                continue
            }
            #expect(reply.status == 400)
            #expect(reply.string("code") == "unsupported_header")
            #expect(reply.string("detail")?.lowercased().contains("field \(name.lowercased()) is") == true)
        }
        #expect(try node.values("t").isEmpty == isRefused)
        #expect(try node.call("GET", "/healthz", fields: [field]).status == 200)
    }

    @Test func fieldsOfOneRouteAreRefusedOnOthers() throws {
        let node = try GatewayHarness()
        let body = "{\"event_type\":\"a\",\"payload\":{}}"
        for (path, field) in [
            ("/events", "X-Batch-Mode: atomic"), ("/ingest", "X-Batch-Mode: atomic"), ("/ingest", "Partition-Key: a"),
        ] {
            #expect(try node.call("POST", path, body, fields: [field]).string("code") == "unsupported_header")
        }
        #expect(try node.call("POST", "/events", body, fields: ["Partition-Key: a"]).status == 201)
    }

    @Test(arguments: [
        ("/v1/topics/t/events?ack=none", "ack"), ("/v1/topics/t/events?results=all&timeout=1", "timeout"),
        ("/events?results=all", "results"), ("/ingest?x", "x"), ("/?%61=1", "%61"),
    ])
    func parametersThatHaveNoEffectAreRefusedByName(path: String, name: String) throws {
        let node = try GatewayHarness()
        let reply = try node.call("POST", path, "{\"event_type\":\"a\",\"payload\":{}}")
        #expect(reply.status == 400)
        #expect(reply.string("code") == "unsupported_parameter")
        #expect(reply.string("detail")?.hasPrefix("The query parameter \(name) is") == true, "\(reply.text)")
        #expect(try node.values("t") + node.values("events") + node.values("ingest") == [])
    }

    @Test func parametersOfReadsAreRefusedTooAndThoseOfProbesAreNot() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "1").status == 201)
        for path in ["/v1/topics/t/records?filter=a", "/v1/topics/t/partitions/0/records?partition=0"] {
            #expect(try node.call("GET", path).string("code") == "unsupported_parameter")
        }
        let long = String(repeating: "\"", count: 500)
        let reply = try node.call("GET", "/v1/topics/t/records?\(long)=1")
        #expect(reply.string("code") == "unsupported_parameter" && reply.body.count < 3000)
        for path in ["/healthz?verbose", "/readyz?a=b", "/metrics?name[]=x", "/stats?a"] {
            #expect(try node.call("GET", path).status == 200)
        }
    }

    /// Forms, plain text, and bodies without a type are what a web page may send to another site without asking.
    @Test(arguments: [
        "Content-Type: application/x-www-form-urlencoded", "Content-Type: text/plain",
        "Content-Type: multipart/form-data; boundary=a", "Content-Type:", "",
    ])
    func aWebPageCannotPost(field: String) throws {
        let node = try GatewayHarness()
        let body = "{\"event_type\":\"a\",\"payload\":{}}"
        for path in Self.paths {
            let client = try node.connect()
            try client.send(
                "POST \(path) HTTP/1.1\r\nHost: h\r\n\(field.isEmpty ? "" : field + "\r\n")"
                    + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
            let reply = try client.receive()
            #expect(reply.status == 415)
            #expect(reply.fields["accept"]?.hasPrefix("application/json") == true)
            #expect(reply.string("detail")?.contains("-H 'Content-Type: application/json'") == true)
        }
        #expect(try node.values("t") + node.values("events") + node.values("ingest") == [])
    }

    @Test func linesAreReadWhereSeveralEventsAre() throws {
        let node = try GatewayHarness()
        let lines = "Content-Type: application/x-ndjson"
        #expect(try node.post("t", "1\n2", fields: [lines]).status == 201)
        for path in ["/events", "/ingest"] {
            let reply = try node.call("POST", path, "{}", fields: [lines])
            #expect(reply.status == 415 && reply.fields["accept"] == "application/json")
        }
    }

    // MARK: What is multiplied

    @Test func aKeyIsAtMostAKibibyte() throws {
        let node = try GatewayHarness()
        func key(_ count: Int) -> [String] { ["Partition-Key: " + String(repeating: "k", count: count)] }
        for path in ["/v1/topics/t/events", "/events"] {
            #expect(try node.call("POST", path, "{}", fields: key(1024)).status == 201)
            let reply = try node.call("POST", path, "{}", fields: key(1025))
            #expect(reply.status == 431)
            #expect(reply.string("code") == "partition_key_too_large")
            #expect(reply.number("limit") == 1024)
        }
        let type = String(repeating: "t", count: 1025)
        let reply = try node.call("POST", "/ingest", "{\"event_type\":\"\(type)\",\"payload\":{}}")
        #expect(reply.status == 400 && reply.number("limit") == 1024)
        #expect(reply.body.count < 1000)
    }

    @Test func whatIsWrittenBesideTheEventsIsBoundedBeforeItIsBuilt() throws {
        let node = try GatewayHarness()
        let fields = ["Content-Type: application/x-ndjson", "Partition-Key: " + String(repeating: "k", count: 1000)]
        let lines = String(repeating: "1\n", count: 90_000)
        let reply = try node.post("t", lines, query: "?results=none", fields: fields)
        #expect(reply.status == 413)
        #expect(reply.string("code") == "repeated_too_much")
        #expect(reply.number("limit") == 16 << 20)
        #expect(node.broker.catalog.topic(named: "t")?.partitions[0].sizeInBytes == 0)
        let fewer = String(repeating: "1\n", count: 10_000)
        #expect(try node.post("t", fewer, query: "?results=none", fields: fields).status == 201)
    }

    /// Small batches of one request do not take a page each.
    @Test func manySmallBatchesShareMemory() throws {
        let node = try GatewayHarness(topicDefaults: ["max.message.bytes": "400"])
        let event = "\"" + String(repeating: "x", count: 150) + "\""
        let before = node.pool.outstandingBytes
        let lines = String(repeating: event + "\n", count: 4000)
        let reply = try node.post(
            "t", lines, query: "?results=none", fields: ["Content-Type: application/x-ndjson"])
        #expect(reply.status == 201, "\(reply.text)")
        // A chunk of 4 KiB a batch would be 16 MB.
        #expect(node.pool.outstandingBytes - before < 4 << 20)
    }

    @Test func aTopicWhoseBatchesHoldNoEventSaysSo() throws {
        let node = try GatewayHarness(topicDefaults: ["max.message.bytes": "100"])
        for path in ["/v1/topics/t/events", "/events"] {
            let reply = try node.call("POST", path, "{}")
            #expect(reply.status == 413)
            #expect(reply.number("limit") == 100)
            #expect(reply.text.contains("-") == false || reply.number("limit")! > 0)
            #expect(reply.string("detail")?.contains("max.message.bytes, 100,") == true)
        }
    }

    // MARK: What would be refused for ever

    @Test func aCompactedTopicWantsAKey() throws {
        let node = try GatewayHarness(topicDefaults: ["cleanup.policy": "compact"])
        for path in ["/v1/topics/t/events", "/events"] {
            let reply = try node.call("POST", path, "{}")
            #expect(reply.status == 400)
            #expect(reply.string("code") == "key_required")
            #expect(reply.json["retryable"] as? Bool == false)
            #expect(reply.fields["retry-after"] == nil)
            #expect(try node.call("POST", path, "{}", fields: ["Partition-Key: a"]).status == 201)
        }
    }

    @Test func aSlashAtTheEndIsAnotherPath() throws {
        let node = try GatewayHarness()
        for path in ["/v1/topics/t/events/", "/events/", "/ingest/", "//"] {
            let reply = try node.call("POST", path, "{}")
            #expect(reply.status == 404)
            #expect(reply.string("detail")?.contains("no path here ends with a slash") == true)
        }
        #expect(try node.call("GET", "/healthz/").status == 404)
    }
}
