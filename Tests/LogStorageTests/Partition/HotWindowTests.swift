import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// Who follows within seconds reads from memory, as far as the machine has it; who does not costs none.
@Suite struct HotWindowTests {
    /// A machine whose memory the test decides.
    final class Machine: MachineMemory {
        private let now: Lock<MemoryLook?>
        private let meanwhile = Lock<(@Sendable () -> Void)?>(nil)
        init(_ bytes: Int) { now = Lock(MemoryLook(availableBytes: bytes)) }
        func set(_ look: MemoryLook?) { now.withLock { $0 = look } }

        /// Calls this during the next look.
        func atNextLook(_ body: @escaping @Sendable () -> Void) { meanwhile.withLock { $0 = body } }

        func look() -> MemoryLook? {
            meanwhile.withLock { $0.take() }?()
            return now.withLock { $0 }
        }
    }

    private let clock = ManualClock()

    /// A batch of 9,000 bytes takes a chunk of 16 KiB.
    private static let batch = 9000
    private static let chunk = 16 << 10

    private func node(
        window: Int = 4 << 20, base: Int = 40_000, pace: Int = 1 << 30, machine: (any MachineMemory)? = nil,
        settings: LogSettings? = nil
    ) throws -> TestStore {
        var options = TestStore.options
        options.direct = true
        options.cacheBytes = base
        options.windowBytes = window
        options.windowPaceBytes = pace
        options.machineMemory = machine
        options.windowClock = { [clock] in Int(clock.nanoseconds) }
        var settings = settings ?? TestStore.settings
        settings.maxBatchBytes = 8 << 20
        return try TestStore(options: options, settings: settings)
    }

    private func write(_ node: TestStore, _ count: Int = 1) {
        for _ in 0..<count {
            node.append(count: 1, size: Self.batch)
            node.store.commitPending()
        }
    }

    /// Made once: a checksum of so much takes long in a debug build.
    private static let largeBatch = TestBatch(count: 1, valueSize: 1_000_000).bytes()

    private func writeLarge(_ node: TestStore) {
        let slice = Self.largeBatch.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        guard case .success = node.log.append(slice, origin: .broker, nowMs: TestStore.now) else {
            preconditionFailure("refused")
        }
        node.store.commitPending()
    }

    /// Passes so many seconds, counted from where the test is.
    private func pass(_ seconds: Int, _ node: TestStore, from second: inout Int64) {
        for _ in 0..<seconds {
            second += 1
            clock.advance(by: .seconds(1))
            node.store.maintain(nowMs: TestStore.now + 1000 * second)
        }
    }

    private func fileReads(_ node: TestStore) -> Int { node.store.statistics.fileReads.load(ordering: .relaxed) }
    private func kept(_ node: TestStore) -> Int { node.store.memory.keptBytes }
    private func inTail(_ node: TestStore) -> Int { node.log.state.withLock { $0.tail.count } }

    // MARK: What stays

    @Test func aFollowerWithinTheWindowReadsNothingFromTheDisk() throws {
        let node = try node()
        _ = try node.read(from: 0)
        // As far behind as thirty times what stays in any case.
        let behind = 80
        write(node, behind)
        for offset in 0..<200 as Range<Int64> {
            write(node)
            let calls = node.fileSystem.callCount
            #expect(try node.read(from: offset, maxBytes: 1) == [offset...offset])
            #expect(node.fileSystem.callCount == calls)
        }
        #expect(fileReads(node) == 0)
        #expect(node.store.statistics.memoryReads.load(ordering: .relaxed) == 200)
    }

    @Test func whatIsServedIsWhatTheFileHas() throws {
        let node = try node()
        for round in 0..<30 {
            node.append(count: 2, size: round % 3 == 2 ? 100 : 5000 + round * 37)
            node.store.commitPending()
            if round % 4 == 3 { try node.checkpoint() }
        }
        try node.checkpoint()
        let fromMemory = try node.log.read(from: .zero, maxBytes: 1 << 20).get().slices.flatMap(\.array)
        node.log.evict(through: .max)
        #expect(inTail(node) == 0)
        let fromFile = try node.log.read(from: .zero, maxBytes: 1 << 20).get().loaded().flatMap(\.array)
        #expect(fromMemory == fromFile)
        #expect(fromMemory.count == Int(node.log.sizeInBytes))
    }

