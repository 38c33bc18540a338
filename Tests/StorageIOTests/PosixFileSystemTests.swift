import BrokerTestKit
import ByteBuffers
import Glibc
import StorageIO
import Testing

@Suite struct PosixFileSystemTests {
    let fileSystem = PosixFileSystem()
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func writtenBytesAreReadBack() throws {
        let file = try fileSystem.open(folder("a"), .createNew)
        try file.write([1, 2, 3, 4], at: 10)
        try file.sync()
        #expect(try file.size() == 14)
        #expect(try file.read(4, at: 10) == [1, 2, 3, 4])
        #expect(try file.read(3, at: 8) == [0, 0, 1])
        #expect(try file.read(100, at: 12) == [3, 4], "a read ends with the file")
        #expect(try file.read(1, at: 99) == [])
    }

    /// The metadata's have what passwords are checked by.
    @Test func filesAreForTheirOwnerAlone() throws {
        _ = try fileSystem.open(folder("a"), .createNew)
        var status = stat()
        #expect(stat(folder("a"), &status) == 0 && status.st_mode & 0o777 == 0o600)
    }

    @Test func morePiecesThanOneCallTakesAreWritten() throws {
        let pool = ChunkPool()
        let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
        let whole = bytes.withUnsafeBytes { pool.slice(copying: $0) }
        // Pieces of 0, 1 or 2 bytes, 3000 of them or so.
        var pieces: [ByteSlice] = []
        var at = 0
        while at < bytes.count {
            let count = min(pieces.count % 3, bytes.count - at)
            pieces.append(whole.slice(at, count: count))
            at += count
        }
        #expect(pieces.count > 4096)
        let file = try fileSystem.open(folder("a"), .createNew)
        try file.write(pieces, at: 7)
        #expect(try file.read(5000, at: 7) == bytes)
        try file.writeDurably(pieces, at: 0)
        #expect(try file.read(5000, at: 0) == bytes)
        try file.write([ByteSlice](), at: 0)
    }

    @Test func truncateCutsAndExtends() throws {
        let file = try fileSystem.open(folder("a"), .createNew)
        try file.write([1, 2, 3, 4], at: 0)
        try file.truncate(to: 2)
        #expect(try file.size() == 2)
        try file.truncate(to: 4)
        #expect(try file.read(9, at: 0) == [1, 2, 0, 0])
    }

    @Test func allocateExtendsAndNeverShrinks() throws {
        let file = try fileSystem.open(folder("a"), .createNew)
        try file.allocate(upTo: 8192)
        #expect(try file.size() == 8192)
        try file.allocate(upTo: 4096)
        #expect(try file.size() == 8192)
    }

