/// How a file is opened. Descriptors are never inherited by child processes.
public enum OpenMode: Equatable, Sendable {
    /// For reading only; the file must exist.
    case read
    /// For reading and writing; a missing file is an error, or made empty.
    case readWrite(create: Bool)
    /// For reading and writing a file that must not exist yet (EEXIST otherwise).
    case createNew
}

/// Everything the storage below a broker asks of an operating system. `PosixFileSystem` is the real one; the test kit's
/// simulated one loses what was not synced, tears writes, fills up and fails at any call.
///
/// What survives a crash, and when:
/// - bytes and size of a file: once its `sync()` returned (or `writeDurably`, for the bytes it wrote);
/// - a name (a file made, renamed or removed, a folder made): once `syncDirectory` of its parent folder returned;
/// - all of them: once `syncAll` returned.
///
/// Everything else may survive whole, in part, in any order, or not at all. All calls block; they may be made from any
/// thread. Paths are used as they are: relative ones start at the working directory.
public protocol FileSystem: Sendable {
    /// Opens a file. `direct` bypasses the page cache (O_DIRECT): see `StorageFile.directAlignment`; a file system that
    /// cannot do that throws EINVAL, so ask `supportsDirect` once at start.
    func open(_ path: String, _ mode: OpenMode, direct: Bool) throws(StorageError) -> any StorageFile

    /// Replaces `to` by `from` in one step. Durable once the parent folders of both are synced.
    func rename(_ from: String, to: String) throws(StorageError)
    /// Removes a file or an empty folder. A missing one is an error (`isNotFound`).
    func remove(_ path: String) throws(StorageError)
    /// Removes a file, or a folder with everything in it. A missing one is not an error. Links are not followed.
    func removeTree(_ path: String) throws(StorageError)
    /// Makes a folder and the missing ones above it. An existing folder is not an error. The new names are durable once
    /// `syncDirectory` was called on the parent of each: `createDirectoryDurably` does both.
    func createDirectory(_ path: String) throws(StorageError)
    /// Makes the names in this folder durable (fsync of the folder).
    func syncDirectory(_ path: String) throws(StorageError)
    /// Names in a folder (not paths), in ascending order.
    func list(_ path: String) throws(StorageError) -> [String]
    /// Whether there is something of that name. Throws where that cannot be told (anything but ENOENT and ENOTDIR): what
    /// cannot be looked at for a moment must not be taken for gone.
    func exists(_ path: String) throws(StorageError) -> Bool
    func isDirectory(_ path: String) throws(StorageError) -> Bool
    /// Size of a file in bytes.
    func size(_ path: String) throws(StorageError) -> Int64
    /// When the bytes of a file last changed, in milliseconds of the wall clock.
    func modifiedMs(_ path: String) throws(StorageError) -> Int64

    /// Takes the exclusive lock on this file, making it if needed, without waiting. Held by somebody else: the error's
    /// `isLockedByAnother` is true. The kernel drops the lock when the process ends, however it ends.
    func lock(_ path: String) throws(StorageError) -> any FileLock
    /// Bytes that may still be written by this user, and the size, of the file system that holds `path`.
    func freeBytes(_ path: String) throws(StorageError) -> (free: Int64, total: Int64)
    /// Whether files in this existing folder can be written with O_DIRECT; found out by writing one.
    func supportsDirect(_ path: String) -> Bool
    /// Whether its files have descriptors, from which the kernel can send.
    var hasDescriptors: Bool { get }
    /// Makes everything durable that was written to the file system that holds `path` (syncfs). Other programs' dirty
    /// pages are written and waited for, too.
    func syncAll(_ path: String) throws(StorageError)
}

/// A lock that is held until `release` or until the last reference is dropped.
public protocol FileLock: AnyObject, Sendable {
    var path: String { get }
    func release()
}

extension FileSystem {
    public var hasDescriptors: Bool { false }

    /// Opens a file through the page cache.
    @inlinable
    public func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> any StorageFile {
        try open(path, mode, direct: false)
    }
}
