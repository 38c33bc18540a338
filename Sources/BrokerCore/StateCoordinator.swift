import ByteBuffers
import KafkaModel
import LogStorage
import StorageIO
import Telemetry

/// Keeps a state machine for each partition of an internal topic: loads it from the records, gives it up, and keeps it at what the
/// log will have after any stop. Groups and transactions are kept so.
///
/// ```
///            the log cannot be read, or a commit left out what was appended
///  serving ──────────────────────────────────────────────────────────────────► suspended
///     ▲                      (everything is forgotten)                            │ COORDINATOR_LOAD_IN_PROGRESS
///     └───────────────────────────────────────────────────────────────────────────┘
///            the log is readable and all of it is on disk: replayed anew, by the coordinator's own thread
/// ```
/// A shard whose partition this node does not lead is neither: `load` suspends it until its log was replayed, `unload` forgets
/// it, and requests are told NOT_COORDINATOR.
protocol StateCoordinator: PartitionStateOwner {
    associatedtype Shard: StoredShard

    var shards: [Lock<Shard>] { get }
    /// Wakes the coordinator's thread, which resumes what is suspended.
    var signal: Signal { get }
    /// Requests are served: what is loaded from now on is served at once.
    var isActive: Bool { get }
    /// What the log says of a shard that is not served, and of one that is again.
    static var suspendedMessage: StaticString { get }
    static var resumedMessage: StaticString { get }

    /// Serves a shard that was replayed; nothing happens where it has been suspended again since.
    func begin(_ shard: Lock<Shard>)
}

extension StateCoordinator {
    /// The log's shard; nil before the topic is served, or for a partition that was not there then.
    func shard(of log: PartitionLog) -> Lock<Shard>? {
        let shards = shards
        let index = Int(log.partitionIndex)
        return shards.indices.contains(index) ? shards[index] : nil
    }

    /// Serves what lives in a partition that this node leads from now on: at once, or when its log can be read.
    func load(_ log: PartitionLog) {
        guard let shard = shard(of: log) else { return }
        let isNew = shard.withLock { shard -> Bool in
            let isServed = shard.term != nil
            shard.term = log.leaderEpoch
            if isServed { return false }
            shard.suspend()
            return true
        }
        guard isNew, let reason = resume(shard) else { return }
        Log.error(Self.suspendedMessage, "partition", log.name, "reason", reason)
        signal.raise()
    }

    /// Suspends a shard whose machine has been emptied.
    func suspendEmptied(_ shard: inout Shard) {
        // Whoever waits for it has been told that it failed.
        shard.ticket = 0
        shard.suspend()
        Log.error(Self.suspendedMessage, "partition", shard.log.name)
        signal.raise()
    }

    /// Serves those that are not suspended, once requests are.
    func beginAll() {
        for shard in shards { begin(shard) }
    }

    /// Loads the shards whose log works again. Gives when others are to be tried; nil where none waits. On the coordinator's
    /// thread: requests are told that their state is being loaded, and do not wait for it.
    func resumeSuspended(_ nowMs: Int64) -> Int64? {
        var next: Int64?
        for shard in shards {
            let suspended = shard.withLock { $0.isSuspended && $0.term != nil ? ($0.log, $0.resumption.atMs) : nil }
            guard let (log, dueMs) = suspended else { continue }
            var atMs = dueMs
            if atMs <= nowMs {
                if resume(shard) == nil {
                    Log.info(Self.resumedMessage, "partition", log.name)
                    continue
                }
                atMs = shard.withLock { shard in
                    shard.resumption.failed(nowMs)
                    return shard.resumption.atMs
                }
            }
            next = min(next ?? .max, atMs)
        }
        return next
    }

    /// Replays a suspended shard's log and serves it. Returns why that cannot be done yet, or nil: also where somebody else has done it,
    /// or the shard is not ours any more.
    func resume(_ shard: Lock<Shard>) -> String? {
        // Under one lock: the machine of a shard that is suspended is empty and loading, and no other is to be replayed into.
        let found = shard.withLock { shard in
            shard.isSuspended && shard.term != nil ? (shard.log, shard.term, shard.machine, shard.suspensions) : nil
        }
        guard let (log, term, empty, suspensions) = found else { return nil }
        if log.unavailability != nil || log.hasLeftOutAppends { return "it is not available" }
        var machine = empty
        let bytes: Int64
        do throws(StorageError) {
            // All that was appended is on disk or on its way; nothing is appended to a suspended shard's log.
            bytes = try Shard.replay(log, .appended, into: &machine)
        } catch {
            return "\(error)"
        }
        let (isServed, isStillSuspended) = shard.withLock { shard in
            // Resigned meanwhile, and perhaps taken up again; or served by another, and suspended again.
            guard shard.isSuspended, shard.term == term, shard.suspensions == suspensions else {
                return (false, shard.isSuspended && shard.term != nil)
            }
            shard.machine = machine
            shard.isSuspended = false
            shard.resumption = Resumption()
            shard.wasReplayed(bytes)
            return (true, false)
        }
        // What is loaded before the coordinator serves begins with it.
        if isServed, isActive { begin(shard) }
        return isStillSuspended ? "it was taken up anew meanwhile" : nil
    }
}
