public import ByteBuffers
public import KafkaModel
import RecordFormat
public import StorageIO
import Synchronization
public import Telemetry

/// All partitions' logs of one data folder, with the journal and the group commit that they share.
///
/// ```
/// data folder/  millrace.lock   checkpoint   journal/N.journal
///               partitions/<topic>-<index>.<topicID>/<baseOffset>.log, .index
/// ```
/// The store only puts its parts together, in `StoreParts` what all of them share; each part owns what it protects:
///
/// | part | owns |
/// |---|---|
/// | `PartitionRegistry` | the partitions, and who of them is changed, damaged or failing |
/// | `GroupCommit` | the queue, the journal's write side, tickets, the observer |
/// | `Maintenance` | write-behind, checkpoints, retention rounds |
/// | `Cleaner` | compaction |
/// | `WindowKeeper` | what leaves the hot window, second by second |
/// | `TailMemory`, `ProducerLimit`, `DiskSpace` | what batches, producer states and files may take |
/// | `Availability` | whether the folder takes writes at all |
/// | `MaintenanceRequests`, `StoreThreads` | who works, and what is asked of the maintaining thread |
///
/// Threads: event loops append, and make small commits at the end of their turn (`commitInTurn`); one thread makes the others
/// (`commitPending`), and has a few more write long runs of several partitions (`WriterPool`); one maintains (`maintain`); one compacts (`clean`); one looks after the hot window. `start` runs them; a test makes the calls
/// itself on the simulated file system.
///
/// Failure: the first failed sync, or write that is synced in the same call, takes the store offline for good (`refusal`);
/// nothing is retried, because after a failed fsync the kernel may have dropped the data (fsyncgate, 2018). Reads of what is
/// readable go on. Other calls that want room, descriptors or memory are made again, and what one partition's own files refuse concerns that
/// partition alone: <doc:Faults>.
public final class LogStore: StorePart, Sendable {
    public var fileSystem: any FileSystem { parts.fileSystem }
    public var folder: String { parts.folder }
    public var statistics: LogStatistics { parts.statistics }
    /// Whether a `FileSlice` of a read can be sent from its file. Asked by each fetch.
    public let filesHaveDescriptors: Bool
    let parts: StoreParts
    let partitionsFolder: String
    let journalFolder: String
    let codecs = CodecPool()
    let commits: GroupCommit
    let census: LogCensus
    let maintenance: Maintenance
    let windowKeeper: WindowKeeper
    let cleaner: Cleaner

    /// Held from `recover` to `stop`.
    let folderLock = Lock<(any FileLock)?>(nil)
    let hasRecovered = Atomic<Bool>(false)

    /// Makes the folders when they are missing. Nothing is read before `recover`. What is counted is shown in `metrics`, what
    /// is looked at for a page once `showMetrics` was called.
    public init(
        fileSystem: any FileSystem, folder: String, options: LogStoreOptions = LogStoreOptions(),
        pool: ChunkPool = .shared, metrics: MetricsRegistry = MetricsRegistry()
    ) throws(StorageError) {
        options.check()
        parts = StoreParts(fileSystem, folder: folder, options: options, pool: pool, metrics: metrics)
        filesHaveDescriptors = fileSystem.hasDescriptors
        partitionsFolder = Path.join(folder, "partitions")
        journalFolder = Path.join(folder, "journal")
        commits = GroupCommit(parts)
        census = LogCensus(registry: parts.registry, requests: parts.requests)
        maintenance = Maintenance(parts, commits: commits, census: census)
        windowKeeper = WindowKeeper(parts)
        cleaner = Cleaner(
            parts, commits: commits, maintenance: maintenance, counters: CleanerMetrics(registry: metrics))
        try parts.fileSystem.createDirectoryDurably(partitionsFolder)
        try parts.fileSystem.createDirectoryDurably(journalFolder)
    }

    /// Who hears of commits. Set once, before `start`.
    public func observe(_ observer: any CommitObserver) { commits.observe(observer) }

    // MARK: Partitions

    /// Makes known a partition of the catalog. Before `recover` its log is opened there; afterwards it is a new, empty one.
    public func addPartition(
        topicID: TopicID, topicName: String, partitionIndex: Int32, settings: LogSettings, leadership: Leadership
    ) -> PartitionLog {
        let log = PartitionLog(
            store: self, topicID: topicID, topicName: topicName, partitionIndex: partitionIndex, settings: settings,
            leadership: leadership)
        registry.add(log)
        if settings.isCompacted { cleaner.wake() }
        return log
    }

