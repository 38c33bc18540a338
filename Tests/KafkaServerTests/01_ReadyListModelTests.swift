import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import LogStorage
import Testing

@testable import KafkaServer

/// Random histories of a session beside a naive model: the model asks for every partition each time, without a session, and
/// leaves out what its client knows. The session, which looks at what is ready alone, must answer the same, in the same order.
@Suite struct ReadyListModelTests {
    @Test(arguments: 1...12) func aSessionAnswersAsAWalkOverAllPartitionsWould(seed: UInt64) throws {
        var history = try History(seed: seed)
        for _ in 0..<250 { try history.step() }
        #expect(history.fetches > 50 && history.records > 20, "seed \(seed) did too little")
    }

    /// A fetch that waits is answered by the append with which all partitions together have enough, and by no earlier one.
    @Test(arguments: 1...8) func aWaitEndsWhenAllPartitionsTogetherHaveEnough(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let broker = try TestBroker()
        let (reader, writer) = (try broker.client(), try broker.client())
        let count = Int32.random(in: 1...40, using: &random)
        try writer.createTopic("orders", partitions: count)
        var wanted = (0..<count).map { WireClient.Wanted(topic: "orders", partition: $0, maxBytes: 3000) }
        let id = try reader.call(WireClient.fetchRequest(wanted, epoch: 0), version: 12).sessionID
        try #require(id > 0)
        var changed: [WireClient.Wanted] = []
        for epoch in Int32(1)...15 {
            let minBytes = Int32.random(in: 1...6000, using: &random)
            let correlation = try reader.send(
                WireClient.fetchRequest(
                    changed, maxWaitMs: 600_000, minBytes: minBytes, sessionID: id, epoch: epoch), version: 12)
            try waitUntil { broker.parkedFetches == 1 }
            // The client has read all there is, so growth is all that counts.
            let enough = min(Int(minBytes), 3000 * Int(count))
            var grown = [Int](repeating: 0, count: Int(count))
            var available = 0
            while available < enough {
                let partition = Int32.random(in: 0..<count, using: &random)
                let batch = TestBatch(count: 1, valueSize: Int.random(in: 0...400, using: &random)).bytes()
                #expect(try writer.produce("orders", batch, partition: partition).code == .none)
                grown[Int(partition)] += batch.count
                available = grown.reduce(0) { $0 + min($1, 3000) }
                if available >= enough { break }
                try #require(
                    broker.parkedFetches == 1 && !reader.hasInput,
                    "seed \(seed): answered with \(available) of \(enough) bytes")
            }
            let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: correlation)
            #expect(reply.code == .none)
            changed = try (0..<count).compactMap { partition in
                let end = try writer.listOffset("orders", at: -1, partition: partition).offset
                if end == wanted[Int(partition)].offset { return nil }
                wanted[Int(partition)].offset = end
                return wanted[Int(partition)]
            }
        }
    }
}

/// One random history: a broker, a session, and what the model keeps of it.
private struct History {
    private struct Name: Hashable {
        var topic: String
        var partition: Int32
    }

    private struct Told: Equatable {
        var highWatermark: Int64 = -1
        var logStart: Int64 = -1
        var error = ErrorCode.none
    }

    private struct Answer: Equatable {
        var topic: String
        var partition: Int32
        var error: ErrorCode
        var highWatermark: Int64
        var logStart: Int64
        var records: [UInt8]
    }

    private let seed: UInt64
    private var random: SeededRandom
    private let broker: TestBroker
    private let session: WireClient
    private let other: WireClient
    private var id: Int32 = 0
    private var epoch: Int32 = 0
    /// The session's partitions in the order of serving.
    private var order: [Name] = []
    private var wanted: [Name: WireClient.Wanted] = [:]
    private var told: [Name: Told] = [:]
    /// For the next request.
    private var changed: [Name] = []
    private var forgotten: [Name] = []
    private var leaderEpoch: [Name: Int32] = [:]
    private(set) var fetches = 0
    private(set) var records = 0

    private static let partitions: Int32 = 5
    private static let topics = ["a", "b", "c"]

    init(seed: UInt64) throws {
        self.seed = seed
        random = SeededRandom(seed: seed)
        broker = try TestBroker()
        session = try broker.client()
        other = try broker.client()
        for topic in Self.topics { try other.createTopic(topic, partitions: Self.partitions) }
        for topic in Self.topics.prefix(2) {
            for partition in 0..<Self.partitions { join(Name(topic: topic, partition: partition)) }
        }
        try fetch()
    }

    private mutating func join(_ name: Name) {
        order.append(name)
        wanted[name] = WireClient.Wanted(topic: name.topic, partition: name.partition)
        told[name] = Told()
        changed.append(name)
    }

    private mutating func anyName() -> Name {
        Name(
            topic: Self.topics.randomElement(using: &random)!,
            partition: Int32.random(in: 0..<Self.partitions, using: &random))
    }

    private func log(_ name: Name) -> PartitionLog? {
        broker.broker.catalog.topic(named: name.topic)?.partition(name.partition)
    }

