import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// Whether the data folder takes writes. It does until the first failed sync, or frame of the journal that is written and
/// synced in one call, and never again before the next start: after such a failure, whatever its errno, the kernel may have
/// dropped data, so no later success can be believed. Where nothing was to be synced yet, want of room, of descriptors or of
/// memory is waited out (GroupCommit+Hold.swift); `FaultReach` decides.
///
/// `reason` protects itself by its lock; `hasFailed` is set after it, so that the append path reads one atomic.
final class Availability: Sendable {
    private let folder: String
    private let statistics: LogStatistics
    private let reason = Lock<AppendRefusal?>(nil)
    private let hasFailed = Atomic<Bool>(false)

    init(folder: String, statistics: LogStatistics) {
        self.folder = folder
        self.statistics = statistics
    }

    var isOffline: Bool { hasFailed.load(ordering: .acquiring) }

    /// What appends are told while the folder is offline; nil while it is not.
    var refusal: AppendRefusal? { isOffline ? reason.withLock { $0 } : nil }

    /// Takes the folder offline. Only the first reason is kept: what fails later fails because of it.
    func goOffline(_ error: StorageError) {
        let isFirst = reason.withLock { current -> Bool in
            guard current == nil else { return false }
            current = AppendRefusal(.kafkaStorageError, "the data folder is offline: \(error)")
            return true
        }
        hasFailed.store(true, ordering: .sequentiallyConsistent)
        guard isFirst else { return }
        statistics.offlineReason.withLock { $0 = error.description }
        Log.error("the data folder is offline until the broker is started again", "folder", folder, "reason", error)
    }

    /// Throws while the folder is offline.
    func refuseWhenOffline() throws(StorageError) {
        guard let refusal else { return }
        throw StorageError(.corrupt(refusal.message), .write, path: folder)
    }
}
