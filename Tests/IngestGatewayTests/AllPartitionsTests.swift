import BrokerCore
import BrokerTestKit
import ByteBuffers
import Foundation
import KafkaModel
import RecordFormat
import Testing

@testable import IngestGateway
@testable import LogStorage

/// Reading all partitions of a topic, and waiting for records.
@Suite struct AllPartitionsTests {
    /// Appends one record a batch, with times of its own.
    private func append(_ values: [(partition: Int, time: Int64, value: String)], to node: GatewayHarness) throws {
        let topic = try node.broker.topicCreatingIfAllowed("t").get()
        for (partition, time, value) in values {
            var builder = RecordBatchBuilder()
            builder.append(key: nil, value: Array(value.utf8), timestampMs: time)
            let log = topic.partitions[partition]
            _ = try log.append(builder.finishUncompressed(), origin: .client, nowMs: BrokerClock.wallMs()).get()
        }
        node.broker.store.kick()
        #expect(eventually { topic.partitions.allSatisfy { $0.highWatermark == $0.logEndOffset } })
    }

    private func values(_ reply: HTTPReply) -> [Int] {
        (reply.json["records"] as? [[String: Any]] ?? []).compactMap { $0["value"] as? Int }
    }

    private let now = BrokerClock.wallMs() / 1000 * 1000 - 100_000

    private func some(_ count: Int, partitions: Int) -> [(partition: Int, time: Int64, value: String)] {
        (0..<count).map { ($0 * 7 % partitions, now + Int64($0), "\($0)") }
    }

    @Test func recordsOfAllPartitionsComeInTheOrderOfTheirTimes() throws {
        let node = try GatewayHarness(partitions: 3)
        try append(some(40, partitions: 3), to: node)
        let reply = try node.call("GET", "/v1/topics/t/records")
        #expect(reply.status == 200)
        #expect(values(reply) == Array(0..<40))
        let records = try #require(reply.json["records"] as? [[String: Any]])
        #expect(records.map { $0["partition"] as? Int } == (0..<40).map { $0 * 7 % 3 })
        #expect(reply.number("partition") == nil && reply.number("next_offset") == nil)
        #expect(reply.string("next") == "p0:14,p1:13,p2:13")
    }

    @Test func nextGoesOnExactlyWhereAReplyStopped() throws {
        let node = try GatewayHarness(partitions: 4)
        try append(some(101, partitions: 4), to: node)
        var (found, next, calls) = ([Int](), "earliest", 0)
        repeat {
            let reply = try node.call("GET", "/v1/topics/t/records?from=\(next)&limit=7")
            found += values(reply)
            next = try #require(reply.string("next"), "\(reply.text)")
            calls += 1
        } while found.count < 101 && calls < 50
        #expect(found == Array(0..<101))
        #expect(calls == 15)
        let end = try node.call("GET", "/v1/topics/t/records?from=\(next.replacing(":", with: "%3A"))")
        #expect(values(end).isEmpty && end.string("next") == next)
    }

    @Test func aPartitionThatIsNotInAPositionIsReadFromItsBeginning() throws {
        let node = try GatewayHarness(partitions: 2)
        try append([(0, now, "1"), (0, now + 1, "2"), (1, now + 2, "3")], to: node)
        #expect(values(try node.call("GET", "/v1/topics/t/records?from=p0:1")) == [2, 3])
        #expect(values(try node.call("GET", "/v1/topics/t/records?from=p0:1&partition=0")) == [2])
        #expect(values(try node.call("GET", "/v1/topics/t/records?from=latest")) == [])
    }

    /// Has a reply made to its end, or until a stream waits, and tells the most that it has held.
    private func make(_ reply: RecordsReply) -> (text: String, mostHeld: Int) {
        var (bytes, mostHeld) = ([UInt8](), 0)
        var text: String { String(decoding: bytes, as: UTF8.self) }
        while true {
            var out = ByteWriter()
            let step = reply.advance(&out)
            bytes += out.bytes
            mostHeld = max(mostHeld, reply.heldBytes)
            switch step {
            case .pause: continue
            case .leave: reply.perform()
            case .wait, .done: return (text, mostHeld)
            case .failed(let problem):
                Issue.record("\(problem)")
                return (text, mostHeld)
            }
            mostHeld = max(mostHeld, reply.heldBytes)
        }
    }

