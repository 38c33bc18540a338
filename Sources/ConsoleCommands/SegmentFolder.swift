import Glibc
import StorageIO

/// A partition's folder, and those of its segments that were asked for.
struct SegmentFolder {
    var path: String
    /// File names, by ascending base offset.
    var names: [String]
    /// The one segment that was named; `nil`: all of the folder.
    var only: Int64?

    /// Folders within folders; a data folder has its segments in the third.
    private static let maxDepth = 6

    /// Finds them below `path`, which may be a segment itself. Says so when there are none.
    static func find(_ path: String, _ files: some FileSystem, _ console: Console) throws -> [SegmentFolder] {
        do {
            guard try files.exists(path) else { throw CommandFailure("\(path): there is no such file or folder") }
            // A link is none.
            let path = try files.isDirectory(path) ? path : resolved(path)
            guard try files.isDirectory(path) else {
                guard let base = baseOffset(ofName: Path.name(path)) else {
                    throw CommandFailure("\(path): not a segment; its name would be 20 digits and .log")
                }
                return [SegmentFolder(path: Path.parent(path), names: [Path.name(path)], only: base)]
            }
            var folders: [SegmentFolder] = []
            try search(path, files, depth: 0, &folders)
            if folders.isEmpty { console.complain("millrace: \(path): no segments") }
            return folders
        } catch let error as StorageError {
            throw CommandFailure("\(error)")
        }
    }

    /// Returns the path with no link and no dots in it, or as it is where the system does not tell.
    static func resolved(_ path: String) -> String {
        guard let text = realpath(path, nil) else { return path }
        defer { free(text) }
        return String(cString: text)
    }

    private static func search(
        _ path: String, _ files: some FileSystem, depth: Int, _ folders: inout [SegmentFolder]
    ) throws(StorageError) {
        let names = try files.list(path)
        let segments = names.filter { baseOffset(ofName: $0) != nil }
        if !segments.isEmpty { folders.append(SegmentFolder(path: path, names: segments.sorted())) }
        guard depth < maxDepth else { return }
        for name in names where try files.isDirectory(Path.join(path, name)) {
            try search(Path.join(path, name), files, depth: depth + 1, &folders)
        }
    }

    private static func baseOffset(ofName name: String) -> Int64? {
        guard name.utf8.count == 24, name.hasSuffix(".log") else { return nil }
        return name.dropLast(4).allSatisfy { $0.isASCII && $0.isNumber } ? Int64(name.dropLast(4)) : nil
    }
}
