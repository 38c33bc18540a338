import ByteBuffers
import KafkaModel
import Synchronization
import Telemetry

/// How many states of idempotent producers all partitions keep together.
///
/// Each costs 100 to 200 bytes of memory and up to 99 of each checkpoint, and any client may invent producer ids, so their
/// number is bounded, in the spirit of KIP-936. Beyond `limit` the maintaining thread forgets the eighth that was silent for
/// longest, wherever it is: a producer that writes steadily stays known. Until that is done, a partition forgets some of its
/// own for each new one once there are an eighth too many (`hardLimit`).
///
/// The states stand in their partitions, under those partitions' locks; the count is atomic and changes under such a lock.
final class ProducerLimit: Sendable {
    /// 262,144: 50 MB of memory, 26 MB of a checkpoint.
    static let maxStates = 1 << 18

    let limit: Int
    private let requests: MaintenanceRequests
    private let states = Atomic<Int>(0)

    init(limit: Int, requests: MaintenanceRequests) {
        self.limit = limit
        self.requests = requests
    }

    static func hardLimit(_ limit: Int) -> Int { limit + limit / 8 }

    /// States of all partitions.
    var count: Int { states.load(ordering: .relaxed) }
    var isReached: Bool { count >= limit }

    func add(_ change: Int) { states.add(change, ordering: .relaxed) }
    func subtract(_ change: Int) { states.subtract(change, ordering: .relaxed) }

    /// Makes room for a state of a producer that the partition does not know. Called under the partition's lock.
    func makeRoom(in states: inout ProducerStates) {
        let count = count
        guard count >= limit else { return }
        if requests.add(.producerLimit) { requests.wake() }
        guard count >= Self.hardLimit(limit), states.count > 0 else { return }
        let before = states.count
        states.forgetLongestSilent()
        subtract(before - states.count)
    }

    /// Forgets the longest silent of these partitions' producers, so that an eighth of the limit is free again.
    func enforce(on logs: [PartitionLog]) {
        var times: [Int64] = []
        for log in logs { log.state.withLock { times += $0.producers.entries.values.lazy.map(\.lastTimestampMs) } }
        let kept = limit / 8 * 7
        guard times.count > limit else { return }
        times.sort()
        let oldestKept = times[times.count - kept]
        // Of those heard of in the same millisecond as the oldest that stays.
        var more = times.count - kept - times.firstIndex(of: oldestKept)!
        for log in logs {
            let isAny = log.state.withLock { state -> Bool in
                let before = state.producers.count
                state.producers.forget(silentSince: oldestKept, more: &more)
                subtract(before - state.producers.count)
                return state.producers.count < before
            }
            if isAny { log.markDirty() }
        }
        Log.warning(
            "too many producer ids: the longest silent were forgotten", "states", times.count, "limit", limit)
    }

    /// Counts anew what these partitions know, after recovery.
    func recount(_ logs: [PartitionLog]) {
        states.store(logs.reduce(0) { $0 + $1.producerCount }, ordering: .relaxed)
        enforce(on: logs)
    }
}

extension PartitionLog {
    /// Called with the state lock held.
    func recordProducer(_ producer: ProducerBatch, lastOffset: Int64, nowMs: Int64, _ state: inout State) {
        if producerLimit.isReached, state.producers.entries[producer.producerID] == nil {
            producerLimit.makeRoom(in: &state.producers)
        }
        let before = state.producers.count
        state.producers.record(producer, lastOffset: lastOffset, timestampMs: nowMs)
        let change = state.producers.count - before
        if change != 0 { producerLimit.add(change) }
    }
}
