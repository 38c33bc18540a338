import ByteBuffers
public import KafkaModel
import RecordFormat
import StorageIO
import Synchronization

/// The log of one partition.
///
/// ```
///   segments: [ closed ][ closed ][ active ················]
///                                  file ──────────►│ tail: batches in memory, in the journal or on their way
///   logStartOffset ≤ highWatermark ≤ flushedOffset ≤ logEndOffset
/// ```
/// `append` assigns offsets under the state lock and queues the batch for the store's next group commit; it is durable
/// and readable once that commit is published (`highWatermark`; see PartitionLog+Watermark.swift). Batches
/// stay in the tail until they have been written to their segment, and the newest beyond that, as a cache for readers.
///
/// Isolation: all state is behind `state`; file writes are serialised by `io`. <doc:WhoWaitsForTheDisk> has the nesting.
public final class PartitionLog: Sendable {
    public let topicID: TopicID
    public let partitionIndex: Int32
    public let topicName: String
    /// Name of the partition's folder, below the store's.
    public let folderName: String
    let topicPartition: TopicPartition
    unowned let store: LogStore
    /// Parts of the store that appends use: reached by way of `store`, each would cost a second retain.
    unowned let commits: GroupCommit
    unowned let registry: PartitionRegistry
    unowned let producerLimit: ProducerLimit
    let statistics: LogStatistics
    let folder: String

    /// The topic's policy contains `compact`: read before the lock is taken, where records must have keys.
    let isCompacted: Atomic<Bool>
    let state: Lock<State>
    let io = Lock<WriterState>(WriterState())
    /// Held while a partition that was set aside is opened again; its deletion waits for that.
    let reopening = Lock<Void>(())

    /// A batch that has offsets and is in memory.
    struct TailBatch {
        let baseOffset: Int64
        let lastOffset: Int64
        let segment: Segment
        /// First byte in the segment.
        let position: Int64
        let slice: ByteSlice
    }

    struct State {
        var settings: LogSettings
        var leadership: Leadership
        var epochs = LeaderEpochs()
        var logStartOffset: Int64 = 0
        var logEndOffset: Int64 = 0
        /// How far the log is durable on this node, and how far readers may read it.
        var progress = LogProgress()
        /// How often the end of the log was truncated, in all: tells journal entries of before a truncation from those after
        /// it. Nothing truncates a log yet; a follower will.
        var truncations: UInt32 = 0
        /// Oldest first, the last one active; never empty.
        var segments: [Segment]
        /// Segments that retention took out. Their files are removed after the next checkpoint, which no longer needs them.
        var obsolete: [Segment] = []
        /// Batches in memory, oldest first and without gaps. The first `settled` of them are in their segments, durably,
        /// and stay for readers; the others are on their way.
        var tail = FIFO<TailBatch>()
        var settled = 0
        var followers = Followers()
        var producers = ProducerStates()
        /// How many of `producers` the store's `ProducerLimit` counts.
        var countedProducers = 0
        /// And those with an open transaction.
        var countedOpen = 0
        /// Bytes appended since the log was opened: what `watermarkPosition` will be when all of them are visible.
        var appendedBytes: Int64 = 0
        /// Readers that wait for `watermarkPosition` to reach something.
        var waiters = WaiterHeap()
        /// Readers of committed records, who wait for `stablePosition`.
        var stableWaiters = WaiterHeap()
        /// Ticket of the newest append.
        var lastTicket: UInt64 = 0
        /// The partition is on the registry's list of those changed since the last checkpoint.
        var isDirty = false
        var isDeleted = false
        /// What the newest checkpoint says of this partition.
        var checkpoint: Checkpoint.Entry?
        /// Base offset of the segment that the checkpoint on disk ends in: those before it are never written again.
        var checkpointedSegmentBase: Int64 = 0
        var cleaner = CleanerProgress()
        /// A compacted segment whose file does not have its name yet, and the exclusive end of what it stands for.
        var installing: (segment: Segment, endOffset: Int64)?
        /// From here on the log is left alone by the cleaner; `Int64.max` unless a damaged segment was found.
        var uncleanableOffset = Int64.max
        /// Wall clock of the start: a producer whose batch is replayed counts as heard of now, because the batch's own
        /// timestamp is the producer's clock.
        var replayTimeMs: Int64 = 0
        /// What is known of damage, and whether the folder's file tells of it.
        var quarantine = Quarantine()
        var quarantineIsStored = true
        /// Set while the partition's own files fail.
        var fault: PartitionFault?
        /// Commits have left out the appends in the tail behind `flushedOffset`: see GroupCommit+Stuck.swift.
        var isStuck = false
        /// The journal's entries for a partition that could not be opened, kept for the next attempt.
        var carried: [CarriedEntry] = []
        /// Its topic was compacted at some time: between two batches offsets may be missing.
        var mayHaveGaps = false

