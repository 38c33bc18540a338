import BrokerCore
import BrokerTestKit
import Foundation
import KafkaModel
import LogStorage
import RecordFormat
import Testing

@testable import IngestGateway

/// Streams of records: Server-Sent Events and lines of JSON.
@Suite struct StreamTests {
    private static let path = "/v1/topics/t/stream"

    private func post(_ values: Range<Int>, to node: GatewayHarness) throws {
        for value in values { #expect(try node.post("t", "{\"n\":\(value)}").status == 201) }
    }

    private func numbers(_ events: [StreamReader.Event]) -> [Int] {
        events.compactMap { (($0.json["value"] as? [String: Any])?["n"]) as? Int }
    }

    @Test func recordsComeAsEventsWithPositions() throws {
        let node = try GatewayHarness(partitions: 2)
        try post(0..<4, to: node)
        let reader = try StreamReader(node, Self.path + "?from=earliest")
        #expect(reader.head.status == 200)
        #expect(reader.head.fields["content-type"] == "text/event-stream")
        #expect(reader.head.fields["cache-control"] == "no-store")
        let events = try reader.read(4)
        #expect(Set(numbers(events)) == [0, 1, 2, 3])
        #expect(reader.firstID == "p0:0,p1:0")
        #expect(events.last?.id == "p0:2,p1:2")
        #expect(events.allSatisfy { $0.json["value_encoding"] as? String == "json" })
        // And what comes from now on.
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 1 })
        try post(4..<7, to: node)
        #expect(numbers(try reader.read(3)) == [4, 5, 6])
    }

    @Test func withoutAWordItBeginsAtTheEnd() throws {
        let node = try GatewayHarness()
        try post(0..<4, to: node)
        let reader = try StreamReader(node, Self.path)
        try reader.readID()
        #expect(reader.firstID == "p0:4")
        try post(4..<5, to: node)
        #expect(numbers(try reader.read(1)) == [4])
    }

    @Test func lastEventIDGoesOnWithoutAGapOrARepeat() throws {
        let node = try GatewayHarness(partitions: 3)
        try post(0..<30, to: node)
        var (found, id) = ([Int](), "")
        while found.count < 30 {
            let fields = id.isEmpty ? [] : ["Last-Event-ID: \(id)"]
            let reader = try StreamReader(node, Self.path + "?from=earliest", fields: fields)
            let events = try reader.read(min(4, 30 - found.count))
            found += numbers(events)
            id = try #require(events.last?.id)
        }
        #expect(found.count == 30 && Set(found) == Set(0..<30))
        let reader = try StreamReader(node, Self.path + "?from=\(id)")
        try reader.readID()
        #expect(reader.firstID == id)
    }

    @Test func linesOfJSONAreAskedForByAccept() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "{\n  \"n\": 0,\r\n \"a\": [1,\n2]}").status == 201)
        let client = try node.connect()
        try client.send(
            HTTPClient.request(
                "GET", Self.path + "?from=earliest", nil, fields: ["Accept: application/x-ndjson"]))
        let head = try client.receive(toHead: true)
        #expect(head.fields["content-type"] == "application/x-ndjson")
        var text = ""
        while text.filter({ $0 == "\n" }).count < 2 { text += try client.receiveChunk() }
        let lines = text.split(separator: "\n").map {
            try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
        #expect(lines[0]?["position"] as? String == "p0:0")
        #expect(lines[1]?["position"] as? String == "p0:1")
        #expect(((lines[1]?["value"] as? [String: Any])?["a"] as? [Int]) == [1, 2])
    }

    @Test func aLineEndWithinAValueEndsNoEvent() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "{\n\"n\":\r\n 5}").status == 201)
        let reader = try StreamReader(node, Self.path + "?from=earliest")
        #expect(numbers(try reader.read(1)) == [5])
    }

    @Test func whatCannotBeReadIsRefusedBeforeTheStream() throws {
        let node = try GatewayHarness(partitions: 2)
        try post(0..<1, to: node)
        for (path, fields, code) in [
            (Self.path + "?from=p0:9", [], "offset_out_of_range"), (Self.path, ["Last-Event-ID: 5"], "invalid_header"),
            ("/v1/topics/none/stream", [], "topic_not_found"), (Self.path + "?partition=2", [], "partition_not_found"),
            (Self.path + "?limit=5", [], "unsupported_parameter"),
        ] {
            let reply = try node.call("GET", path, fields: fields)
            #expect(reply.string("code") == code, "\(path): \(reply.text)")
        }
        #expect(node.metric("millrace_http_streams") == 0)
    }

    @Test func readersAtTheEndShareWhatIsSent() throws {
        let node = try GatewayHarness(partitions: 2)
        try post(0..<1, to: node)
        let readers = try (0..<10).map { _ in try StreamReader(node, Self.path) }
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 10 })
        #expect(node.waiters("t") == 2)
        for value in 0..<5 {
            try post(value..<value + 1, to: node)
            for reader in readers { #expect(numbers(try reader.read(1)) == [value]) }
            #expect(eventually { node.metric("millrace_http_waiting_replies") == 10 })
        }
        #expect(try #require(node.metric("millrace_http_stream_shared_total")) >= 40)
    }

    @Test func aThousandReadersAreSentTheSame() throws {
        let node = try GatewayHarness(partitions: 2)
        try post(0..<1, to: node)
        let clients = try (0..<10).map { _ in try HTTP2Client(port: node.port) }
        let streams = clients.map { client in (0..<100).map { _ in client.request("GET", Self.path) } }
        func ids(_ client: HTTP2Client, _ stream: UInt32) -> [Substring] {
            String(decoding: client.part(stream), as: UTF8.self).split(separator: "\n").filter { $0.hasPrefix("id: ") }
        }
        for (client, streams) in zip(clients, streams) {
            client.read { streams.allSatisfy { !ids(client, $0).isEmpty } }
        }
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 1000 })
        #expect(node.waiters("t") == 2)
        for value in 1...4 {
            try post(value..<value + 1, to: node)
            for (client, streams) in zip(clients, streams) {
                client.read { streams.allSatisfy { ids(client, $0).count == value + 1 } }
            }
            #expect(eventually { node.metric("millrace_http_waiting_replies") == 1000 })
        }
        // What is kept for others goes with each second.
        #expect(try #require(node.metric("millrace_http_stream_shared_total")) > 4 * 900)
        // But for heartbeats.
        let all = zip(clients, streams).flatMap { client, streams in
            streams.map { String(decoding: client.part($0), as: UTF8.self).replacing("\n:\n\n", with: "\n") }
        }
        #expect(Set(all).count == 1)
        #expect(node.metric("millrace_http_inflight_bytes") ?? .max < 1 << 20)
    }

    @Test func anAddressHasSoManyStreamsAndAllTogether() throws {
        var options = GatewayOptions()
        options.maxStreamsPerIP = 2
        let node = try GatewayHarness(options)
        try post(0..<1, to: node)
        var readers = try (0..<2).map { _ in try StreamReader(node, Self.path) }
        let refused = try node.call("GET", Self.path)
        #expect(refused.status == 429 && refused.string("code") == "quota_exceeded" && refused.number("limit") == 2)
        readers.removeLast()
        #expect(eventually { node.metric("millrace_http_streams") == 1 })
        readers.append(try StreamReader(node, Self.path))
        var few = GatewayOptions()
        few.maxStreams = 0
        let other = try GatewayHarness(few)
        try post(0..<1, to: other)
        #expect(try other.call("GET", Self.path).status == 503)
    }

    @Test func aDrainAndADeletionEndIt() throws {
        let node = try GatewayHarness()
        try post(0..<1, to: node)
        let deleted = try StreamReader(node, Self.path)
        try deleted.readID()
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 1 })
        let topic = try #require(node.broker.catalog.topic(named: "t"))
        _ = node.broker.deleteTopic(topic)
        #expect(try deleted.readEnd() == "topic_not_found")
        #expect(try node.post("u", "1").status == 201)
        let stopped = try StreamReader(node, "/v1/topics/u/stream")
        try stopped.readID()
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 1 })
        node.gateway.drain()
        #expect(try stopped.readEnd() == "stopping")
        #expect(eventually { node.metric("millrace_http_streams") == 0 })
        #expect(node.waiters("u") == 0)
    }

    @Test func whoDoesNotReadKeepsNothingButALittle() throws {
        let node = try GatewayHarness(topicDefaults: ["max.message.bytes": "50000000"])
        let value = "\"" + String(repeating: "x", count: 500_000) + "\""
        for _ in 0..<40 { #expect(try node.post("t", value).status == 201) }
        let reader = try StreamReader(node, Self.path + "?from=earliest")
        // As much as the kernel takes, and a little more.
        var sent = -1
        #expect(
            eventually {
                let now = node.metric("millrace_http_stream_bytes_total") ?? 0
                defer { sent = now }
                usleep(50_000)
                return now == sent && now > 0
            })
        #expect(sent < 20_000_000)
        #expect(node.metric("millrace_http_waiting_replies") == 0)
        // And it goes on when it is read.
        #expect(try reader.read(40).count == 40)
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 1 })
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func itIsServedByHTTP2() throws {
        let node = try GatewayHarness(partitions: 2)
        try post(0..<3, to: node)
        let client = try HTTP2Client(port: node.port)
        let stream = client.request("GET", Self.path + "?from=earliest")
        func events() -> Int {
            String(decoding: client.part(stream), as: UTF8.self).components(separatedBy: "\ndata: ").count - 1
        }
        client.read { events() >= 3 }
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 1 })
        try post(3..<4, to: node)
        client.read { events() >= 4 }
        #expect(client.replies[stream]?.fields["content-type"] == "text/event-stream")
        client.send(HTTP2Frame.reset(stream, 8))
        #expect(eventually { node.metric("millrace_http_streams") == 0 })
        #expect(try client.call("GET", "/healthz").status == 200)
        let last = client.request("GET", Self.path)
        client.read { client.part(last).count > 0 }
        node.gateway.drain()
        #expect(
            String(decoding: try client.reply(last).body, as: UTF8.self).hasSuffix(
                "event: end\ndata: {\"reason\":\"stopping\"}\n\n"))
    }

    @Test func theHeadAloneIsSentWhenItIsAskedFor() throws {
        let node = try GatewayHarness()
        try post(0..<1, to: node)
        let client = try node.connect()
        try client.send(HTTPClient.request("HEAD", Self.path, nil))
        #expect(try client.receive(toHead: true).fields["content-type"] == "text/event-stream")
        try client.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try client.receive().string("status") == "ok")
    }

    // MARK: Heartbeats

    private func fast(_ change: (inout GatewayOptions) -> Void = { _ in }) -> GatewayOptions {
        var options = GatewayOptions()
        options.heartbeatSeconds = 1
        change(&options)
        return options
    }

    @Test func whoHearsOfNothingHasHeartbeats() throws {
        let node = try GatewayHarness(fast())
        try post(0..<1, to: node)
        let reader = try StreamReader(node, Self.path)
        for _ in 0..<2 { try reader.readHeartbeat() }
        try post(1..<2, to: node)
        #expect(numbers(try reader.read(1)) == [1])
        let client = try HTTP2Client(port: node.port)
        let stream = client.request("GET", Self.path)
        client.read { String(decoding: client.part(stream), as: UTF8.self).contains("\n\n:\n\n") }
        let lines = try node.connect()
        try lines.send(HTTPClient.request("GET", Self.path, nil, fields: ["Accept: application/x-ndjson"]))
        _ = try lines.receive(toHead: true)
        #expect(try lines.receiveChunk() == "{\"position\":\"p0:2\"}\n")
        #expect(try lines.receiveChunk() == "\n")
    }

    @Test func partitionsThatAreMadeMeanwhileAreRead() throws {
        let node = try GatewayHarness(fast())
        try post(0..<1, to: node)
        let reader = try StreamReader(node, Self.path)
        try reader.readID()
        #expect(reader.firstID == "p0:1")
        let topic = try #require(node.broker.catalog.topic(named: "t"))
        #expect(node.broker.createPartitions(topic, count: 3, validateOnly: false) == nil)
        try post(1..<7, to: node)
        let events = try reader.read(6)
        #expect(Set(numbers(events)) == Set(1..<7))
        #expect(events.last?.id == "p0:3,p1:2,p2:2")
    }

    @Test func morePartitionsThanAreReadAtOnceEndIt() throws {
        let node = try GatewayHarness(fast(), partitions: 2)
        try post(0..<1, to: node)
        let (all, one) = (try StreamReader(node, Self.path), try StreamReader(node, Self.path + "?partition=1"))
        try all.readID()
        try one.readID()
        let topic = try #require(node.broker.catalog.topic(named: "t"))
        let count = Int32(RecordsReply.maxPartitions) + 1
        #expect(node.broker.createPartitions(topic, count: count, validateOnly: false) == nil)
        #expect(try all.readEnd() == "invalid_parameter")
        let refused = try node.call("GET", Self.path)
        #expect(refused.status == 400 && refused.string("code") == "invalid_parameter")
        #expect(refused.number("limit") == RecordsReply.maxPartitions)
        try one.readHeartbeat()
        #expect(node.metric("millrace_http_streams") == 1)
    }

    @Test func aReaderThatDoesNotReadIsDropped() throws {
        let node = try GatewayHarness(
            fast { $0.requestTimeout = .seconds(2) }, topicDefaults: ["max.message.bytes": "50000000"])
        let value = "\"" + String(repeating: "x", count: 500_000) + "\""
        for _ in 0..<40 { #expect(try node.post("t", value).status == 201) }
        let reader = try StreamReader(node, Self.path + "?from=earliest")
        let client = try HTTP2Client(port: node.port)
        let stream = client.request("GET", Self.path + "?from=earliest")
        client.read { client.part(stream).count > 0 }
        #expect(eventually { node.metric("millrace_http_stream_drops_total") == 2 })
        #expect(eventually { node.metric("millrace_http_streams") == 0 })
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        // Of HTTP/1.1 the connection, of HTTP/2 the stream alone.
        withExtendedLifetime(reader) {}
        #expect(try client.call("GET", "/healthz").status == 200)
    }

    // MARK: What is sent

    @Test func aPlaceThatRetentionHasPassedIsNotPassedOver() throws {
        let node = try GatewayHarness()
        try post(0..<5, to: node)
        let topic = try #require(node.broker.catalog.topic(named: "t"))
        _ = try topic.partitions[0].deleteRecords(before: Offset(3)).get()
        let lost = try node.call("GET", Self.path, fields: ["Last-Event-ID: p0:2"])
        #expect(lost.status == 400 && lost.string("code") == "offset_out_of_range")
        let reader = try StreamReader(node, Self.path, fields: ["Last-Event-ID: p0:3"])
        #expect(numbers(try reader.read(2)) == [3, 4])
    }

    @Test func streamsGoOnWhereMemoryIsShort() throws {
        var options = GatewayOptions()
        options.maxInflightBytes = 100_000
        options.maxInflightBytesPerPeer = 100_000
        let node = try GatewayHarness(options, partitions: 2)
        // Several records a batch, more than a slice in all.
        let text = String(repeating: "w", count: 6000)
        for start in stride(from: 0, to: 400, by: 8) {
            let events = (start..<start + 8).map { "{\"n\":\($0),\"t\":\"\(text)\"}" }
            #expect(try node.post("t", "[" + events.joined(separator: ",") + "]").status == 201)
        }
        let readers = try (0..<8).map { _ in try StreamReader(node, Self.path + "?from=earliest") }
        for reader in readers {
            let events = try reader.read(400)
            #expect(numbers(events).sorted() == Array(0..<400))
        }
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 8 })
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func whoWaitsKeepsNothingOfAPackedBatch() throws {
        let node = try GatewayHarness(partitions: 2)
        let topic = try node.broker.topicCreatingIfAllowed("t").get()
        for partition in topic.partitions {
            var packed = RecordBatchBuilder()
            // Older ones retention would take.
            let time = BrokerClock.wallMs()
            for number in 0..<20 { packed.append(key: nil, value: Array("{\"n\":\(number)}".utf8), timestampMs: time) }
            let batch = try packed.finish(.init(compression: .gzip))
            _ = try partition.append(batch, origin: .client, nowMs: BrokerClock.wallMs()).get()
        }
        node.broker.store.kick()
        let readers = try (0..<3).map { _ in try StreamReader(node, Self.path + "?from=earliest") }
        for reader in readers { #expect(try reader.read(40).last?.id == "p0:20,p1:20") }
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 3 })
        #expect(node.metric("millrace_http_reply_worker_trips_total") == 0, "the loop has unpacked them")
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    @Test func packedBatchesAndLongRecordsAreStreamed() throws {
        let node = try GatewayHarness(partitions: 2, topicDefaults: ["max.message.bytes": "50000000"])
        let topic = try node.broker.topicCreatingIfAllowed("t").get()
        let time = BrokerClock.wallMs()
        let long = "{\n\"n\":0,\n\"a\":\"" + String(repeating: "y", count: 300_000) + "\"\r\n}"
        var packed = RecordBatchBuilder()
        for number in 1...400 {
            packed.append(
                key: nil, value: Array("{\"n\":\(number),\n\"b\":\"\(String(repeating: "z", count: 1000))\"}".utf8),
                timestampMs: time + Int64(number))
        }
        var single = RecordBatchBuilder()
        single.append(key: nil, value: Array(long.utf8), timestampMs: time)
        let batches = [single.finishUncompressed(), try packed.finish(.init(compression: .gzip))]
        for (partition, batch) in batches.enumerated() {
            _ = try topic.partitions[partition].append(batch, origin: .client, nowMs: time).get()
        }
        node.broker.store.kick()
        let reader = try StreamReader(node, Self.path + "?from=earliest")
        let events = try reader.read(401)
        #expect(numbers(events).sorted() == Array(0...400))
        #expect(
            ((events.first { $0.json["partition"] as? Int == 0 }?.json["value"] as? [String: Any])?["a"] as? String)?
                .count == 300_000)
        #expect(events.last?.id == "p0:1,p1:400")
        #expect(try #require(node.metric("millrace_http_reply_worker_trips_total")) > 0)
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }
}

