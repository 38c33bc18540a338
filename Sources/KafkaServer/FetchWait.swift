import KafkaModel
import LogStorage
import Transport

/// A fetch that waits for records on a muted connection.
struct ParkedFetch {
    let plan: FetchPlan
    let connection: ConnectionID
    let timer: LoopTimer
    /// A fetch of many partitions without a session, whose steps are a worker's.
    let long: LongFetch?
}

/// Waiting without a session (with one: `SessionWait.swift`): what the partitions tell is added up until it is enough, and
/// nothing is read before.
///
/// Each partition of the plan is watched once. A commit tells of those that it lets grow by a step (`GrowthRound`);
/// which of them it is stands in the waiter, so that one step costs one look at one partition. What ends the wait
/// besides growth: a partition that is deleted, whose start has passed the offset asked for, or that is not led here by the
/// epoch that was named; the time (`maxWaitMs`); the peer's end; the broker's stop; a data folder that went offline.
extension FetchPlan {
    /// Longest wait of a fetch, in milliseconds, whatever it asks for: what librdkafka allows at most (Java's consumers
    /// ask for half a second). A longer one would only keep what it waits with. Then it is answered with what there is,
    /// and its client asks again.
    static let maxWaitMs: Int32 = 300_000

    /// What this keeps in memory while it waits: counted in `KafkaServer.parkedShare`.
    var waitingBytes: Int { items.count > Self.freePartitions ? items.count * Self.waitingBytesAPartition : 0 }

    /// All that wait together, over all loops: 4000 fetches of 64 partitions, or two of 100,000. A fetch for which
    /// there is no room is answered at once with what there is, and its client asks again.
    static let maxWaitingBytes = 64 << 20
    /// Fetches of so many partitions wait without a share: they keep no more than a connection has anyway.
    static let freePartitions = 32
    /// An item here, an entry and a slot of the heap there, and what the arrays have in reserve.
    static let waitingBytesAPartition = 256

    /// Watches the partitions, from what `read` found on. False: there is enough meanwhile, or something has changed.
    func beginWait(_ waiter: ReadWaiter, missing: Int) -> Bool {
        round = GrowthRound(missing: missing)
        return beginRound(waiter)
    }

    /// Takes in that the partition at `waiter.place` has grown or changed. False: the wait is over.
    func keepsWaiting(after waiter: ReadWaiter) -> Bool {
        guard watch(Int(waiter.place), waiter) else { return false }
        return round.isOver ? beginRound(waiter) : true
    }

    /// Does the same without beginning a new round when the last one is over.
    func keepsWaitingInRound(after waiter: ReadWaiter) -> Bool { watch(Int(waiter.place), waiter) }

    /// Ends a wait that is over or was given up: no partition tells of growth any more.
    func endWait(_ waiter: ReadWaiter) {
        for place in items.indices {
            items[place].log?.forget(waiter.at(place), slot: items[place].slot)
        }
    }

    func beginRound(_ waiter: ReadWaiter) -> Bool {
        repeat {
            round.begin(over: items.reduce(0) { $0 + ($1.room > 0 ? 1 : 0) })
            for place in items.indices where !watch(place, waiter) { return false }
        } while round.isOver && !round.isEnough
        return !round.isEnough
    }

    /// Counts what the partition has grown by, and watches for the next step. False: the wait is over.
    private func watch(_ place: Int, _ waiter: ReadWaiter) -> Bool {
        guard let log = items[place].log else { return true }
        let step = items[place].room > 0 ? Int64(round.step) : .max
        let mark = log.watch(waiter.at(place), slot: &items[place].slot, step: step, visibility: visibility)
        let growth = min(Int(mark.position - items[place].position), items[place].room)
        items[place].position = mark.position
        items[place].room -= growth
        round.gain(growth)
        return mark.isLed(in: items[place].currentLeaderEpoch)
            && mark.logStartOffset.rawValue <= items[place].fetchOffset
    }
}

extension PartitionLog.Watermark {
    /// Whether the partition is led here, by the epoch that a client names if it names one (-1: it does not).
    func isLed(in epoch: Int32) -> Bool { !isGone && (epoch < 0 || epoch == leaderEpoch.rawValue) }
}

extension ReadWaiter {
    func at(_ place: Int) -> ReadWaiter { ReadWaiter(loop: loop, id: id, place: Int32(place)) }
}
