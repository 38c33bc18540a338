import StorageIO

extension PartitionLog {
    /// Finds the segments, scans from the checkpoint on, cuts the torn tail. `flushedOffset` is the log end after it.
    /// With an entry that `isLost` nothing is cut but the very end; `isFirstTry`: it was found out just now.
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
