import StorageIO

extension PartitionLog {
    /// Opens the segments, scans what the checkpoint does not vouch for, and cuts a torn end. Afterwards `flushedOffset` is the
    /// end of what was found.
    ///
    /// With an entry that `isLost` only the very end of the log is ever cut. `isFirstTry`: this start is the one that found
    /// the checkpoint lost.
    func recover(
        from checkpoint: Checkpoint.Entry?, isFirstTry: Bool, scanned: ((Int64) -> Void)? = nil
    ) throws(StorageError) -> RecoveryReport {
        var recovery = PartitionRecovery(log: self, entry: checkpoint, isFirstTry: isFirstTry)
        recovery.progress = scanned
        do throws(StorageError) {
            try recovery.run()
        } catch {
            for segment in recovery.segments { store.handles.close(segment) }
            throw error
        }
        return recovery.report
    }

    struct RecoveryReport {
        var scannedBytes: Int64 = 0
        var cutBytes: Int64 = 0
        /// Batches beyond the checkpoint, written once more in their place.
        var rewrittenBytes: Int64 = 0
        /// Segments behind a torn one.
        var orphans: [String] = []
        /// Why the log's end may be lost, and the first offset that is, should nothing heal it.
        var lostEnd: (reason: String, offset: Int64)?
    }
}
