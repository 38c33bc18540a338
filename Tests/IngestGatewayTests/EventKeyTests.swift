import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Testing

@testable import IngestGateway

/// Events with keys of their own, several in a request: each is stored once, whichever requests bring it.
@Suite struct EventKeyTests {
    private static let yaml = """
        routes:
          - path: /orders
            to: {topic: orders}
            formats: [json, ndjson, csv]
            key: /user
            idempotency: {pointers: [/id]}
          - path: /strict
            to: {topic: orders}
            idempotency: {pointers: [/id], required: true}
          - path: /typed
            to: {topic: typed}
            schema: {required: [n]}
            enrich: {members: {at: now}}
            idempotency: {pointers: [/id]}
          - path: /cloud
            formats: cloudevents
            to: {topic: cloud}
            idempotency: {cloudevents: true}
        """

    private func node(
        _ options: GatewayOptions = GatewayOptions(), partitions: Int32 = 1,
        fileSystem: SimulatedFileSystem = SimulatedFileSystem()
    ) throws -> GatewayHarness {
        try GatewayHarness(
            options, partitions: partitions, configuration: GatewayConfiguration(yaml: Self.yaml, options),
            fileSystem: fileSystem)
    }

    private func event(_ id: Int, _ more: String = "") -> String { "{\"id\":\(id)\(more)}" }

    private func list(_ events: String...) -> String { "[\(events.joined(separator: ","))]" }

    private func send(_ node: GatewayHarness, _ body: String, to path: String = "/orders", _ fields: String...) throws
        -> HTTPReply
    { try node.call("POST", path, body, fields: fields) }

    private static let atomic = "X-Batch-Mode: atomic"

    @Test func whatWasStoredBeforeIsToldAndWhatIsNewIsStored() throws {
        let node = try node()
        let first = try send(node, list(event(1), event(2)))
        #expect(first.status == 201 && first.statuses == ["ok", "ok"] && first.number("duplicates") == nil)
        let second = try send(node, list(event(2), event(3)))
        #expect(second.status == 201 && second.statuses == ["duplicate", "ok"])
        #expect(second.number("accepted") == 2 && second.number("rejected") == 0 && second.number("duplicates") == 1)
        #expect(second.offsets == [1, 2] && second.results[0]["duplicate"] as? Bool == true)
        #expect(second.results[0]["topic"] as? String == "orders" && second.results[0]["timestamp"] as? String != nil)
        #expect(second.fields["idempotent-replayed"] == nil)
        let third = try send(node, list(event(3), event(1)))
        #expect(third.status == 201 && third.offsets == [2, 0] && third.fields["idempotent-replayed"] == "true")
        #expect(try node.values("orders") == [event(1), event(2), event(3)])
        #expect(node.keyed("stored") == 3 && node.keyed("duplicate") == 3)
    }

    /// What was in the topic of before is not in this one, and is not said to be.
    @Test func aTopicThatIsMadeAnewHasNoneOfTheEvents() throws {
        let node = try node()
        #expect(try send(node, list(event(1), event(2))).statuses == ["ok", "ok"])
        #expect(try send(node, event(3)).status == 201)
        #expect(node.broker.deleteTopic(try #require(node.broker.catalog.topic(named: "orders"))) == nil)
        let again = try send(node, list(event(1), event(4)))
        #expect(again.status == 201 && again.statuses == ["ok", "ok"] && again.offsets == [0, 1])
        let alone = try send(node, event(3))
        #expect(alone.status == 201 && alone.fields["idempotent-replayed"] == nil)
        #expect(try node.values("orders") == [event(1), event(4), event(3)])
        #expect(try send(node, list(event(3), event(1))).statuses == ["duplicate", "duplicate"])
    }

    @Test func anEventIsTheSameAloneAndAmongOthers() throws {
        let node = try node()
        let alone = try send(node, " \(event(1)) ")
        #expect(alone.status == 201)
        #expect(try send(node, event(1)).body == alone.body)
        let both = try send(node, list(event(1), event(2)))
        #expect(both.statuses == ["duplicate", "ok"] && both.offsets == [0, 1])
        let other = try send(node, event(2))
        #expect(other.status == 201 && other.statuses == ["duplicate"] && other.offsets == [1])
        #expect(other.fields["idempotent-replayed"] == "true" && other.number("duplicates") == 1)
        #expect(try send(node, event(2, ",\"a\":1")).string("code") == "idempotency_mismatch")
        #expect(try node.values("orders").count == 2)
    }