    /// Forgets partitions and removes their files; returns those whose files could not be removed, with the reason. Waiting
    /// readers are told, queued appends are dropped.
    ///
    /// All are forgotten before the first file goes: to remove files takes two syncs a partition, and who reads many partitions
    /// of a topic learns at once that it is gone.
    public func removePartitions(_ logs: [PartitionLog]) -> [(log: PartitionLog, reason: StorageError)] {
        var waiters: [ReadWaiter] = []
        var wasDamaged = false
        for log in logs {
            waiters += log.markDeleted()
            if registry.remove(log) { wasDamaged = true }
        }
        if wasDamaged { showDamage() }
        commits.tell(waiters)
        var left: [(log: PartitionLog, reason: StorageError)] = []
        for log in logs {
            cleaner.waitForPass(over: log)
            log.reopening.withLock { _ in }
            do throws(StorageError) { try log.removeFiles() } catch { left.append((log, error)) }
        }
        memory.forget(logs)
        return left
    }

    var logs: [PartitionLog] { registry.all }

    // MARK: Commits

    /// Commits what is queued, if anything is: one sequential write and sync for the small runs of all partitions, one
    /// write and sync per partition with a long run. Gives whether there was something.
    ///
    /// What arrives meanwhile forms the next commit. On the first failure that is not mere want of room,
    /// descriptors or memory the store goes offline, and none of this commit is acknowledged.
    @discardableResult
    public func commitPending() -> Bool { commits.commitPending() }

    /// Ends a round of appends: the committing thread commits them. Does not wait.
    public func kick() { commits.kick() }

    /// Something was appended that nobody commits yet.
    public var wantsCommit: Bool { commits.isWanted }

    /// Ends a round of appends: what is queued is committed by this very thread when that is quick as a rule, by the
    /// committing thread otherwise. For an event loop's work at the end of a turn (`TurnWork`), which may wait for the disk:
    /// the loop is relieved of it then.
    ///
    /// Handing over costs two wakes of sleeping threads, which is more than a small commit on a good disk.
    public func commitInTurn() { commits.commitInTurn() }

    /// Everything with a ticket at or below this is on disk.
    public var durableTicket: UInt64 { commits.durableTicket }

    /// A commit is kept that the disk did not take just now, as it is full: it is tried again, and what comes behind it waits.
    public var isHoldingCommit: Bool { commits.isHolding }

    /// A commit that takes this long or longer is one that clients feel.
    public static let longCommitMs = CommitTimes.longMs

    /// When the last such commit ended, in milliseconds of the monotonic clock; nil when there was none.
    public var lastLongCommitMs: Int64? { commits.times.lastLongMs }

    // MARK: What is refused

    /// Why appends are refused just now; nil when they are taken.
    public var refusal: AppendRefusal? { refusal(.client) }

    /// The broker's own records (group commits) may use the reserve of a disk that is nearly full.
    func refusal(_ origin: PartitionLog.Origin) -> AppendRefusal? {
        if availability.isOffline { return availability.refusal }
        guard diskSpace.isFull, origin == .client, let fullness else { return nil }
        var refusal = AppendRefusal(.kafkaStorageError, fullness)
        refusal.isDiskFull = true
        return refusal
    }

    /// The data folder failed and takes no more writes until the broker is restarted.
    public var isOffline: Bool { availability.isOffline }

    /// What an operator and a client are told while the disk is nearly full; nil while it is not.
    public var fullness: String? { diskSpace.fullness }

    /// Bytes of the file system that holds the data folder; nil when it does not tell.
    public var space: (free: Int64, total: Int64)? { try? fileSystem.freeBytes(folder) }

    /// Where replies' memory comes from.
    public var chunkPool: ChunkPool { pool }

    // MARK: Background work

    /// One round of what is due at `nowMs` (wall clock): a look after the hot window, write-behind, a checkpoint, retention.
    public func maintain(nowMs: Int64) {
        windowKeeper.look(nowMs: nowMs)
        maintenance.round(nowMs: nowMs)
    }

    /// Makes a checkpoint now: everything appended so far is in the segments, synced, and the journal's full files are
    /// free again.
    public func checkpoint() throws(StorageError) { try maintenance.checkpoint() }

    /// Compacts every log that is due at `nowMs` (wall clock), the dirtiest first; gives their number. Blocks for as
    /// long as it takes: it has a thread of its own, and ends early when the store stops.
    @discardableResult
    public func clean(nowMs: Int64) -> Int { cleaner.clean(nowMs: nowMs) }

    /// Starts the committing, the maintaining and the cleaning thread, and the one of the hot window. From now on the store lives until `stop`.
    public func start() {
        commits.startWriters()
        let threads = threads
        threads.start(
            for: self,
            [
                ("commit", { [commits] in commits.run { threads.isStopping } }),
                ("maintenance", { [maintenance] in maintenance.run { threads.isStopping } }),
                ("cleaner", { [cleaner] in cleaner.run() }),
                ("window", { [windowKeeper] in windowKeeper.run { threads.isStopping } }),
            ])
    }

    /// Commits what is queued, makes a checkpoint, ends the threads. The next start has nothing to scan.
    public func stop() throws(StorageError) {
        defer { unlockFolder() }
        threads.stop {
            commits.signal.raise()
            requests.wake()
            cleaner.wake()
            memory.wake()
        }
        commits.stopWriters()
        commits.commitPending()
        if !isOffline { try maintenance.checkpointAtStop() }
    }
}
