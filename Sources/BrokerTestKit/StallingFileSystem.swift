import ByteBuffers
public import StorageIO
import Synchronization

/// A file system whose calls wait on demand, as on a disk that hiccups: who waits with them, and for how long, is up to the
/// test. Everything else is another file system's.
public final class StallingFileSystem: FileSystem {
    /// Calls that wait: these operations, on paths that contain this.
    private struct Stall {
        var operations: Set<StorageError.Operation> = []
        var pathContains = ""
    }

    private let base: any FileSystem
    private let current = Lock(Stall())
    private let waiting = Atomic<Int>(0)
    private let moved = Signal()

    public init(_ base: any FileSystem) { self.base = base }

    deinit { release() }

    /// From now on such calls wait until `release`. `writeDurably` is a write that comes with a sync.
    public func stall(_ operations: Set<StorageError.Operation>, pathContains: String = "") {
        current.withLock { $0 = Stall(operations: operations, pathContains: pathContains) }
    }

    public func release() {
        current.withLock { $0.operations = [] }
        moved.raise()
    }

    /// Calls that wait now.
    public var waitingCalls: Int { waiting.load(ordering: .sequentiallyConsistent) }

    fileprivate func stalls(_ operation: StorageError.Operation, _ path: String) -> Bool {
        current.withLock { $0.operations.contains(operation) && path.contains($0.pathContains) }
    }

    fileprivate func pass(_ operation: StorageError.Operation, _ path: String) {
        guard stalls(operation, path) else { return }
        waiting.add(1, ordering: .sequentiallyConsistent)
        while stalls(operation, path) { moved.wait(timeoutMs: 5) }
        waiting.subtract(1, ordering: .sequentiallyConsistent)
    }

    // MARK: Calls

    public func open(_ path: String, _ mode: OpenMode, direct: Bool) throws(StorageError) -> any StorageFile {
        pass(.open, path)
        return StallingFile(try base.open(path, mode, direct: direct), self)
    }

    public func rename(_ from: String, to: String) throws(StorageError) {
        pass(.rename, from)
        try base.rename(from, to: to)
    }

    public func remove(_ path: String) throws(StorageError) {
        pass(.remove, path)
        try base.remove(path)
    }

    public func removeTree(_ path: String) throws(StorageError) {
        pass(.remove, path)
        try base.removeTree(path)
    }

    public func createDirectory(_ path: String) throws(StorageError) {
        pass(.createDirectory, path)
        try base.createDirectory(path)
    }

    public func syncDirectory(_ path: String) throws(StorageError) {
        pass(.syncDirectory, path)
        try base.syncDirectory(path)
    }

    public func list(_ path: String) throws(StorageError) -> [String] {
        pass(.list, path)
        return try base.list(path)
    }

    public func exists(_ path: String) throws(StorageError) -> Bool {
        pass(.size, path)
        return try base.exists(path)
    }

    public func isDirectory(_ path: String) throws(StorageError) -> Bool { try base.isDirectory(path) }

    public func size(_ path: String) throws(StorageError) -> Int64 {
        pass(.size, path)
        return try base.size(path)
    }

    public func modifiedMs(_ path: String) throws(StorageError) -> Int64 {
        pass(.size, path)
        return try base.modifiedMs(path)
    }

    public func lock(_ path: String) throws(StorageError) -> any FileLock { try base.lock(path) }

    public func freeBytes(_ path: String) throws(StorageError) -> (free: Int64, total: Int64) {
        pass(.freeBytes, path)
        return try base.freeBytes(path)
    }

    public func supportsDirect(_ path: String) -> Bool { base.supportsDirect(path) }

    public func syncAll(_ path: String) throws(StorageError) {
        pass(.syncAll, path)
        try base.syncAll(path)
    }
}

private final class StallingFile: StorageFile {
    private let base: any StorageFile
    private let disk: StallingFileSystem

    init(_ base: any StorageFile, _ disk: StallingFileSystem) {
        self.base = base
        self.disk = disk
    }

    var path: String { base.path }
    var isDirect: Bool { base.isDirect }
    var directAlignment: Int { base.directAlignment }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StorageError) -> Int {
        disk.pass(.read, path)
        return try base.read(into: buffer, at: offset)
    }

    /// What would wait is not at hand.
    func readAtOnce(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StorageError) -> Int? {
        disk.stalls(.read, path) ? nil : try base.readAtOnce(into: buffer, at: offset)
    }

    func isAtHand(from offset: Int64, length: Int) -> Bool {
        !disk.stalls(.read, path) && base.isAtHand(from: offset, length: length)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
        disk.pass(.write, path)
        try base.write(bytes, at: offset)
    }

    func write(gathering pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64) throws(StorageError) {
        disk.pass(.write, path)
        try base.write(gathering: pieces, at: offset)
    }

    func writeDurably(gathering pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>, at offset: Int64)
        throws(StorageError)
    {
        disk.pass(.write, path)
        disk.pass(.sync, path)
        try base.writeDurably(gathering: pieces, at: offset)
    }

    func sync() throws(StorageError) {
        disk.pass(.sync, path)
        try base.sync()
    }

    func size() throws(StorageError) -> Int64 {
        disk.pass(.size, path)
        return try base.size()
    }

    func truncate(to size: Int64) throws(StorageError) {
        disk.pass(.truncate, path)
        try base.truncate(to: size)
    }

    func allocate(upTo size: Int64) throws(StorageError) {
        disk.pass(.allocate, path)
        try base.allocate(upTo: size)
    }

    func adviseDontNeed(from offset: Int64, length: Int64) { base.adviseDontNeed(from: offset, length: length) }
    func readAhead(from offset: Int64, length: Int64) { base.readAhead(from: offset, length: length) }
    func startWriting(from offset: Int64, length: Int64) { base.startWriting(from: offset, length: length) }
    func close() { base.close() }
}