        /// The offset that follows the segment's last batch.
        func endOffset(of segment: Segment) -> Int64 {
            if let missing = quarantine.ranges.first(where: {
                $0.isMissing(behind: segment.size, of: segment.baseOffset)
            }) {
                return missing.baseOffset
            }
            return segments.first { $0.baseOffset > segment.baseOffset }?.baseOffset ?? logEndOffset
        }
    }

    struct WriterState {
        /// The partition's folder was made, now or in an earlier run.
        var folderExists = false
        /// Its name, and those of files in it, which may not be durable yet.
        var names = NewNames()
        /// Where the next direct write goes on. Each buffered write drops it, because it moves the end of the file.
        var direct: DirectSegment?
        /// No segment with a lower base offset has padding at its end.
        var paddedBelow = Int64.max
    }

    /// The names of the partition's folder and of files in it. Counted, so that who syncs them without the I/O lock does not take
    /// for durable what was made meanwhile.
    struct NewNames {
        private var folders = 0
        private var durableFolders = 0
        private var files = 0
        private var durableFiles = 0

        /// A name may not be durable yet.
        var hasFolder: Bool { folders > durableFolders }
        var hasFile: Bool { files > durableFiles }

        mutating func addFolder() { folders += 1 }
        mutating func addFile() { files += 1 }

        /// The names that were there when these were are durable.
        mutating func markDurable(_ seen: NewNames) {
            durableFolders = max(durableFolders, seen.folders)
            durableFiles = max(durableFiles, seen.files)
        }
    }

    struct DirectSegment {
        let segment: Segment
        let file: any StorageFile
        var end: BlockEnd
    }

    init(
        store: LogStore, topicID: TopicID, topicName: String, partitionIndex: Int32, settings: LogSettings,
        leadership: Leadership
    ) {
        self.store = store
        commits = store.commits
        registry = store.registry
        producerLimit = store.producerLimit
        statistics = store.statistics
        self.topicID = topicID
        topicPartition = TopicPartition(topicID: topicID, partitionIndex: partitionIndex)
        self.topicName = topicName
        self.partitionIndex = partitionIndex
        folderName = PartitionFolder.name(topicName, partitionIndex, topicID)
        folder = Path.join(store.partitionsFolder, folderName)
        isCompacted = Atomic(settings.isCompacted)
        state = Lock(State(settings: settings, leadership: leadership, segments: [Segment(baseOffset: 0)]))
        state.withLock { $0.mayHaveGaps = settings.isCompacted }
    }

    // MARK: What others see

    public var logStartOffset: Offset { state.withLock { Offset($0.logStartOffset) } }
    /// Exclusive; records from the high watermark up to this offset are not visible to consumers yet.
    public var logEndOffset: Offset { state.withLock { Offset($0.logEndOffset) } }
    /// Exclusive end of what consumers may read.
    public var highWatermark: Offset { state.withLock { Offset($0.highWatermark) } }
    /// Exclusive end of what readers of committed transactions may read: no open one begins below it.
    public var lastStableOffset: Offset { state.withLock { Offset($0.lastStableOffset) } }
    public var settings: LogSettings { state.withLock { $0.settings } }
    /// Bytes of log, those not yet in files included.
    public var sizeInBytes: Int64 { state.withLock { $0.segments.reduce(0) { $0 + $1.size } } }
    public var segmentCount: Int { state.withLock { $0.segments.count } }
    public var producerCount: Int { state.withLock { $0.producers.count } }

    /// The three offsets as of one moment.
    public var offsets: (logStart: Offset, highWatermark: Offset, logEnd: Offset) {
        state.withLock { (Offset($0.logStartOffset), Offset($0.highWatermark), Offset($0.logEndOffset)) }
    }

    public func apply(_ settings: LogSettings) {
        state.withLock { state in
            state.settings = settings
            state.mayHaveGaps = state.mayHaveGaps || settings.isCompacted
        }
        isCompacted.store(settings.isCompacted, ordering: .relaxed)
        if settings.isCompacted { store.cleaner.wake() }
    }

    /// `<topic>-<index>`, as Kafka's messages name a partition.
    public var name: String { "\(topicName)-\(partitionIndex)" }

    /// The epoch at or below `requested` and the offset (exclusive) where it ended; (-1, -1) when not known.
    public func endOffset(ofEpoch requested: Int32) -> (epoch: Int32, endOffset: Int64) {
        state.withLock { $0.epochs.end(of: requested, logEndOffset: $0.logEndOffset) }
    }

    /// The leader epoch of the record at `offset`, -1 when none is known.
    public func epoch(at offset: Offset) -> Int32 { state.withLock { $0.epochs.epoch(at: offset.rawValue) } }
}
