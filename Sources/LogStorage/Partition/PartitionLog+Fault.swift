import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

extension PartitionLog.State {
    /// Why the partition's own files let it take no appends; nil when they do.
    func faultRefusal(of name: String) -> AppendRefusal? {
        // While stuck, also a producer's repeat is refused: it would be told that its batch is stored, which is only in memory.
        guard isStuck || fault?.refusesAppends == true else { return nil }
        let reason = fault?.error.description ?? "what it has is not on disk"
        return AppendRefusal(.kafkaStorageError, "the partition \(name) takes no appends: \(reason)")
    }

    /// Records a failed attempt; gives whether it is worth a line in the log.
    fileprivate mutating func record(_ error: StorageError, _ kind: PartitionFault.Kind, nowMs: Int64) -> Bool {
        let before = fault
        var fault = PartitionFault(kind: kind, error: error, triedMs: nowMs)
        if let before { fault.attempts = before.attempts + 1 }
        self.fault = fault
        return before == nil || before!.refusesAppends != fault.refusesAppends
    }
}

extension PartitionLog {
    /// Why nothing can be read of this partition, and its offsets are not known: it could not be opened. Nil otherwise.
    public var unavailability: String? {
        state.withLock { $0.fault?.kind == .unopened ? $0.fault!.error.description : nil }
    }

    /// Whether a commit has left out this partition's newest appends, because neither its file nor the journal took them.
    /// Their ticket has failed, and it is not known whether they will ever be on disk.
    ///
    /// Whoever sees a ticket become durable also sees here whether its commit left something out.
    public var hasLeftOutAppends: Bool { commits.stuckCount > 0 && state.withLock { $0.isStuck } }

    func isDue(_ nowMs: Int64) -> Bool { state.withLock { $0.fault?.isDue(nowMs) ?? true } }

    /// Writes the batches that are due to the segments. Returns false if the partition's own files fail; throws errors
    /// that concern others.
    func tryWriteBehind(
        through lastOffset: Int64? = nil, with direct: DirectWriter?, nowMs: Int64
    ) throws(StorageError) -> Bool {
        let (isUnopened, isStuck) = state.withLock { ($0.fault?.kind == .unopened, $0.isStuck) }
        if isUnopened { return false }
        do throws(StorageError) {
            if isStuck { try writeStuck() } else { try writeBehind(through: lastOffset, with: direct) }
        } catch {
            guard error.reach == .partition else { throw error }
            recordFault(error, nowMs: nowMs)
            return false
        }
        clearFault()
        return true
    }

    /// Writes and syncs the appends that commits have left out (`isStuck`), which commits them. Nothing was appended behind
    /// them meanwhile.
    private func writeStuck() throws(StorageError) {
        let (end, bytes) = state.withLock { state in
            let first = state.tail.partitioningIndex { $0.lastOffset >= state.flushedOffset }
            return (state.logEndOffset, (first..<state.tail.count).reduce(0) { $0 + state.tail[$1].slice.count })
        }
        try io.withLock { writer throws(StorageError) in
            if state.withLock({ $0.isDeleted }) { return }
            try writeTail(through: end - 1, &writer)
            try syncSegments(&writer)
            settle(through: end - 1)
        }
        var woken: [ReadWaiter] = []
        let isCommitted = state.withLock { state -> Bool in
            // A deletion that came meanwhile has taken it off the count already.
            guard state.isStuck else { return false }
            state.isStuck = false
            state.advanceFlushedOffset(through: end - 1, bytes: bytes, &woken)
            return true
        }
        guard isCommitted else { return }
        commits.countStuck(-1)
        commits.tell(woken)
    }

    /// Stores indexes. One that cannot be stored is made again at the next start.
    func tryStoreIndexes() throws(StorageError) {
        do throws(StorageError) { try storeIndexes() } catch {
            guard error.reach == .partition else { throw error }
            Log.warning("an index could not be stored", "partition", name, "reason", error)
        }
    }

    /// Removes the files of segments that the checkpoint has forgotten. What cannot be removed is tried again with the
    /// next checkpoint; a start removes it, too.
    func tryRemoveObsolete(_ obsolete: [Segment]) throws(StorageError) {
        do throws(StorageError) {
            try removeObsolete(obsolete)
        } catch {
            guard error.reach == .partition else { throw error }
            Log.warning("old segments could not be removed", "partition", name, "reason", error)
            return markDirty()
        }
        state.withLock { state in
            state.obsolete.removeAll { segment in obsolete.contains { $0 === segment } }
        }
    }

    /// Cuts padding at a stop. What cannot be cut is cut by the next start.
    func tryTrimAll() throws(StorageError) {
        do throws(StorageError) { try trimAll() } catch {
            guard error.reach == .partition else { throw error }
            Log.warning("a segment could not be cut to its batches", "partition", name, "reason", error)
        }
    }

    /// Records a failure of the partition's own files; from now on its appends are refused.
    func recordFault(_ error: StorageError, kind: PartitionFault.Kind = .unwritable, nowMs: Int64) {
        let isNews = state.withLock { state -> Bool in
            // Under the lock that a deletion is marked under: what is deleted does not get on the list any more.
            if state.isDeleted { return false }
            registry.setFaulted(self, true)
            return state.record(error, kind, nowMs: nowMs)
        }
        if isNews { logFault(error) }
    }

    private func logFault(_ error: StorageError) {
        Log.error("a partition's files fail; it alone is refused, and tried again", "partition", name, "reason", error)
    }

    func clearFault() {
        let wasFaulted = state.withLock { state -> Bool in
            // A commit got stuck meanwhile: the write that has just worked was of something else.
            guard state.fault != nil, !state.isStuck else { return false }
            state.fault = nil
            registry.setFaulted(self, false)
            return true
        }
        if wasFaulted { Log.info("a partition's files work again", "partition", name) }
    }

    /// Marks the partition stuck: a commit could not make its newest appends durable. They stay in memory, no reader sees
    /// them, and nothing is appended behind them until `writeStuck` has written them.
    func becomeStuck(_ error: StorageError, nowMs: Int64) {
        let (isFirst, isNews) = state.withLock { state -> (Bool, Bool) in
            if state.isDeleted { return (false, false) }
            defer { state.isStuck = true }
            registry.setFaulted(self, true)
            return (!state.isStuck, state.record(error, .unwritable, nowMs: nowMs))
        }
        if isFirst { commits.countStuck(1) }
        if isNews { logFault(error) }
    }
}

extension LogStore {
    /// Names of the partitions whose own files or folder fail, with what they fail with.
    public var faults: [(partition: String, reason: String)] {
        registry.faulted.compactMap { log in
            log.state.withLock { $0.fault }.map { (log.name, $0.error.description) }
        }
    }
}
