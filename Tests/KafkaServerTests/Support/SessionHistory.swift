import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import LogStorage
import Testing

@testable import KafkaServer

/// One random history: a broker, a session, and what a naive model keeps of it, which asks for every partition each time,
/// without a session, and leaves out what the client knows.
struct SessionHistory {
    /// A partition of a topic, which is another one when it is made again and goes by its id.
    private struct Name: Hashable {
        var topic: String
        var generation = 0
        var partition: Int32
    }

    private struct Told {
        var highWatermark: Int64 = -1
        var logStart: Int64 = -1
        var error = ErrorCode.none
    }

    private struct Answer: Equatable {
        var name: Name
        var error: ErrorCode
        var highWatermark: Int64
        var logStart: Int64
        var records: [UInt8]
    }

    private let seed: UInt64
    private var random: SeededRandom
    private let broker: TestBroker
    private let byID: Bool
    /// Workers do what is about more partitions.
    private let inline: Int
    private var session: WireClient
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
    private var generations: [String: Int] = [:]
    /// By topic and generation.
    private var ids: [Name: TopicID] = [:]
    private(set) var fetches = 0
    private(set) var records = 0
    private(set) var waits = 0
    /// Fetches that waited until their client had given them up.
    private(set) var givenUp = 0

    private static let partitions: Int32 = 5
    private static let topics = ["a", "b", "c"]
    private var version: Int16 { byID ? 13 : 12 }

    init(seed: UInt64, byID: Bool = false, inline: Int = 1000) throws {
        self.seed = seed
        self.byID = byID
        self.inline = inline
        random = SeededRandom(seed: seed)
        broker = try TestBroker { $0.server.maxInlinePartitions = inline }
        session = try broker.client()
        other = try broker.client()
        for topic in Self.topics { try create(topic) }
        for topic in Self.topics.prefix(2) {
            for partition in 0..<Self.partitions { join(Name(topic: topic, partition: partition)) }
        }
        try fetch()
    }

    private mutating func create(_ topic: String) throws {
        let id = try other.createTopic(topic, partitions: Self.partitions)
        if byID, let last = generations[topic] { generations[topic] = last + 1 } else { generations[topic] = 0 }
        ids[Name(topic: topic, generation: generations[topic]!, partition: -1)] = id
    }

    private mutating func join(_ name: Name) {
        order.append(name)
        wanted[name] = WireClient.Wanted(topic: name.topic, topicID: id(of: name), partition: name.partition)
        told[name] = Told()
        changed.append(name)
    }

    private mutating func leave(_ name: Name) {
        order.removeAll { $0 == name }
        // What is named and forgotten is gone.
        forgotten.append(name)
        (wanted[name], told[name]) = (nil, nil)
        changed.removeAll { $0 == name }
    }

    private func id(of name: Name) -> TopicID {
        ids[Name(topic: name.topic, generation: name.generation, partition: -1)]!
    }

    private mutating func anyName() -> Name {
        let topic = Self.topics.randomElement(using: &random)!
        return Name(
            topic: topic, generation: generations[topic]!,
            partition: Int32.random(in: 0..<Self.partitions, using: &random))
    }

    private func log(_ name: Name) -> PartitionLog? {
        let catalog = broker.broker.catalog
        let topic = byID ? catalog.topic(id: id(of: name)) : catalog.topic(named: name.topic)
        return topic?.partition(name.partition)
    }

    // MARK: What happens

