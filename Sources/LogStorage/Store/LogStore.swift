public import ByteBuffers
public import KafkaModel
import RecordFormat
public import StorageIO
import Synchronization
import Telemetry

/// All partitions' logs of one data folder, with the journal and the group commit that they share.
///
/// ```
/// data folder/  millrace.lock   checkpoint   journal/N.journal
///               partitions/<topic>-<index>.<topicID>/<baseOffset>.log, .index
/// ```
/// Threads: event loops append; one thread commits (`commitPending`), and has a few helpers for long runs of several
/// partitions (`WriterPool`); one maintains (`maintain`: write behind, checkpoint, retention); one compacts (`clean`). `start`
/// runs them; a test makes the calls itself on the simulated file system.
///
/// Failure: the first failed sync, or write of the journal, takes the store offline for good (`refusal`); nothing is
/// retried, because after a failed fsync the kernel may have dropped the data (fsyncgate, 2018). Reads of what is readable
/// go on. What one partition's own files refuse concerns that partition alone: <doc:Faults>.
public final class LogStore: Sendable {
    public let fileSystem: any FileSystem
    let handles: SegmentHandles
    /// Whether a `FileSlice` of a read can be sent from its file.
    public var filesHaveDescriptors: Bool { fileSystem.hasDescriptors }
    public let folder: String
    let partitionsFolder: String
    let journalFolder: String
    let options: LogStoreOptions
    let pool: ChunkPool
    let codecs = CodecPool()

    struct Queue {
        var appends: [QueuedAppend] = []
        var logStarts: [(log: PartitionLog, offset: Int64)] = []
        /// Of the appended batches.
        var bytes = 0
        /// Some of it could not be made durable, so its ticket fails.
        var isPartlyFailed = false
        /// The group commit that what is queued now will belong to; the first is 1.
        var ticket: UInt64 = 1
    }

    struct Registry {
        var lock: (any FileLock)?
        var logs: [TopicPartition: PartitionLog] = [:]
        var dirty: [PartitionLog] = []
        /// Those with damage.
        var damaged: [PartitionLog] = []
        /// Those whose own files fail.
        var faulted: [PartitionLog] = []
    }

    /// Its lock is held for the length of a commit: only one at a time, by whichever thread.
    struct Committer {
        /// Emptied arrays, kept for their memory.
        var spare = Queue()
        var journal: Journal?
        /// A commit that the full disk did not take; it is tried again.
        var held: Queue?
        var writtenThroughSinceCheckpoint: Int64 = 0
        /// `Journal.bytesWritten` at the last checkpoint.
        var journalBytesAtCheckpoint: Int64 = 0
        /// Partitions with an open direct handle, the one written last at the end.
        var directLogs: [PartitionLog] = []
    }

