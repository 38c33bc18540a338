import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization

/// Setting a partition aside that cannot be opened, so that the broker starts without it. Its checkpoint entry and its part of
/// the journal are kept as they are, and opening it is tried again every `reopenMs`: with both it opens as it would have at the
/// start.
extension PartitionLog {
    /// Time between two attempts to open a partition.
    static let reopenMs: Int64 = 10_000

    /// Calls `recover`. If the partition's own files prevent that, sets the partition aside and returns nil. Throws as
    /// `openOrSetAside`.
    func tryRecover(
        from entry: Checkpoint.Entry?, isFirstTry: Bool, nowMs: Int64, scanned: ((Int64) -> Void)? = nil
    ) throws(StorageError) -> RecoveryReport? {
        var report: RecoveryReport?
        try openOrSetAside(nowMs: nowMs) { () throws(StorageError) in
            report = try recover(from: entry, isFirstTry: isFirstTry, scanned: scanned)
        }
        return report
    }

    /// Replays one journal entry, or keeps it if the partition is set aside. Returns whether it held a batch that the
    /// log lacked. Throws as `openOrSetAside`.
    func tryReplay(
        _ entry: JournalFormat.Entry, _ report: inout RecoveryReport, _ memory: inout SlicePacker, nowMs: Int64
    ) throws(StorageError) -> Bool {
        if unavailability != nil {
            carry(entry, &memory)
            return false
        }
        guard entry.kind == .batch else {
            replayLogStart(entry.value)
            return false
        }
        var isNew = false
        var found = report
        let isOpen = try openOrSetAside(nowMs: nowMs) { () throws(StorageError) in
            isNew = try replayJournaled(entry.bytes, baseOffset: entry.value, &found, &memory)
        }
        report = found
        if !isOpen { carry(entry, &memory) }
        return isNew
    }

    /// Returns whether a journal entry is older than the log's last truncation. Its content was discarded then, and its
    /// offset belongs to another batch now.
    func isVoid(_ truncations: UInt32) -> Bool { state.withLock { truncations < $0.truncations } }

    private func carry(_ entry: JournalFormat.Entry, _ memory: inout SlicePacker) {
        let slice = entry.kind == .batch ? memory.slice(copying: entry.bytes) : nil
        state.withLock {
            $0.carried.append(
                CarriedEntry(
                    kind: entry.kind, value: entry.value, truncations: entry.truncations, slice: slice))
        }
    }

    /// Performs a step of opening the partition, and sets the partition aside if the step fails. Even a failed sync of
    /// its own file or folder is handled this way, because nothing that the step was to make durable has been
    /// acknowledged to anybody.
    ///
    /// Throws the failed sync of what others have a part in, the file system or the folder of all partitions' folders:
    /// it may have lost what they have acknowledged, and a second one would lie.
    @discardableResult
    func openOrSetAside(nowMs: Int64, _ body: () throws(StorageError) -> Void) throws(StorageError) -> Bool {
        do throws(StorageError) {
            try body()
            return true
        } catch {
            setAside(error, nowMs: nowMs)
            if error.reach == .folder, !isOwn(error.path) { throw error }
            return false
        }
    }

    /// Whether the path is the partition's folder or in it.
    private func isOwn(_ path: String) -> Bool { path == folder || path.hasPrefix(folder + "/") }

    /// Resets the partition to the checkpoint's state, and keeps the replayed batches in `carried` for a later attempt.
    private func setAside(_ error: StorageError, nowMs: Int64) {
        let (segments, gone) = state.withLock { state -> ([Segment], [TailBatch]) in
            defer {
                let known = state.checkpoint ?? Checkpoint.Entry()
                state.segments = [Segment(baseOffset: known.endOffset)]
                state.logStartOffset = known.logStartOffset
                state.logEndOffset = known.endOffset
                state.progress.reset(to: known.endOffset)
                state.know(known.epochs)
                state.producers = ProducerStates()
                producerLimit.update(&state)
                state.tail.removeFirst(state.tail.count)
            }
            let gone = state.letGo(through: .max)
            let replayed = (state.settled..<state.tail.count).map { state.tail[$0] }
            store.memory.subtract(replayed.reduce(0) { $0 + $1.slice.count })
            state.carried =
                replayed.map {
                    CarriedEntry(
                        kind: .batch, value: $0.baseOffset, truncations: state.truncations, slice: $0.slice)
                } + state.carried
            if state.logStartOffset > state.checkpoint?.logStartOffset ?? 0 {
                state.carried.append(
                    CarriedEntry(
                        kind: .logStart, value: state.logStartOffset, truncations: state.truncations, slice: nil))
            }
            return (state.segments, gone)
        }
        store.memory.release(gone)
        for segment in segments { store.handles.close(segment) }
        recordFault(error, kind: .unopened, nowMs: nowMs)
    }

    /// Tries to open a partition that was set aside, with what was kept of it. Nobody is served meanwhile.
    /// Throws what concerns the whole store.
    func reopen(nowMs: Int64) throws(StorageError) {
        try reopening.withLock { _ throws(StorageError) in
            if !state.withLock({ $0.isDeleted }) { try reopenNow(nowMs) }
        }
    }

    private func reopenNow(_ nowMs: Int64) throws(StorageError) {
        let (entry, carried, isDue) = state.withLock { state in
            (
                state.checkpoint, state.carried,
                state.fault.map { $0.kind == .unopened && abs(nowMs - $0.triedMs) >= Self.reopenMs } ?? false
            )
        }
        guard isDue else { return }
        guard var report = try tryRecover(from: entry, isFirstTry: false, nowMs: nowMs) else { return }
        var memory = SlicePacker(pool: store.replayPool)
        let isOpen = try openOrSetAside(nowMs: nowMs) { () throws(StorageError) in
            for carried in carried where !isVoid(carried.truncations) {
                if let slice = carried.slice {
                    _ = try replayJournaled(slice.bytes, baseOffset: carried.value, &report, &memory)
                } else {
                    replayLogStart(carried.value)
                }
            }
            settleLostEnd(report)
            try store.settleOrphans(report.orphans, of: self)
            // A start makes a checkpoint before it serves; here what was found has to be on disk before anybody is told of it.
            try flush()
        }
        guard isOpen else { return state.withLock { $0.carried = carried } }
        markDirty()
        state.withLock { $0.carried = [] }
        if !quarantine.isEmpty { store.reportDamage(of: self) }
        producerLimit.recount(store.logs)
        clearFault()
    }
}