    @Test func whoComesSecondsAfterTheFirstRecordReadsNothingFromTheDisk() throws {
        // A quarter of a second's worth at a time is calm.
        let node = try node(pace: 400_000)
        var second: Int64 = 0
        for _ in 0..<10 {
            write(node, 10)
            pass(1, node, from: &second)
        }
        #expect(try node.readAll() == Array(0..<100))
        #expect(fileReads(node) == 0)
    }

    @Test func aLogThatNobodyReadsTakesNothingOnceItsStartIsTooOld() throws {
        let node = try node()
        var second: Int64 = 0
        let lifetime = node.store.memory.window.lifetime
        for _ in 0..<lifetime {
            write(node, 5)
            pass(1, node, from: &second)
        }
        #expect(inTail(node) == 5 * lifetime)
        pass(2, node, from: &second)
        write(node)
        #expect(inTail(node) == 0)
        #expect(kept(node) == 0)
        for _ in 0..<3 {
            pass(1, node, from: &second)
            write(node, 5)
            #expect(inTail(node) == 0)
        }
    }

    @Test func manySmallBatchesAreNotKeptForNobody() throws {
        let node = try node(window: 64 << 20)
        func write(_ count: Int) throws {
            for _ in 0..<count { node.append(count: 1, size: 10) }
            try node.checkpoint()
        }
        try write(PartitionLog.State.fewBatches)
        #expect(inTail(node) == PartitionLog.State.fewBatches)
        try write(1)
        #expect(inTail(node) == 0)
    }

    @Test func aLogWhoseStartIsOnTheDiskAloneIsKeptOnceSomebodyReadsIt() throws {
        let node = try node()
        write(node, 5)
        try node.restart()
        write(node, 5)
        #expect(inTail(node) == 0)
        _ = try node.read(from: 9)
        write(node, 5)
        #expect(inTail(node) == 5)
    }

    @Test func whereMoreIsWrittenThanThePaceNothingStaysForNobody() throws {
        let node = try node(pace: 100)
        var second: Int64 = 0
        write(node, 3)
        #expect(inTail(node) == 0)
        #expect(!node.store.memory.window.keepsNewLogs)
        // Until a second has passed in which nothing was written.
        pass(1, node, from: &second)
        #expect(!node.store.memory.window.keepsNewLogs)
        pass(1, node, from: &second)
        #expect(node.store.memory.window.keepsNewLogs)
        // Readers are followers at any pace.
        _ = try node.read(from: 0)
        write(node, 2)
        #expect(inTail(node) == 2)
    }

    @Test func whatIsAboveTheHighWatermarkIsNotServed() throws {
        let node = try node()
        write(node, 2)
        node.log.holdHighWatermark()
        write(node, 3)
        #expect(inTail(node) == 5)
        #expect(try node.readAll() == [0, 1])
        #expect(try node.read(from: 2).isEmpty)
        node.log.advanceHighWatermark(to: Offset(4))
        #expect(try node.readAll() == [0, 1, 2, 3])
        #expect(fileReads(node) == 0)
    }

    // MARK: How much

    @Test func theBudgetIsKeptAndTheOldestGoFirst() throws {
        let node = try node(window: 200_000)
        _ = try node.read(from: 0)
        for _ in 0..<50 {
            write(node)
            _ = try node.read(from: node.log.logEndOffset.rawValue)
            #expect(kept(node) <= 200_000)
        }
        let kept = node.log.state.withLock { state in (0..<state.tail.count).map { state.tail[$0].baseOffset } }
        #expect(kept == Array(50 - Int64(kept.count)..<50))
        #expect(kept.count == 200_000 / (Self.chunk + TailMemory.batchBytes))
        #expect(try node.readAll() == Array(0..<50))
    }

