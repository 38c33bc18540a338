import ByteBuffers
import Synchronization

/// The memory that batches of all partitions take: those on their way to their segments, counted here, and those that stay
/// for readers, bounded here.
///
/// The batches themselves stand in their partitions' tails, under those partitions' locks. The count is atomic: a batch is
/// added under such a lock, and taken off when its partition may have let it go already. So it may be too high for a moment, and is
/// never too low. `evictions` has a lock of its own, which is never held while a partition's is taken.
final class TailMemory: Sendable {
    private let pool: ChunkPool
    private let cacheBytes: Int
    private let unsettled = Atomic<Int>(0)
    private let evictions = Lock(EvictionQueue())

    init(pool: ChunkPool, cacheBytes: Int) {
        self.pool = pool
        self.cacheBytes = cacheBytes
    }

    /// Bytes of batches that are in memory and not in their segments yet.
    var unsettledBytes: Int { unsettled.load(ordering: .relaxed) }

    /// Something is in memory that should not stay there: batches on their way to their segments, or free blocks after a
    /// burst.
    var isMaintenanceWanted: Bool { unsettledBytes > 0 || pool.keptBytes > Self.maxKeptWhenIdle }

    /// Free blocks, in bytes, that are not worth a wake a second.
    static let maxKeptWhenIdle = 4 << 20

    /// Counts bytes of a batch that was put in a tail.
    func add(_ bytes: Int) { unsettled.add(bytes, ordering: .relaxed) }

    /// Counts bytes that are in their segments now, or were given up.
    func subtract(_ bytes: Int) { unsettled.subtract(bytes, ordering: .relaxed) }

    /// Keeps batches for readers although they are in their segments, and lets go of the oldest beyond the budget. Called
    /// without a partition's state lock, because it takes those of others.
    func keep(_ entry: EvictionQueue.Entry) {
        pool.addCached(entry.bytes)
        evictions.withLock { $0.add(entry) }
        while let oldest = evictions.withLock({ $0.next(over: cacheBytes) }) {
            oldest.log.evict(through: oldest.lastOffset)
            pool.addCached(-oldest.bytes)
        }
    }

    /// Forgets what was kept of partitions that were deleted. A look at each entry, for all of them together.
    func forget(_ logs: [PartitionLog]) {
        let gone = Set(logs.lazy.map { ObjectIdentifier($0) })
        pool.addCached(-evictions.withLock { $0.remove(of: gone) })
    }
}
