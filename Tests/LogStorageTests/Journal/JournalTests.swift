import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
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
        #expect(try store.fileSystem.exists(Self.file))
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

    /// Torn and damaged look alike here: what is whole is taken, and it is told of.
    @Test func aLastFrameThatIsNotWholeGivesItsWholeEntries() throws {
        // Anywhere in the frame: its header, an entry, the batch.
        for byte in [0, 5, 12, 20, 30, 33, 44, 64, 70, 100, 150] {
            let store = try journaled(4)
            try store.crash(keeping: .nothing, flip(frame: 3, byte: byte))
            let kept: [Int64] = byte < JournalFormat.headerSize ? [0, 1, 2, 3] : [0, 1, 2]
            #expect(try store.readAll() == kept, "byte \(byte)")
            #expect(store.summary.notices.contains { $0.contains("is not whole") }, "byte \(byte)")
            // What comes next is not mixed up with what was torn.
            store.append()
            store.store.commitPending()
            try store.crash()
            #expect(try store.readAll() == kept + [Int64(kept.count)], "byte \(byte)")
        }
    }

    @Test func aDamagedFrameBeforeOthersCostsItsDamagedEntryAlone() throws {
        for frame in 0...2 {
            // In the frame's header, in an entry's, in its batch.
            for byte in [0, 12, 20, 30, 33, 44, 64, 67, 75, 100, 150] {
                let store = try journaled(4)
                try store.crash(keeping: .nothing, flip(frame: frame, byte: byte))
                let place = "frame \(frame), byte \(byte)"
                let isLost = byte >= 64
                #expect(store.log.logEndOffset == Offset(4), "\(place)")
                for offset in 0..<4 {
                    let found = try? store.read(from: Int64(offset), maxBytes: 1)
                    #expect(found == (isLost && offset == frame ? nil : [Int64(offset)...Int64(offset)]), "\(place)")
                }
                #expect(store.log.quarantine.damaged.count == (isLost ? 1 : 0), "\(place)")
                #expect((store.log.quarantine.endReason != nil) == isLost, "\(place)")
                #expect(store.summary.notices.contains { $0.contains(Self.file) }, "\(place)")
                let aside = try store.fileSystem.list("/data/journal").filter { $0.contains("damaged") }
                #expect(aside.count == 1, "\(place): what was damaged is set aside")
            }
        }
    }

    @Test func theCheckOfAnEntryFindsEveryFlippedBit() {
        let header = UnsafeMutableRawPointer.allocate(byteCount: JournalFormat.entryHeaderSize, alignment: 8)
        defer { header.deallocate() }
        let partition = TopicPartition(topicID: TopicID(high: 0x1234_5678, low: 99), partitionIndex: 7)
        JournalFormat.writeEntryHeader(.batch, partition, value: 1_000_003, length: 1234, truncations: 5, at: header)
        let check = JournalFormat.entryCheck(header)
        for byte in 0..<JournalFormat.entryHeaderSize where byte != 2 && byte != 3 {
            for bit in 0..<8 {
                let value = header.load(fromByteOffset: byte, as: UInt8.self)
                header.storeBytes(of: value ^ (1 << UInt8(bit)), toByteOffset: byte, as: UInt8.self)
                #expect(JournalFormat.entryCheck(header) != check, "byte \(byte), bit \(bit)")
                header.storeBytes(of: value, toByteOffset: byte, as: UInt8.self)
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

    /// The journal still holds batches of a log that was truncated since, at and behind offsets that others have now.
    @Test func whatWasTruncatedIsNotReplayed() throws {
        let store = try truncatedStore()
        for _ in 0..<2 {
            try store.crash()
            #expect(store.log.state.withLock { $0.truncations } == 1)
            #expect(try store.readAll() == [0, 1, 2, 3, 4, 5])
            #expect(store.summary.damage.isEmpty)
            let slice = try #require(try store.log.read(from: Offset(5), maxBytes: 1 << 10).get().loaded().first)
            #expect(
                slice.count == TestBatch(count: 1, valueSize: 33).bytes().count, "the batch of after the truncation")
        }
    }

    /// The same where the partition cannot be opened at first, and its part of the journal is carried.
    @Test func whatWasTruncatedIsNotReplayedLaterEither() throws {
        let store = try truncatedStore()
        try store.crash { $0.inject(Fault(.fail(errno: EACCES), on: .list, pathContains: "/t-0", times: 1)) }
        try #require(store.log.unavailability != nil)
        try store.store.checkpoint()
        store.store.maintain(nowMs: TestStore.now + 2 * PartitionLog.reopenMs)
        #expect(store.log.unavailability == nil)
        #expect(store.log.logEndOffset == Offset(6))
        #expect(try store.readAll() == [0, 1, 2, 3, 4, 5])
    }

    /// What is damaged of a batch that a truncation took away is no loss.
    @Test func aDamagedBatchOfBeforeATruncationIsNotMissed() throws {
        let store = try truncatedStore()
        try store.crash { disk in
            for name in (try? disk.list("/data/journal")) ?? [] {
                let path = "/data/journal/\(name)"
                let bytes = disk.contents(path) ?? []
                let frames = stride(from: 0, to: bytes.count, by: JournalFormat.block).filter { at in
                    bytes[at...].withUnsafeBytes { JournalFormat.open($0) } != nil
                }
                let size = TestBatch(count: 1, valueSize: 100).bytes().count
                // In the second batch of the old frame, behind both entries' headers. The frame of the new batch behind it
                // proves that it had been whole.
                if let frame = frames.dropLast().last {
                    let entry = JournalFormat.entryHeaderSize + size
                    disk.flipBit(path, at: Int64(frame + JournalFormat.headerSize + entry + entry - 10))
                }
            }
        }
        #expect(store.summary.notices.contains { $0.contains("is damaged") }, "the frame was to be damaged")
        #expect(store.summary.damage.isEmpty)
        #expect(try store.readAll() == [0, 1, 2, 3, 4, 5])
        #expect(store.log.logEndOffset == Offset(6))
    }

    /// Makes what a truncation to offset 5 leaves behind: the checkpoint counts it, the journal has batches of before, and
    /// the batch of after it at offset 5.
    private func truncatedStore() throws -> TestStore {
        let store = try TestStore()
        for _ in 0..<5 { store.append() }
        store.log.state.withLock { $0.truncations = 1 }
        try store.checkpoint()
        try journal(store, old: 5...8)
        store.append(size: 33)
        store.store.commitPending()
        return store
    }

    /// Puts batches that no truncation has counted yet into the journal alone.
    private func journal(_ store: TestStore, old offsets: ClosedRange<Int64>) throws {
        try store.store.commits.committer.withLock { committer in
            let journal = try #require(committer.journal)
            for offset in offsets {
                var bytes = TestBatch(count: 1, valueSize: 100).bytes()
                try bytes.withUnsafeMutableBytes { raw in
                    RecordBatchHeader.assign(
                        baseOffset: Offset(offset), partitionLeaderEpoch: LeaderEpoch(0), at: raw.baseAddress!)
                    try journal.add(
                        .batch, store.log.topicPartition, value: offset, truncations: 0,
                        bytes: UnsafeRawBufferPointer(raw))
                }
            }
            try journal.commit()
        }
    }

    /// Frames of version 1 have shorter entries; their salvage is told by the version, or by the first entry's check.
    @Test(arguments: [false, true]) func aDamagedFrameOfVersion1IsSalvaged(isVersionDamaged: Bool) throws {
        let size = try #require(JournalFormat.entryHeaderSize(ofVersion: 1))
        var frame = [UInt8](repeating: 0, count: JournalFormat.block)
        let partition = TopicPartition(topicID: TopicID(high: 3, low: 4), partitionIndex: 2)
        frame.withUnsafeMutableBytes { raw in
            let base = raw.baseAddress!
            for place in 0..<2 {
                let entry = base + JournalFormat.headerSize + place * size
                JournalFormat.writeEntryHeader(
                    .logStart, partition, value: Int64(40 + place), length: 0, truncations: 0, at: entry)
                let check = JournalFormat.entryCheck(entry, size: size)
                entry.storeBytes(of: check.bigEndian, toByteOffset: 2, as: UInt16.self)
            }
            let header = JournalFormat.Header(
                version: 1, generation: 1, sequence: 1, commit: 1, payloadLength: UInt32(2 * size), entryCount: 2)
            _ = JournalFormat.seal(header, at: base)
        }
        let opened = try #require(frame.withUnsafeBytes { JournalFormat.open($0) })
        #expect(try frame.withUnsafeBytes { try JournalFormat.entries(of: opened, in: $0).map(\.value) } == [40, 41])
        frame[44] ^= 1
        if isVersionDamaged { frame[5] ^= 8 }
        #expect(frame.withUnsafeBytes { JournalFormat.open($0) } == nil)
        let salvage = frame.withUnsafeBytes { JournalSalvage($0) }
        #expect(salvage.entries.map(\.value) == [40, 41] && salvage.isComplete)
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

    @Test func aFullJournalSendsCommitsThroughToTheSegments() throws {
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

    @Test func aMissingGenerationClosesTheEndOfWhatItMayHaveHeld() throws {
        let store = try TestStore()
        while try store.fileSystem.list("/data/journal").count < 3 {
            store.append()
            store.store.commitPending()
        }
        try store.crash(keeping: .nothing) { try? $0.remove(Self.file) }
        #expect(store.log.quarantine.endReason != nil)
        #expect(store.log.quarantine.damaged.first?.baseOffset == 0)
        guard case .failure(.corrupt) = store.log.read(from: Offset(0), maxBytes: 1) else {
            Issue.record("offset 0 is not refused")
            return
        }
        // What later generations hold is there.
        let end = store.log.logEndOffset.rawValue
        #expect(try store.read(from: end - 1) == [end - 1...end - 1])
    }

    // MARK: Writes that fail

    /// Whether the write failed or its sync cannot be told, and the file takes nothing more: waiting would be for ever.
    @Test(arguments: [ENOMEM, EAGAIN, ENOSPC, EDQUOT, EIO], [StorageError.Operation.write, .sync])
    func aFrameThatIsNotWrittenDurablyIsFinal(_ errno: Int32, _ operation: StorageError.Operation) throws {
        let store = try journaled(1)
        store.fileSystem.inject(Fault(.fail(errno: errno), on: operation, pathContains: "/journal/"))
        let receipt = store.append()
        store.store.commitPending()
        #expect(store.store.isOffline)
        #expect(store.store.durableTicket < receipt.ticket)
        try store.crash()
        #expect(try store.readAll() == [0])
        #expect(store.summary.damage.isEmpty)
    }

    /// Neighbours whose batches of one commit take two frames; the store's own partition has a batch from before.
    private func storeWithLongCommit() throws -> TestStore {
        let store = try TestStore(neighbours: (0..<4).map { "n\($0)" })
        store.append()
        store.store.commitPending()
        for log in store.neighbours {
            let slice = TestBatch(count: 1, valueSize: 5000).bytes().withUnsafeBytes {
                ChunkPool.shared.slice(copying: $0)
            }
            _ = try log.append(slice, origin: .client, nowMs: TestStore.now).get()
        }
        return store
    }

    /// The frame that failed and the one that takes its place have one number: nothing is lost between them.
    @Test(arguments: [0, 1])
    func aCommitThatFailedInTheMiddleLeavesNoGap(_ place: Int) throws {
        let store = try storeWithLongCommit()
        store.fileSystem.inject(
            Fault(.failHalfway(errno: ENOMEM), on: .write, pathContains: "/journal/", skipping: place))
        #expect(!store.store.commitPending() && !store.store.isOffline)
        #expect(store.store.commitPending())
        try store.crash()
        #expect(store.summary.damage.isEmpty, "\(store.summary.damage)")
        #expect(store.log.refusal(.client) == nil)
        for log in store.neighbours { #expect(log.highWatermark == Offset(1)) }
        #expect(try store.readAll() == [0])
    }

    /// What was tried before does not count as a commit: a torn end behind it is no damage.
    @Test func attemptsThatFailedDoNotProveACommit() throws {
        let store = try storeWithLongCommit()
        store.fileSystem.inject(Fault(.fail(errno: ENOMEM), on: .write, pathContains: "/journal/", skipping: 1))
        #expect(!store.store.commitPending())
        #expect(store.store.commitPending())
        // As a power cut within that commit may leave it.
        try store.crash(keeping: .nothing, flip(frame: 1, byte: 200))
        #expect(store.summary.damage.isEmpty, "\(store.summary.damage)")
        #expect(store.summary.notices.contains { $0.contains("is not whole and was left out") })
        #expect(try store.readAll() == [0])
    }
}
