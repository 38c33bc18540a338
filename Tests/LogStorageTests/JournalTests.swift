import BrokerTestKit
import KafkaModel
import StorageIO
import Testing

@testable import LogStorage

/// The journal's frames: the torn end of the last commit is no damage, and damage is never taken for a torn end.
@Suite struct JournalTests {
    private static let file = "/data/journal/1.journal"

    /// A store whose journal alone holds `commits` commits of one batch, each a frame of one block.
    private func journaled(_ commits: Int) throws -> TestStore {
        let store = try TestStore()
        for _ in 0..<commits {
            store.append()
            store.store.commitPending()
        }
        #expect(store.fileSystem.exists(Self.file))
        return store
    }

    private func flip(frame: Int, byte: Int) -> (SimulatedFileSystem) -> Void {
        { $0.flipBit(Self.file, at: Int64(frame * JournalFormat.block + byte)) }
    }

    @Test func everyCommitIsReplayed() throws {
        let store = try journaled(5)
        try store.crash()
        #expect(store.summary.replayedBatches == 5)
        #expect(store.summary.journalFrames == 5)
        #expect(try store.readAll() == [0, 1, 2, 3, 4])
    }

    @Test func aTornLastFrameIsNotReplayed() throws {
        // Anywhere in the frame: its header, an entry, the batch.
        for byte in [0, 5, 12, 20, 30, 33, 44, 64, 70, 100, 150] {
            let store = try journaled(4)
            try store.crash(keeping: .nothing, flip(frame: 3, byte: byte))
            #expect(try store.readAll() == [0, 1, 2], "byte \(byte)")
            // What comes next is not mixed up with what was torn.
            store.append()
            store.store.commitPending()
            try store.crash()
            #expect(try store.readAll() == [0, 1, 2, 3], "byte \(byte)")
        }
    }

    @Test func aDamagedFrameBeforeOthersIsRefusedWithItsFile() throws {
        for frame in 0...2 {
            for byte in [0, 12, 20, 30, 33, 44, 64, 100] {
                let store = try journaled(4)
                let error = storageError { try store.crash(keeping: .nothing, flip(frame: frame, byte: byte)) }
                guard case .corrupt? = error?.kind else {
                    Issue.record("frame \(frame), byte \(byte): \(String(describing: error))")
                    continue
                }
                #expect(error?.path == Self.file)
            }
        }
    }

    @Test func aFrameIsOpenedOnlyWhole() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 2 * JournalFormat.block, alignment: 4096)
        defer { memory.deallocate() }
        let header = JournalFormat.Header(
            generation: 3, sequence: 9, commit: 7, payloadLength: 200, entryCount: 1)
        memory.initializeMemory(as: UInt8.self, repeating: 0x5a, count: 2 * JournalFormat.block)
        #expect(JournalFormat.seal(header, at: memory) == JournalFormat.block)
        #expect(JournalFormat.open(UnsafeRawBufferPointer(start: memory, count: JournalFormat.block)) == header)
        #expect(JournalFormat.open(UnsafeRawBufferPointer(start: memory, count: 263)) == nil)
        for byte in 0..<264 where byte != 6 && byte != 7 {
            memory.storeBytes(
                of: memory.load(fromByteOffset: byte, as: UInt8.self) ^ 0x10, toByteOffset: byte, as: UInt8.self)
            let opened = JournalFormat.open(UnsafeRawBufferPointer(start: memory, count: JournalFormat.block))
            #expect(opened == nil, "byte \(byte)")
            memory.storeBytes(
                of: memory.load(fromByteOffset: byte, as: UInt8.self) ^ 0x10, toByteOffset: byte, as: UInt8.self)
        }
    }

    @Test func filesAreUsedAgainWithoutMixingGenerations() throws {
        let store = try TestStore()
        var appended: [Int64] = []
        // Many times round; what an earlier use left stands behind the frames of the newest.
        for round in 0..<12 {
            for _ in 0..<(9 + round % 5) {
                appended.append(store.append().baseOffset.rawValue)
                store.store.commitPending()
            }
            if round % 2 == 1 { try store.checkpoint() }
            if round % 3 == 2 { try store.crash() }
        }
        #expect(try store.readAll() == appended)
        #expect(try store.fileSystem.list("/data/journal").count <= Journal.maxFiles)
    }

    @Test func aFullJournalSendsCommitsStraightToTheSegments() throws {
        let store = try TestStore()
        for _ in 0..<200 {
            store.append()
            store.store.commitPending()
        }
        #expect(try store.fileSystem.list("/data/journal").count == Journal.maxFiles)
        #expect(!store.store.isOffline)
        try store.crash()
        #expect(try store.readAll() == Array(0..<200))
    }

    @Test func logStartsFindRoomInAFullJournal() throws {
        let store = try TestStore()
        for _ in 0..<200 {
            store.append()
            store.store.commitPending()
        }
        for start in 1...100 {
            _ = try store.log.deleteRecords(before: Offset(Int64(start))).get()
            store.store.commitPending()
        }
        try store.crash()
        #expect(store.log.logStartOffset == Offset(100))
        #expect(try store.readAll() == Array(100..<200))
    }

    @Test func aMissingGenerationIsRefused() throws {
        let store = try TestStore()
        while try store.fileSystem.list("/data/journal").count < 3 {
            store.append()
            store.store.commitPending()
        }
        let error = storageError {
            try store.crash(keeping: .nothing) { try? $0.remove(Self.file) }
        }
        guard case .corrupt? = error?.kind else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}
