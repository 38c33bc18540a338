import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// A sync that failed is final, whatever its errno and whoever made it: a disk that is full only when pages are written
/// back (thin volumes, quotas of a network) tells it once, and a second sync would be believed.
@Suite struct FinalFaultTests {
    private let now = TestStore.now
    private static let errnos = [ENOSPC, EDQUOT, EIO]

    private func store() throws -> TestStore {
        try TestStore(neighbours: (0..<Maintenance.syncAllFrom + 2).map { "n\($0)" })
    }

    private func append(to logs: [PartitionLog], size: Int) throws {
        for log in logs {
            let slice = TestBatch(count: 1, valueSize: size).bytes().withUnsafeBytes {
                ChunkPool.shared.slice(copying: $0)
            }
            _ = try log.append(slice, origin: .client, nowMs: now).get()
        }
    }

    @Test(arguments: errnos)
    func ofACheckpoint(_ errno: Int32) throws {
        let store = try store()
        try append(to: store.neighbours, size: 100)
        store.store.commitPending()
        store.fileSystem.inject(Fault(.fail(errno: errno), on: .syncAll))
        store.store.requests.add(.checkpoint)
        store.store.maintain(nowMs: now)
        #expect(store.store.isOffline)
    }

    @Test(arguments: errnos, [StorageError.Operation.syncAll, .syncDirectory, .sync])
    func ofACommitOfLongRuns(_ errno: Int32, _ operation: StorageError.Operation) throws {
        let store = try store()
        let logs = operation == .syncAll ? store.neighbours : [store.log]
        try append(to: logs, size: 9000)
        store.fileSystem.inject(
            Fault(.fail(errno: errno), on: operation, pathContains: operation == .syncAll ? nil : "/t-0."))
        store.store.commitPending()
        #expect(store.store.isOffline && store.store.durableTicket == 0)
    }

    @Test(arguments: errnos)
    func ofAStart(_ errno: Int32) throws {
        let store = try store()
        try append(to: store.neighbours, size: 100)
        store.store.commitPending()
        let error = storageError {
            try store.crash { $0.inject(Fault(.fail(errno: errno), on: .syncAll)) }
        }
        #expect(error?.errno == errno)
    }

    /// What fails with these errnos, of what others have a part in.
    private func failShared(_ operation: StorageError.Operation, _ errno: Int32, _ disk: SimulatedFileSystem) {
        if operation == .syncDirectory {
            disk.inject(Fault(.fail(errno: errno), on: .syncDirectory, pathContains: "/data/partitions"))
        } else {
            // Its own folder cannot be opened just now, and everything is synced in its place.
            disk.inject(Fault(.fail(errno: EMFILE), on: .syncDirectory, pathContains: "/t-0."))
            disk.inject(Fault(.fail(errno: errno), on: .syncAll))
        }
    }

    /// It may have lost what others have acknowledged: a later sync is believed, and the journal lets go of it.
    @Test(arguments: errnos, [StorageError.Operation.syncAll, .syncDirectory])
    func ofAPartitionThatIsOpenedLater(_ errno: Int32, _ operation: StorageError.Operation) throws {
        let store = try TestStore()
        store.append()
        store.store.commitPending()
        // Its folder and file are there, and no checkpoint tells of them.
        store.store.maintain(nowMs: now)
        try store.kill { $0.inject(Fault(.fail(errno: EACCES), on: .list, pathContains: "/t-0.", times: .max)) }
        #expect(store.log.unavailability != nil)
        store.fileSystem.removeFaults()
        failShared(operation, errno, store.fileSystem)
        store.store.maintain(nowMs: now + 2 * PartitionLog.reopenMs)
        #expect(store.store.isOffline)
    }

    /// A start that has too many files open syncs while it opens them.
    @Test(arguments: errnos, [StorageError.Operation.syncAll, .syncDirectory])
    func ofAPartitionThatIsOpenedFirst(_ errno: Int32, _ operation: StorageError.Operation) throws {
        let store = try TestStore()
        store.append()
        store.store.commitPending()
        store.store.maintain(nowMs: now)
        store.options.openSegments = 2
        let error = storageError {
            try store.kill { self.failShared(operation, errno, $0) }
        }
        #expect(error?.errno == errno)
    }

    /// The folder of all partitions' folders is synced, in which others may be new.
    @Test(arguments: errnos)
    func ofADeletion(_ errno: Int32) throws {
        let store = try store()
        try append(to: store.neighbours, size: 100)
        try store.checkpoint()
        store.fileSystem.inject(Fault(.fail(errno: errno), on: .syncDirectory, pathContains: "/data/partitions"))
        _ = store.neighbours[0].markDeleted()
        #expect(storageError { try store.neighbours[0].removeFiles() }?.errno == errno)
        #expect(store.store.isOffline)
    }

    @Test(arguments: errnos)
    func ofTheFolderAboveANewOne(_ errno: Int32) throws {
        let disk = SimulatedFileSystem()
        try disk.createDirectory("/a")
        disk.inject(Fault(.fail(errno: errno), on: .syncDirectory))
        #expect(storageError { try disk.createDirectoryDurably("/a/b") }?.errno == errno)
    }
}
