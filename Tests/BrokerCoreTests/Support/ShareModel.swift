import BrokerTestKit
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import QueueLedger
import StorageIO

@testable import BrokerCore

/// A broker with a share group on a simulated disk, by a clock of the test's. Commits and the coordinator's thread are calls.
final class ShareNode {
    let node: SimulatedBroker
    let clock: QueueNode.TestClock
    let group = ExactString("g")

    init(seed: UInt64 = 1, partitions: Int32 = 2, _ change: (inout BrokerOptions) -> Void = { _ in }) throws {
        let clock = QueueNode.TestClock()
        self.clock = clock
        var options = SimulatedBroker.options
        options.shareStatePartitions = 2
        options.groups.shareOffsetReset = .earliest
        options.queueClock = { clock.now }
        options.queueSteadyClock = { clock.steady }
        change(&options)
        node = try SimulatedBroker(SimulatedFileSystem(seed: seed), options: options)
        _ = try broker.createTopic("t", partitions: partitions).get()
        broker.shares.createStateTopic()
        join()
    }

    var broker: Broker { node.broker }
    var shares: ShareCoordinator { node.broker.shares }
    var topic: Topic { broker.catalog.topic(named: "t")! }
    func log(_ index: Int32 = 0) -> PartitionLog { topic.partition(index)! }
    func id(_ index: Int32 = 0) -> TopicPartition { TopicPartition(topicID: topic.id, partitionIndex: index) }

    func commit() { broker.store.commitPending() }

    func pass(_ ms: Int64) {
        clock.pass(ms)
        _ = shares.look()
    }

    /// A member of the group that subscribes to the topic, which is on disk then.
    func join(_ member: String = "member") {
        var request = ShareGroupHeartbeatRequest()
        (request.groupID, request.memberID, request.subscribedTopicNames) = (group.text, member, ["t"])
        let context = RequestContext(clientID: "c", clientHost: "/127.0.0.1", apiVersion: 1)
        broker.groups.perform(group: group.text) { machine, now in
            machine.shareGroupHeartbeat(request, context: context, waiter: WaiterID(1), now: now)
        }
        commit()
    }

    /// Begins a session of all partitions.
    func session(_ member: String = "a", connection: UInt64? = nil) throws -> ShareSession {
        try shares.beginFetch(
            of: group, ExactString(member), epoch: 0, connection: connection ?? shares.openConnection(),
            adding: topic.partitions.map { id($0.partitionIndex) }, forgetting: [])
    }

    func acquire(
        _ session: ShareSession, _ index: Int32 = 0, _ most: Int = 100, bytes: Int = 1 << 20
    ) throws -> ShareAcquisition {
        try shares.acquire(session, from: log(index), maxRecords: most, maxBytes: bytes).get()
    }

    @discardableResult
    func settle(
        _ session: ShareSession, _ first: Int64, _ last: Int64, _ type: ShareAcknowledgement, _ index: Int32 = 0
    ) -> (refusal: ShareRefusal?, ticket: UInt64) {
        shares.acknowledge([ShareBatch(OffsetRange(Offset(first), Offset(last)), [type])], of: session, log(index))
    }

    /// Where the group is, and what is not done with.
    func position(_ index: Int32 = 0) throws -> [Int64] {
        try shares.position(of: group, in: log(index)).map { [$0.position.start.rawValue, Int64($0.position.lag)] }
            ?? []
    }
}

extension ShareAcquisition {
    /// "first-last xcount" of each range.
    var text: [String] { ranges.map { "\($0.first.rawValue)-\($0.last.rawValue) x\($0.deliveryCount)" } }
    var offsets: [Int64] { ranges.flatMap { $0.first.rawValue...$0.last.rawValue } }
}

/// Members of a share group on a broker whose disk loses what was not synced, with power cuts and kills at any call; beside it what they were told. A
/// record that was accepted never comes again; nobody has a record that another member has; every other record comes, until it was delivered
/// as often as the limit says, or was rejected.
final class ShareModel {
    enum Control: Equatable {
        case none
        /// Nothing is synced.
        case withoutSync
        /// An acknowledgement is answered before its record is on disk.
        case answersEarly
    }

    struct Failure: Error, CustomStringConvertible { let description: String }

    private struct Key: Hashable {
        var partition: Int32
        var offset: Int64
    }

    private struct Record {
        var isEnded = false
        /// It may have ended: an acknowledgement was asked for, or it was rejected.
        var mayBeGone = false
        var deliveries = 0
        var holder: Int?
        var lockEndMs: Int64 = 0
    }

    private var random: SeededRandom
    private let control: Control
    private let node: ShareNode
    private var records: [Key: Record] = [:]
    /// Appended, and perhaps not on disk.
    private var appended: [(key: Key, ticket: UInt64)] = []
    private var sessions: [ShareSession?] = [nil, nil, nil]
    private var waits: [(ticket: UInt64, body: () -> Void)] = []
    private(set) var crashes = 0
    private(set) var ends = 0
    private static let lockMs: Int64 = 30_000
    private static let limit = 5

    init(seed: UInt64, _ control: Control = .none) throws {
        var random = SeededRandom(seed: seed)
        self.control = control
        node = try ShareNode(seed: random.next()) { options in
            options.store.unsafeWithoutSync = control == .withoutSync
            options.store.checkpointBytes = 64 << 10
        }
        self.random = random
        let settings = [
            "cleanup.policy": "compact", "internal.segment.bytes": "4096", "min.cleanable.dirty.ratio": "0",
        ]
        let topic = node.broker.catalog.topic(named: Topic.shareStateTopicName)!
        if let refusal = node.broker.alterSettings(topic, settings, validateOnly: false) { throw refusal }
        node.commit()
    }

