import ByteBuffers
import KafkaModel
import RecordFormat
import Synchronization
import Telemetry

/// How many states of idempotent producers all partitions keep together.
///
/// Each costs 150 to 330 bytes of memory (an entry of a hash table that is between three eighths and three quarters full, and
/// its window of batches) and up to 127 of each checkpoint, and any client may invent producer ids, so their number is
/// bounded, in the spirit of KIP-936. Beyond `limit` the maintaining thread forgets the longest silent, wherever they are, until
/// an eighth is free: a producer that writes steadily stays known. Until that is done, a partition forgets some of its own for
/// each new one once there are an eighth too many (`hardLimit`).
///
/// A producer with an open transaction cannot be forgotten, or nobody would end it in that partition. So of all states half may
/// be such: where there are more, a transaction begins in no further partition (NOT_ENOUGH_REPLICAS, which producers try
/// again) until one ends. An append looks at the sum before it counts: a few more begin than that, one for each thread that
/// appends. What a data folder brings along is served whatever there is.
///
/// The states stand in their partitions, under those partitions' locks, beside how many of them are counted here
/// (`countedProducers`, `countedOpen`). The sums are atomic. Whoever changes a partition's states calls `update` before the lock
/// is let go, so the sums are right whatever other partitions do meanwhile; a partition that is being opened is counted when
/// it is served.
final class ProducerLimit: Sendable {
    /// 262,144: at most 87 MB of memory and 33 MB of a checkpoint, and an eighth more for a moment.
    static let maxStates = 1 << 18

    let limit: Int
    private let requests: MaintenanceRequests
    private let states = Atomic<Int>(0)
    private let open = Atomic<Int>(0)

    init(limit: Int, requests: MaintenanceRequests) {
        self.limit = limit
        self.requests = requests
    }

    static func hardLimit(_ limit: Int) -> Int { limit + limit / 8 }

    static func openLimit(_ limit: Int) -> Int { limit / 2 }

    /// States of all partitions.
    var count: Int { states.load(ordering: .relaxed) }
    var isReached: Bool { count >= limit }
    /// Those with an open transaction.
    var openCount: Int { open.load(ordering: .relaxed) }
    /// Whether a transaction may begin in one more partition.
    var hasRoomForOpen: Bool { openCount < Self.openLimit(limit) }

    /// Counts by how many a partition's states have changed since they were last counted. Called under its lock.
    func update(_ state: inout PartitionLog.State) {
        let change = state.producers.count - state.countedProducers
        if change != 0 {
            states.add(change, ordering: .relaxed)
            state.countedProducers += change
        }
        let opened = state.producers.ongoing.openCount - state.countedOpen
        if opened != 0 {
            open.add(opened, ordering: .relaxed)
            state.countedOpen += opened
        }
    }

    /// Makes room for a state of a producer that the partition does not know. Called under its lock, before `update`.
    func makeRoom(in producers: inout ProducerStates) {
        let count = count
        guard count >= limit else { return }
        if requests.add(.producerLimit) { requests.wake() }
        if count >= Self.hardLimit(limit), producers.count > 0 { producers.forgetLongestSilent() }
    }

    /// Forgets the longest silent of these partitions' producers, so that an eighth of the limit is free again. Those with an
    /// open transaction stay, and leave the others less room.
    func enforce(on logs: [PartitionLog]) {
        var times: [Int64] = []
        var open = 0
        for log in logs {
            log.state.withLock { state in
                times += state.producers.silentSinceMs
                open += state.producers.ongoing.openCount
            }
        }
        let kept = max(0, limit / 8 * 7 - open)
        guard times.count + open > limit, times.count > kept else { return }
        times.sort()
        let oldestKept = kept == 0 ? .max : times[times.count - kept]
        // Of those heard of in the same millisecond as the oldest that stays.
        var more = kept == 0 ? 0 : times.count - kept - times.firstIndex(of: oldestKept)!
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
            "too many producer ids: the longest silent were forgotten", "states", times.count + open,
            "with an open transaction", open, "limit", limit)
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
