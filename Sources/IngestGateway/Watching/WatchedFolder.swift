import Glibc
import JobLedger

/// A directory while it is gone through: each name once, and nothing that leads out of it.
final class WatchedFolder {
    /// Where files go that were taken, and those that were not.
    enum Shelf: String, CaseIterable {
        case done, failed
    }

    /// A file as it is found.
    struct Found {
        let name: String
        let identity: FileIdentity
        /// Nanoseconds since 1970 of the last change of its bytes, its name or its rights: nobody can set it.
        let changedNs: Int64
    }

    enum Entry {
        case file(Found)
        /// A link, a device, a pipe, a name that is no text.
        case special(String)
        /// A folder, or gone since.
        case nothing
    }

    /// Bytes of the name on a shelf: that of the file, as far as there is room, and its job's.
    private static let maxNameBytes = 255

    private let descriptor: Int32
    private let stream: OpaquePointer
    /// Each is opened once: what takes its name later is none of it.
    private var shelves: [Shelf: Int32] = [:]

    /// Opens it, and makes its shelves where they are missing.
    init(_ path: String) throws(FileFailure) {
        let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileFailure("the directory \(path) cannot be opened") }
        // A place of its own in the list of names.
        let listed = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard listed >= 0, let stream = fdopendir(listed) else {
            let failure = FileFailure("the directory \(path) cannot be read")
            if listed >= 0 { close(listed) }
            close(descriptor)
            throw failure
        }
        (self.descriptor, self.stream) = (descriptor, stream)
        guard faccessat(descriptor, ".", W_OK | X_OK, 0) == 0 else {
            throw FileFailure("files cannot be moved out of the directory \(path)")
        }
        for shelf in Shelf.allCases { shelves[shelf] = try open(shelf, path) }
    }

    deinit {
        closedir(stream)
        close(descriptor)
        for shelf in shelves.values { close(shelf) }
    }

    private func open(_ shelf: Shelf, _ path: String) throws(FileFailure) -> Int32 {
        if mkdirat(descriptor, shelf.rawValue, 0o777) != 0, errno != EEXIST {
            throw FileFailure("\(path)/\(shelf.rawValue) cannot be made")
        }
        let opened = openat(descriptor, shelf.rawValue, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard opened >= 0 else {
            if errno == ENOTDIR || errno == ELOOP {
                throw FileFailure(reason: "\(path)/\(shelf.rawValue) is no directory")
            }
            throw FileFailure("\(path)/\(shelf.rawValue) cannot be opened")
        }
        guard faccessat(opened, ".", W_OK | X_OK, 0) == 0 else {
            let failure = FileFailure("files cannot be moved to \(path)/\(shelf.rawValue)")
            close(opened)
            throw failure
        }
        return opened
    }

    /// The next name of the list that is none of a hidden file and like the pattern; nil: there is none any more.
    func nextEntry(like pattern: String) -> Entry? {
        guard let entry = readdir(stream) else { return nil }
        return withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: 256) { name in
                if name[0] == CChar(UInt8(ascii: ".")) || fnmatch(pattern, name, 0) != 0 { return .nothing }
                guard let text = String(validatingCString: name) else { return .special(String(cString: name)) }
                return look(at: text)
            }
        }
    }

    private func look(at name: String) -> Entry {
        var state = stat()
        guard fstatat(descriptor, name, &state, AT_SYMLINK_NOFOLLOW) == 0 else { return .nothing }
        switch state.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: return .nothing
        default: return .special(name)
        }
        return .file(Found(name: name, identity: FileIdentity(state), changedNs: state.st_ctim.nanoseconds))
    }

    /// Opens a file that was found to be read; what has taken its name since is none of it.
    func openFile(_ found: Found) throws(FileFailure) -> Int32 {
        let file = openat(descriptor, found.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { throw FileFailure("it cannot be read") }
        guard Self.identity(of: file) == found.identity else {
            close(file)
            throw FileFailure(reason: "it was changed just now")
        }
        return file
    }

    /// nil: it is no file, or cannot be asked.
    static func identity(of file: Int32) -> FileIdentity? {
        var state = stat()
        guard fstat(file, &state) == 0, state.st_mode & S_IFMT == S_IFREG else { return nil }
        return FileIdentity(state)
    }

    // MARK: What becomes of a file

    /// Takes a file out of the directory: to a shelf, by its own name and that of its job, so that it hides no other; or for good. Another
    /// one that has its name now stays. One that was written to since goes to `failed`, for nobody has read that: it is never deleted.
    ///
    /// - Returns: where it has gone; `.done` as well where it was deleted.
    func remove(
        _ name: String, _ identity: FileIdentity, to wanted: Shelf?, _ job: JobID
    ) throws(FileFailure) -> Shelf {
        guard let now = self.identity(of: name), now.inode == identity.inode else { return wanted ?? .done }
        if now == identity, wanted == nil {
            if unlinkat(descriptor, name, 0) == 0 { return .done }
            let failure = FileFailure("it cannot be deleted")
            if self.identity(of: name)?.inode == identity.inode { throw failure }
            return .done
        }
        let shelf = now == identity ? wanted ?? .done : .failed
        guard let opened = shelves[shelf] else { throw FileFailure(reason: "\(shelf.rawValue) is not there") }
        if renameat(descriptor, name, opened, Self.shelved(name, job)) == 0 { return shelf }
        let failure = FileFailure("it cannot be moved to \(shelf.rawValue)")
        if self.identity(of: name)?.inode == identity.inode { throw failure }
        return shelf
    }

    /// Of the file that has this name now; nil: there is none.
    private func identity(of name: String) -> FileIdentity? {
        guard case .file(let now) = look(at: name) else { return nil }
        return now.identity
    }

    static func shelved(_ name: String, _ job: JobID) -> String {
        let room = maxNameBytes - JobID.textLength - 1
        var kept = name
        while kept.utf8.count > room { kept.removeLast() }
        return kept + "." + job.text
    }
}

extension FileIdentity {
    fileprivate init(_ state: stat) {
        self.init(
            inode: UInt64(state.st_ino), size: Int64(state.st_size), modifiedNs: state.st_mtim.nanoseconds)
    }
}

extension timespec {
    fileprivate var nanoseconds: Int64 { Int64(tv_sec) &* 1_000_000_000 &+ Int64(tv_nsec) }
}
