import Glibc

extension FileSystem {
    /// Makes `bytes` the whole content of `path`, so that a crash leaves the old content or the new, never a mixture:
    /// written and synced under another name (`path` + `.tmp`), renamed, the folder synced. Durable when it returns.
    ///
    /// After an error the old content is in place, unless the folder's sync failed: then either may be found.
    public func writeAtomically(_ path: String, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        let temporary = path + Self.temporarySuffix
        do throws(StorageError) {
            let file = try open(temporary, .readWrite(create: true))
            defer { file.close() }
            // What an earlier attempt left behind may be longer.
            try file.truncate(to: 0)
            try file.write(bytes, at: 0)
            try file.sync()
        } catch {
            // The first error is the one to report; what remains is written over by the next attempt.
            try? remove(temporary)
            throw error
        }
        try rename(temporary, to: path)
        try syncDirectory(Path.parent(path))
    }

    public func writeAtomically(_ path: String, _ bytes: [UInt8]) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { buffer throws(StorageError) in
            try writeAtomically(path, UnsafeRawBufferPointer(buffer))
        }
    }

    /// Ends the name of a file that `writeAtomically` did not finish; recovery may remove such files.
    public static var temporarySuffix: String { ".tmp" }

    /// A file's whole content, which has at most `limit` bytes (`.tooLarge` otherwise).
    public func readWhole(_ path: String, limit: Int) throws(StorageError) -> [UInt8] {
        let file = try open(path, .read)
        defer { file.close() }
        let size = try file.size()
        guard size <= Int64(limit) else {
            throw StorageError(.tooLarge(actual: size, limit: limit), .read, path: path)
        }
        return try file.read(Int(size), at: 0)
    }

    /// Makes a folder and the missing ones above it, and their names durable.
    ///
    /// One at a time, each name synced before the next is made: a process that dies in here leaves at most one folder
    /// whose name is not durable, the deepest that is there, and the next call begins with that one.
    public func createDirectoryDurably(_ path: String) throws(StorageError) {
        var missing: [String] = []
        var at = path
        while try !exists(at) {
            missing.append(at)
            let above = Path.parent(at)
            if above == at { break }
            at = above
        }
        do throws(StorageError) {
            try syncDirectory(Path.parent(at))
        } catch {
            // Somebody else's folder, which may be read-only or closed to this user, has nothing of ours in it.
            if error.errno == EIO || error.isNoSpace { throw error }
        }
        // An existing folder is made as well: a file of that name is an error.
        for folder in missing.isEmpty ? [path] : missing.reversed() {
            try createDirectory(folder)
            if !missing.isEmpty { try syncDirectory(Path.parent(folder)) }
        }
    }
}
