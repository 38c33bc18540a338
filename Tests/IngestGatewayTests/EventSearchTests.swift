import BrokerCore
import BrokerTestKit
import ByteBuffers
import Foundation
import KafkaModel
import RecordFormat
import Security
import Testing

@testable import IngestGateway
@testable import LogStorage

/// Events by their ids: the search by itself, over times as they come, and over HTTP.
@Suite struct EventSearchTests {
    /// A log of batches with when their ids were given, and how often it was looked at.
    private final class Log {
        var stretches: [EventSearch.Stretch] = []
        var looks = 0
        var end: Offset { stretches.last?.next ?? .zero }

        func add(_ count: Int, at time: Int64, bytes: Int = 1_000) {
            let end = end
            stretches.append(
                EventSearch.Stretch(
                    base: end, next: end + Int64(count), times: time...time, found: nil, bytes: bytes))
        }

        func look(_ offset: Offset) -> EventSearch.Stretch? {
            looks += 1
            return stretches.first { $0.next > offset }
        }
    }

    private func search(_ log: Log, at time: Int64) -> (found: Offset?, search: EventSearch) {
        var search = EventSearch(timeMs: time)
        return (search.find(from: .zero, to: log.end) { log.look($0) }, search)
    }

    @Test(arguments: 0..<40)
    func anEventIsFoundWhereverItStandsByALookForEachHalf(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let log = Log()
        var time: Int64 = 1_000_000
        for _ in 0..<1_000 {
            time += Int64(random.next() % 300)
            // Loops commit one after the other: as much as that out of turn.
            log.add(Int(random.next() % 50) + 1, at: time - Int64(random.next() % 1_000))
        }
        let index = Int(random.next() % 1_000)
        let wanted = log.stretches[index]
        log.stretches[index].found = wanted.base
        let (found, search) = search(log, at: wanted.times.lowerBound)
        #expect(found == wanted.base)
        #expect(!search.isCut)
        // Halving takes sixteen looks at each of three distances, and 32 s of these batches are about 430.
        #expect(log.looks < 600, "\(log.looks)")
    }

    @Test func anIdThatIsNoWhereIsLookedForAroundItsTimeAlone() {
        let log = Log()
        for index in 0..<100_000 { log.add(10, at: Int64(index) * 1_000) }
        #expect(search(log, at: 50_000_000).found == nil)
        #expect(log.looks < 200, "\(log.looks)")
        #expect(search(log, at: 1 << 47).found == nil)
        #expect(search(log, at: 0).found == nil)
        #expect(search(Log(), at: 5).found == nil)
    }

    @Test func itReadsNoMoreThanItMay() {
        let log = Log()
        for _ in 0..<1_000 { log.add(10, at: 5, bytes: 1 << 20) }
        let (found, search) = search(log, at: 5)
        #expect(found == nil && search.isCut)
        #expect(log.looks == EventSearch.mostReadBytes >> 20)
    }

    @Test func anIdIsReadAsItIsWritten() {
        var made = UUIDv7Generator()
        for _ in 0..<100 {
            let id = made.next(atMs: 1_700_000_000_123)
            var bytes = [UInt8](repeating: 0, count: UUIDv7.textLength)
            bytes.withUnsafeMutableBytes { id.write(to: $0.baseAddress!) }
            #expect(bytes.withUnsafeBytes { UUIDv7(text: $0) } == id)
            #expect(id.milliseconds == 1_700_000_000_123)
        }
        for wrong in [
            "", "0192f3a4-b5c6-7d8e-9fab-cdef0123456", "0192f3a4-b5c6-7d8e-9fab-cdef0123456g",
            "0192f3a4xb5c6-7d8e-9fab-cdef01234567", "0192f3a4-b5c6-7d8e-9fab-cdef0123456-",
            "0192f3a4-b5c6-7d8e-9fab-CDEF01234567",
        ] {
            #expect(Array(wrong.utf8).withUnsafeBytes { UUIDv7(text: $0) } == nil)
        }
        #expect(UUIDv7(high: 0x0192_f3a4_b5c6_4d8e, low: 1).milliseconds == nil)
    }

    // MARK: Over HTTP

    private func ids(_ reply: HTTPReply) -> [String] {
        (reply.json["results"] as? [[String: Any]] ?? []).compactMap { $0["event_id"] as? String }
    }

    private func place(_ reply: HTTPReply) -> (topic: String?, partition: Int?, offset: Int?) {
        let record = (reply.json["records"] as? [[String: Any]])?.first
        return (reply.string("topic"), record?["partition"] as? Int, record?["offset"] as? Int)
    }

