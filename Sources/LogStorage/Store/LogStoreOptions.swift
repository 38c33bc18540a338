import ByteBuffers
import Glibc
public import StorageIO

/// What a store may use. Sizes are in bytes.
public struct LogStoreOptions: Sendable {
    /// Size of one journal file; at most `Journal.maxFiles` of them exist.
    public var journalFileBytes: Int64 = 64 << 20
    /// Largest journal frame, at most `JournalFormat.maxFrame`.
    public var journalFrameBytes = JournalFormat.maxFrame
    /// Smallest run (a partition's batches of one commit) that is written through to its segment. Smaller ones go to the
    /// journal: <doc:OneJournalTwoRoads>.
    public var writeThroughRunBytes = 192 << 10
    /// Memory in the tails that makes the store write behind.
    public var tailBudgetBytes = 16 << 20
    /// Bytes written through to segments after which a checkpoint is made, so that recovery stays short.
    public var checkpointBytes: Int64 = 256 << 20
    /// Longest time that appended batches wait in the tail for their segment.
    public var writeBehindMs: Int64 = 1000
    /// Below this many free bytes appends are refused while reads, deletes and retention go on.
    public var reserveBytes: Int64 = 64 << 20
    /// Write the journal and long runs with O_DIRECT where the file system takes it.
    public var direct = true
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of the log that is being compacted.
    public var cleanerMapBytes = 16 << 20
    /// `log.cleaner.backoff.ms`: how often the cleaner looks for logs that are due.
    public var cleanerIntervalMs: Int64 = 15_000
    /// `log.retention.check.interval.ms`: how often is looked for segments that retention no longer keeps.
    public var retentionCheckMs: Int64 = 300_000
    /// Memory that batches may always take which are in their segments already and stay for readers that follow closely.
    public var cacheBytes = 32 << 20
    /// `log.window.max.bytes`: most memory that they may take where the machine has it; no more than `cacheBytes` unless
    /// this is more. <doc:HotWindow>
    public var windowBytes = 0
    /// `log.window.memory.percent`: their share of the memory that the machine has left.
    public var windowPercent = 25
    /// `log.window.ms`: how long they stay beyond `cacheBytes`, and how long a partition counts as followed after its last
    /// reader.
    public var windowMs: Int64 = 15_000
    /// Bytes of fresh memory that may be taken for them in a second: what writers do not feel.
    var windowPaceBytes = WindowBudget.paceBytesPerCore * max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    /// Nanoseconds of the monotonic clock, by which the pace of writing is told.
    var windowClock: @Sendable () -> Int = { Int(MonotonicClock.nanoseconds) }
    /// Tells what the machine has left; nil: `windowBytes` is theirs, whatever it has.
    public var machineMemory: (any MachineMemory)?
    /// Most segments whose files are open at a time; each takes a descriptor. <doc:FilesAndDescriptors> has how a broker chooses it.
    public var openSegments = 4096
    /// Most states of idempotent producers, of all partitions together.
    public var maxProducerStates = ProducerLimit.maxStates
    /// `producer.id.expiration.ms`.
    public var producerExpirationMs: Int64 = 24 * 3600 * 1000
    /// The negative control of durability tests: commits are acknowledged without being synced. Never set by a user.
    public var unsafeWithoutSync = false
    /// The negative control of the crash model: recovery relies on what it finds without making it durable.
    var unsafeTrustsCache = false

    public init() {}

    func check() {
        precondition(
            journalFrameBytes <= JournalFormat.maxFrame && journalFileBytes >= Int64(journalFrameBytes) * 4
                && writeThroughRunBytes <= journalFrameBytes - JournalFormat.headerSize - JournalFormat.entryHeaderSize,
            "journal of \(journalFileBytes) bytes, frames of \(journalFrameBytes), runs of \(writeThroughRunBytes)")
    }
}
