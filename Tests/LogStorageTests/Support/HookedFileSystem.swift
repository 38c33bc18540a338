import BrokerTestKit
import ByteBuffers
import StorageIO

/// Passes every call on, and does something else before one of them, once: what another thread could have done just then.
final class HookedFileSystem: FileSystem {
    private struct Hook {
        let operation: StorageError.Operation
        let suffix: String
        let run: @Sendable () -> Void
    }

    private let inner: SimulatedFileSystem
    private let hook = Lock<Hook?>(nil)

    init(_ inner: SimulatedFileSystem) { self.inner = inner }

    /// Before the next call of this kind on a path that ends so. An `open` that may make the file does not count.
    func before(_ operation: StorageError.Operation, _ suffix: String, _ run: @escaping @Sendable () -> Void) {
        hook.withLock { $0 = Hook(operation: operation, suffix: suffix, run: run) }
    }

    var hasRun: Bool { hook.withLock { $0 == nil } }

    private func pass(_ operation: StorageError.Operation, _ path: String) {
        let due = hook.withLock { hook -> Hook? in
            guard let waiting = hook, operation == waiting.operation, path.hasSuffix(waiting.suffix) else { return nil }
            hook = nil
            return waiting
        }
        due?.run()
    }

    func open(_ path: String, _ mode: OpenMode, direct: Bool) throws(StorageError) -> any StorageFile {
        if mode != .readWrite(create: true) { pass(.open, path) }
        return try inner.open(path, mode, direct: direct)
    }

    func remove(_ path: String) throws(StorageError) {
        pass(.remove, path)
        try inner.remove(path)
    }

    func removeTree(_ path: String) throws(StorageError) {
        pass(.remove, path)
        try inner.removeTree(path)
    }

    func modifiedMs(_ path: String) throws(StorageError) -> Int64 {
        defer { pass(.size, path) }
        return try inner.modifiedMs(path)
    }

    func rename(_ from: String, to: String) throws(StorageError) { try inner.rename(from, to: to) }
    func createDirectory(_ path: String) throws(StorageError) { try inner.createDirectory(path) }
    func syncDirectory(_ path: String) throws(StorageError) { try inner.syncDirectory(path) }
    func list(_ path: String) throws(StorageError) -> [String] { try inner.list(path) }
    func exists(_ path: String) throws(StorageError) -> Bool { try inner.exists(path) }
    func isDirectory(_ path: String) -> Bool { inner.isDirectory(path) }
    func size(_ path: String) throws(StorageError) -> Int64 { try inner.size(path) }
    func lock(_ path: String) throws(StorageError) -> any FileLock { try inner.lock(path) }
    func freeBytes(_ path: String) throws(StorageError) -> (free: Int64, total: Int64) { try inner.freeBytes(path) }
    func supportsDirect(_ path: String) -> Bool { inner.supportsDirect(path) }
    func syncAll(_ path: String) throws(StorageError) { try inner.syncAll(path) }
}
