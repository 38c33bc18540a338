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

    @Test(arguments: errnos)
    func ofTheFolderAboveANewOne(_ errno: Int32) throws {
        let disk = SimulatedFileSystem()
        try disk.createDirectory("/a")
        disk.inject(Fault(.fail(errno: errno), on: .syncDirectory))
        #expect(storageError { try disk.createDirectoryDurably("/a/b") }?.errno == errno)
    }
}
