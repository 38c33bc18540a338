import BrokerTestKit
import Glibc
import StorageIO
import Testing

@Suite struct FaultTests {
    let fileSystem = SimulatedFileSystem(seed: 1)

    private func file(_ path: String = "a") throws -> any StorageFile {
        try fileSystem.open(path, .readWrite(create: true))
    }

    @Test func theNthCallFailsAndOnlyThat() throws {
        let file = try file()
        fileSystem.inject(Fault(.fail(errno: EIO), on: .write, pathContains: "a", skipping: 2))
        for attempt in 0..<5 {
            let error = storageError { try file.write([UInt8(attempt)], at: Int64(attempt)) }
            #expect(error == (attempt == 2 ? StorageError(.io(errno: EIO), .write, path: "a") : nil))
        }
        #expect(fileSystem.contents("a") == [0, 1, 0, 3, 4])
    }

    @Test func everyKindOfCallCanFail() throws {
        let file = try file()
        try fileSystem.createDirectory("x")
        let calls: [(StorageError.Operation, () throws -> Void)] = [
            (.open, { _ = try fileSystem.open("a", .read) }),
            (.read, { _ = try file.read(1, at: 0) }),
            (.size, { _ = try file.size() }),
            (.truncate, { try file.truncate(to: 1) }),
            (.allocate, { try file.allocate(upTo: 1) }),
            (.rename, { try fileSystem.rename("a", to: "b") }),
            (.remove, { try fileSystem.remove("a") }),
            (.createDirectory, { try fileSystem.createDirectory("y") }),
            (.syncDirectory, { try fileSystem.syncDirectory("x") }),
            (.list, { _ = try fileSystem.list("x") }),
            (.lock, { _ = try fileSystem.lock("l") }),
            (.freeBytes, { _ = try fileSystem.freeBytes("x") }),
            (.syncAll, { try fileSystem.syncAll("x") }),
            (.write, { try file.write([1], at: 0) }),
            (.sync, { try file.sync() }),
        ]
        for (operation, call) in calls {
            fileSystem.removeFaults()
            fileSystem.inject(Fault(.fail(errno: EDOM), on: operation))
            let error = storageError(call)
            #expect(error?.errno == EDOM && error?.operation == operation)
        }
        #expect(try fileSystem.exists("a"), "what failed did nothing")
    }

    @Test func aWriteThatFailsHalfwayLeavesAPart() throws {
        var lengths: Set<Int> = []
        for seed in 1...40 as ClosedRange<UInt64> {
            let fileSystem = SimulatedFileSystem(seed: seed)
            fileSystem.inject(Fault(.failHalfway(errno: EIO), on: .write))
            let file = try fileSystem.open("a", .createNew)
            let error = storageError {
                try file.write([UInt8](repeating: 1, count: 100), at: 0)
            }
            #expect(error?.errno == EIO)
            lengths.insert(fileSystem.contents("a")?.count ?? -1)
        }
        #expect(lengths.count > 10 && lengths.allSatisfy { (0...100).contains($0) })
    }

    @Test func aFullDiskStoresWhatFitsAndHasRoomAgainAfterARemoval() throws {
        fileSystem.capacity = 3 * 4096
        let kept = try file("kept")
        try kept.write([1], at: 0)
        let file = try file()
        let error = storageError {
            try file.write([UInt8](repeating: 1, count: 10_000), at: 0)
        }
        #expect(error?.isNoSpace == true)
        #expect(fileSystem.contents("a")?.count == 8192)
        #expect(try fileSystem.freeBytes(".").free == 0)
        #expect(storageError { try file.allocate(upTo: 9000) }?.isNoSpace == true)
        try kept.write([2, 3], at: 0)

        try fileSystem.remove("a")
        #expect(try fileSystem.freeBytes(".").free == 0, "it is still open")
        file.close()
        #expect(try fileSystem.freeBytes(".") == (2 * 4096, 3 * 4096))
        try kept.write([4], at: 9000)
        #expect(fileSystem.usedBytes == 2 * 4096)
    }

    @Test func allocatedSpaceIsCountedOnceAndWrittenWithoutMore() throws {
        fileSystem.capacity = 2 * 4096
        let file = try file()
        try file.allocate(upTo: 8192)
        #expect(try fileSystem.freeBytes(".").free == 0)
        try file.write([UInt8](repeating: 1, count: 8192), at: 0)
        #expect(storageError { try file.write([1], at: 8192) }?.isNoSpace == true)
    }

    // MARK: Syncs that fail

