import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// A disk that is nearly full, or full.
///
/// Below the reserve clients' appends are refused; reads, deletes, retention and the broker's own records go on, and use
/// the reserve. The free space is looked at every second, and whenever as much was committed as might have used up an
/// eighth of what was free above the reserve: a fast writer cannot get past it between two looks. What is in the journal
/// and not yet in its segments counts as used: it will take that room without anybody appending.
///
/// ENOSPC is not a failed sync: nothing that was acknowledged is at stake, so the store stays online. A commit that met
/// it is kept and tried again until there is room; write-behind and checkpoints wait, and the journal keeps what they
/// would have written.
extension LogStore {
    /// How often a commit that waits for space is tried again.
    static let heldRetryMs: Int64 = 200
    /// At most this is committed between two looks at the free space, and at least this.
    private static let mostUnchecked = 64 << 20
    private static let leastUnchecked = 1 << 20

    /// What an operator and a client are told while the disk is nearly full; nil while it is not.
    public var fullness: String? {
        guard isFull.load(ordering: .relaxed) else { return nil }
        let owed = lastOwed.load(ordering: .relaxed)
        let less = owed > 0 ? "\(owed) of them for what is in the journal alone, " : ""
        return
            "the disk of the data folder has \(lastFree.load(ordering: .relaxed)) bytes free, \(less)less than the reserve "
            + "of \(options.reserveBytes) bytes; free space, lower retention or delete topics"
    }

    /// Below the reserve appends are refused, above it (with an eighth to spare) they are taken again.
    func checkSpace() {
        guard let free = try? fileSystem.freeBytes(folder).free else { return }
        update(free: free)
    }

    private func update(free bytes: Int64) {
        let owed = max(0, tailBytes.load(ordering: .relaxed))
        lastFree.store(Int(clamping: bytes), ordering: .relaxed)
        lastOwed.store(owed, ordering: .relaxed)
        let free = bytes - Int64(owed)
        let above = max(0, free - options.reserveBytes)
        unchecked.store(
            max(Self.leastUnchecked, min(Self.mostUnchecked, Int(clamping: above / 8))), ordering: .relaxed)
        let wasFull = isFull.load(ordering: .relaxed)
        setFull(wasFull ? free < options.reserveBytes / 8 * 9 : free < options.reserveBytes)
    }

    func setFull(_ full: Bool) {
        guard isFull.exchange(full, ordering: .sequentiallyConsistent) != full else { return }
        isRefusing.store(full || isOffline, ordering: .sequentiallyConsistent)
        // The maintaining thread looks every second from now on, until there is room again.
        if full { maintenanceSignal.raise() }
    }

    /// Maintenance or compaction failed. A full disk and a want of descriptors or memory stop neither for good: what could
    /// not be written is in the journal, or is only a checkpoint that comes later. Everything else takes the store offline.
    func backgroundFailed(_ error: StorageError) {
        let isFinal = error.reach == .folder
        if error.isNoSpace, !isFinal {
            setFull(true)
            needsCheckpoint.store(true, ordering: .releasing)
            return
        }
        if error.isNotNow, !isFinal {
            Log.warning("put off", "what", error)
            needsCheckpoint.store(true, ordering: .releasing)
            return
        }
        // The journal keeps what a checkpoint that cannot be read again would have told.
        if case .tooLarge = error.kind { return Log.error("no checkpoint can be made", "reason", error) }
        goOffline(error, ticket: durable.load(ordering: .acquiring) + 1)
    }

    /// Looks at the free space when enough was committed since the last look.
    func checkSpace(before commit: Queue, _ journal: Journal?) {
        if unchecked.subtract(commit.bytes, ordering: .relaxed).newValue > 0 { return }
        checkSpace()
        // A new journal file must not take the reserve.
        let room = Int64(lastFree.load(ordering: .relaxed) - lastOwed.load(ordering: .relaxed)) - options.reserveBytes
        journal?.mayGrow.store(room > options.journalFileBytes, ordering: .relaxed)
    }

    /// Keeps a commit that the full disk did not take, or that found no descriptor or memory. False: the failure is of
    /// another kind, or may have lost what was written, whatever its errno: then the same commit, made again, would be
    /// believed.
    func hold(_ commit: Queue, _ committer: inout Committer, _ error: StorageError) -> Bool {
        guard error.isNoSpace || error.isNotNow, error.reach != .folder else { return false }
        committer.held = commit
        isHolding.store(true, ordering: .sequentiallyConsistent)
        guard error.isNoSpace else { return true }
        committer.journal?.mayGrow.store(false, ordering: .relaxed)
        setFull(true)
        return true
    }

    /// Tries the kept commit again; true when it is done with.
    func retryHeld(_ committer: inout Committer) -> Bool {
        guard var commit = committer.held else { return true }
        if !isOffline {
            do throws(StorageError) {
                let writtenThrough = try write(&commit, &committer)
                publish(commit, writtenThrough: writtenThrough)
            } catch {
                if hold(commit, &committer, error) { return false }
                goOffline(error, ticket: commit.ticket)
            }
        }
        committer.held = nil
        isHolding.store(false, ordering: .sequentiallyConsistent)
        return true
    }
}
