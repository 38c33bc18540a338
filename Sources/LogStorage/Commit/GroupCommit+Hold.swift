import ByteBuffers
import StorageIO
import Synchronization
import Telemetry

/// A commit that found no room, or no descriptor or memory just now.
///
/// ENOSPC is not a failed sync: nothing that was acknowledged is at stake, so the store stays online. The commit is kept and
/// tried again until there is room; write-behind and checkpoints wait, and the journal keeps what they would have written.
extension GroupCommit {
    /// How often a commit that waits for space is tried again.
    static let heldRetryMs: Int64 = 200

    /// Keeps a commit that the full disk did not take, or that found no descriptor or memory. False: the failure is of
    /// another kind, or may have lost what was written, whatever its errno. Then the same commit, made again, would be
    /// believed.
    func hold(_ commit: CommitBatch, _ committer: inout Committer, _ error: StorageError) -> Bool {
        guard error.isNoSpace || error.isNotNow, error.reach != .folder else { return false }
        committer.held = commit
        setHolding(true)
        guard error.isNoSpace else { return true }
        committer.journal?.mayGrow.store(false, ordering: .relaxed)
        diskSpace.setFull(true)
        return true
    }

    /// Tries the kept commit again; true when it is done with.
    func retryHeld(_ committer: inout Committer) -> Bool {
        guard var commit = committer.held else { return true }
        if !availability.isOffline {
            do throws(StorageError) {
                let writtenThrough = try write(&commit, &committer)
                publish(commit, writtenThrough: writtenThrough)
            } catch {
                if hold(commit, &committer, error) { return false }
                fail(error, from: commit.ticket)
            }
        }
        committer.held = nil
        setHolding(false)
        return true
    }

    /// Decides what the failure of maintenance or compaction means. A full disk and a want of descriptors or memory stop
    /// neither for good: what could not be written is in the journal, or is only a checkpoint that comes later. Everything
    /// else takes the store offline.
    func backgroundFailed(_ error: StorageError) {
        let isFinal = error.reach == .folder
        if error.isNoSpace, !isFinal {
            diskSpace.setFull(true)
            requests.add(.checkpoint)
            return
        }
        if error.isNotNow, !isFinal {
            Log.warning("put off", "what", error)
            requests.add(.checkpoint)
            return
        }
        // The journal keeps what a checkpoint that cannot be read again would have told.
        if case .tooLarge = error.kind { return Log.error("no checkpoint can be made", "reason", error) }
        fail(error)
    }
}