    let queue = Lock(Queue())
    let registry = Lock(Registry())
    let committer = Lock(Committer())
    let evictionQueue = Lock(EvictionQueue())
    let observer = Lock<(any CommitObserver)?>(nil)
    /// One checkpoint or retention round at a time.
    let maintenance = Lock(MaintenanceState())
    let durable = Atomic<UInt64>(0)
    let offline = Lock<AppendRefusal?>(nil)
    let isRefusing = Atomic<Bool>(false)
    let isFull = Atomic<Bool>(false)
    /// A commit waits for space.
    let isHolding = Atomic<Bool>(false)
    /// Bytes that may be committed before the free space is looked at again.
    let unchecked = Atomic<Int>(0)
    /// Free bytes at the last look.
    let lastFree = Atomic<Int>(0)
    /// Bytes that the tails were to take of it.
    let lastOwed = Atomic<Int>(0)
    /// Of all partitions.
    let producerStates = Atomic<Int>(0)
    let needsProducerRoom = Atomic<Bool>(false)
    /// Partitions with appends that commits have left out.
    let stuck = Atomic<Int>(0)
    /// Something is in the queue; written under its lock.
    let hasQueued = Atomic<Bool>(false)
    let needsCheckpoint = Atomic<Bool>(false)
    let needsWriteBehind = Atomic<Bool>(false)
    let needsQuarantineStored = Atomic<Bool>(false)
    /// What recovery found damaged in the journal, by the path that it is to be kept under.
    let asides = Lock<[(path: String, bytes: [UInt8])]>([])
    let hasRecovered = Atomic<Bool>(false)
    let needsTotals = Atomic<Bool>(false)
    /// The maintaining thread will look again within `writeBehindMs`.
    let isMaintenanceTimed = Atomic<Bool>(false)
    let tailBytes = Atomic<Int>(0)
    /// One round of compaction at a time.
    let cleaning = Lock<Void>(())
    /// Held during a pass of compaction over `passing`.
    let passLock = Lock<Void>(())
    let passing = Lock<PartitionLog?>(nil)
    let cleanerSignal = Signal()
    /// Segments can be written past the page cache.
    let isDirect = Atomic<Bool>(false)
    /// How long commits of at most `inlineBytes` take, a moving average.
    let smallCommitNanoseconds = Atomic<Int>(0)
    let lastLongCommit = Atomic<Int64>(.min)
    let commitSignal = Signal()
    let maintenanceSignal = Signal()
    let threads = Lock<Threads>(Threads())
    /// Only there between `start` and `stop`; a test's commits are made by its own thread alone.
    let writerPool = Lock<WriterPool?>(nil)
    public let statistics = LogStatistics()
    let metrics = StoreMetrics()
    let totals = Lock(LogTotals())
    let cleanerMetrics = CleanerMetrics.shared

    struct Threads {
        var running = false
        var stopping = false
        var handles: [Thread] = []
    }

    struct MaintenanceState {
        /// Wall clock of the newest round.
        var nowMs: Int64 = 0
        var lastWriteBehindMs: Int64 = 0
        var lastRetentionMs: Int64 = 0
        var lastSpaceCheckMs: Int64 = 0
    }

    /// Makes the folders when they are missing. Nothing is read before `recover`.
    public init(
        fileSystem: any FileSystem, folder: String, options: LogStoreOptions = LogStoreOptions(),
        pool: ChunkPool = .shared
    ) throws(StorageError) {
        handles = SegmentHandles(fileSystem, limit: options.openSegments)
        self.fileSystem = handles.fileSystem
        self.folder = folder
        options.check()
        self.options = options
        self.pool = pool
        partitionsFolder = Path.join(folder, "partitions")
        journalFolder = Path.join(folder, "journal")
        try fileSystem.createDirectoryDurably(partitionsFolder)
        try fileSystem.createDirectoryDurably(journalFolder)
    }

    /// Who hears of commits. Set once, before `start`.
    public func observe(_ observer: any CommitObserver) { self.observer.withLock { $0 = observer } }

    // MARK: Partitions

    /// Makes known a partition of the catalog. Before `recover` its log is opened there; afterwards it is a new, empty one.
    public func addPartition(
        topicID: TopicID, topicName: String, partitionIndex: Int32, settings: LogSettings, leaderEpoch: LeaderEpoch
    ) -> PartitionLog {
        let log = PartitionLog(
            store: self, topicID: topicID, topicName: topicName, partitionIndex: partitionIndex, settings: settings,
            leaderEpoch: leaderEpoch.rawValue)
        registry.withLock { registry in
            registry.logs[TopicPartition(topicID: topicID, partitionIndex: partitionIndex)] = log
        }
        if settings.isCompacted { cleanerSignal.raise() }
        return log
    }

