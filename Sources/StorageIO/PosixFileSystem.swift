import ByteBuffers
import CSystem
import Glibc

/// The operating system's files.
public struct PosixFileSystem: FileSystem {
    public init() {}

    public var hasDescriptors: Bool { true }

    public func open(_ path: String, _ mode: OpenMode, direct: Bool) throws(StorageError) -> any StorageFile {
        var flags: Int
        switch mode {
        case .read: flags = CSTORAGE_READ_ONLY
        case .readWrite(create: false): flags = CSTORAGE_READ_WRITE
        case .readWrite(create: true): flags = CSTORAGE_READ_WRITE | CSTORAGE_CREATE
        case .createNew: flags = CSTORAGE_READ_WRITE | CSTORAGE_CREATE | CSTORAGE_EXCLUSIVE
        }
        if direct { flags |= CSTORAGE_DIRECT }
        let descriptor = try checked(.open, path) { cstorage_open(path, Int32(flags)) }
        return PosixFile(descriptor: descriptor, path: path, isDirect: direct)
    }

    public func rename(_ from: String, to: String) throws(StorageError) {
        _ = try checked(.rename, from) { cstorage_rename(from, to) }
    }

    public func remove(_ path: String) throws(StorageError) {
        _ = try checked(.remove, path) {
            var size: Int64 = 0
            let isDirectory = cstorage_stat(path, &size)
            if isDirectory < 0 { return isDirectory }
            return isDirectory == 1 ? cstorage_rmdir(path) : cstorage_unlink(path)
        }
    }

    public func removeTree(_ path: String) throws(StorageError) {
        do throws(StorageError) {
            if try isDirectory(path) {
                for name in try list(path) { try removeTree(Path.join(path, name)) }
            }
            try remove(path)
        } catch {
            if !error.isNotFound { throw error }
        }
    }

    public func createDirectory(_ path: String) throws(StorageError) {
        let result = cstorage_mkdir(path)
        switch -result {
        case EEXIST where (try? isDirectory(path)) == true: return
        case ENOENT where Path.parent(path) != path:
            try createDirectory(Path.parent(path))
            let second = cstorage_mkdir(path)
            // Somebody else made it meanwhile.
            if -second == EEXIST, try isDirectory(path) { return }
            _ = try checked(.createDirectory, path) { second }
        default:
            _ = try checked(.createDirectory, path) { result }
        }
    }

    public func syncDirectory(_ path: String) throws(StorageError) {
        _ = try checked(.syncDirectory, path) { cstorage_sync_directory(path) }
    }

    public func list(_ path: String) throws(StorageError) -> [String] {
        var names: [String] = []
        _ = try checked(.list, path) {
            withUnsafeMutablePointer(to: &names) { pointer in
                cstorage_list(path, pointer) { context, name in
                    guard let context, let name else { return }
                    context.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
                }
            }
        }
        return names.sorted()
    }

    public func exists(_ path: String) throws(StorageError) -> Bool {
        try look(path) != nil
    }

    public func isDirectory(_ path: String) throws(StorageError) -> Bool {
        try look(path) == 1
    }

    /// 1 for a folder, 0 for anything else; nil where there is nothing.
    private func look(_ path: String) throws(StorageError) -> Int32? {
        var size: Int64 = 0
        do throws(StorageError) {
            return try checked(.exists, path) { cstorage_stat(path, &size) }
        } catch {
            if error.isNotFound || error.errno == ENOTDIR { return nil }
            throw error
        }
    }

    public func size(_ path: String) throws(StorageError) -> Int64 {
        var size: Int64 = 0
        _ = try checked(.size, path) { cstorage_stat(path, &size) }
        return size
    }

    public func modifiedMs(_ path: String) throws(StorageError) -> Int64 {
        var milliseconds: Int64 = 0
        _ = try checked(.size, path) { cstorage_modified(path, &milliseconds) }
        return milliseconds
    }

    public func lock(_ path: String) throws(StorageError) -> any FileLock {
        let descriptor = try checked(.lock, path) {
            cstorage_open(path, Int32(CSTORAGE_READ_WRITE | CSTORAGE_CREATE))
        }
        let result = cstorage_lock(descriptor)
        if result < 0 {
            _ = cstorage_close(descriptor)
            if -result == EWOULDBLOCK { throw StorageError(.lockedByAnother, .lock, path: path) }
            throw StorageError(.io(errno: -result), .lock, path: path)
        }
        return PosixFileLock(descriptor: descriptor, path: path)
    }

    public func freeBytes(_ path: String) throws(StorageError) -> (free: Int64, total: Int64) {
        var free: Int64 = 0
        var total: Int64 = 0
        _ = try checked(.freeBytes, path) { cstorage_free_bytes(path, &free, &total) }
        return (free, total)
    }

    public func supportsDirect(_ path: String) -> Bool {
        let probe = Path.join(path, ".direct-probe")
        defer { try? remove(probe) }
        guard let file = try? open(probe, .readWrite(create: true), direct: true) else { return false }
        defer { file.close() }
        // Some file systems take the flag and refuse the write.
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: file.directAlignment, alignment: 4096)
        defer { block.deallocate() }
        block.initializeMemory(as: UInt8.self, repeating: 0)
        do throws(StorageError) {
            try file.write(UnsafeRawBufferPointer(block), at: 0)
            return true
        } catch {
            return false
        }
    }

    public func syncAll(_ path: String) throws(StorageError) {
        let descriptor = try checked(.syncAll, path) { cstorage_open(path, Int32(CSTORAGE_READ_ONLY)) }
        defer { _ = cstorage_close(descriptor) }
        // A sync like any other once the folder is open: whatever it fails with is final.
        _ = try checked(.sync, path) { cstorage_syncfs(descriptor) }
    }
}

/// Runs a call that gives a negative errno on failure; one that a signal interrupted is made again.
@inline(__always)
func checked<Result: SignedInteger>(
    _ operation: StorageError.Operation, _ path: String, _ call: () -> Result
) throws(StorageError) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        let errno = Int32(truncatingIfNeeded: -result)
        if errno != EINTR { throw StorageError(.io(errno: errno), operation, path: path) }
    }
}

/// Raises the limit of open descriptors of this process towards `wanted`, as far as its hard limit allows. Gives the
/// limit in force afterwards; a broker with many partitions should say so at start when that is too low.
@discardableResult
public func raiseDescriptorLimit(to wanted: Int) -> Int {
    let limit = cstorage_raise_descriptor_limit(Int64(wanted))
    return limit < 0 ? 0 : Int(limit)
}