    @Test func aStreamThatGetsFurtherByWhatOthersAreSentIsNotEndedForWantOfMemory() throws {
        let node = try GatewayHarness(partitions: 2)
        try append([(0, now, "1")], to: node)
        let topic = try node.broker.topicCreatingIfAllowed("t").get()
        var question = RecordsReply.Question()
        question.form = .lines
        let (first, second) = (reply(topic, question, node), reply(topic, question, node))
        #expect(make(first).text == make(second).text)
        #expect(second.giveUp())
        try append([(1, now, "2")], to: node)
        first.goOn()
        #expect(make(first).text.contains("\"value\":2"))
        second.jump(to: first.marks)
        #expect(second.giveUp())
        second.goOn()
        #expect(make(second).text == "", "nothing has ended it")
        // Where nothing has come in between it leads nowhere.
        #expect(second.giveUp())
        #expect(make(second).text == "{\"end\":\"overloaded\"}\n")
    }

    private func reply(
        _ topic: Topic, _ question: RecordsReply.Question, _ node: GatewayHarness
    ) -> RecordsReply {
        RecordsReply(
            topic, topic.partitions, question, maxJSONBytes: 1 << 20, pool: node.pool, context: CompressionContext())
    }

    /// Many partitions, and two of which each batch is more than may be held.
    @Test(arguments: [(Compression.none, 12, 1 << 20), (.gzip, 12, 1 << 20), (.none, 2, 9 << 20)])
    func largeBatchesOfManyPartitionsAreNotHeldAtATime(
        compression: Compression, partitions: Int, bytes: Int
    ) throws {
        let rounds = 3
        let node = try GatewayHarness(
            partitions: Int32(partitions), topicDefaults: ["max.message.bytes": "50000000"])
        let topic = try node.broker.topicCreatingIfAllowed("t").get()
        let value = Array("\"\(String(repeating: "x", count: bytes / 2))\"".utf8)
        for round in 0..<rounds {
            for (index, log) in topic.partitions.enumerated() {
                var builder = RecordBatchBuilder()
                for record in 0..<2 {
                    builder.append(
                        key: nil, value: value, timestampMs: now + Int64(round * partitions * 2 + index * 2 + record))
                }
                let batch = try builder.finish(.init(compression: compression))
                _ = try log.append(batch, origin: .client, nowMs: BrokerClock.wallMs()).get()
            }
            node.broker.store.kick()
            #expect(eventually { topic.partitions.allSatisfy { $0.highWatermark == $0.logEndOffset } })
        }
        var question = RecordsReply.Question()
        question.maxBytes = .max
        let (text, mostHeld) = make(reply(topic, question, node))
        #expect(mostHeld <= RecordsReply.mostHeldBytes + 2 * bytes, "of \(partitions * bytes)")
        // None is passed over, and none has to wait until all of another partition is written.
        let page = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        var counts = Array(repeating: 0, count: partitions)
        for record in try #require(page["records"] as? [[String: Any]]) {
            let index = try #require(record["partition"] as? Int)
            #expect(record["offset"] as? Int == counts[index])
            counts[index] += 1
            #expect(try #require(counts.max()) - #require(counts.min()) <= 4, "\(counts)")
        }
        #expect(counts == Array(repeating: rounds * 2, count: partitions))
    }

    @Test func timesSayWhereToBeginAndEnd() throws {
        let node = try GatewayHarness(partitions: 2)
        try append((0..<20).map { ($0 % 2, now + Int64($0) * 1000, "\($0)") }, to: node)
        #expect(
            values(try node.call("GET", "/v1/topics/t/records?from=\(now + 5000)&to=\(now + 9000)")) == [5, 6, 7, 8])
        func text(_ second: Int) -> String { ReceivedAt.text(ofMs: now + Int64(second) * 1000) }
        #expect(values(try node.call("GET", "/v1/topics/t/records?from=\(text(15))")) == Array(15..<20))
        #expect(values(try node.call("GET", "/v1/topics/t/records?to=\(text(3))")) == [0, 1, 2])
        let other = text(15).replacing("000Z", with: "500%2B00:00")
        #expect(values(try node.call("GET", "/v1/topics/t/records?from=\(other)")) == Array(16..<20))
        // The next page ends at the same time.
        let first = try node.call("GET", "/v1/topics/t/records?limit=2&to=\(now + 4000)")
        let next = try #require(first.string("next"))
        #expect(values(first) == [0, 1])
        #expect(values(try node.call("GET", "/v1/topics/t/records?from=\(next)&to=\(now + 4000)")) == [2, 3])
    }

    @Test func wrongPositionsAndTimesAreRefused() throws {
        let node = try GatewayHarness(partitions: 2)
        try append([(0, now, "1")], to: node)
        for (query, code) in [
            ("from=p0", "invalid_parameter"), ("from=p0:1,p0:1", "invalid_parameter"), ("from=x", "invalid_parameter"),
            ("from=p0:1,", "invalid_parameter"), ("from=p2:0", "partition_not_found"),
            ("from=p0:2", "offset_out_of_range"), ("from=p1:1", "offset_out_of_range"),
            ("from=2026-02-30T00:00:00Z", "invalid_parameter"), ("to=p0:1", "invalid_parameter"),
            ("wait_ms=30001", "invalid_parameter"), ("wait_ms=x", "invalid_parameter"),
            ("from=earliest&offset=1", "invalid_parameter"), ("from=earliest&timestamp=1", "invalid_parameter"),
        ] {
            let reply = try node.call("GET", "/v1/topics/t/records?\(query)")
            #expect(reply.string("code") == code, "\(query): \(reply.text)")
        }
    }

    @Test func moreThanTheNamedNumberOfPartitionsAreReadOneByOne() throws {
        let node = try GatewayHarness(partitions: 129)
        try append([(128, now, "1")], to: node)
        let refused = try node.call("GET", "/v1/topics/t/records")
        #expect(refused.status == 400 && refused.number("limit") == 128)
        #expect(values(try node.call("GET", "/v1/topics/t/records?partition=128")) == [1])
    }

    // MARK: Waiting

    @Test func aPageWaitsForARecordOfAnyPartition() throws {
        let node = try GatewayHarness(partitions: 3)
        try append([(0, now, "1")], to: node)
        for (path, partition) in [
            ("/v1/topics/t/records?from=latest&wait_ms=30000", 2),
            ("/v1/topics/t/partitions/1/records?offset=latest&wait_ms=30000", 1),
        ] {
            let client = try node.connect()
            try client.send(HTTPClient.request("GET", path, nil))
            #expect(eventually { node.waiters("t") > 0 })
            #expect(client.hasNothingToRead)
            try append([(partition, now, "7")], to: node)
            let reply = try client.receive()
            #expect(values(reply) == [7])
            #expect(reply.fields["content-length"] != nil)
            // The connection goes on.
            try client.send(HTTPClient.request("GET", "/healthz", nil))
            #expect(try client.receive().status == 200)
        }
    }

    @Test func aPageThatWaitedInVainIsEmpty() throws {
        let node = try GatewayHarness(partitions: 2)
        try append([(0, now, "1")], to: node)
        let reply = try node.call("GET", "/v1/topics/t/records?from=latest&wait_ms=50")
        #expect(reply.status == 200 && values(reply).isEmpty)
        #expect(reply.string("next") == "p0:1,p1:0")
        #expect(eventually { node.waiters("t") == 0 })
    }

    @Test func aWaitEndsWhenItsClientGoesAndAtADrain() throws {
        let node = try GatewayHarness(partitions: 2)
        try append([(0, now, "1")], to: node)
        var gone: HTTPClient? = try node.connect()
        try gone?.send(HTTPClient.request("GET", "/v1/topics/t/records?from=latest&wait_ms=30000", nil))
        #expect(eventually { node.waiters("t") == 2 })
        gone = nil
        #expect(eventually { node.waiters("t") == 0 })
        let client = try node.connect()
        try client.send(HTTPClient.request("GET", "/v1/topics/t/records?from=latest&wait_ms=30000", nil))
        #expect(eventually { node.waiters("t") == 2 })
        node.gateway.drain()
        let reply = try client.receive()
        #expect(reply.status == 200 && values(reply).isEmpty && reply.string("next") == "p0:1,p1:0")
        #expect(reply.fields["connection"] == "close")
    }

    @Test func manyWaitAtOncePlace() throws {
        let node = try GatewayHarness(partitions: 2)
        try append([(0, now, "1")], to: node)
        let clients = try (0..<20).map { _ in try node.connect() }
        for client in clients {
            try client.send(HTTPClient.request("GET", "/v1/topics/t/records?from=latest&wait_ms=30000", nil))
        }
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 20 })
        #expect(node.waiters("t") == 2, "a loop waits once for a partition")
        try append([(1, now, "5")], to: node)
        for client in clients { #expect(values(try client.receive()) == [5]) }
    }

    @Test func waitingOverHTTP2EndsWithARecordOrAReset() throws {
        let node = try GatewayHarness(partitions: 2)
        try append([(0, now, "1")], to: node)
        let client = try HTTP2Client(port: node.port)
        let first = client.request("GET", "/v1/topics/t/records?from=latest&wait_ms=30000")
        let second = client.request("GET", "/v1/topics/t/partitions/0/records?offset=latest&wait_ms=30000")
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 2 })
        client.send(HTTP2Frame.reset(second, 8))
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 1 })
        try append([(1, now, "5")], to: node)
        #expect(values(try client.reply(first)) == [5])
    }
}

extension GatewayHarness {
    /// Who waits at the logs of a topic.
    func waiters(_ topic: String) -> Int {
        broker.catalog.topic(named: topic)?.partitions.reduce(0) { $0 + $1.state.withLock { $0.waiters.count } } ?? 0
    }
}
