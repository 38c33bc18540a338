import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Telemetry
import Testing

@testable import LogStorage

/// What the disk keeps waiting is told by the trace, with the stage that waited.
@Suite struct StallTests {
    private let disk = StallingFileSystem(SimulatedFileSystem())
    private let store: LogStore
    private let log: PartitionLog

    init() throws {
        store = try LogStore(fileSystem: disk, folder: "/data", options: .small(), pool: ChunkPool())
        log = store.addPartition(
            topicID: TestStore.topicID, topicName: "stalls", partitionIndex: 0, settings: .small,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: TestStore.now)
        try store.checkpoint()
    }

    private func append(size: Int = 100) {
        let slice = TestBatch(count: 1, valueSize: size).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        guard case .success = log.append(slice, origin: .broker, nowMs: TestStore.now) else {
            preconditionFailure("refused")
        }
    }

    /// Does `body`, in which such a call waits for longer than what is told; gives the stages that were told meanwhile.
    private func stages(
        _ operation: StorageError.Operation, _ path: String, _ body: @escaping @Sendable (LogStore) -> Void
    ) -> Set<Stall.Stage> {
        let before = Stall.Stage.allCases.map { StallTrace.shared.total(of: $0).count }
        let thread = begin(operation, path, body)
        MonotonicClock.sleep(nanoseconds: StallTrace.slowNanoseconds + 1_000_000)
        disk.release()
        thread.join()
        return Set(
            Stall.Stage.allCases.enumerated().filter { StallTrace.shared.total(of: $1).count > before[$0] }.map(
                \.element))
    }

    /// Does `body` on a thread of its own until such a call waits.
    private func begin(
        _ operation: StorageError.Operation, _ path: String, _ body: @escaping @Sendable (LogStore) -> Void
    ) -> Thread {
        disk.stall([operation], pathContains: path)
        let hasEnded = Lock(false)
        let thread = Thread(name: "stalled") { [store] in
            body(store)
            hasEnded.withLock { $0 = true }
        }
        while disk.waitingCalls == 0, !hasEnded.withLock({ $0 }) { MonotonicClock.sleep(milliseconds: 1) }
        #expect(!hasEnded.withLock { $0 }, "no such call was made")
        return thread
    }

    @Test func ofTheJournal() {
        append()
        let told = stages(.write, "journal") { $0.commitPending() }
        #expect(told.isSuperset(of: [.commit, .journalSync]))
    }

    @Test func ofALongRun() {
        append(size: 1 << 20)
        let told = stages(.write, ".log") { $0.commitPending() }
        #expect(told.isSuperset(of: [.commit, .segmentWrite]))
        #expect(
            StallTrace.shared.stalls.contains { $0.stage == .segmentWrite && $0.subject == "stalls-0" && $0.count == 1 }
        )
    }

    @Test func ofACheckpoint() {
        append()
        store.commitPending()
        let told = stages(.sync, ".log") { try? $0.checkpoint() }
        #expect(told.isSuperset(of: [.checkpoint, .segmentSync]))
    }

    @Test func ofWriteBehind() {
        append()
        store.commitPending()
        let told = stages(.write, ".log") { $0.maintain(nowMs: TestStore.now) }
        #expect(told.isSuperset(of: [.writeBehind, .segmentWrite]))
    }

    @Test func ofRemoval() throws {
        append()
        store.commitPending()
        try store.checkpoint()
        let told = stages(.remove, "stalls-0") { [log] store in _ = store.removePartitions([log]) }
        #expect(told.contains(.removal))
    }

    // MARK: Who is not held up

    /// While such a call of `body` waits, `look` is asked once.
    private func during(
        _ operation: StorageError.Operation, _ path: String, _ body: @escaping @Sendable (LogStore) -> Void,
        look: () -> Void
    ) {
        let thread = begin(operation, path, body)
        look()
        disk.release()
        thread.join()
    }

    private var filesAreFree: Bool { log.io.withLockIfAvailable { _ in true } ?? false }

    @Test func aCommitDoesNotWaitForACheckpointsSync() {
        append()
        store.commitPending()
        during(.sync, ".log") {
            try? $0.checkpoint()
        } look: {
            #expect(filesAreFree)
        }
        #expect(!store.isOffline && log.state.withLock { $0.segments[0].needsSync } == false)
    }

    @Test func aCommitDoesNotWaitForTheNamesThatACheckpointSyncs() {
        append()
        store.commitPending()
        during(.syncDirectory, "stalls-0") {
            try? $0.checkpoint()
        } look: {
            #expect(filesAreFree)
        }
        #expect(!store.isOffline && !log.io.withLock { $0.names.hasFile || $0.names.hasFolder })
    }

    @Test func aFileThatIsMadeDuringACheckpointsSyncHasNoDurableNameYet() throws {
        append()
        store.commitPending()
        var settings = LogSettings.small
        settings.segmentBytes = 100
        log.apply(settings)
        during(.syncDirectory, "stalls-0") {
            try? $0.checkpoint()
        } look: {
            append()
            store.commitPending()
            try? log.writeBehind(with: nil)
        }
        #expect(log.segmentCount == 2)
        #expect(log.io.withLock { $0.names.hasFile })
        try store.checkpoint()
        #expect(!log.io.withLock { $0.names.hasFile })
    }

    @Test func whatIsWrittenDuringACheckpointsSyncIsNotTakenForSynced() throws {
        append()
        store.commitPending()
        during(.sync, ".log") {
            try? $0.checkpoint()
        } look: {
            append()
            store.commitPending()
            try? log.writeBehind(with: nil)
        }
        #expect(log.state.withLock { $0.segments[0].needsSync })
        try store.checkpoint()
        #expect(!log.state.withLock { $0.segments[0].needsSync })
    }

    @Test func aCommitDoesNotWaitForFilesToBeRemoved() throws {
        for _ in 0..<3 {
            append(size: 20_000)
            store.commitPending()
        }
        var settings = LogSettings.small
        settings.segmentBytes = 10_000
        settings.retentionBytes = 10_000
        log.apply(settings)
        for _ in 0..<3 {
            append(size: 20_000)
            store.commitPending()
        }
        #expect(log.enforceRetention(nowMs: TestStore.now))
        during(.remove, ".log") {
            try? $0.checkpoint()
        } look: {
            #expect(filesAreFree)
            append(size: 20_000)
            #expect(store.commitPending())
            #expect(log.highWatermark == log.logEndOffset)
        }
        #expect(!store.isOffline)
    }
}