    @Test func openModesDecideAboutMissingFiles() throws {
        #expect(
            storageError { _ = try fileSystem.open(folder("a"), .read) }?.isNotFound == true)
        let missing = storageError {
            _ = try fileSystem.open(folder("a"), .readWrite(create: false))
        }
        #expect(missing?.isNotFound == true)
        _ = try fileSystem.open(folder("a"), .readWrite(create: true))
        let existing = storageError { _ = try fileSystem.open(folder("a"), .createNew) }
        #expect(existing?.errno == EEXIST)
        let reader = try fileSystem.open(folder("a"), .read)
        let refused = storageError { try reader.write([1], at: 0) }
        #expect(refused == StorageError(.io(errno: EBADF), .write, path: folder("a")))
    }

    @Test func namesAreMadeListedRenamedAndRemoved() throws {
        try fileSystem.createDirectoryDurably(folder("x/y/z"))
        try fileSystem.createDirectory(folder("x/y"))
        #expect(try fileSystem.isDirectory(folder("x/y/z")))
        _ = try fileSystem.open(folder("x/b"), .createNew)
        _ = try fileSystem.open(folder("x/a"), .createNew)
        #expect(try fileSystem.list(folder("x")) == ["a", "b", "y"])
        try fileSystem.rename(folder("x/a"), to: folder("x/y/a"))
        try fileSystem.syncDirectory(folder("x"))
        #expect(try !fileSystem.exists(folder("x/a")) && fileSystem.exists(folder("x/y/a")))
        #expect(try fileSystem.size(folder("x/b")) == 0)
        #expect(storageError { try fileSystem.remove(folder("x")) }?.errno == ENOTEMPTY)
        try fileSystem.remove(folder("x/y/z"))
        try fileSystem.removeTree(folder("x"))
        try fileSystem.removeTree(folder("x"))
        #expect(try !fileSystem.exists(folder("x")))
    }

    /// Only what is certainly not there is missing; anything else may be there.
    @Test func whatCannotBeLookedAtIsNotMissing() throws {
        _ = try fileSystem.open(folder("a"), .createNew)
        for path in ["b", "b/c", "a/b"] {
            #expect(try !fileSystem.exists(folder(path)) && !fileSystem.isDirectory(folder(path)))
        }
        symlink("loop", folder("loop"))
        for path in ["loop/x", String(repeating: "n", count: 300)] {
            #expect(storageError { _ = try fileSystem.exists(folder(path)) }?.operation == .exists)
            #expect(storageError { _ = try fileSystem.isDirectory(folder(path)) }?.operation == .exists)
        }
    }

    @Test func aFolderUnderAFileIsRefused() throws {
        _ = try fileSystem.open(folder("a"), .createNew)
        #expect(
            storageError { try fileSystem.createDirectory(folder("a")) }?.errno == EEXIST)
        let below = storageError { try fileSystem.createDirectory(folder("a/b/c")) }
        #expect(below?.errno == ENOTDIR)
    }

    @Test func writeAtomicallyReplacesTheWholeContent() throws {
        try fileSystem.writeAtomically(folder("a"), Array("a longer first content".utf8))
        try fileSystem.writeAtomically(folder("a"), Array("second".utf8))
        #expect(try fileSystem.readWhole(folder("a"), limit: 100) == Array("second".utf8))
        #expect(try fileSystem.list(folder.path) == ["a"])
        let refused = storageError { _ = try fileSystem.readWhole(folder("a"), limit: 5) }
        #expect(refused?.kind == .tooLarge(actual: 6, limit: 5))
    }

    @Test func aSecondLockIsRefusedUntilTheFirstIsReleased() throws {
        let first = try fileSystem.lock(folder("lock"))
        let refused = storageError { _ = try fileSystem.lock(folder("lock")) }
        #expect(refused == StorageError(.lockedByAnother, .lock, path: folder("lock")))
        first.release()
        first.release()
        var second: (any FileLock)? = try fileSystem.lock(folder("lock"))
        #expect(second != nil)
        second = nil
        _ = try fileSystem.lock(folder("lock"))
    }

    @Test func freeSpaceIsWithinTheTotal() throws {
        let space = try fileSystem.freeBytes(folder.path)
        #expect(space.free >= 0 && space.free <= space.total && space.total > 0)
    }

    @Test func syncAllSyncsTheFileSystem() throws {
        _ = try fileSystem.open(folder("a"), .createNew)
        try fileSystem.syncAll(folder.path)
        try fileSystem.syncAll(folder("a"))
    }

    @Test func hintsNeverFail() throws {
        let file = try fileSystem.open(folder("a"), .createNew)
        try file.write([UInt8](repeating: 1, count: 10_000), at: 0)
        file.startWriting(from: 0, length: 10_000)
        try file.sync()
        file.adviseDontNeed(from: 0, length: 10_000)
        file.readAhead(from: 0, length: 10_000)
        #expect(try file.read(1, at: 9_999) == [1])
    }

    @Test func descriptorLimitIsRaisedAsFarAsAllowed() {
        let before = raiseDescriptorLimit(to: 0)
        #expect(before > 0)
        #expect(raiseDescriptorLimit(to: before) == before)
    }

    // MARK: Failures

    @Test func aFullDeviceIsNoSpace() throws {
        // Every write to this device fails so.
        let full = try fileSystem.open("/dev/full", .readWrite(create: false))
        let error = storageError { try full.write([1], at: 0) }
        #expect(error?.isNoSpace == true)
        #expect(error?.operation == .write && error?.path == "/dev/full")
    }

    @Test func afterAFailedSyncTheFileIsOutOfService() throws {
        // A device without storage behind it cannot be synced.
        let device = try fileSystem.open("/dev/full", .readWrite(create: false))
        #expect(storageError { try device.sync() }?.kind == .io(errno: EINVAL))
        let later: [() throws -> Void] = [
            { try device.sync() },
            { try device.write([1], at: 0) },
            { try device.truncate(to: 0) },
            { try device.allocate(upTo: 10) },
        ]
        for call in later { #expect(storageError(call)?.kind == .outOfService(errno: EINVAL)) }
        #expect(try device.read(2, at: 0) == [0, 0], "reads still work")
    }

    @Test func aWriteThatMeetsAFullDiskStoresWhatFitsAndSaysSo() throws {
        let small = try SmallFileSystem(in: folder, bytes: 1 << 20)
        let file = try fileSystem.open(Path.join(small.path, "a"), .createNew)
        let bytes = [UInt8](repeating: 7, count: 3 << 20)
        let error = storageError { try file.write(bytes, at: 0) }
        #expect(error?.isNoSpace == true)
        #expect(try file.size() > 0)
        #expect(try file.read(1, at: 0) == [7])
        let pool = ChunkPool()
        let slice = bytes[..<(1 << 20)].withUnsafeBytes { pool.slice(copying: $0) }
        try file.truncate(to: 0)
        #expect(storageError { try file.write([slice, slice], at: 0) }?.isNoSpace == true)
        #expect(try fileSystem.freeBytes(small.path).free == 0)
        // The state is one to leave again: space is freed, and writes work.
        try file.truncate(to: 0)
        try file.write([1], at: 0)
    }
}

/// A file system in memory of a few bytes, mounted for one test.
private final class SmallFileSystem {
    let path: String

    /// Cancels the test where this process may not mount.
    init(in folder: TemporaryFolder, bytes: Int) throws {
        path = folder("small")
        try PosixFileSystem().createDirectory(path)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(bytes)") == 0 else {
            try Test.cancel("skipped: mounting a small file system is not permitted (errno \(errno))")
        }
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }
}
