import ByteBuffers
import Synchronization

/// The syncs of one open file, one after the other, and what the first failed one leaves behind.
///
/// The kernel tells of a failed write-back once for each open file (errseq). Of two syncs at the same time one would be told, and
/// the other would take for durable what is lost. So a sync waits for the one that runs, and is not made when that has failed. It
/// waits for little more than it would in the kernel, which writes all of the file's dirty pages for either.
final class SyncTurns: Sendable {
    /// Held while the disk syncs.
    private let turn = Lock<Void>(())
    /// The errno of the first failed sync; 0 while there was none.
    private let failure = Atomic<Int32>(0)

    /// Throws after a failed sync: nothing is written to the file any more.
    func check(_ operation: StorageError.Operation, _ path: String) throws(StorageError) {
        let errno = failure.load(ordering: .acquiring)
        if errno != 0 { throw StorageError(.outOfService(errno: errno), operation, path: path) }
    }

    /// Calls `sync`, or what is synced in the same call, and remembers its failure, which is final.
    func take(
        _ operation: StorageError.Operation, _ path: String, _ sync: () throws(StorageError) -> Void
    ) throws(StorageError) {
        try turn.withLock { _ throws(StorageError) in
            try check(operation, path)
            do throws(StorageError) { try sync() } catch {
                if case .io(let errno) = error.kind { failure.store(errno, ordering: .releasing) }
                throw error
            }
        }
    }
}