    mutating func step() throws {
        let name = anyName()
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<7:
            let batch = TestBatch(count: 1, valueSize: Int.random(in: 0...3000, using: &random)).bytes()
            _ = try other.produce(name.topic, batch, partition: name.partition)
        case 7: if Bool.random(using: &random) { try deleteRecords(name) } else { changeLeadership(name) }
        case 8:
            guard Int.random(in: 0..<4, using: &random) == 0 else { return }
            if broker.broker.catalog.topic(named: "b") == nil {
                try other.createTopic("b", partitions: Self.partitions)
            } else {
                #expect(try other.deleteTopic("b") == .none)
                leaderEpoch = leaderEpoch.filter { $0.key.topic != "b" }
            }
        case 9: leaveOrJoin(name)
        case 10: askAnew(name)
        default: try fetch()
        }
    }

    private func deleteRecords(_ name: Name) throws {
        guard let log = log(name), log.leadership.isLeader else { return }
        _ = try other.deleteRecords(name.topic, before: -1, partition: name.partition)
    }

    private mutating func changeLeadership(_ name: Name) {
        guard let log = log(name) else { return }
        leaderEpoch[name, default: 0] += 1
        let epoch = LeaderEpoch(leaderEpoch[name]!)
        // Mostly it goes on by a new epoch.
        if log.leadership.isLeader, Int.random(in: 0..<4, using: &random) == 0 {
            broker.broker.resign(leaderOf: log, for: epoch)
        } else {
            broker.broker.become(leaderOf: log, in: epoch)
        }
    }

    private mutating func leaveOrJoin(_ name: Name) {
        guard let place = order.firstIndex(of: name) else {
            if !forgotten.contains(name) { join(name) }
            return
        }
        if changed.contains(name) || order.count == 1 { return }
        order.remove(at: place)
        forgotten.append(name)
        (wanted[name], told[name]) = (nil, nil)
    }

    private mutating func askAnew(_ name: Name) {
        guard wanted[name] != nil else { return }
        wanted[name]!.offset = max(0, wanted[name]!.offset - Int64.random(in: 0...1, using: &random))
        wanted[name]!.maxBytes = Int32.random(in: -1...9, using: &random) * 1000
        wanted[name]!.leaderEpoch = Bool.random(using: &random) ? -1 : leaderEpoch[name, default: 0]
        if !changed.contains(name) { changed.append(name) }
    }

    private mutating func fetch() throws {
        let maxBytes = Int32([1, 2000, 6000, 1 << 20].randomElement(using: &random)!)
        var walk = WireClient.fetchRequest(order.map { wanted[$0]! })
        walk.maxBytes = maxBytes
        var expected = try expectation(of: walk)

        var request = WireClient.fetchRequest(changed.map { wanted[$0]! }, sessionID: id, epoch: epoch)
        request.maxBytes = maxBytes
        request.forgottenTopicsData = forgotten.map { name in
            var topic = FetchRequest.ForgottenTopic()
            (topic.topic, topic.partitions) = (name.topic, [name.partition])
            return topic
        }
        let reply = try session.call(request, version: 12)
        try #require(reply.code == .none)
        id = reply.sessionID
        try #require(id > 0)
        let found = answers(reply)
        // A read ends where memory ends and the file begins, and write behind moves that place at any time: an answer is
        // that of a walk before it or behind it.
        if found != expected { expected = try expectation(of: walk) }
        try #require(found == expected, "seed \(seed), epoch \(epoch)")
        epoch += 1
        fetches += 1
        (changed, forgotten) = ([], [])
        try take(expected)
    }

    /// What a walk over all partitions says now, without what the session's client knows.
    private func expectation(of walk: FetchRequest) throws -> [Answer] {
        let all = answers(try other.call(walk, version: 12))
        try #require(all.count == order.count)
        // A full one tells all.
        return all.filter { epoch == 0 || isNews($0) }
    }

    private func isNews(_ answer: Answer) -> Bool {
        let before = told[Name(topic: answer.topic, partition: answer.partition)]!
        return !answer.records.isEmpty || answer.error != .none || before.error != .none
            || before.highWatermark != answer.highWatermark || before.logStart != answer.logStart
    }

    /// The client has read what it was told, and asks on from there, or asks for some of it again.
    private mutating func take(_ answers: [Answer]) throws {
        for answer in answers {
            let name = Name(topic: answer.topic, partition: answer.partition)
            told[name] = Told(
                highWatermark: answer.highWatermark, logStart: answer.logStart, error: answer.error)
            if answer.error != .none, Bool.random(using: &random) {
                wanted[name]!.leaderEpoch = -1
                if answer.error == .offsetOutOfRange {
                    wanted[name]!.offset = log(name)?.logStartOffset.rawValue ?? 0
                }
                changed.append(name)
            }
            if answer.records.isEmpty { continue }
            records += 1
            order.remove(at: order.firstIndex(of: name)!)
            order.append(name)
            guard Int.random(in: 0..<5, using: &random) > 0 else { continue }
            wanted[name]!.offset = try #require(try FetchTests.batches(answer.records).last).upperBound + 1
            changed.append(name)
        }
    }

    private func answers(_ reply: FetchResponse) -> [Answer] {
        reply.responses.flatMap { topic in
            topic.partitions.map {
                Answer(
                    topic: topic.topic, partition: $0.partitionIndex, error: $0.code, highWatermark: $0.highWatermark,
                    logStart: $0.logStartOffset, records: $0.records ?? [])
            }
        }
    }
}
