import ByteBuffers
import KafkaModel
import Synchronization
import Telemetry

/// How many states of idempotent producers all partitions keep together.
///
/// Each costs 100 to 200 bytes of memory and up to 99 of each checkpoint, and any client may invent producer ids, so their
/// number is bounded, in the spirit of KIP-936. Beyond `maxStates` the maintaining thread forgets the eighth that was
/// silent for longest, wherever it is: who writes steadily stays known. Until it has, a partition forgets of its own for
/// each new one once there are an eighth too many (`hardLimit`).
enum ProducerLimit {
    /// 262,144: 50 MB of memory, 26 MB of a checkpoint.
    static let maxStates = 1 << 18

    static func hardLimit(_ limit: Int) -> Int { limit + limit / 8 }
}

extension LogStore {
    /// Called under the partition's lock, before a batch of a producer it does not know.
    func makeRoomForProducer(in states: inout ProducerStates) {
        let count = producerStates.load(ordering: .relaxed)
        guard count >= options.maxProducerStates else { return }
        if !needsProducerRoom.exchange(true, ordering: .relaxed) { maintenanceSignal.raise() }
        guard count >= ProducerLimit.hardLimit(options.maxProducerStates), states.count > 0 else { return }
        let before = states.count
        states.forgetLongestSilent()
        producerStates.subtract(before - states.count, ordering: .relaxed)
    }

    /// Forgets the longest silent of all partitions, so that an eighth of the limit is free again.
    func limitProducers() {
        needsProducerRoom.store(false, ordering: .relaxed)
        let logs = logs
        var times: [Int64] = []
        for log in logs { log.state.withLock { times += $0.producers.entries.values.lazy.map(\.lastTimestampMs) } }
        let kept = options.maxProducerStates / 8 * 7
        guard times.count > options.maxProducerStates else { return }
        times.sort()
        let oldestKept = times[times.count - kept]
        // Of those heard of in the same millisecond as the oldest that stays.
        var more = times.count - kept - times.firstIndex(of: oldestKept)!
        for log in logs {
            let isAny = log.state.withLock { state -> Bool in
                let before = state.producers.count
                state.producers.forget(silentSince: oldestKept, more: &more)
                producerStates.subtract(before - state.producers.count, ordering: .relaxed)
                return state.producers.count < before
            }
            if isAny { log.markDirty() }
        }
        Log.warning(
            "too many producer ids: the longest silent were forgotten", "states", times.count, "limit",
            options.maxProducerStates)
    }

    /// Counts what recovery found.
    func countProducers() {
        producerStates.store(logs.reduce(0) { $0 + $1.producerCount }, ordering: .relaxed)
        limitProducers()
    }
}

extension PartitionLog {
    /// Called with the state lock held.
    func recordProducer(_ producer: ProducerBatch, lastOffset: Int64, nowMs: Int64, _ state: inout State) {
        if store.producerStates.load(ordering: .relaxed) >= store.options.maxProducerStates,
            state.producers.entries[producer.producerID] == nil
        {
            store.makeRoomForProducer(in: &state.producers)
        }
        let before = state.producers.count
        state.producers.record(producer, lastOffset: lastOffset, timestampMs: nowMs)
        let change = state.producers.count - before
        if change != 0 { store.producerStates.add(change, ordering: .relaxed) }
    }
}