    mutating func step() throws {
        let name = anyName()
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<7: _ = try append(to: name, Int.random(in: 0...3000, using: &random))
        case 7: if Bool.random(using: &random) { try deleteRecords(name) } else { changeLeadership(name) }
        case 8: if Int.random(in: 0..<4, using: &random) == 0 { try deleteOrCreate() }
        case 9: leaveOrJoin(name)
        case 10: askAnew(name)
        default: try fetch()
        }
    }

    /// Returns the bytes by which the partition has grown.
    private func append(to name: Name, _ valueSize: Int) throws -> Int {
        let batch = TestBatch(count: 1, valueSize: valueSize).bytes()
        return try other.produce(name.topic, batch, partition: name.partition).code == .none ? batch.count : 0
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

    private mutating func deleteOrCreate() throws {
        guard broker.broker.catalog.topic(named: "b") != nil else { return try create("b") }
        #expect(try other.deleteTopic("b") == .none)
        leaderEpoch = leaderEpoch.filter { $0.key.topic != "b" }
    }

    private mutating func leaveOrJoin(_ name: Name) {
        guard order.contains(name) else {
            if !forgotten.contains(name) { join(name) }
            return
        }
        if changed.contains(name) && Bool.random(using: &random) || order.count == 1 { return }
        leave(name)
    }

    private mutating func askAnew(_ name: Name) {
        guard wanted[name] != nil else { return }
        wanted[name]!.offset = max(0, wanted[name]!.offset - Int64.random(in: 0...1, using: &random))
        wanted[name]!.maxBytes = Int32.random(in: -1...9, using: &random) * 1000
        wanted[name]!.leaderEpoch = Bool.random(using: &random) ? -1 : leaderEpoch[name, default: 0]
        if !changed.contains(name) { changed.append(name) }
    }

    // MARK: Fetching

    private mutating func fetch() throws {
        _ = try fetch(maxBytes: Int32([1, 2000, 6000, 1 << 20].randomElement(using: &random)!), isThorough: false)
    }

    /// `isThorough`: its client goes on behind all that it was given.
    private mutating func fetch(maxBytes: Int32, isThorough: Bool) throws -> [Answer] {
        let expected = try expectation(maxBytes)
        let reply = try session.call(nextRequest(maxBytes), version: version)
        return try take(reply, expected, maxBytes, isThorough: isThorough)
    }

    private mutating func nextRequest(_ maxBytes: Int32) -> FetchRequest {
        var request = WireClient.fetchRequest(changed.map { wanted[$0]! }, sessionID: id, epoch: epoch)
        request.maxBytes = maxBytes
        request.forgottenTopicsData = forgotten.map { name in
            var topic = FetchRequest.ForgottenTopic()
            (topic.topic, topic.topicID, topic.partitions) = (name.topic, id(of: name), [name.partition])
            return topic
        }
        (changed, forgotten) = ([], [])
        return request
    }

    private mutating func take(
        _ reply: FetchResponse, _ before: [Answer], _ maxBytes: Int32, isThorough: Bool
    ) throws -> [Answer] {
        try #require(reply.code == .none, "seed \(seed), epoch \(epoch)")
        id = reply.sessionID
        try #require(id > 0)
        let found = answers(reply)
        // A read ends where memory ends and the file begins, and write behind moves that place at any time: an answer is
        // that of a walk before it or behind it.
        let expected = found == before ? before : try expectation(maxBytes)
        try #require(found == expected, "seed \(seed), epoch \(epoch)")
        epoch += 1
        fetches += 1
        try take(expected, isThorough: isThorough)
        return expected
    }

    /// What a walk over all partitions says now, without what the session's client knows.
    private func expectation(_ maxBytes: Int32) throws -> [Answer] {
        var walk = WireClient.fetchRequest(order.map { wanted[$0]! })
        walk.maxBytes = maxBytes
        let all = answers(try other.call(walk, version: version))
        try #require(all.count == order.count)
        // A full one tells all.
        return all.filter { epoch == 0 || isNews($0) }
    }

    private func isNews(_ answer: Answer) -> Bool {
        let before = told[answer.name]!
        return !answer.records.isEmpty || answer.error != .none || before.error != .none
            || before.highWatermark != answer.highWatermark || before.logStart != answer.logStart
    }

    /// The client has read what it was told, and asks on from there, or asks for some of it again.
    private mutating func take(_ answers: [Answer], isThorough: Bool) throws {
        for answer in answers {
            let name = answer.name
            told[name] = Told(
                highWatermark: answer.highWatermark, logStart: answer.logStart, error: answer.error)
            if answer.error != .none, isThorough || Bool.random(using: &random) {
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
            guard isThorough || Int.random(in: 0..<5, using: &random) > 0 else { continue }
            wanted[name]!.offset = try #require(try FetchTests.batches(answer.records).last).upperBound + 1
            changed.append(name)
        }
    }

    private func answers(_ reply: FetchResponse) -> [Answer] {
        reply.responses.flatMap { topic in
            let key = byID ? ids.first { $0.value == topic.topicID }!.key : Name(topic: topic.topic, partition: -1)
            return topic.partitions.map {
                Answer(
                    name: Name(topic: key.topic, generation: key.generation, partition: $0.partitionIndex),
                    error: $0.code, highWatermark: $0.highWatermark, logStart: $0.logStartOffset,
                    records: $0.records ?? [])
            }
        }
    }

    // MARK: Waiting

    /// Lets a fetch wait, and other things happen: it is answered behind the first with which all partitions together have
    /// enough or one of them is lost to it, and not before; or its client gives it up.
    mutating func wait() throws {
        try catchUp()
        var request = nextRequest(1 << 20)
        request.maxWaitMs = 600_000
        request.minBytes = Int32.random(in: 1...6000, using: &random)
        let asked = try session.send(request, version: version)
        try waitUntil { broker.parkedFetches == 1 }
        waits += 1
        let caps = order.reduce(0) { $0 + max(1, Int(wanted[$1]!.maxBytes)) }
        let enough = min(Int(request.minBytes), caps)
        var grown: [Name: Int] = [:]
        for _ in 0..<8 {
            let isLost = try happen(&grown)
            // Jobs of the loop come before requests that arrive behind them.
            _ = try other.call(ApiVersionsRequest(), version: 0)
            let available = grown.reduce(0) { $0 + min($1.value, max(1, Int(wanted[$1.key]!.maxBytes))) }
            if !isLost, available < enough {
                if broker.parkedFetches == 1 { continue }
                // More have something than a loop adds up.
                try #require(inline < order.count, "seed \(seed): \(available) of \(enough) bytes were enough")
            }
            let expected = try expectation(1 << 20)
            let reply = try session.receive(FetchResponse.self, version: version, correlationID: asked)
            _ = try take(reply, expected, 1 << 20, isThorough: false)
            return
        }
        try giveUp(asked)
    }

    /// The client gives its connection up, and goes on with the session over another.
    private mutating func giveUp(_ asked: Int32) throws {
        givenUp += 1
        epoch += 1
        let before = session
        session = try broker.client()
        if Bool.random(using: &random) {
            before.reset()
            try waitUntil { broker.parkedFetches == 0 }
            return try fetch()
        }
        try fetch()
        let reply = try before.receive(FetchResponse.self, version: version, correlationID: asked)
        #expect(reply.code == .invalidFetchSessionEpoch && reply.responses.isEmpty)
    }

    /// Something happens while a fetch waits. Returns whether that ends the wait, whatever has grown.
    private mutating func happen(_ grown: inout [Name: Int]) throws -> Bool {
        let name = anyName()
        let isAsked = order.contains(name)
        switch Int.random(in: 0..<12, using: &random) {
        case 0:
            try deleteRecords(name)
            return isAsked && grown[name, default: 0] > 0
        case 1:
            changeLeadership(name)
            guard isAsked, let log = log(name) else { return false }
            let named = wanted[name]!.leaderEpoch
            return !log.leadership.isLeader || named >= 0 && named != leaderEpoch[name]
        case 2:
            let isThere = broker.broker.catalog.topic(named: "b") != nil
            if Bool.random(using: &random) { return false }
            try deleteOrCreate()
            return isThere && order.contains { $0.topic == "b" && log($0) == nil }
        default:
            let bytes = try append(to: name, Int.random(in: 0...1500, using: &random))
            if isAsked { grown[name, default: 0] += bytes }
            return false
        }
    }

    /// Reads all there is, so that the next fetch waits: of partitions that are led, by the epoch that they have if they name
    /// one, and of topics that are there.
    private mutating func catchUp() throws {
        for name in order {
            if let log = log(name), log.leadership.isLeader { continue }
            if log(name) != nil { changeLeadership(name) }
        }
        for name in order where log(name) == nil {
            if order.count == 1 {
                let kept = (0..<Self.partitions).lazy.map { Name(topic: "a", partition: $0) }
                    .first { !forgotten.contains($0) }!
                if let log = log(kept), !log.leadership.isLeader { changeLeadership(kept) }
                join(kept)
            }
            leave(name)
        }
        for name in order {
            wanted[name]!.maxBytes = Int32.random(in: 1...9, using: &random) * 1000
            wanted[name]!.leaderEpoch = Bool.random(using: &random) ? -1 : leaderEpoch[name, default: 0]
            if !changed.contains(name) { changed.append(name) }
        }
        for _ in 0..<1000 {
            let answers = try fetch(maxBytes: 1 << 20, isThorough: true)
            if answers.allSatisfy({ $0.records.isEmpty && $0.error == .none }) { return }
        }
        Issue.record("seed \(seed): there is always more to read")
    }
}