    @Test func anEventIsFoundInItsTopicWithItsPlace() throws {
        let node = try GatewayHarness(partitions: 3)
        var places: [String: (topic: String, partition: Int, offset: Int)] = [:]
        for round in 0..<30 {
            let topic = ["a", "b"][round % 2]
            let events = (0..<7).map { "{\"n\":\(round * 7 + $0)}" }
            let reply = try node.post(topic, "[" + events.joined(separator: ",") + "]")
            #expect(reply.status == 201)
            for result in reply.json["results"] as? [[String: Any]] ?? [] {
                places[try #require(result["event_id"] as? String)] = (
                    topic, try #require(result["partition"] as? Int), try #require(result["offset"] as? Int)
                )
            }
        }
        #expect(places.count == 210)
        for (id, place) in places {
            for query in ["", "?topic=\(place.topic)"] {
                let reply = try node.call("GET", "/v1/events/\(id)\(query)")
                #expect(reply.status == 200)
                let found = self.place(reply)
                #expect(found.topic == place.topic && found.partition == place.partition)
                #expect(found.offset == place.offset)
                #expect((reply.json["records"] as? [Any])?.count == 1)
            }
            let other = place.topic == "a" ? "b" : "a"
            #expect(try node.call("GET", "/v1/events/\(id)?topic=\(other)").status == 404)
        }
    }

    @Test func recordsOfOthersStandInBetween() throws {
        let node = try GatewayHarness()
        let log = try node.broker.topicCreatingIfAllowed("t").get().partitions[0]
        let now = BrokerClock.wallMs()
        var found: [String] = []
        for round in 0..<20 {
            for _ in 0..<round {
                var builder = RecordBatchBuilder()
                builder.append(
                    key: nil, value: [1],
                    headers: [RecordHeader(key: "event_id", value: Array("no id".utf8))], timestampMs: now)
                let batch = try builder.finish(.init(compression: round % 2 == 0 ? .gzip : Compression.none))
                _ = try log.append(batch, origin: .client, nowMs: now).get()
            }
            found += ids(try node.post("t", "[1]"))
        }
        #expect(found.count == 20)
        for (index, id) in found.enumerated() {
            #expect(place(try node.call("GET", "/v1/events/\(id)")).offset == index * (index + 3) / 2)
        }
    }

    /// What batches unpack to counts as what they take in the log does: 40 of them have 3 MiB each, and 4 KiB packed.
    @Test func whatIsUnpackedIsBounded() throws {
        let node = try GatewayHarness()
        let log = try node.broker.topicCreatingIfAllowed("t").get().partitions[0]
        let now = BrokerClock.wallMs()
        for _ in 0..<40 {
            var builder = RecordBatchBuilder()
            builder.append(key: nil, value: [UInt8](repeating: 0, count: 3 << 20), timestampMs: now)
            _ = try log.append(try builder.finish(.init(compression: .gzip)), origin: .client, nowMs: now).get()
        }
        node.broker.store.kick()
        #expect(eventually { log.highWatermark == log.logEndOffset })
        var search = EventSearch(timeMs: now)
        let look = EventLook(Array(repeating: 0x30, count: UUIDv7.textLength), pool: node.pool) { false }
        #expect(search.find(from: .zero, to: log.highWatermark) { look.look(log, at: $0) } == nil)
        #expect(search.isCut && search.readBytes < EventSearch.mostReadBytes + (64 << 20))
        let givenUp = EventLook(Array(repeating: 0x30, count: UUIDv7.textLength), pool: node.pool) { true }
        #expect(givenUp.look(log, at: .zero) == nil)
    }

    @Test func whatIsNoIdOrIsOfNoEventIsNotFound() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "1").status == 201)
        for id in ["0192f3a4-b5c6-7d8e-9fab-cdef01234567", "0192f3a4-b5c6-4d8e-9fab-cdef01234567", "x", "%00"] {
            let reply = try node.call("GET", "/v1/events/\(id)")
            #expect(reply.status == 404 && reply.string("code") == "not_found", "\(reply.text)")
        }
        let topicless = try node.call("GET", "/v1/events/0192f3a4-b5c6-7d8e-9fab-cdef01234567?topic=none")
        #expect(topicless.string("code") == "topic_not_found")
        #expect(try node.call("GET", "/v1/events/x?group=g").status == 400)
    }

    @Test func moreThanAReadMayHaveOfPartitionsNeedsTheTopic() throws {
        let node = try GatewayHarness(partitions: 100)
        let id = try #require(ids(try node.post("a", "[1]")).first)
        #expect(try node.call("GET", "/v1/events/\(id)").status == 200)
        #expect(try node.post("b", "[1]").status == 201)
        let refused = try node.call("GET", "/v1/events/\(id)")
        #expect(refused.status == 400 && refused.text.contains("name its topic"))
        #expect(place(try node.call("GET", "/v1/events/\(id)?topic=a")).topic == "a")
    }
}
