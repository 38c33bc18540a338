/// What the process did, somewhere, for longer than a client should feel: see ``StallTrace``.
public struct Stall: Sendable, Equatable {
    /// What was done. The names are what `millrace trace` and the page show.
    public enum Stage: UInt8, CaseIterable, Sendable {
        /// A turn of an event loop, its sleep not included.
        case loopTurn
        /// Jobs of other threads, and what a commit lets go on, at the start of a turn.
        case loopNotice
        /// One connection's input within a turn.
        case loopInput
        /// Part of a file being sent.
        case loopSendFile
        /// A group commit, from taking what is queued to its being durable.
        case commit
        /// Write and sync of a commit's journal frames.
        case journalSync
        /// One more journal file being made.
        case journalFile
        /// A commit that waits for somebody else who works on the partition's files.
        case segmentWait
        /// A run of batches being written to its segment.
        case segmentWrite
        /// A segment's file being opened or made.
        case segmentOpen
        /// The padding of a closed segment being cut.
        case segmentTrim
        /// Syncs of segments: of one commit's long runs, or of a checkpoint.
        case segmentSync
        case writeBehind
        case checkpoint
        /// Retention looking through all partitions.
        case retention
        /// Files of removed segments, or of a deleted partition, being removed.
        case removal
        /// A pass of compaction over one log.
        case compaction
        /// Compacted segments taking the place of old ones.
        case exchange
        /// A piece of the admin thread's work, and its wait for its turn.
        case admin, adminWait
        /// A worker's piece of work (a read from the disk, a long request), and its wait for a worker.
        case worker, workerWait

        public var name: String {
            switch self {
            case .loopTurn: "loop.turn"
            case .loopNotice: "loop.notice"
            case .loopInput: "loop.input"
            case .loopSendFile: "loop.send-file"
            case .commit: "commit"
            case .journalSync: "journal.sync"
            case .journalFile: "journal.file"
            case .segmentWait: "segment.wait"
            case .segmentWrite: "segment.write"
            case .segmentOpen: "segment.open"
            case .segmentTrim: "segment.trim"
            case .segmentSync: "segment.sync"
            case .writeBehind: "write-behind"
            case .checkpoint: "checkpoint"
            case .retention: "retention"
            case .removal: "removal"
            case .compaction: "compaction"
            case .exchange: "exchange"
            case .admin: "admin"
            case .adminWait: "admin.wait"
            case .worker: "worker"
            case .workerWait: "worker.wait"
            }
        }
    }

    /// Counts all stalls, from 1 on.
    public var number: UInt64
    public var stage: Stage
    /// Nanoseconds of the monotonic clock.
    public var began: Int64
    public var nanoseconds: Int64
    /// Bytes and pieces (events, batches, partitions) that it was about; 0: not told.
    public var bytes: Int
    public var count: Int
    /// The thread that was held up, as the system names it.
    public var thread: String
    /// A partition, mostly; cut to `StallTrace.subjectBytes`.
    public var subject: String
}
