import ByteBuffers
import Synchronization

/// A batch that has its offsets and waits for a group commit.
struct QueuedAppend {
    let log: PartitionLog
    let slice: ByteSlice
    let baseOffset: Int64
    let lastOffset: Int64
    /// Of the log when the batch got its offsets.
    let truncations: UInt32
}

/// What one group commit makes durable.
struct CommitBatch {
    var appends: [QueuedAppend] = []
    /// Log starts that were moved.
    var logStarts: [(log: PartitionLog, offset: Int64, truncations: UInt32)] = []
    /// Bytes of the appended batches.
    var bytes = 0
    /// Some of it could not be made durable, so its ticket fails.
    var isPartlyFailed = false
    /// The first commit has ticket 1.
    var ticket: UInt64 = 1

    /// Arrays longer than this give their memory back after the commit.
    static let maxKeptAppends = 16_384

    mutating func empty() {
        appends.removeAll(keepingCapacity: appends.count <= Self.maxKeptAppends)
        logStarts.removeAll()
    }
}

/// What has been appended and not been taken by a commit yet. What is queued gets the ticket of the commit that will take
/// it.
///
/// The lock is the innermost of the store: partitions enqueue under their state lock. `isFilled` is written under it, and
/// read without it by loops that ask whether there is anything to commit.
///
/// Limit: none of its own. What is queued is memory of requests, which the edges bound, or what the broker writes of
/// itself, in portions behind which it waits for a commit (`GroupCoordinator` of BrokerCore). What a checkpoint
/// carries goes past the queue (GroupCommit+Carry.swift).
final class CommitQueue: Sendable {
    private let pending = Lock(CommitBatch())
    private let isFilled = Atomic<Bool>(false)

    /// Something waits for a commit.
    var isEmpty: Bool { !isFilled.load(ordering: .relaxed) }

    /// Queues an append; gives the ticket of the commit that will take it.
    func add(_ append: QueuedAppend) -> UInt64 {
        pending.withLock { pending in
            pending.appends.append(append)
            pending.bytes += append.slice.count
            isFilled.store(true, ordering: .relaxed)
            return pending.ticket
        }
    }

    /// Queues a log start that was moved; gives the ticket of the commit that will take it.
    func add(logStart offset: Int64, of log: PartitionLog, truncations: UInt32) -> UInt64 {
        pending.withLock { pending in
            pending.logStarts.append((log, offset, truncations))
            isFilled.store(true, ordering: .relaxed)
            return pending.ticket
        }
    }

    /// Takes everything that is queued, and leaves the emptied `spare` in its place. Nil when there is nothing, or when
    /// `accepts` says that it is too much; it is told the bytes of the batches, and how many entries of the journal
    /// batches and log starts would make.
    func take(
        _ spare: inout CommitBatch, where accepts: (_ bytes: Int, _ entries: Int) -> Bool
    ) -> CommitBatch? {
        pending.withLock { pending in
            let entries = pending.appends.count + pending.logStarts.count
            guard entries > 0, accepts(pending.bytes, entries) else { return nil }
            var taken = spare
            spare = CommitBatch()
            taken.isPartlyFailed = false
            taken.ticket = pending.ticket
            taken.bytes = pending.bytes
            swap(&taken.appends, &pending.appends)
            swap(&taken.logStarts, &pending.logStarts)
            pending.ticket += 1
            pending.bytes = 0
            isFilled.store(false, ordering: .relaxed)
            return taken
        }
    }
}