    /// A checkpoint that waits for a slow disk holds up the ticks.
    @Test func itGrowsWithTimeAlsoWithoutTicks() throws {
        let node = try node(pace: 100_000)
        func follow() throws {
            _ = try node.read(from: node.log.logEndOffset.rawValue)
            write(node, 2)
        }
        for _ in 0..<9 {
            try follow()
            clock.advance(by: .seconds(1))
        }
        #expect(inTail(node) == 18)
        // Not by a look that is old.
        clock.advance(by: .seconds(2))
        let limit = node.store.memory.window.limit
        try follow()
        #expect(node.store.memory.window.limit == limit)
        #expect(inTail(node) == 18)
        var second: Int64 = 0
        pass(1, node, from: &second)
        try follow()
        #expect(inTail(node) == 20)
    }

    @Test func whileMuchIsWrittenItDoesNotGrow() throws {
        let node = try node(pace: 100_000)
        var second: Int64 = 0
        for _ in 0..<5 {
            _ = try node.read(from: node.log.logEndOffset.rawValue)
            write(node, 10)
            pass(1, node, from: &second)
        }
        let limit = node.store.memory.window.limit
        #expect(limit < 100_000)
        for _ in 0..<5 {
            _ = try node.read(from: node.log.logEndOffset.rawValue)
            write(node, 10)
            #expect(kept(node) <= limit)
            pass(1, node, from: &second)
        }
    }

    /// A reader beside a writer that does all it can must cost what it costs without a window.
    @Test func whoWritesAllHeCanFromTheStartHasNoMoreThanWithoutAWindow() throws {
        let node = try node(pace: 1_000_000)
        var second: Int64 = 0
        var hurried = 0
        for place in 0..<200 {
            _ = try node.read(from: node.log.logEndOffset.rawValue)
            write(node)
            // Four times the pace.
            clock.advance(by: .milliseconds(2))
            if !node.store.memory.window.isCalm {
                hurried += 1
                #expect(node.store.memory.window.limit == 40_000)
                #expect(kept(node) <= 40_000)
            }
            if place % 100 == 99 { pass(1, node, from: &second) }
        }
        // It is seen within a quarter of a second's worth of the pace.
        #expect(hurried > 150)
    }

    @Test func whereMuchIsWrittenForLongItIsGivenBack() throws {
        let node = try node(pace: 100_000)
        var second: Int64 = 0
        func follow(_ count: Int) throws {
            _ = try node.read(from: node.log.logEndOffset.rawValue)
            write(node, count)
            pass(1, node, from: &second)
        }
        for _ in 0..<6 { try follow(2) }
        let grown = node.store.memory.window.limit
        #expect(grown > 100_000)
        // A burst of a second costs nothing.
        try follow(10)
        #expect(node.store.memory.window.limit >= grown)
        try follow(1)
        #expect(kept(node) > 100_000)
        for _ in 0..<WindowBudget.maxHurriedTicks { try follow(10) }
        #expect(node.store.memory.window.limit == 40_000)
        #expect(kept(node) <= 40_000)
        // It grows again once it is calm.
        for _ in 0..<4 { try follow(2) }
        #expect(kept(node) > 60_000)
    }

    @Test func itsShareFollowsTheMachine() throws {
        let machine = Machine(8 << 20)
        let node = try node(machine: machine)
        _ = try node.read(from: 0)
        write(node, 100)
        #expect(kept(node) > 1_500_000)
        // Others have taken the memory.
        machine.set(MemoryLook(availableBytes: 500_000))
        var second: Int64 = 0
        let before = kept(node)
        pass(1, node, from: &second)
        #expect(node.store.memory.window.limit == (500_000 + before) / 100 * 25)
        #expect(kept(node) <= node.store.memory.window.limit)
        // What cannot be told is not there.
        machine.set(nil)
        pass(1, node, from: &second)
        #expect(kept(node) <= 40_000)
        #expect(try node.readAll() == Array(0..<100))
    }

