import ByteBuffers
import Glibc
public import StorageIO

extension SimulatedFileSystem {
    /// Makes a call that changes no bytes: faults first, then `body`, which throws an errno.
    private func call<Result>(
        _ operation: StorageError.Operation, _ path: String, pretending: Result? = nil,
        _ body: (inout SimulatedDisk) -> Swift.Result<Result, SimulatedDisk.Errno>
    ) throws(StorageError) -> Result {
        try disk.withLock { disk throws(StorageError) -> Result in
            switch try disk.begin(operation, path, clock: clock) {
            case .proceed, .flipBit: break
            case .fail(let errno), .failHalfway(let errno): throw disk.failure(errno, operation, path)
            case .pretend: if let pretending { return pretending }
            case .halt:
                // Names may have changed; syncs have not happened.
                if operation != .syncDirectory, operation != .syncAll { _ = body(&disk) }
                throw disk.failure(EIO, operation, path)
            }
            switch body(&disk) {
            case .success(let result): return result
            case .failure(let errno): throw disk.failure(errno.value, operation, path)
            }
        }
    }

    public func open(_ path: String, _ mode: OpenMode, direct: Bool) throws(StorageError) -> any StorageFile {
        let (file, alignment) = try call(.open, path) { disk -> Result<(FileNode, Int), SimulatedDisk.Errno> in
            if direct, !disk.supportsDirect { return .failure(.init(EINVAL)) }
            if disk.isOutOfDescriptors { return .failure(.init(EMFILE)) }
            let place: (folder: FolderNode, name: String)
            switch disk.place(path) {
            case .success(let found): place = found
            case .failure(let errno): return .failure(errno.value == EBUSY ? .init(EISDIR) : errno)
            }
            let file: FileNode
            switch place.folder.names[place.name] {
            case .folder: return .failure(.init(EISDIR))
            case .file(let existing):
                if mode == .createNew { return .failure(.init(EEXIST)) }
                file = existing
            case nil:
                guard mode == .createNew || mode == .readWrite(create: true) else { return .failure(.init(ENOENT)) }
                file = FileNode()
                file.names = 1
                place.folder.set(place.name, .file(file), sequence: disk.nextSequence())
            }
            file.openFiles += 1
            disk.openFiles += 1
            return .success((file, direct ? disk.directAlignment : 1))
        }
        return SimulatedFile(
            fileSystem: self, node: file, path: path, isDirect: direct, alignment: alignment, isWritable: mode != .read)
    }

    public func rename(_ from: String, to: String) throws(StorageError) {
        try call(.rename, from, pretending: ()) { disk in
            let source: (folder: FolderNode, name: String)
            let target: (folder: FolderNode, name: String)
            switch (disk.place(from), disk.place(to)) {
            case (.success(let first), .success(let second)): (source, target) = (first, second)
            case (.failure(let errno), _), (_, .failure(let errno)): return .failure(errno)
            }
            guard let node = source.folder.names[source.name] else { return .failure(.init(ENOENT)) }
            if case .folder(let moved) = node, Self.holds(moved, target.folder) { return .failure(.init(EINVAL)) }
            if let replaced = target.folder.names[target.name] {
                if replaced.identity == node.identity { return .success(()) }
                switch (node, replaced) {
                case (_, .folder(let above)) where Self.holds(above, source.folder): return .failure(.init(ENOTEMPTY))
                case (.file, .folder): return .failure(.init(EISDIR))
                case (.folder, .file): return .failure(.init(ENOTDIR))
                case (.folder, .folder(let folder)) where !folder.names.isEmpty: return .failure(.init(ENOTEMPTY))
                default: disk.unlink(replaced)
                }
            }
            let sequence = disk.nextSequence()
            let isWithin = source.folder === target.folder
            target.folder.set(target.name, node, sequence: sequence, other: isWithin ? nil : source.folder)
            source.folder.set(source.name, nil, sequence: sequence, other: isWithin ? nil : target.folder)
            return .success(())
        }
    }

    /// Whether `inner` is `folder` or somewhere below it.
    private static func holds(_ folder: FolderNode, _ inner: FolderNode) -> Bool {
        var isBelow = false
        eachFolder(folder) { if $0 === inner { isBelow = true } }
        return isBelow
    }

    public func remove(_ path: String) throws(StorageError) {
        try call(.remove, path, pretending: ()) { disk in Self.remove(path, &disk) }
    }

    private static func remove(_ path: String, _ disk: inout SimulatedDisk) -> Result<Void, SimulatedDisk.Errno> {
        switch disk.place(path) {
        case .failure(let errno): return .failure(errno)
        case .success(let place):
            guard let node = place.folder.names[place.name] else { return .failure(.init(ENOENT)) }
            if case .folder(let folder) = node, !folder.names.isEmpty { return .failure(.init(ENOTEMPTY)) }
            place.folder.set(place.name, nil, sequence: disk.nextSequence())
            disk.unlink(node)
            return .success(())
        }
    }