    @Test func afterAFailedSyncTheFileIsOutOfServiceAndBytesMayBeLost() throws {
        var survivors: Set<[UInt8]?> = []
        for seed in 1...60 as ClosedRange<UInt64> {
            let fileSystem = SimulatedFileSystem(seed: seed)
            try fileSystem.writeAtomically("a", [0])
            let file = try fileSystem.open("a", .readWrite(create: false))
            try file.write([1], at: 0)
            fileSystem.inject(Fault(.fail(errno: EIO), on: .sync))
            #expect(storageError { try file.sync() }?.kind == .io(errno: EIO))
            #expect(storageError { try file.sync() }?.kind == .outOfService(errno: EIO))
            let write = storageError { try file.write([2], at: 0) }
            #expect(write?.kind == .outOfService(errno: EIO))
            #expect(try file.read(1, at: 0) == [1], "the cache still shows it")

            // A file opened now hears nothing of the failure, and its sync does not bring the bytes back.
            let later = try fileSystem.open("a", .readWrite(create: false))
            try later.sync()
            let after = fileSystem.crash(keeping: .everything).contents("a")
            survivors.insert(after)
            fileSystem.dropCaches()
            #expect(fileSystem.contents("a") == after)
        }
        #expect(survivors == [[0], [1]])
    }

    @Test func aSectorThatWasLostIsSyncedOnceItIsWrittenAgain() throws {
        try fileSystem.writeAtomically("a", [0])
        let first = try file()
        try first.write([1], at: 0)
        fileSystem.inject(Fault(.fail(errno: EIO), on: .sync))
        _ = storageError { try first.sync() }
        let second = try file()
        try second.write([2], at: 0)
        try second.sync()
        #expect(fileSystem.crash(keeping: .nothing).contents("a") == [2])
    }

    @Test func everyOpenFileHearsOfAFailedSyncOnce() throws {
        let first = try file()
        let second = try file()
        try first.write([1], at: 0)
        fileSystem.inject(Fault(.fail(errno: EIO), on: .sync))
        #expect(storageError { try first.sync() } != nil)
        #expect(storageError { try second.sync() }?.kind == .io(errno: EIO))
    }

    @Test func aFaultOfASyncMeetsADurableWrite() throws {
        let file = try file()
        fileSystem.inject(Fault(.fail(errno: EIO), on: .sync))
        let error = storageError {
            try file.writeDurably([1], at: 0)
        }
        #expect(error?.operation == .sync)
        #expect(
            storageError { try file.write([1], at: 0) }?.kind == .outOfService(errno: EIO))
    }

    @Test func aDiskThatLiesLosesWhatItAcknowledged() throws {
        try fileSystem.writeAtomically("a", [0])
        fileSystem.inject(Fault(.pretend, on: .sync, times: .max))
        let file = try file()
        try file.write([1], at: 0)
        try file.sync()
        #expect(!fileSystem.isSynced("a"))
        #expect(fileSystem.crash(keeping: .nothing).contents("a") == [0])
    }

    // MARK: Others

    @Test func aDelayMovesTheClockAndTheCallGoesOn() throws {
        let clock = ManualClock(nanoseconds: 5)
        let fileSystem = SimulatedFileSystem(seed: 1, clock: clock)
        fileSystem.inject(Fault(.delay(.milliseconds(20)), on: .sync, times: 2))
        let file = try fileSystem.open("a", .createNew)
        for _ in 0..<3 { try file.sync() }
        #expect(clock.nanoseconds == 5 + 40_000_000)
    }

    @Test func aFlippedBitOfAReadIsGoneWithTheNext() throws {
        let file = try file()
        try file.write([UInt8](repeating: 0, count: 100), at: 0)
        fileSystem.inject(Fault(.flipBit, on: .read))
        let damaged = try file.read(100, at: 0)
        #expect(damaged.reduce(0) { $0 + $1.nonzeroBitCount } == 1)
        #expect(try file.read(100, at: 0).allSatisfy { $0 == 0 })
    }

    @Test func aFlippedBitOfAFileStays() throws {
        let file = try file()
        try file.write([0, 0], at: 4095)
        try file.sync()
        try fileSystem.syncDirectory(".")
        fileSystem.flipBit("a", at: 4096, bit: 3)
        #expect(try file.read(2, at: 4095) == [0, 8])
        #expect(fileSystem.crash(keeping: .nothing).contents("a")?.last == 8)
    }

    @Test func directFilesAreCheckedAndMayBeRefused() throws {
        let direct = try fileSystem.open("a", .createNew, direct: true)
        #expect(direct.isDirect && fileSystem.supportsDirect("."))
        let memory = AlignedMemory(count: 8192, filledWith: 1)
        try direct.write(UnsafeRawBufferPointer(memory.bytes), at: 4096)
        let short = UnsafeRawBufferPointer(rebasing: memory.bytes[..<512])
        let error = storageError { try direct.write(short, at: 0) }
        #expect(error?.kind == .unaligned(required: 4096))
        fileSystem.supportsDirect = false
        let refused = storageError { _ = try fileSystem.open("a", .read, direct: true) }
        #expect(refused?.errno == EINVAL)
    }

    @Test func theRecordNamesEveryCallAndItsFailure() throws {
        let file = try file()
        try file.write([1, 2], at: 3)
        fileSystem.inject(Fault(.fail(errno: EIO), on: .sync))
        _ = storageError { try file.sync() }
        let records = fileSystem.operations
        #expect(records.map(\.operation) == [.open, .write, .sync])
        #expect(records.map(\.index) == [0, 1, 2] && fileSystem.callCount == 3)
        #expect(records[1].description == "#1 write a at 3 +2")
        #expect(records[2].failure == .io(errno: EIO))
    }
}
