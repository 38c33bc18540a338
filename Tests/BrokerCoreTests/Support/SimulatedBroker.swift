import BrokerTestKit
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import RecordFormat
import StorageIO

@testable import BrokerCore

/// A broker on a simulated disk, without threads of its own but workers: commits, checkpoints and timers come when the test says so.
/// Groups are served from the start.
final class SimulatedBroker {
    private(set) var fileSystem: SimulatedFileSystem
    let options: BrokerOptions
    private(set) var broker: Broker

    static var options: BrokerOptions {
        var options = BrokerOptions()
        options.offsetsPartitions = 1
        options.store.journalFrameBytes = 16 << 10
        options.store.journalFileBytes = 64 << 10
        options.store.writeThroughRunBytes = 8 << 10
        options.store.reserveBytes = 0
        options.store.direct = false
        return options
    }

    init(
        _ fileSystem: SimulatedFileSystem = SimulatedFileSystem(), options: BrokerOptions = SimulatedBroker.options
    ) throws {
        self.fileSystem = fileSystem
        self.options = options
        broker = try Self.open(fileSystem, options)
    }

    deinit { broker.workers.stop() }

    private static func open(_ fileSystem: SimulatedFileSystem, _ options: BrokerOptions) throws -> Broker {
        let broker = try Broker(fileSystem: fileSystem, folder: "/data", options: options)
        // Lets what the start has queued run, and ends the thread that ran it.
        broker.admin.stop()
        broker.groups.activate()
        broker.transactions.activate()
        broker.queues.activate()
        broker.jobs.activate()
        broker.shares.activate()
        return broker
    }

    /// Stops in order and starts again on the same disk.
    func restart() throws {
        try broker.stop()
        broker = try Self.open(fileSystem, options)
    }

    /// Cuts the power and starts again on what is left.
    func crash(
        keeping: SimulatedFileSystem.Keeping = .nothing, seed: UInt64? = nil,
        _ damage: (SimulatedFileSystem) -> Void = { _ in }
    ) throws {
        // What it still does for itself is over before the next one.
        broker.workers.stop()
        fileSystem = fileSystem.crash(keeping: keeping, seed: seed)
        damage(fileSystem)
        broker = try Self.open(fileSystem, options)
    }

    /// Ends the process and starts again on what its page cache has.
    func kill(_ then: (SimulatedFileSystem) -> Void = { _ in }) throws {
        broker.workers.stop()
        fileSystem = fileSystem.kill()
        then(fileSystem)
        broker = try Self.open(fileSystem, options)
    }

    // MARK: Records

    @discardableResult
    func append(_ log: PartitionLog, count: Int = 1) throws -> AppendReceipt {
        let slice = TestBatch(count: count).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        return try log.append(slice, origin: .client, nowMs: 1_700_000_000_000).get()
    }

    // MARK: Groups

    /// Commits one offset of a group without members; the request waits as `waiter`.
    func commit(group: String, topic: String = "t", partition: Int32 = 0, offset: Int64, waiter: UInt64 = 1) {
        commit(group: group, topic: topic, partitions: partition..<partition + 1, offset: offset, waiter: waiter)
    }

    /// Commits the offset for each of the partitions.
    func commit(group: String, topic: String = "t", partitions: Range<Int32>, offset: Int64, waiter: UInt64 = 1) {
        let request = OffsetCommitRequest(group: group, topic: topic, partitions: partitions, offset: offset)
        let context = RequestContext(clientID: "c", clientHost: "/127.0.0.1", apiVersion: 8)
        broker.groups.perform(group: group) { machine, now in
            machine.offsetCommit(request, context: context, waiter: WaiterID(waiter), now: now)
        }
    }

    /// Deletes one offset of a group without members.
    func deleteOffset(group: String, topic: String = "t", partition: Int32, waiter: UInt64 = 1) {
        let request = OffsetDeleteRequest(group: group, topic: topic, partitions: [partition])
        broker.groups.perform(group: group) { machine, now in
            machine.offsetDelete(request, waiter: WaiterID(waiter), now: now)
        }
    }

    /// A first member joins and waits for others.
    func join(group: String, waiter: UInt64) {
        var request = JoinGroupRequest()
        (request.groupID, request.protocolType, request.sessionTimeoutMs) = (group, "consumer", 10_000)
        var entry = JoinGroupRequest.JoinGroupRequestProtocol()
        entry.name = "range"
        request.protocols = [entry]
        let context = RequestContext(clientID: "c", clientHost: "/127.0.0.1", apiVersion: 3)
        broker.groups.perform(group: group) { machine, now in
            machine.joinGroup(request, context: context, waiter: WaiterID(waiter), now: now)
        }
    }

    /// The group's committed offsets by "topic-partition".
    func offsets(group: String) -> [String: Int64] {
        var request = OffsetFetchRequest.OffsetFetchRequestGroup()
        request.groupID = group
        request.topics = nil
        let (fetched, _) = broker.groups.read(group: group) { $0.offsetFetch(request, requireStable: false) }
        var found: [String: Int64] = [:]
        for topic in fetched.topics {
            for partition in topic.partitions {
                found["\(topic.name)-\(partition.partitionIndex)"] = partition.committedOffset
            }
        }
        return found
    }

    var offsetsLog: PartitionLog { broker.catalog.topic(named: Topic.offsetsTopicName)!.partitions[0] }
}

/// Takes note of what the coordinator delivers.
final class RecordingSink: GroupReplySink {
    enum Event: Equatable {
        case delivered([UInt64], ticket: UInt64)
        case abandoned([UInt64])
    }

    private let log = Lock<[Event]>([])

    var events: [Event] { log.withLock { $0 } }

    func deliver(_ replies: [GroupActions.Reply], ticket: UInt64) {
        log.withLock { $0.append(.delivered(replies.map(\.waiter.rawValue), ticket: ticket)) }
    }

    func abandon(_ waiters: [WaiterID]) { log.withLock { $0.append(.abandoned(waiters.map(\.rawValue))) } }
}

func storageError(_ body: () throws -> Void) -> StorageError? {
    do {
        try body()
        return nil
    } catch {
        return error as? StorageError
    }
}

extension GroupCoordinator {
    /// Lets the thread look for logs that work again, once all are due; gives whether others still wait.
    func resumeSuspended() -> Bool {
        resumeSuspended(shards.map { $0.withLock { $0.resumption.atMs } }.max() ?? 0) != nil
    }

    /// Takes one step of a rewrite, however much waits for a commit.
    func rewriteStep(_ shard: Lock<Shard>) -> RewriteStep {
        var room = Int.max
        return rewriteStep(shard, &room)
    }
}