/// Reads events as a browser does.
final class StreamReader {
    struct Event {
        var id: String?
        var kind: String?
        var data: String

        var json: [String: Any] { (try? JSONSerialization.jsonObject(with: Data(data.utf8))) as? [String: Any] ?? [:] }
    }

    private let client: HTTPClient
    let head: HTTPReply
    private var text = ""
    private(set) var firstID: String?
    private var heartbeats = 0
    private var events: [Event] = []

    init(_ node: GatewayHarness, _ path: String, fields: [String] = []) throws {
        client = try node.connect()
        try client.send(HTTPClient.request("GET", path, nil, fields: fields))
        head = try client.receive(toHead: true)
    }

    private func more() throws {
        text += try client.receiveChunk()
        while let end = text.range(of: "\n\n") {
            var event = Event(data: "")
            if text[..<end.lowerBound] == ":" { heartbeats += 1 }
            for line in text[..<end.lowerBound].split(separator: "\n") {
                if line.hasPrefix("id: ") { event.id = String(line.dropFirst(4)) }
                if line.hasPrefix("event: ") { event.kind = String(line.dropFirst(7)) }
                if line.hasPrefix("data: ") { event.data += line.dropFirst(6) }
            }
            text.removeSubrange(..<end.upperBound)
            if firstID == nil { firstID = event.id }
            if !event.data.isEmpty { events.append(event) }
        }
    }

    /// The next events.
    func read(_ count: Int) throws -> [Event] {
        while events.count < count { try more() }
        defer { events.removeFirst(count) }
        return Array(events[..<count])
    }

    /// Where it begins.
    func readID() throws { while firstID == nil { try more() } }

    /// Takes text up to a comment.
    func readHeartbeat() throws {
        let before = heartbeats
        while heartbeats == before { try more() }
    }

    /// The reason that it ends by.
    func readEnd() throws -> String? {
        while events.last?.kind != "end" { try more() }
        return events.last?.json["reason"] as? String
    }
}
