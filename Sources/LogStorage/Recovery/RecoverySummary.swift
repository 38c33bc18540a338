/// What opening a data folder found and did.
public struct RecoverySummary: Sendable {
    /// Bytes of segments that were read.
    public var scannedBytes: Int64 = 0
    /// Bytes behind the last whole batch, cut off: the torn end of writes that nobody had been told of.
    public var cutBytes: Int64 = 0
    /// Batches that no checkpoint had promised, written once more so that they are surely on disk.
    public var rewrittenBytes: Int64 = 0
    /// Batches that only the journal held.
    public var replayedBatches = 0
    public var journalFrames = 0
    public var partitions = 0
    /// The last stop was in order: nothing had to be looked for.
    public var wasClean = false
    /// Partitions with quarantined damage.
    public var damage: [PartitionDamage] = []
    /// Partitions that could not be opened, each with the reason. All others are served.
    public var faults: [String] = []
    /// What else an operator should know: one line each.
    public var notices: [String] = []

    public init() {}
}

/// How far a recovery is.
public struct RecoveryProgress: Sendable {
    public var partitions: Int
    public var partitionCount: Int
    public var scannedBytes: Int64
}