    @Test func whatComesDuringALookDoesNotLeaveForIt() throws {
        let machine = Machine(1 << 30)
        let node = try node(machine: machine)
        write(node, 100)
        let (log, store) = (node.log, node.store)
        let bytes = TestBatch(count: 1, valueSize: Self.batch).bytes()
        machine.atNextLook {
            let slice = bytes.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            _ = log.append(slice, origin: .broker, nowMs: TestStore.now)
            store.commitPending()
        }
        var second: Int64 = 0
        pass(1, node, from: &second)
        #expect(inTail(node) == 101)
        pass(1, node, from: &second)
        #expect(inTail(node) == 101)
    }

    @Test func underPressureHalfIsGivenBackEverySecond() throws {
        let machine = Machine(1 << 30)
        let node = try node(machine: machine)
        _ = try node.read(from: 0)
        write(node, 100)
        var second: Int64 = 0
        pass(1, node, from: &second)
        var before = kept(node)
        #expect(before > 1_500_000)
        machine.set(MemoryLook(availableBytes: 1 << 30, pressurePercent: 40))
        while before > 100_000 {
            pass(1, node, from: &second)
            #expect(kept(node) <= before / 2)
            before = kept(node)
        }
        pass(2, node, from: &second)
        #expect(kept(node) <= 40_000)
    }

    @Test func batchesOfOneChunkCountItOnce() throws {
        let node = try node()
        let bytes = TestBatch(count: 1, valueSize: 1000).bytes()
        let chunk = ChunkPool.shared.chunk(atLeast: 16 << 10)
        for place in 0..<4 {
            let offset = place * 2048
            bytes.withUnsafeBytes { (chunk.base + offset).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            let slice = ByteSlice(chunk: chunk, offset: offset, count: bytes.count)
            guard case .success = node.log.append(slice, origin: .client, nowMs: TestStore.now) else {
                preconditionFailure("refused")
            }
        }
        try node.checkpoint()
        #expect(inTail(node) == 4)
        #expect(kept(node) == chunk.capacity + 4 * TailMemory.batchBytes)
        node.log.evict(through: 2)
        #expect(kept(node) == chunk.capacity + TailMemory.batchBytes)
        node.log.evict(through: 3)
        #expect(kept(node) == 0)
    }

    // MARK: When it goes

    @Test func whenNobodyFollowsItIsGivenBack() throws {
        let node = try node()
        _ = try node.read(from: 0)
        write(node, 100)
        var second: Int64 = 0
        pass(node.store.memory.window.lifetime, node, from: &second)
        #expect(kept(node) > 1_500_000)
        pass(2, node, from: &second)
        #expect(kept(node) <= 40_000)
    }

    @Test func aStoreAtRestKeepsLittle() throws {
        let node = try node(window: 0, base: 32 << 20)
        _ = try node.read(from: 0)
        for _ in 0..<12 {
            writeLarge(node)
        }
        #expect(kept(node) > 12 << 20)
        #expect(node.store.memory.isTickWanted)
        var second: Int64 = 0
        pass(TailMemory.restLifetimes * node.store.memory.window.lifetime + 2, node, from: &second)
        #expect(kept(node) <= TailMemory.restBytes)
    }

    @Test func deletedRecordsLeaveIt() throws {
        let node = try node()
        write(node, 10)
        _ = try node.log.deleteRecords(before: Offset(7)).get()
        #expect(inTail(node) == 3)
        #expect(kept(node) == 3 * (Self.chunk + TailMemory.batchBytes))
        #expect(try node.readAll() == [7, 8, 9])
    }

    @Test func moreDeletedRecordsThanOneCallLetsGoOfLeaveAtTheNextLook() throws {
        let node = try node(window: 256 << 20, base: 1 << 20)
        for _ in 0..<80 { writeLarge(node) }
        #expect(inTail(node) == 80)
        _ = try node.log.deleteRecords(before: Offset(79)).get()
        let left = inTail(node)
        #expect(left > 40 && left < 60)
        // No second has to pass.
        node.store.windowKeeper.look(nowMs: TestStore.now)
        #expect(inTail(node) == 1)
        #expect(kept(node) <= 3 << 20)
    }

    /// The machine's other programs do not wait for a slow disk.
    @Test func itIsGivenBackWhileACheckpointWaitsForTheDisk() throws {
        let machine = Machine(1 << 30)
        let disk = StallingFileSystem(SimulatedFileSystem())
        var options = TestStore.options
        options.cacheBytes = 40_000
        options.windowBytes = 64 << 20
        options.windowPaceBytes = 1 << 30
        options.machineMemory = machine
        let store = try LogStore(fileSystem: disk, folder: "/data", options: options, pool: ChunkPool())
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: .small,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: TestStore.now)
        let bytes = TestBatch(count: 1, valueSize: 1_000_000).bytes()
        for _ in 0..<12 {
            let slice = bytes.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            guard case .success = log.append(slice, origin: .broker, nowMs: TestStore.now) else {
                preconditionFailure("refused")
            }
            store.commitPending()
        }
        #expect(store.memory.keptBytes > 12 << 20)
        disk.stall([.write], pathContains: "checkpoint")
        store.start()
        store.requests.raise(.checkpoint)
        while disk.waitingCalls == 0 { MonotonicClock.sleep(milliseconds: 1) }
        machine.set(nil)
        // The thread looks after the window beside the one that waits.
        while store.memory.keptBytes > 40_000 { MonotonicClock.sleep(milliseconds: 1) }
        #expect(disk.waitingCalls > 0)
        disk.release()
        try store.stop()
    }