    private var isDown: Bool { node.node.fileSystem.isHalted || node.broker.store.isOffline }

    func step() throws {
        let files = node.node.fileSystem
        if !files.isHalted, random.chance(0.02) { files.haltAtCall(files.callCount + random.number(in: 1...40)) }
        switch random.below(100) {
        case 0..<20: append()
        case 20..<45: try acquire()
        case 45..<65: settleSome()
        case 65..<82: node.commit()
        case 82..<88: node.clock.pass(Int64(random.below(20_000)))
        case 88..<92: _ = node.shares.look()
        case 92: try? node.broker.store.checkpoint()
        case 93: _ = node.broker.store.clean(nowMs: node.clock.now)
        case 94, 95: closeOne()
        case 96: if random.chance(0.3) { try drain() }
        default: try restart()
        }
        poll()
        if isDown { try restart() }
    }

    private func poll() {
        guard !isDown else { return }
        let durable = node.broker.store.durableTicket
        for (key, ticket) in appended where ticket <= durable { records[key] = Record() }
        appended.removeAll { $0.ticket <= durable }
        let due = waits.filter { $0.ticket <= durable }
        waits.removeAll { $0.ticket <= durable }
        for wait in due { wait.body() }
    }

    private func append() {
        let partition = Int32(random.below(2))
        let count = random.number(in: 1...5)
        guard let receipt = try? node.node.append(node.log(partition), count: count) else { return }
        for offset in receipt.baseOffset.rawValue..<receipt.baseOffset.rawValue + Int64(count) {
            appended.append((Key(partition: partition, offset: offset), receipt.ticket))
        }
    }

    private func session(_ member: Int) -> ShareSession? {
        if let session = sessions[member] { return session }
        sessions[member] = try? node.session("m\(member)")
        return sessions[member]
    }

    private func acquire(all: Bool = false) throws {
        let member = random.below(sessions.count)
        guard let session = session(member) else { return }
        for partition in Int32(0)..<2 {
            let found = node.shares.acquire(
                session, from: node.log(partition), maxRecords: all ? 2_000 : random.number(in: 1...8),
                maxBytes: all ? 1 << 20 : random.number(in: 1...1_000))
            guard case .success(let acquired) = found else {
                if case .failure(let refusal) = found, !isDown, refusal.code != .coordinatorNotAvailable {
                    throw Failure(description: "refused: \(refusal)")
                }
                continue
            }
            for range in acquired.ranges {
                guard range.deliveryCount <= Self.limit else {
                    throw Failure(description: "\(range) was delivered more often than \(Self.limit) times")
                }
                for offset in range.first.rawValue...range.last.rawValue {
                    try take(Key(partition: partition, offset: offset), member)
                }
            }
        }
    }

    private func take(_ key: Key, _ member: Int) throws {
        // What is visible is on disk, whether or not the test has looked.
        var record = records[key] ?? Record()
        if record.isEnded { throw Failure(description: "\(key) came again after its end") }
        if let holder = record.holder, holder != member, record.lockEndMs > node.clock.now {
            throw Failure(description: "\(key) was given to \(member), and \(holder) has it")
        }
        (record.holder, record.lockEndMs) = (member, node.clock.now + Self.lockMs)
        record.deliveries += 1
        records[key] = record
    }

    private func settleSome(accepting: Bool = false) {
        let held = records.filter { $0.value.holder != nil && $0.value.lockEndMs > node.clock.now }.keys
            .sorted { ($0.partition, $0.offset) < ($1.partition, $1.offset) }
        for key in held where accepting || random.chance(0.5) {
            let member = records[key]!.holder!
            guard let session = sessions[member] else { continue }
            let type: ShareAcknowledgement =
                accepting ? .accept : random.pick([.accept, .accept, .release, .reject, .renew])
            if type == .accept || type == .reject { records[key]!.mayBeGone = true }
            let (refusal, ticket) = node.settle(session, key.offset, key.offset, type, key.partition)
            guard refusal == nil else { continue }
            switch type {
            case .renew: records[key]!.lockEndMs = node.clock.now + Self.lockMs
            default: records[key]!.holder = nil
            }
            guard type == .accept else { continue }
            let body = { [unowned self] in
                records[key]!.isEnded = true
                ends += 1
            }
            if control == .answersEarly { body() } else { waits.append((ticket, body)) }
        }
    }

    private func closeOne() {
        let member = random.below(sessions.count)
        guard let session = sessions[member] else { return }
        node.shares.end(session)
        sessions[member] = nil
        for (key, record) in records where record.holder == member { records[key]!.holder = nil }
    }

    /// Everything that is there comes, and is accepted.
    func drain() throws {
        if isDown { try restart() }
        node.commit()
        poll()
        if isDown { try restart() }
        let owed = records.filter { !$0.value.isEnded && !$0.value.mayBeGone && $0.value.deliveries < Self.limit }
        for member in sessions.indices where sessions[member] != nil {
            node.shares.end(sessions[member]!)
            sessions[member] = nil
        }
        for key in records.keys { records[key]!.holder = nil }
        let before = records.mapValues(\.deliveries)
        for _ in 0..<200 {
            if isDown { return }
            try acquire(all: true)
            settleSome(accepting: true)
            node.commit()
        }
        poll()
        if isDown { return }
        for key in owed.keys where records[key]!.deliveries == before[key] {
            throw Failure(description: "\(key) never came")
        }
    }

    func restart() throws {
        crashes += 1
        waits = []
        appended = []
        sessions = [nil, nil, nil]
        for key in records.keys { records[key]!.holder = nil }
        if random.chance(0.5) {
            try node.node.crash(keeping: random.pick([.nothing, .everything, .random]), seed: random.next())
        } else {
            try node.node.kill()
        }
    }
}
