import ByteBuffers
import Synchronization

/// The memory that batches of all partitions take: those on their way to their segments, counted here, and those that stay
/// for readers, counted and bounded here (<doc:HotWindow>).
///
/// The batches themselves stand in their partitions' tails, under those partitions' locks. The counts are atomic: a batch is
/// added under such a lock, and taken off when its partition may have let it go already. So they may be too high for a moment,
/// and are never too low. `evictions` has a lock of its own, which is never held while a partition's is taken.
final class TailMemory: Sendable {
    let window: WindowBudget
    private let pool: ChunkPool
    private let unsettled = Atomic<Int>(0)
    private let kept = Atomic<Int>(0)
    private let evictions = Lock(EvictionQueue())
    /// Logs whose start has moved up by more than its mover lets go of.
    private let moved = Lock<[PartitionLog]>([])
    /// Wakes who passes the seconds, and whether it wakes by itself before long.
    private let signal = Signal()
    private let isTimed = Atomic<Bool>(false)

    init(pool: ChunkPool, window: WindowBudget) {
        self.pool = pool
        self.window = window
    }

    /// Bytes of batches that are in memory and not in their segments yet.
    var unsettledBytes: Int { unsettled.load(ordering: .relaxed) }
    /// Bytes of memory that batches take which stay for readers.
    var keptBytes: Int { kept.load(ordering: .relaxed) }

    /// Something is in memory that should not stay there: batches on their way to their segments, or free blocks after a burst.
    var isMaintenanceWanted: Bool { unsettledBytes > 0 || pool.keptBytes > Self.maxKeptWhenIdle }

    /// Seconds have to pass: batches are kept for readers that may not come, or a hurry is to be over.
    var isTickWanted: Bool { keptBytes > Self.restBytes || !window.isCalm }

    /// Free blocks, in bytes, that are not worth a wake a second.
    static let maxKeptWhenIdle = 4 << 20
    /// Bytes kept for readers that are not worth a wake a second: so much stays when nothing is written any more.
    static let restBytes = 8 << 20
    /// What a batch in the tail takes beside its chunk.
    static let batchBytes = 128

    /// Counts bytes of a batch that was put in a tail.
    func add(_ bytes: Int) { unsettled.add(bytes, ordering: .relaxed) }

    /// Counts bytes that are in their segments now, or were given up.
    func subtract(_ bytes: Int) { unsettled.subtract(bytes, ordering: .relaxed) }

    /// Counts batches of a tail that are kept for readers although their segment has them. A chunk that several batches share
    /// counts once. Called with the partition's state lock held.
    func hold(_ tail: FIFO<PartitionLog.TailBatch>, _ places: Range<Int>) {
        var bytes = places.count * Self.batchBytes
        var cached = 0
        for place in places {
            let chunk = tail[place].slice.chunk
            guard chunk.addKeeper() else { continue }
            bytes += chunk.capacity
            if pool.owns(chunk) { cached += chunk.capacity }
        }
        kept.add(bytes, ordering: .relaxed)
        pool.addCached(cached)
    }

    /// Stops counting batches that `hold` has counted and that were taken out of their tail. Called without a partition's
    /// lock: their memory goes back when the last reference is dropped, which takes long for many. Gives their bytes.
    @discardableResult
    func release(_ batches: [PartitionLog.TailBatch]) -> Int {
        if batches.isEmpty { return 0 }
        var bytes = batches.count * Self.batchBytes
        var cached = 0
        for batch in batches where batch.slice.chunk.removeKeeper() {
            bytes += batch.slice.chunk.capacity
            if pool.owns(batch.slice.chunk) { cached += batch.slice.chunk.capacity }
        }
        kept.subtract(bytes, ordering: .relaxed)
        pool.addCached(-cached)
        return bytes
    }

    /// Notes in which order kept batches leave, and lets go of the oldest beyond the limit: of no more than takes a millisecond,
    /// the bytes `released` before by the same caller included, where the limit has just fallen by much. Called without a
    /// partition's state lock, because it takes those of others.
    func keep(_ log: PartitionLog, through lastOffset: Int64, released: Int) {
        let entry = EvictionQueue.Entry(log: log, lastOffset: lastOffset, tick: window.tick)
        evictions.withLock { $0.add(entry) }
        shrink(to: window.limit(kept: keptBytes), atMost: PartitionLog.State.maxLetGoBytes - released)
    }

    private func shrink(to limit: Int, atMost most: Int = .max) {
        let before = keptBytes
        while keptBytes > limit, before - keptBytes < most, let oldest = evictions.withLock({ $0.next() }) {
            oldest.log.evict(through: oldest.lastOffset)
        }
    }

    /// Forgets what was kept of partitions that were deleted: a look at each entry, for all of them together. What of their
    /// batches is still counted goes with their files.
    func forget(_ logs: [PartitionLog]) {
        let gone = Set(logs.lazy.map { ObjectIdentifier($0) })
        evictions.withLock { $0.remove(of: gone) }
    }

    /// Wakes who passes the seconds, when they have to pass. Costs a look.
    func wakeForTicks() {
        if !isTimed.load(ordering: .sequentiallyConsistent), isTickWanted { signal.raise() }
    }

    /// Lets the thread that passes the seconds wait for the next one, or for somebody to wake it while none has to pass.
    func waitForTick() {
        var isSoon = isTickWanted
        isTimed.store(isSoon, ordering: .sequentiallyConsistent)
        // What came before the store may have woken nobody.
        if !isSoon, isTickWanted { isSoon = true }
        signal.wait(timeoutMs: isSoon ? WindowBudget.tickMs : nil)
    }

    /// Wakes the thread that passes the seconds.
    func wake() { signal.raise() }

    /// Lets go of what lies below a log's start, as far as `evict` beside the move has left any.
    func evictLater(_ log: PartitionLog) {
        moved.withLock { $0.append(log) }
        signal.raise()
    }

    func evictBelowStarts() {
        let logs = moved.withLock { logs in
            defer { logs = [] }
            return logs
        }
        for log in logs { log.evictBelowStart() }
    }

    /// Passes a second, if one is over: batches that are too old leave, and those that the machine has no memory for.
    func advance(nowMs: Int64) {
        guard window.advance(nowMs: nowMs, kept: keptBytes) else { return }
        letGoOld(lifetime: window.lifetime, downTo: window.base)
        letGoOld(lifetime: Self.restLifetimes * window.lifetime, downTo: Self.restBytes)
        shrink(to: window.limit)
        if evictions.withLock({ $0.isCrowded }) { dropDeadEntries() }
    }

    /// Lifetimes after which batches leave although there is room.
    static let restLifetimes = 4

    private func letGoOld(lifetime: Int, downTo limit: Int) {
        let oldestTick = window.tick - lifetime
        while keptBytes > limit, let old = evictions.withLock({ $0.next(before: oldestTick) }) {
            old.log.evict(through: old.lastOffset)
        }
    }

    /// Takes out entries whose batches have left otherwise. They are looked at without the queue's lock, since a partition's
    /// is taken for each.
    private func dropDeadEntries() {
        let all = evictions.withLock { $0.takeAll() }
        var live = FIFO<EvictionQueue.Entry>()
        for index in 0..<all.count where all[index].log.keepsAnything(through: all[index].lastOffset) {
            live.append(all[index])
        }
        evictions.withLock { $0.putBack(live) }
    }
}
