import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// A start that can make no checkpoint: what it found in the journal stays where it is, and what comes after it follows a
/// generation that was left out.
@Suite struct FullStartTests {
    enum Want: CaseIterable { case space, descriptors }
    enum End: CaseIterable { case powerCut, kill }

    /// Starts again where no checkpoint can be made.
    private func start(_ store: TestStore, _ end: End, _ want: Want) throws {
        let lack = { (disk: SimulatedFileSystem) in
            switch want {
            case .space: disk.capacity = disk.usedBytes
            case .descriptors:
                disk.inject(Fault(.fail(errno: EMFILE), on: .open, pathContains: "/checkpoint.tmp", times: .max))
            }
        }
        switch end {
        case .powerCut: try store.crash(keeping: .nothing, lack)
        case .kill: try store.kill(lack)
        }
        #expect(store.store.statistics.checkpoints.load(ordering: .relaxed) == 0)
    }

    /// What was wanting is there, and a commit sees it before any checkpoint is tried again.
    private func relieve(_ store: TestStore) {
        store.fileSystem.capacity = nil
        store.fileSystem.removeFaults()
        store.store.diskSpace.check()
        store.store.diskSpace.expireAllowance()
    }

    private func commit(_ store: TestStore, _ count: Int = 1, size: Int = 100) {
        for _ in 0..<count {
            let receipt = store.append(size: size)
            store.store.commitPending()
            #expect(store.store.durableTicket >= receipt.ticket)
        }
    }

    /// Everything is there in any end.
    private func expect(_ offsets: [Int64], in store: TestStore, _ end: End) throws {
        switch end {
        case .powerCut: try store.crash(keeping: .nothing)
        case .kill: try store.kill()
        }
        #expect(store.summary.damage.isEmpty)
        #expect(try store.readAll() == offsets)
    }

