import StorageIO

/// The store's file system. A call that finds no free descriptor closes half of the segments' handles and is made again, so
/// a burst of connections costs handles that can be opened again, and nothing else.
struct RoomyFileSystem: FileSystem {
    let base: any FileSystem
    let handles: SegmentHandles

    private func call<Result>(_ body: () throws(StorageError) -> Result) throws(StorageError) -> Result {
        while true {
            do throws(StorageError) {
                return try body()
            } catch {
                guard error.isTooManyOpenFiles, handles.makeRoom() else { throw error }
            }
        }
    }

    var hasDescriptors: Bool { base.hasDescriptors }

    func open(_ path: String, _ mode: OpenMode, direct: Bool) throws(StorageError) -> any StorageFile {
        try call { () throws(StorageError) in try base.open(path, mode, direct: direct) }
    }

    func removeTree(_ path: String) throws(StorageError) {
        try call { () throws(StorageError) in try base.removeTree(path) }
    }

    func syncDirectory(_ path: String) throws(StorageError) {
        try call { () throws(StorageError) in try base.syncDirectory(path) }
    }

    func list(_ path: String) throws(StorageError) -> [String] {
        try call { () throws(StorageError) in try base.list(path) }
    }

    func lock(_ path: String) throws(StorageError) -> any FileLock {
        try call { () throws(StorageError) in try base.lock(path) }
    }

    func syncAll(_ path: String) throws(StorageError) {
        try call { () throws(StorageError) in try base.syncAll(path) }
    }

    // These need no descriptor.

    func rename(_ from: String, to: String) throws(StorageError) { try base.rename(from, to: to) }
    func remove(_ path: String) throws(StorageError) { try base.remove(path) }
    func createDirectory(_ path: String) throws(StorageError) { try base.createDirectory(path) }
    func exists(_ path: String) throws(StorageError) -> Bool { try base.exists(path) }
    func isDirectory(_ path: String) throws(StorageError) -> Bool { try base.isDirectory(path) }
    func size(_ path: String) throws(StorageError) -> Int64 { try base.size(path) }
    func modifiedMs(_ path: String) throws(StorageError) -> Int64 { try base.modifiedMs(path) }
    func freeBytes(_ path: String) throws(StorageError) -> (free: Int64, total: Int64) { try base.freeBytes(path) }
    func supportsDirect(_ path: String) -> Bool { base.supportsDirect(path) }
}