    @Test func aDeletedPartitionLeavesIt() throws {
        let node = try node()
        write(node, 10)
        try node.store.removePartition(node.log)
        #expect(kept(node) == 0)
        #expect(node.store.memory.unsettledBytes == 0)
    }

    @Test func expiredSegmentsLeaveIt() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 30_000
        settings.retentionBytes = 30_000
        let node = try node(settings: settings)
        write(node, 12)
        #expect(inTail(node) == 12)
        #expect(node.log.enforceRetention(nowMs: TestStore.now))
        let start = node.log.logStartOffset.rawValue
        #expect(start > 0)
        #expect(node.log.state.withLock { $0.tail.first!.baseOffset } == start)
        #expect(try node.readAll() == Array(start..<12))
    }

    @Test func aPartitionThatIsWrittenFasterAgainGivesItsWindowBackInParts() throws {
        let node = try node(window: 256 << 20, base: 1 << 20)
        for _ in 0..<80 {
            writeLarge(node)
        }
        #expect(inTail(node) == 80)
        node.store.memory.window.count(settled: 1 << 40)
        writeLarge(node)
        let left = inTail(node)
        #expect(left > 40 && left < 60)
        for _ in 0..<2 {
            writeLarge(node)
        }
        #expect(inTail(node) == 0)
        #expect(kept(node) == 0)
    }

    @Test func anAppendLetsGoOfNoMoreThanAPartOfAWindowThatHasShrunk() throws {
        let machine = Machine(1 << 30)
        let node = try node(window: 256 << 20, base: 1 << 20, machine: machine)
        _ = try node.read(from: 0)
        for _ in 0..<80 { writeLarge(node) }
        #expect(inTail(node) == 80)
        machine.set(nil)
        #expect(node.store.memory.window.advance(nowMs: TestStore.now, kept: kept(node)))
        _ = try node.read(from: node.log.logEndOffset.rawValue)
        writeLarge(node)
        let left = inTail(node)
        #expect(left > 40 && left < 60)
        // The maintaining thread does the rest.
        var second: Int64 = 0
        pass(1, node, from: &second)
        #expect(kept(node) <= 1 << 20)
    }

    @Test func deadEntriesAreTakenOut() throws {
        var queue = EvictionQueue()
        let node = try node()
        for offset in 0..<EvictionQueue.minCrowd { queue.add(.init(log: node.log, lastOffset: Int64(offset), tick: 0)) }
        #expect(queue.isCrowded)
        let all = queue.takeAll()
        queue.add(.init(log: node.log, lastOffset: -1, tick: 9))
        var live = FIFO<EvictionQueue.Entry>()
        live.append(all[7])
        queue.putBack(live)
        #expect(!queue.isCrowded)
        #expect(queue.next()?.lastOffset == 7)
        #expect(queue.next(before: 9)?.lastOffset == nil)
        #expect(queue.next()?.lastOffset == -1)
        #expect(queue.next() == nil)
    }
}
