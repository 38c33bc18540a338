import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security
import Synchronization
import Transport

/// The requests of one connection that are held against quotas; made when the first of them comes. Confined to its loop.
///
/// The request at hand is *counted* from `begin` to `end`. Its time is what threads have spent on it: the loop's, which stops
/// while the connection is parked, and the workers' (`clock`), but no wait for records, for a group, or for the admin thread's
/// syncs.
final class CountedRequests {
    private var client = QuotaClient()
    let clock = WorkClock()
    /// When the loop went on with the request; 0 while it does not.
    private var resumedAt: Int64 = 0
    /// What the request at hand takes of `controller_mutation_rate`.
    private(set) var mutations: MutationCharge?
    /// Whether its reply makes the client wait for that. Metadata does not: topics are not what it was asked for.
    private var waitsForMutations = false

    var limits: ClientLimits { client.limits }

    /// None is an empty one, as in Kafka.
    private static var noClientID: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// Begins with a request; false where no quota holds for its client.
    func begin(
        _ request: borrowing Request, _ version: Int64, _ broker: Broker, user: @autoclosure () -> ExactString
    ) -> Bool {
        client.look(at: version, broker, user: user(), clientID: request.clientID ?? Self.noClientID)
        if limits.isEmpty { return false }
        resumedAt = EventLoop.clock()
        waitsForMutations = request.key != .metadata
        mutations = nil
        if let limit = limits.mutations, let isStrict = MutationCharge.isStrict(request.key, request.version) {
            mutations = MutationCharge(broker.quotas, limit, isStrict: isStrict)
        }
        return true
    }

    func forgetClient() { client.forget() }

    // MARK: Time

    func pause() { if resumedAt != 0 { pause(at: EventLoop.clock()) } }

    private func pause(at nanoseconds: Int64) {
        if resumedAt == 0 { return }
        clock.add(nanoseconds - resumedAt)
        resumedAt = 0
    }

    func resume() { resumedAt = EventLoop.clock() }

    // MARK: The end

    /// Which quota makes a client wait, and for how long.
    struct Wait {
        var time = Duration.zero
        var by = QuotaTable.Limit.requests

        mutating func extend(_ other: Duration?, _ limit: QuotaTable.Limit) {
            guard let other, other > time else { return }
            (time, by) = (other, limit)
        }
    }

    /// Ends the request: what it has taken is counted, and what is returned is how long the client has to wait, as Kafka
    /// reckons it: of several quotas for the one that wants the longest wait.
    ///
    /// - Parameters:
    ///   - produced: bytes of a request to produce.
    ///   - countsTime: off for a produce that has no reply, which Kafka lets off `request_percentage`.
    func end(_ keeper: QuotaKeeper, produced: Int = 0, countsTime: Bool = true) -> Wait {
        end(keeper, at: EventLoop.clock(), produced: produced, countsTime: countsTime)
    }

    private func end(_ keeper: QuotaKeeper, at nanoseconds: Int64, produced: Int = 0, countsTime: Bool = true) -> Wait {
        pause(at: nanoseconds)
        let now = MonotonicTime(milliseconds: nanoseconds / 1_000_000)
        var wait = Wait()
        if produced > 0 { wait.extend(keeper.countProduced(produced, of: &client, now: now), .produce) }
        let spent = clock.take()
        if countsTime { wait.extend(keeper.countTime(spent, of: &client, now: now), .requests) }
        if waitsForMutations, let mutations { wait.extend(mutations.rest(now: now), .mutations) }
        mutations = nil
        return wait
    }

    /// Ends a fetch whose reply would take `bytes`. With a wait nothing is to be sent but that, and the bytes are not counted.
    func end(_ keeper: QuotaKeeper, fetched bytes: Int) -> Wait {
        let nanoseconds = EventLoop.clock()
        var wait = end(keeper, at: nanoseconds)
        let now = MonotonicTime(milliseconds: nanoseconds / 1_000_000)
        wait.extend(keeper.countFetched(bytes, of: &client, now: now), .fetch)
        if wait.time > .zero { keeper.takeBackFetched(bytes, of: &client, now: now) }
        return wait
    }
}

extension CountedRequests {
    /// Ends a fetch of a share group whose reply has so many bytes, and is sent in any case: what it acquires would wait for its locks to end.
    func end(_ keeper: QuotaKeeper, shared bytes: Int) -> Wait {
        let nanoseconds = EventLoop.clock()
        var wait = end(keeper, at: nanoseconds)
        wait.extend(
            keeper.countFetched(bytes, of: &client, now: MonotonicTime(milliseconds: nanoseconds / 1_000_000)), .fetch)
        return wait
    }
}

/// Adds up what threads spend on a connection's requests. What a worker adds after its reply has gone counts for the next one.
final class WorkClock: Sendable {
    private let spent = Atomic<Int64>(0)

    func add(_ nanoseconds: Int64) { spent.wrappingAdd(nanoseconds, ordering: .relaxed) }
    func take() -> Int64 { spent.exchange(0, ordering: .relaxed) }

    func measure(_ work: () -> Void) {
        let began = EventLoop.clock()
        work()
        add(EventLoop.clock() - began)
    }
}

extension WorkerPool {
    /// Does the same, and adds the time to `clock`, if there is one.
    func submit(_ clock: WorkClock?, _ job: @escaping @Sendable () -> Void) -> Bool {
        guard let clock else { return submit(job) }
        return submit { clock.measure(job) }
    }
}

extension MutationCharge {
    /// Whether an API refuses changes for want of quota, or makes its client wait for what it has done; nil for one that changes
    /// nothing of topics. Metadata makes topics; of one that it may not make yet it says what it says of any that is not there.
    static func isStrict(_ key: APIKey, _ version: Int16) -> Bool? {
        switch key {
        case .createTopics: version >= 6
        case .deleteTopics: version >= 5
        case .createPartitions: version >= 3
        case .metadata: true
        default: nil
        }
    }
}
