import BrokerTestKit
import Glibc
import StorageIO
import Testing

/// Each crash rule of the test kit's article, seen from the outside.
@Suite struct CrashTests {
    /// Outcomes of many crashes of the same moment.
    private func outcomes(_ fileSystem: SimulatedFileSystem, _ path: String, count: Int = 300) -> Set<[UInt8]?> {
        Set((1...UInt64(count)).map { fileSystem.crash(keeping: .random, seed: $0).contents(path) })
    }

    /// A synced file "a" with this content in a synced folder.
    private func synced(_ bytes: [UInt8]) throws -> (SimulatedFileSystem, any StorageFile) {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let file = try fileSystem.open("a", .createNew)
        try file.write(bytes, at: 0)
        try file.sync()
        try fileSystem.syncDirectory(".")
        return (fileSystem, file)
    }

    private func sectors(_ bytes: UInt8...) -> [UInt8] { bytes.flatMap { [UInt8](repeating: $0, count: 512) } }

    // MARK: Bytes

    @Test func syncedBytesSurviveEveryCrash() throws {
        let (fileSystem, _) = try synced(sectors(1, 2, 3))
        #expect(outcomes(fileSystem, "a") == [sectors(1, 2, 3)])
    }

    @Test func unsyncedSectorsSurviveIndependently() throws {
        let (fileSystem, file) = try synced(sectors(0, 0))
        try file.write(sectors(1, 1), at: 0)
        #expect(
            outcomes(fileSystem, "a") == [sectors(0, 0), sectors(1, 0), sectors(0, 1), sectors(1, 1)],
            "all four, and no torn sector")
        #expect(fileSystem.contents("a") == sectors(1, 1), "the running system sees its writes")
        #expect(fileSystem.crash(keeping: .nothing).contents("a") == sectors(0, 0))
        #expect(fileSystem.crash(keeping: .everything).contents("a") == sectors(1, 1))
    }

    @Test func aSectorMayHoldAVersionBetween() throws {
        let (fileSystem, file) = try synced(sectors(0))
        try file.write(sectors(1), at: 0)
        try file.write(sectors(2), at: 0)
        #expect(outcomes(fileSystem, "a") == [sectors(0), sectors(1), sectors(2)])
        try file.sync()
        #expect(outcomes(fileSystem, "a") == [sectors(2)])
    }

    @Test func whatASmallWriteLeavesAloneStays() throws {
        let (fileSystem, file) = try synced(sectors(7, 7, 7))
        try file.write([1], at: 600)
        for outcome in outcomes(fileSystem, "a") {
            #expect(outcome?.prefix(512).allSatisfy { $0 == 7 } == true)
            #expect(outcome?.dropFirst(1024).allSatisfy { $0 == 7 } == true)
            #expect(outcome?[601] == 7)
        }
    }

    @Test func aDurableWriteSurvivesAndNoOther() throws {
        let (fileSystem, file) = try synced([UInt8](repeating: 0, count: 3 * 4096))
        try file.write([1], at: 8192)
        try file.writeDurably([2], at: 0)
        let after = try #require(fileSystem.crash(keeping: .nothing).contents("a"))
        #expect(after[0] == 2 && after[8192] == 0)
    }

    // MARK: Size

    @Test func anUnsyncedAppendLeavesAnySizeBetween() throws {
        let (fileSystem, file) = try synced([1, 1])
        try file.write([UInt8](repeating: 2, count: 10_000), at: 2)
        var sizes: Set<Int> = []
        for outcome in outcomes(fileSystem, "a") {
            let bytes = try #require(outcome)
            sizes.insert(bytes.count)
            #expect(bytes[0] == 1 && bytes[1] == 1)
            #expect(bytes.dropFirst(2).allSatisfy { $0 == 2 || $0 == 0 })
        }
        #expect(sizes.isSuperset(of: [2, 4096, 8192, 10_002]))
        #expect(sizes.count > 10 && sizes.min() == 2 && sizes.max() == 10_002)
    }

    @Test func anUnsyncedCutMayBeUndoneWithWhatWasWrittenAfterIt() throws {
        let (fileSystem, file) = try synced(sectors(1, 1))
        try file.truncate(to: 512)
        try file.write(sectors(2), at: 512)
        let all = outcomes(fileSystem, "a")
        #expect(all.contains(sectors(1, 1)), "undone")
        #expect(all.contains(sectors(1)), "cut")
        #expect(all.contains(sectors(1, 2)), "cut and written")
        #expect(all.contains(sectors(1, 0)), "cut, and the size came before the bytes")
        #expect(fileSystem.crash(keeping: .nothing).contents("a") == sectors(1, 1))
        try file.sync()
        #expect(outcomes(fileSystem, "a") == [sectors(1, 2)])
    }

    @Test func bytesCutOffNeverComeBackOnceTheCutIsSynced() throws {
        let (fileSystem, file) = try synced([UInt8](repeating: 9, count: 5000))
        try file.truncate(to: 100)
        try file.sync()
        try file.truncate(to: 5000)
        try file.write([1], at: 4999)
        for outcome in outcomes(fileSystem, "a") {
            #expect(outcome?.prefix(100).allSatisfy { $0 == 9 } == true)
            #expect(outcome?.dropFirst(100).contains(9) == false)
        }
    }

    @Test func severalCutsAreUndoneFromTheNewestOn() throws {
        let (fileSystem, file) = try synced(sectors(1, 1, 1))
        try file.truncate(to: 1024)
        try file.truncate(to: 512)
        #expect(outcomes(fileSystem, "a") == [sectors(1, 1, 1), sectors(1, 1), sectors(1)])
    }

    @Test func allocatedSpaceReadsAsZeros() throws {
        let (fileSystem, file) = try synced([5])
        try file.allocate(upTo: 1024)
        for outcome in outcomes(fileSystem, "a") {
            #expect(outcome?.first == 5 && outcome?.dropFirst().contains { $0 != 0 } == false)
        }
        try file.sync()
        #expect(outcomes(fileSystem, "a").map { $0?.count } == [1024])
    }

    // MARK: Names

    @Test func aNewNameMayVanishThoughItsFileIsSynced() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let file = try fileSystem.open("a", .createNew)
        try file.write([1], at: 0)
        try file.sync()
        #expect(outcomes(fileSystem, "a") == [nil, [1]])
        try fileSystem.syncDirectory(".")
        #expect(outcomes(fileSystem, "a") == [[1]])
    }

    @Test func aRenameMayVanishUntilTheFolderIsSynced() throws {
        let (fileSystem, _) = try synced([1])
        try fileSystem.writeUnsafely("b", [2])
        try fileSystem.rename("b", to: "a")
        #expect(outcomes(fileSystem, "a") == [[1], [], [0], [2]], "the old file, or the new one in any state")
        try fileSystem.syncDirectory(".")
        #expect(outcomes(fileSystem, "a") == [[], [0], [2]], "the rename is there, the bytes perhaps not")
    }

    @Test func changesOfAFolderSurviveInOrder() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        for name in ["a", "b", "c"] { _ = try fileSystem.open(name, .createNew) }
        let lists = try Set((1...100).map { try fileSystem.crash(seed: UInt64($0)).list(".") })
        #expect(lists == [[], ["a"], ["a", "b"], ["a", "b", "c"]])
    }

    @Test func aRenameBetweenFoldersIsInBothOrInNeither() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        try fileSystem.createDirectoryDurably("x")
        try fileSystem.createDirectoryDurably("y")
        try fileSystem.writeAtomically("x/a", [1])
        _ = try fileSystem.open("y/before", .createNew)
        try fileSystem.rename("x/a", to: "y/a")
        for seed in 1...200 as ClosedRange<UInt64> {
            let after = fileSystem.crash(seed: seed)
            #expect(try after.exists("x/a") != after.exists("y/a"))
            if try after.exists("y/a") { #expect(try after.exists("y/before"), "in order") }
        }
        try fileSystem.syncDirectory("x")
        let after = fileSystem.crash(keeping: .nothing)
        #expect(try !after.exists("x/a") && after.contents("y/a") == [1])
    }

    @Test func aNewFolderIsLostWithAllItHolds() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        try fileSystem.createDirectory("x/y")
        try fileSystem.writeAtomically("x/y/a", [1])
        #expect(try !fileSystem.crash(keeping: .nothing).exists("x"))
        try fileSystem.syncDirectory("x")
        #expect(try !fileSystem.crash(keeping: .nothing).exists("x"))
        try fileSystem.syncDirectory(".")
        #expect(fileSystem.crash(keeping: .nothing).contents("x/y/a") == [1])
    }

    @Test func aRemovedFileMayComeBackWhole() throws {
        let (fileSystem, file) = try synced([1, 2])
        file.close()
        try fileSystem.remove("a")
        #expect(outcomes(fileSystem, "a") == [nil, [1, 2]])
        try fileSystem.syncDirectory(".")
        #expect(outcomes(fileSystem, "a") == [nil])
    }

    @Test func syncAllMakesEverythingDurable() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        try fileSystem.createDirectory("x/y")
        try fileSystem.writeUnsafely("x/y/a", [1])
        try fileSystem.writeUnsafely("b", [2])
        try fileSystem.syncAll("x")
        let after = fileSystem.crash(keeping: .nothing)
        #expect(after.contents("x/y/a") == [1] && after.contents("b") == [2])
    }

    // MARK: The crash itself

    @Test func aCrashLeavesTheRunningSystemAsItIs() throws {
        let (fileSystem, file) = try synced([1])
        try file.write([2], at: 0)
        let after = fileSystem.crash(keeping: .nothing)
        let again = try after.open("a", .readWrite(create: false))
        try again.write([3], at: 0)
        #expect(fileSystem.contents("a") == [2])
        try file.sync()
        #expect(after.contents("a") == [3])
    }

    // MARK: A process that dies

    @Test func aKillKeepsWhatWasWrittenAndNothingBecomesDurable() throws {
        let (fileSystem, file) = try synced(sectors(1))
        try fileSystem.createDirectory("x")
        try fileSystem.writeUnsafely("x/b", [2])
        try file.write(sectors(3), at: 0)
        let next = fileSystem.kill().kill()
        #expect(next.contents("a") == sectors(3) && next.contents("x/b") == [2])
        #expect(try next.usedBytes == fileSystem.usedBytes && next.list("x") == ["b"])
        let after = next.crash(keeping: .nothing)
        #expect(try after.contents("a") == sectors(1) && !after.exists("x"))
        // The next process can sync what the dead one wrote.
        try next.open("a", .readWrite(create: false)).sync()
        #expect(next.crash(keeping: .nothing).contents("a") == sectors(3))
        // Neither touches the other.
        #expect(fileSystem.crash(keeping: .nothing).contents("a") == sectors(1))
    }

    @Test func renamesAndRemovalsOfADeadProcessAreStillUnsynced() throws {
        let (fileSystem, _) = try synced([1])
        try fileSystem.createDirectoryDurably("x")
        try fileSystem.rename("a", to: "x/c")
        let next = fileSystem.kill()
        #expect(try next.contents("x/c") == [1] && !next.exists("a"))
        #expect(next.crash(keeping: .nothing).contents("a") == [1])
        try next.syncDirectory("x")
        let after = next.crash(keeping: .nothing)
        #expect(try after.contents("x/c") == [1] && !after.exists("a"))
    }

    @Test func whatAFailedSyncDroppedIsStillReadAfterAKillAndOnlyAWriteMendsIt() throws {
        for isWrittenAgain in [false, true] {
            let (fileSystem, file) = try synced([UInt8](repeating: 0, count: 64 * 512))
            let new = [UInt8](repeating: 9, count: 64 * 512)
            try file.write(new, at: 0)
            fileSystem.inject(Fault(.fail(errno: EIO), on: .sync))
            _ = storageError { try file.sync() }
            let next = fileSystem.kill()
            #expect(next.contents("a") == new)
            let again = try next.open("a", .readWrite(create: false))
            if isWrittenAgain { try again.write(new, at: 0) }
            try again.sync()
            next.dropCaches()
            #expect((next.contents("a") == new) == isWrittenAgain)
        }
    }

    @Test func aKillDropsLocksAndOpenFiles() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        _ = try fileSystem.lock("lock")
        let file = try fileSystem.open("a", .createNew)
        try file.write(sectors(1), at: 0)
        try fileSystem.remove("a")
        #expect(fileSystem.usedBytes == 4096)
        let next = fileSystem.kill()
        _ = try next.lock("lock")
        #expect(next.usedBytes == 0)
        _ = file
    }

    @Test func aFolderIsMadeDurableThoughTheProcessThatMadeItDied() throws {
        for call in 0... {
            let fileSystem = SimulatedFileSystem(seed: 1)
            fileSystem.haltAtCall(call)
            let error = storageError { try fileSystem.createDirectoryDurably("a/b/c") }
            let next = fileSystem.kill()
            try next.createDirectoryDurably("a/b/c")
            #expect(next.crash(keeping: .nothing).isDirectory("a/b/c"), "killed at call \(call)")
            if error == nil { break }
        }
    }

    // MARK: The rest

    @Test func aCrashDropsLocks() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let lock = try fileSystem.lock("lock")
        #expect(storageError { _ = try fileSystem.lock("lock") }?.isLockedByAnother == true)
        _ = try fileSystem.crash(keeping: .everything).lock("lock")
        lock.release()
        _ = try fileSystem.lock("lock")
    }

    @Test func aSecondCrashKeepsWhatTheFirstLeft() throws {
        let (fileSystem, file) = try synced(sectors(0, 0, 0, 0))
        try file.write(sectors(1, 1, 1, 1), at: 0)
        for seed in 1...50 as ClosedRange<UInt64> {
            let first = fileSystem.crash(seed: seed)
            #expect(first.crash(keeping: .nothing).contents("a") == first.contents("a"))
            #expect(first.crash(keeping: .random).contents("a") == first.contents("a"))
        }
    }
}

extension SimulatedFileSystem {
    /// Makes a file and syncs nothing.
    func writeUnsafely(_ path: String, _ bytes: [UInt8]) throws {
        let file = try open(path, .createNew)
        try file.write(bytes, at: 0)
    }
}