    @Test func anotherContentIsAConflictOfThatEventAlone() throws {
        let node = try node()
        #expect(try send(node, list(event(1), event(2))).status == 201)
        let mixed = try send(node, list(event(1, ",\"a\":1"), event(3)))
        #expect(mixed.status == 207 && mixed.statuses == ["conflict", "ok"])
        #expect(mixed.results[0]["code"] as? String == "idempotency_mismatch" && mixed.number("rejected") == 1)
        // The third has its key now, and nothing has taken that of the first.
        #expect(try send(node, list(event(1), event(3))).statuses == ["duplicate", "duplicate"])
        let all = try send(node, list(event(1, " "), event(2, " ")))
        #expect(all.status == 422 && all.string("code") == "batch_rejected")
        #expect(try node.values("orders").count == 3)
        #expect(node.keyed("mismatch") == 3)
    }

    @Test func whatStandsTwiceInARequestIsStoredOnce() throws {
        let node = try node()
        let reply = try send(node, list(event(1), event(1), event(2), event(1, ",\"a\":1"), event(2)))
        #expect(reply.status == 207)
        #expect(reply.statuses == ["ok", "duplicate", "ok", "conflict", "duplicate"])
        #expect(reply.offsets == [0, 0, 1, 1] && reply.number("accepted") == 4 && reply.number("duplicates") == 2)
        #expect(try node.values("orders") == [event(1), event(2)])
        // What repeats a refused one is refused like it.
        let again = try send(node, list(event(1, ",\"b\":1"), event(1, ",\"b\":1"), event(5)))
        #expect(again.statuses == ["conflict", "conflict", "ok"])
    }

    @Test func anAtomicBatchIsStoredWholeOrNotAtAll() throws {
        let node = try node()
        #expect(try send(node, list(event(1), event(2))).status == 201)
        let refused = try send(node, list(event(3), event(1, " ")), Self.atomic)
        #expect(refused.status == 422 && (refused.json["errors"] as? [[String: Any]])?.count == 1)
        #expect(try node.values("orders").count == 2)
        // Its keys are free, and what is stored already is no obstacle.
        let taken = try send(node, list(event(1), event(3), event(4)), Self.atomic)
        #expect(taken.status == 201 && taken.statuses == ["duplicate", "ok", "ok"] && taken.offsets == [0, 2, 3])
        #expect(try send(node, list(event(3), event(4)), Self.atomic).statuses == ["duplicate", "duplicate"])
        #expect(try node.stored("orders").batches == 2)
    }

    @Test func refusedEventsLeaveTheirKeysFree() throws {
        let node = try node()
        let refused = try send(node, list(event(1), event(2, ",\"n\":1")), to: "/typed")
        #expect(refused.status == 207 && refused.statuses == ["invalid", "ok"])
        let corrected = try send(node, list(event(1, ",\"n\":1"), event(2, ",\"n\":1")), to: "/typed")
        #expect(corrected.status == 201 && corrected.statuses == ["ok", "duplicate"])
        // What the gateway adds makes no other event of it.
        let values = try node.values("typed")
        #expect(values.count == 2 && values.allSatisfy { $0.contains("\"at\":") })
        #expect(try send(node, list(event(8), event(9)), to: "/typed").status == 422)
        #expect(try node.values("typed").count == 2)
    }

    @Test func eventsWithoutAKeyAreStoredEachTimeUnlessOneIsRequired() throws {
        let node = try node()
        let body = list("{\"a\":1}", event(1), "{\"id\":null}")
        #expect(try send(node, body).statuses == ["ok", "ok", "ok"])
        #expect(try send(node, body).statuses == ["ok", "duplicate", "ok"])
        #expect(try node.values("orders").count == 5)
        let strict = try send(node, list("{\"a\":1}", event(2)), to: "/strict")
        #expect(strict.status == 207 && strict.statuses == ["invalid", "ok"])
        #expect(strict.results[0]["code"] as? String == "missing_field")
        #expect(try send(node, list("1", "2"), to: "/strict").status == 422)
        // A key is its route's.
        #expect(try send(node, list(event(1), event(2)), to: "/strict").statuses == ["ok", "duplicate"])
    }