    /// Forgets a partition and removes its files. Waiting readers are told; its queued appends are dropped.
    public func removePartition(_ log: PartitionLog) throws(StorageError) {
        let (waiters, wasStuck, wasUncleanable) = log.state.withLock { state -> ([ReadWaiter], Bool, Bool) in
            state.isDeleted = true
            let wasStuck = state.isStuck
            state.isStuck = false
            let wasUncleanable = state.uncleanableOffset != .max
            state.uncleanableOffset = .max
            state.carried = []
            producerStates.subtract(state.producers.count, ordering: .relaxed)
            state.producers = ProducerStates()
            return (state.waiters.removeAll(), wasStuck, wasUncleanable)
        }
        if wasStuck { countStuck(-1) }
        if wasUncleanable { countUncleanable(-1) }
        let wasDamaged = registry.withLock { registry -> Bool in
            let damaged = registry.damaged.count
            registry.logs[TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex)] = nil
            registry.dirty.removeAll { $0 === log }
            registry.damaged.removeAll { $0 === log }
            registry.faulted.removeAll { $0 === log }
            return registry.damaged.count < damaged
        }
        if wasDamaged { showDamage() }
        tell(waiters)
        // The cleaner sees the mark and ends; one that begins later sees it first. So does an attempt to open it again.
        if passing.withLock({ $0 === log }) { passLock.withLock { _ in } }
        log.reopening.withLock { _ in }
        try log.io.withLock { writer throws(StorageError) in
            log.state.withLock { state in
                for segment in state.segments + state.obsolete { handles.retire(segment) }
                for index in state.settled..<state.tail.count {
                    tailBytes.subtract(state.tail[index].slice.count, ordering: .relaxed)
                }
                state.tail.removeFirst(state.tail.count)
                state.settled = 0
            }
            writer.direct = nil
            if try fileSystem.exists(log.folder) {
                try fileSystem.removeTree(log.folder)
                try fileSystem.syncDirectory(partitionsFolder)
            }
        }
    }

    /// Wakes readers whose partition has changed otherwise than by a commit.
    func tell(_ waiters: [ReadWaiter]) {
        if waiters.isEmpty { return }
        observer.withLock { $0 }?.committed(through: durable.load(ordering: .acquiring), woken: waiters)
    }

    var logs: [PartitionLog] { registry.withLock { Array($0.logs.values) } }

    func addDirty(_ log: PartitionLog) { registry.withLock { $0.dirty.append(log) } }

    /// Bytes of the file system that holds the data folder; nil when it does not tell.
    public var space: (free: Int64, total: Int64)? { try? fileSystem.freeBytes(folder) }

    /// Where replies' memory comes from.
    public var chunkPool: ChunkPool { pool }

    // MARK: The queue

    /// Queues an append for the next group commit and gives that commit's ticket. Called under the partition's lock.
    func enqueue(_ append: QueuedAppend) -> UInt64 {
        tailBytes.add(append.slice.count, ordering: .relaxed)
        return queue.withLock { queue in
            queue.appends.append(append)
            queue.bytes += append.slice.count
            hasQueued.store(true, ordering: .relaxed)
            return queue.ticket
        }
    }

    /// Everything with a ticket at or below this is on disk.
    public var durableTicket: UInt64 { durable.load(ordering: .acquiring) }

    /// Why appends are refused just now; nil when they are taken.
    public var refusal: AppendRefusal? { refusal(.client) }

    /// The broker's own records (group commits) may use the reserve of a disk that is nearly full.
    func refusal(_ origin: PartitionLog.Origin) -> AppendRefusal? {
        guard isRefusing.load(ordering: .relaxed) else { return nil }
        if let reason = offline.withLock({ $0 }) { return reason }
        if origin == .client, let fullness {
            var refusal = AppendRefusal(.kafkaStorageError, fullness)
            refusal.isDiskFull = true
            return refusal
        }
        return nil
    }

    /// The data folder failed and takes no more writes until the broker is restarted.
    public var isOffline: Bool { offline.withLock { $0 != nil } }

    func goOffline(_ error: StorageError, ticket: UInt64) {
        let isFirst = offline.withLock { current -> Bool in
            guard current == nil else { return false }
            current = AppendRefusal(.kafkaStorageError, "the data folder is offline: \(error)")
            return true
        }
        isRefusing.store(true, ordering: .sequentiallyConsistent)
        if isFirst {
            statistics.offlineReason.withLock { $0 = error.description }
            Log.error("the data folder is offline until the broker is started again", "folder", folder, "reason", error)
        }
        observer.withLock { $0 }?.commitFailed(from: ticket, through: .max)
    }
}