    /// The journal is the only copy, and what a failed sync left of it is in the page cache alone.
    @Test(arguments: Want.allCases) func whatReadersSeeIsDurable(_ want: Want) throws {
        for seed in UInt64(1)...10 {
            let store = try TestStore(SimulatedFileSystem(seed: seed))
            commit(store, 5)
            for _ in 0..<3 { store.append(size: 2000) }
            store.fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, pathContains: ".journal"))
            store.store.commitPending()
            #expect(store.store.isOffline)
            try start(store, .kill, want)
            let seen = try store.readAll()
            #expect(seen == Array(0..<8))
            store.fileSystem.dropCaches()
            try start(store, .powerCut, want)
            #expect(try store.readAll() == seen)
            try expect(seen, in: store, .powerCut)
        }
    }

    /// The edges hold back their input by what the store's pool has handed out. Batches that cannot be written yet are no input,
    /// and a journal full of them would leave no room for a single request.
    @Test func whatAStartFoundHoldsBackNoInput() throws {
        let store = try TestStore()
        let before = store.store.chunkPool.outstandingBytes
        commit(store, 12, size: 3000)
        try start(store, .powerCut, .space)
        #expect(store.store.memory.unsettledBytes > 30_000)
        #expect(store.store.chunkPool.outstandingBytes <= before)
        relieve(store)
        store.store.maintain(nowMs: TestStore.now)
        #expect(store.store.memory.unsettledBytes == 0 && store.store.replayPool.outstandingBytes == 0)
        try expect(Array(0..<12), in: store, .powerCut)
    }

    /// A log start has no other road than the journal.
    @Test(arguments: Want.allCases, End.allCases)
    func theGenerationThatAStartLeavesOutIsNotMissed(_ want: Want, _ end: End) throws {
        let store = try TestStore(neighbours: ["u"])
        commit(store, 5)
        for logStart in Int64(1)...3 {
            try start(store, end, want)
            relieve(store)
            _ = try store.log.deleteRecords(before: Offset(logStart)).get()
            #expect(store.store.commitPending())
        }
        try expect([3, 4], in: store, end)
        #expect(store.summary.notices.isEmpty)
    }

    /// Though nothing is in memory that waits for its segment.
    @Test(arguments: Want.allCases) func theCheckpointIsTriedAgainSoon(_ want: Want) throws {
        let store = try TestStore()
        try store.restart()
        #expect(!store.store.maintenance.isRoundDueSoon)
        try start(store, .powerCut, want)
        #expect(store.store.memory.unsettledBytes == 0)
        #expect(store.store.maintenance.isRoundDueSoon)
        relieve(store)
        store.store.maintain(nowMs: TestStore.now)
        #expect(store.store.statistics.checkpoints.load(ordering: .relaxed) == 1)
        #expect(!store.store.maintenance.isRoundDueSoon)
    }

    /// The start finds nothing behind the checkpoint, and the next one begins with the gap.
    @Test(arguments: Want.allCases) func nothingIsMissedBehindACheckpointEither(_ want: Want) throws {
        let store = try TestStore(neighbours: ["u"])
        commit(store, 5)
        try store.store.stop()
        try start(store, .powerCut, want)
        relieve(store)
        _ = try store.log.deleteRecords(before: Offset(2)).get()
        #expect(store.store.commitPending())
        try expect([2, 3, 4], in: store, .powerCut)
    }

    /// Where a generation with frames is gone, it is told.
    @Test func aGenerationThatIsLostBeforeAGapIsTold() throws {
        let store = try TestStore(neighbours: ["u"])
        commit(store, 5)
        try store.crash()
        commit(store, 5)
        try start(store, .powerCut, .descriptors)
        relieve(store)
        _ = try store.log.deleteRecords(before: Offset(2)).get()
        #expect(store.store.commitPending())
        try store.crash { disk in
            for name in ["1", "2"] {
                guard let bytes = disk.contents("/data/journal/\(name).journal"),
                    let header = bytes.withUnsafeBytes({ JournalFormat.open($0) }), header.entryCount == 1,
                    header.payloadLength > 100
                else { continue }
                try? disk.remove("/data/journal/\(name).journal")
            }
        }
        #expect(!store.summary.damage.isEmpty)
    }

    /// The commit that the stop tore claims offsets that others are given afterwards.
    @Test(arguments: Want.allCases, End.allCases)
    func whatTheStopToreDoesNotTakeThePlaceOfWhatIsAcknowledged(_ want: Want, _ end: End) throws {
        // In the batch: it is not whole. In the header of its frame: it is, and counts.
        for byte in [150, 12] {
            let store = try TestStore()
            commit(store, 3)
            store.append(size: 300)
            store.store.commitPending()
            store.fileSystem.flipBit("/data/journal/1.journal", at: Int64(3 * JournalFormat.block + byte))
            try start(store, end, want)
            var kept: [Int64] = byte == 12 ? [0, 1, 2, 3] : [0, 1, 2]
            #expect(try store.readAll() == kept)
            relieve(store)
            commit(store, 2)
            kept += [Int64(kept.count), Int64(kept.count) + 1]
            try expect(kept, in: store, end)
            // With the checkpoint that this start makes what was torn is kept for who wants to look at it.
            let aside = try store.fileSystem.list("/data/journal").filter { $0.contains("damaged") }
            #expect(aside.count == 1)
        }
    }

    /// A commit of two frames whose first is torn was left out as a whole. The second one is whole, and claims an offset that
    /// another batch is given afterwards.
    @Test(arguments: Want.allCases) func whatWasLeftOutDoesNotComeBack(_ want: Want) throws {
        let store = try TestStore(neighbours: ["u", "v"])
        commit(store)
        let run = TestBatch(count: 1, valueSize: 7000).bytes()
        for log in [store.log] + store.neighbours {
            let slice = run.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            _ = try log.append(slice, origin: .client, nowMs: TestStore.now).get()
        }
        store.store.commitPending()
        store.fileSystem.flipBit("/data/journal/1.journal", at: Int64(JournalFormat.block + 12))
        try start(store, .powerCut, want)
        #expect(store.neighbours.map(\.logEndOffset) == [Offset(0), Offset(0)])
        relieve(store)
        let slice = TestBatch(count: 3, valueSize: 50).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        let receipt = try store.neighbours[1].append(slice, origin: .client, nowMs: TestStore.now).get()
        _ = try store.log.deleteRecords(before: Offset(1)).get()
        store.store.commitPending()
        #expect(store.store.durableTicket >= receipt.ticket)
        try store.crash(keeping: .nothing)
        #expect(store.summary.damage.isEmpty)
        #expect(store.neighbours.map(\.logEndOffset) == [Offset(0), Offset(3)])
        #expect(store.log.logStartOffset == Offset(1))
    }

    /// Many commits after such a start, over more generations than there are files.
    @Test(arguments: Want.allCases, End.allCases)
    func whatIsAcknowledgedOverManyGenerationsIsThere(_ want: Want, _ end: End) throws {
        let store = try TestStore(neighbours: ["u"])
        commit(store, 5)
        for round in 0..<4 {
            let before = try store.readAll()
            try start(store, end, want)
            #expect(try store.readAll() == before)
            relieve(store)
            commit(store, 3)
            store.store.maintain(nowMs: TestStore.now + Int64(round))
            #expect(store.store.statistics.checkpoints.load(ordering: .relaxed) == 1)
            for _ in 0..<6 {
                commit(store, 12, size: 3000)
                if round % 2 == 0 { try store.store.checkpoint() }
            }
            commit(store, 1)
            try expect(Array(0..<Int64(before.count + 76)), in: store, end)
        }
    }
}