    /// One call for each file and folder, as on a real file system: a crash may leave half a tree.
    public func removeTree(_ path: String) throws(StorageError) {
        if isDirectory(path) {
            for name in try list(path) { try removeTree(Path.join(path, name)) }
        }
        do throws(StorageError) {
            try remove(path)
        } catch {
            if !error.isNotFound { throw error }
        }
    }

    public func createDirectory(_ path: String) throws(StorageError) {
        try call(.createDirectory, path, pretending: ()) { disk in
            var folder = disk.root
            let parts = SimulatedDisk.parts(path)
            for (index, part) in parts.enumerated() {
                if part.utf8.count > SimulatedDisk.maxNameBytes { return .failure(.init(ENAMETOOLONG)) }
                switch folder.names[part] {
                case .folder(let next): folder = next
                case .file: return .failure(.init(index == parts.count - 1 ? EEXIST : ENOTDIR))
                case nil:
                    let made = FolderNode()
                    folder.set(part, .folder(made), sequence: disk.nextSequence())
                    folder = made
                }
            }
            return .success(())
        }
    }

    public func syncDirectory(_ path: String) throws(StorageError) {
        try call(.syncDirectory, path, pretending: ()) { disk in
            if disk.isOutOfDescriptors { return .failure(.init(EMFILE)) }
            switch disk.look(path) {
            case .success(.folder(let folder)):
                folder.sync()
                return .success(())
            case .success(.file): return .failure(.init(ENOTDIR))
            case .failure(let errno): return .failure(errno)
            }
        }
    }

    public func list(_ path: String) throws(StorageError) -> [String] {
        try call(.list, path) { disk in
            if disk.isOutOfDescriptors { return .failure(.init(EMFILE)) }
            switch disk.look(path) {
            case .success(.folder(let folder)): return .success(folder.names.keys.sorted())
            case .success(.file): return .failure(.init(ENOTDIR))
            case .failure(let errno): return .failure(errno)
            }
        }
    }

    public func exists(_ path: String) throws(StorageError) -> Bool {
        try call(.exists, path) { disk in
            switch disk.look(path) {
            case .success: .success(true)
            case .failure(let errno) where errno.value == ENOENT || errno.value == ENOTDIR: .success(false)
            case .failure(let errno): .failure(errno)
            }
        }
    }
    public func isDirectory(_ path: String) -> Bool { disk.withLock { $0.folder(path) != nil } }

    public func size(_ path: String) throws(StorageError) -> Int64 {
        try call(.size, path) { disk in
            switch disk.look(path) {
            case .success(.file(let file)): .success(file.size)
            case .success(.folder): .success(Int64(SimulatedPage.size))
            case .failure(let errno): .failure(errno)
            }
        }
    }

    public func modifiedMs(_ path: String) throws(StorageError) -> Int64 {
        try call(.size, path) { disk in
            switch disk.look(path) {
            case .success(.file(let file)): .success(file.modifiedMs)
            case .success(.folder): .failure(.init(EISDIR))
            case .failure(let errno): .failure(errno)
            }
        }
    }

    public func lock(_ path: String) throws(StorageError) -> any FileLock {
        let name = SimulatedDisk.parts(path).joined(separator: "/")
        // Made like any other file, so that it is seen in listings.
        try open(path, .readWrite(create: true)).close()
        let isMine = try call(.lock, path) { disk in .success(disk.locks.insert(name).inserted) }
        if !isMine { throw StorageError(.lockedByAnother, .lock, path: path) }
        return SimulatedLock(fileSystem: self, path: path, name: name)
    }

    public func freeBytes(_ path: String) throws(StorageError) -> (free: Int64, total: Int64) {
        try call(.freeBytes, path) { disk in
            guard disk.find(path) != nil else { return .failure(.init(ENOENT)) }
            // Without a capacity: a disk of 1 TiB that never fills.
            guard let capacity = disk.capacity else { return .success((1 << 40, 1 << 40)) }
            return .success((Int64(disk.freePages * SimulatedPage.size), capacity))
        }
    }

    public func supportsDirect(_ path: String) -> Bool { supportsDirect }

    public func syncAll(_ path: String) throws(StorageError) {
        try call(.syncAll, path, pretending: ()) { disk in
            if disk.isOutOfDescriptors { return .failure(.init(EMFILE)) }
            guard disk.find(path) != nil else { return .failure(.init(ENOENT)) }
            Self.eachFile(disk.root) { $0.sync() }
            Self.eachFolder(disk.root) { $0.sync() }
            return .success(())
        }
    }

    private static func eachFolder(_ folder: FolderNode, _ body: (FolderNode) -> Void) {
        body(folder)
        for case .folder(let inner) in folder.names.values { eachFolder(inner, body) }
    }
}

/// A lock of a simulated file system; a crash drops it.
final class SimulatedLock: FileLock {
    let path: String
    private let fileSystem: SimulatedFileSystem
    private let name: String

    init(fileSystem: SimulatedFileSystem, path: String, name: String) {
        self.fileSystem = fileSystem
        self.path = path
        self.name = name
    }

    deinit { release() }

    func release() { fileSystem.disk.withLock { _ = $0.locks.remove(name) } }
}
