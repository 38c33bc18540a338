import ByteBuffers
import KafkaModel
import RecordFormat
import Synchronization
import Telemetry

/// How many states of idempotent producers all partitions keep together.
///
/// Each costs 100 to 250 bytes of memory and up to 127 of each checkpoint, and any client may invent producer ids, so their
/// number is bounded, in the spirit of KIP-936. Beyond `limit` the maintaining thread forgets the eighth that was silent for
/// longest, wherever it is: a producer that writes steadily stays known. Until that is done, a partition forgets some of its
/// own for each new one once there are an eighth too many (`hardLimit`).
///
/// The states stand in their partitions, under those partitions' locks, beside how many of them are counted here
/// (`countedProducers`). The sum is atomic. Whoever changes a partition's states calls `update` before the lock is let go, so the
/// sum is right whatever other partitions do meanwhile; a partition that is being opened is counted when it is served.
final class ProducerLimit: Sendable {
    /// 262,144: 60 MB of memory, 33 MB of a checkpoint.
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

    /// Counts by how many a partition's states have changed since they were last counted. Called under its lock.
    func update(_ state: inout PartitionLog.State) {
        let change = state.producers.count - state.countedProducers
        guard change != 0 else { return }
        states.add(change, ordering: .relaxed)
        state.countedProducers += change
    }

    /// Makes room for a state of a producer that the partition does not know. Called under its lock, before `update`.
    func makeRoom(in producers: inout ProducerStates) {
        let count = count
        guard count >= limit else { return }
        if requests.add(.producerLimit) { requests.wake() }
        if count >= Self.hardLimit(limit), producers.count > 0 { producers.forgetLongestSilent() }
    }

    /// Forgets the longest silent of these partitions' producers, so that an eighth of the limit is free again.
    func enforce(on logs: [PartitionLog]) {
        var times: [Int64] = []
        for log in logs { log.state.withLock { times += $0.producers.silentSinceMs } }
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
                update(&state)
                return state.producers.count < before
            }
            if isAny { log.markDirty() }
        }
        Log.warning(
            "too many producer ids: the longest silent were forgotten", "states", times.count, "limit", limit)
    }

    /// Counts what these partitions were opened with.
    func recount(_ logs: [PartitionLog]) {
        for log in logs { log.state.withLock { update(&$0) } }
        enforce(on: logs)
    }
}

extension PartitionLog {
    /// Called with the state lock held, before the batch counts in `State.appendedBytes`.
    func recordProducer(
        _ producer: ProducerBatch, baseOffset: Int64, lastOffset: Int64, nowMs: Int64, _ state: inout State
    ) {
        makeRoomForProducer(producer.producerID, &state)
        state.producers.record(
            producer, baseOffset: baseOffset, lastOffset: lastOffset, timestampMs: nowMs, position: state.appendedBytes)
        producerLimit.update(&state)
    }

    func recordMarker(
        of header: RecordBatchHeader, _ marker: EndTransactionMarker, offset: Int64, nowMs: Int64, _ state: inout State
    ) {
        makeRoomForProducer(header.producerID.rawValue, &state)
        state.producers.recordMarker(
            of: header.producerID.rawValue, epoch: header.producerEpoch.rawValue,
            coordinatorEpoch: marker.coordinatorEpoch, offset: offset, timestampMs: nowMs)
        producerLimit.update(&state)
    }

    private func makeRoomForProducer(_ producerID: Int64, _ state: inout State) {
        if producerLimit.isReached, state.producers.entries[producerID] == nil {
            producerLimit.makeRoom(in: &state.producers)
        }
    }
}