    @Test func eventsOfSeveralPartitionsHaveTheirKeysWithThem() throws {
        let node = try node(partitions: 4)
        let events = (0..<40).map { event($0, ",\"user\":\"u\($0 % 9)\"") }
        let body = "[\(events.joined(separator: ","))]"
        let first = try send(node, body)
        #expect(first.status == 201)
        #expect(try Set(node.stored("orders").records.map(\.partition)).count > 1)
        let next = try self.node(partitions: 4, fileSystem: node.fileSystem.kill())
        let second = try send(next, "[\(events.joined(separator: ",")),\(event(99))]")
        #expect(second.status == 201 && second.number("duplicates") == 40)
        #expect(
            zip(first.results, second.results).allSatisfy {
                $0["offset"] as? Int == $1["offset"] as? Int && $0["partition"] as? Int == $1["partition"] as? Int
            })
        #expect(try next.values("orders").count == 41)
        // A sender that writes to somebody else's place does no harm.
        #expect(
            try next.stored("orders").records.allSatisfy {
                $0.headers["idempotency"]?.hasPrefix("2 ") == true || $0.value == event(99)
            })
    }

    @Test func linesAndRowsHaveKeysToo() throws {
        let node = try node()
        let lines = ["Content-Type: application/x-ndjson"]
        #expect(try node.call("POST", "/orders", "\(event(1))\n\(event(2))\n", fields: lines).status == 201)
        let more = try node.call("POST", "/orders", "\(event(2))\nnone\n\(event(3))", fields: lines)
        #expect(more.status == 207 && more.statuses == ["duplicate", "invalid", "ok"])
        let rows = ["Content-Type: text/csv"]
        #expect(try node.call("POST", "/orders", "id,a\n10,x\n11,y\n", fields: rows).statuses == ["ok", "ok"])
        let again = try node.call("POST", "/orders", "id,a\n11,y\n10,z\n12,\n", fields: rows)
        #expect(again.statuses == ["duplicate", "conflict", "ok"])
        #expect(try node.values("orders").count == 6)
    }

    @Test func theEventsOfACloudEventsBatchHaveTheirIDs() throws {
        let node = try node()
        func cloud(_ id: Int, source: String = "/s") -> String {
            "{\"specversion\":\"1.0\",\"id\":\"\(id)\",\"source\":\"\(source)\",\"type\":\"t\"}"
        }
        let batch = "Content-Type: application/cloudevents-batch+json"
        #expect(try send(node, list(cloud(1), cloud(2)), to: "/cloud", batch).status == 201)
        let second = try send(node, list(cloud(2), cloud(2, source: "/other"), cloud(3)), to: "/cloud", batch)
        #expect(second.statuses == ["duplicate", "ok", "ok"])
        let alone = try send(node, cloud(3), to: "/cloud", "Content-Type: application/cloudevents+json")
        #expect(alone.status == 201 && alone.statuses == ["duplicate"])
        #expect(try node.values("cloud").count == 4)
    }

    @Test func anEventThatIsBeingStoredIsToBeSentAgain() throws {
        let node = try node()
        #expect(try send(node, list(event(1), event(2))).status == 201)
        node.disk.stall([.write, .sync])
        let first = try node.connect()
        try first.send(HTTPClient.request("POST", "/orders", Array(list(event(3), event(4)).utf8)))
        #expect(eventually { node.disk.waitingCalls > 0 })
        let busy = try send(node, list(event(3), event(4)))
        #expect(busy.status == 409 && busy.string("code") == "idempotency_in_flight")
        #expect(busy.fields["retry-after"] == "1")
        let other = try send(node, list(event(3, " "), event(4, " ")))
        #expect(other.status == 422)
        // What is on disk already is told beside it.
        let mixed = try send(node, list(event(1), event(3)))
        #expect(mixed.status == 207 && mixed.statuses == ["duplicate", "retry"] && mixed.fields["retry-after"] == "1")
        node.disk.release()
        #expect(try first.receive().status == 201)
        #expect(try send(node, list(event(3), event(4))).statuses == ["duplicate", "duplicate"])
        #expect(try node.values("orders").count == 4 && node.keyed("busy") == 3)
    }

    @Test func roomIsForAllNewEventsOrForNone() throws {
        var options = GatewayOptions()
        options.maxIdempotencyKeys = 12
        options.idempotencySharePercent = 50
        let node = try node(options)
        let many = (0..<7).map { event($0) }.joined(separator: ",")
        let tooMany = try send(node, "[\(many)]")
        #expect(tooMany.status == 413 && tooMany.number("limit") == 6 && tooMany.string("code") == "too_many_events")
        #expect(try send(node, list(event(1), event(2), event(3), event(4))).status == 201)
        let full = try send(node, list(event(4), event(5), event(6), event(7)))
        #expect(full.status == 429 && full.string("code") == "idempotency_share_full")
        #expect((full.fields["retry-after"].flatMap { Int($0) } ?? 0) > 1)
        #expect(try node.values("orders").count == 4)
        // What is known needs no room, and what fits is stored.
        #expect(try send(node, list(event(4), event(3), event(5))).statuses == ["duplicate", "duplicate", "ok"])
        #expect(node.metric("millrace_idempotency_keys") == 5)
    }

    /// A body of lines that has more of them than a request may have goes on in windows, as one does that is longer.
    @Test func moreKeyedLinesThanARequestMayHaveAreTakenInWindows() throws {
        let node = try node()
        let count = EventDigests.most + 50
        let events = (0..<count).map { event($0) }
        let lines = "Content-Type: application/x-ndjson"
        let reply = try send(node, events.joined(separator: "\n"), to: "/orders", lines)
        #expect(reply.status == 201 && reply.number("accepted") == count, "\(reply.text.prefix(1000))")
        let rows = "id\n" + (0..<count).map { "\($0)" }.joined(separator: "\n")
        let table = try send(node, rows, to: "/orders", "Content-Type: text/csv")
        // By CSV the key is a text, another one.
        #expect(table.status == 201 && table.number("accepted") == count, "\(table.text.prefix(1000))")
        #expect(table.number("duplicates") == nil)
        let again = try send(node, events.joined(separator: "\n"), to: "/orders", lines)
        #expect(again.status == 201 && again.number("duplicates") == count, "\(again.text.prefix(1000))")
        #expect(try node.values("orders").count == 2 * count)
        #expect(try Array(node.values("orders").prefix(count)) == events)
        // Whole or not at all it is too much.
        let whole = try send(node, events.joined(separator: "\n"), to: "/orders", lines, Self.atomic)
        #expect(whole.status == 413 && whole.string("code") == "too_many_events")
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    @Test func longBodiesOfEventsWithKeysAreAWorkers() throws {
        let node = try node()
        let events = (0..<3000).map { event($0, ",\"text\":\"some words\"") }
        let body = "[\(events.joined(separator: ","))]"
        #expect(body.utf8.count > 64 << 10)
        let reply = try send(node, body)
        #expect(reply.status == 201 && reply.number("accepted") == 3000)
        let again = try send(node, body)
        #expect(again.status == 201 && again.number("duplicates") == 3000 && again.results.isEmpty)
        #expect(try node.values("orders").count == 3000)
        var far = events
        far += (3000..<10_001).map { event($0) }
        let tooMany = try send(node, "[\(far.joined(separator: ","))]")
        #expect(tooMany.status == 413 && tooMany.number("limit") == EventDigests.most)
    }

    // MARK: Starts

    /// The power fails at every call of the file system in turn, also while the next start repairs: each event of requests that share
    /// some, and that are sent until they are acknowledged, is stored once.
    @Test func noCrashSeparatesEventsFromTheirOwnKeys() throws {
        var call = 0
        var isOver = false
        while !isOver {
            let seed = UInt64(call + 1)
            let node = try node(partitions: 2, fileSystem: SimulatedFileSystem(seed: seed))
            #expect(try send(node, list(keyed(100), keyed(101))).status == 201)
            node.fileSystem.haltAtCall(node.fileSystem.callCount + call)
            var acknowledged: Set<Int> = []
            for number in 0..<4 where sendPair(number, node) { acknowledged.formUnion([number, number + 1]) }
            isOver = !node.fileSystem.isHalted
            let second = try self.node(partitions: 2, fileSystem: node.fileSystem.crash(keeping: .random, seed: seed))
            let found = try second.values("orders")
            for number in acknowledged { #expect(found.count { $0 == keyed(number) } == 1, "call \(call): \(found)") }
            // A second crash, before anything else is said.
            let third = try self.node(partitions: 2, fileSystem: second.fileSystem.crash(keeping: .random, seed: seed))
            #expect(try send(third, list("{\"user\":\"0\"}", "{\"user\":\"1\"}")).status == 201)
            for number in 0..<4 {
                let reply = try send(third, list(keyed(number), keyed(number + 1)))
                #expect(reply.status == 201, "call \(call): \(reply.text)")
                for (place, id) in [number, number + 1].enumerated() where acknowledged.contains(id) {
                    #expect(reply.statuses[place] == "duplicate", "call \(call): \(reply.text)")
                }
            }
            let values = try third.values("orders")
            let wanted = ["{\"user\":\"0\"}", "{\"user\":\"1\"}"] + ([100, 101] + Array(0...4)).map(keyed)
            #expect(values.sorted() == wanted.sorted(), "call \(call)")
            call += 1
        }
        #expect(call > 8)
    }

    /// Marks that a writer of the topic has made up count from the start at the latest, no longer than a key does, and up to the most keys.
    @Test(arguments: [(24, 100, 3), (-25, 100, 0), (0, 2, 1)])
    func marksOfOthersCountForNoMoreThanKeysDo(aheadHours: Int64, mostKeys: Int, known: Int) throws {
        let other = try node()
        #expect(try send(other, list(event(9), event(10), event(11))).status == 201)
        let marks = try other.stored("orders").records.map { try #require($0.headers["idempotency"]) }
        var options = GatewayOptions()
        options.maxIdempotencyKeys = mostKeys
        let node = try node(options)
        #expect(try send(node, event(1)).status == 201)
        let nowMs = BrokerClock.wallMs()
        var batch = TestBatch(
            marks.map { TestRecord(value: [0x30], headers: [.init("idempotency", Array($0.utf8))]) })
        batch.baseTimestamp = nowMs + aheadHours * 3_600_000
        let log = try #require(node.broker.catalog.topic(named: "orders")).partitions[0]
        let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        _ = try log.append(slice, origin: .broker, nowMs: nowMs).get()
        node.broker.store.commitPending()
        let next = try self.node(options, fileSystem: node.fileSystem.crash(keeping: .everything))
        #expect(next.metric("millrace_idempotency_keys") == 1 + known)
        if known < marks.count { return }
        let reply = try send(next, list(event(9), event(10)))
        #expect(reply.statuses == ["duplicate", "duplicate"])
        let since = try #require(reply.results[0]["timestamp"] as? String)
        #expect(since < ReceivedAt.text(ofMs: nowMs + 3_600_000))
    }

    /// Neighbours go to different partitions.
    private func keyed(_ id: Int) -> String { event(id, ",\"user\":\"\(id % 2)\"") }

    private func sendPair(_ number: Int, _ node: GatewayHarness) -> Bool {
        (try? send(node, list(keyed(number), keyed(number + 1))).status) == 201
    }

    // MARK: The log's line

    @Test func aLineOfEventsIsReadAsItWasWritten() throws {
        let partition = TopicPartition(topicID: TopicID(high: 1, low: 2), partitionIndex: 3)
        var stored = StoredEvents(owner: KeyOwner(digest: 9), partition: partition, timeMs: 77)
        for number in UInt64(0)..<3 {
            let key = EventDigests(
                key: ShortDigest(high: 1, low: number), fingerprint: ShortDigest(high: 2, low: number))
            stored.events.append(StoredEvents.Event(key: key, offset: Int64(number) + 5))
        }
        var line = ByteWriter(capacity: 64)
        IdempotencyRecord.events(stored, floor: 4).encode(atMs: 77, into: &line)
        let (record, time) = try IdempotencyRecord.decode(line.bytes)
        #expect(record == .events(stored, floor: 4) && time == 77)
        for count in 0..<line.count {
            #expect(throws: (any Error).self, "\(count)") {
                _ = try IdempotencyRecord.decode(UnsafeRawBufferPointer(rebasing: line.bytes[..<count]))
            }
        }
    }
}

extension GatewayHarness {
    fileprivate func keyed(_ outcome: String) -> Int? {
        metric("millrace_idempotency_events_total{outcome=\"\(outcome)\"}")
    }
}
