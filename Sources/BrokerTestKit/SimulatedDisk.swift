import Glibc
import StorageIO

/// The state of a `SimulatedFileSystem`, behind its lock: the tree, the faults, the record of calls.
struct SimulatedDisk {
    var root = FolderNode()
    var random: SeededRandom
    var locks: Set<String> = []

    var capacity: Int64?
    var wallClockMs: Int64 = 0
    /// Files that are open, and how many may be.
    var openFiles = 0
    var openLimit: Int?
    var isOutOfDescriptors: Bool { openLimit.map { openFiles >= $0 } ?? false }
    var usedPages = 0
    var supportsDirect = true
    var directAlignment = 4096

    var faults: [Fault] = []
    var haltAt: Int?
    var isHalted = false
    var calls = 0
    /// Names each call that changes folders, so that its parts survive together.
    var sequence = 0
    var records: [OperationRecord] = []
    var recordLimit = 10_000

    init(random: SeededRandom) { self.random = random }

    // MARK: Calls

    /// What is to become of a call.
    enum Verdict {
        case proceed
        /// Power fails during this call: it does its part without a sync, then reports EIO.
        case halt
        case fail(Int32)
        case failHalfway(Int32)
        case pretend
        case flipBit
    }

    /// Counts and records a call, and asks the faults about it. Throws once the power is off.
    mutating func begin(
        _ operation: StorageError.Operation, _ path: String, at offset: Int64? = nil, length: Int? = nil,
        clock: ManualClock?
    ) throws(StorageError) -> Verdict {
        if isHalted { throw StorageError(.io(errno: EIO), operation, path: path) }
        let index = calls
        calls += 1
        if records.count >= recordLimit { records.removeFirst(records.count / 2) }
        records.append(
            OperationRecord(
                index: index, operation: operation, path: path, offset: offset, length: length, failure: nil))
        if index == haltAt {
            isHalted = true
            return .halt
        }
        for fault in faults.indices where faults[fault].meets(operation, path) {
            switch faults[fault].effect {
            case .fail(let errno): return .fail(errno)
            case .failHalfway(let errno): return .failHalfway(errno)
            case .pretend: return .pretend
            case .flipBit: return .flipBit
            case .delay(let duration): clock?.advance(by: duration)
            }
        }
        return .proceed
    }

    /// The error of the call that began last, noted in its record.
    mutating func failure(
        _ kind: StorageError.Kind, _ operation: StorageError.Operation, _ path: String
    ) -> StorageError {
        if !records.isEmpty { records[records.count - 1].failure = kind }
        return StorageError(kind, operation, path: path)
    }

    mutating func failure(_ errno: Int32, _ operation: StorageError.Operation, _ path: String) -> StorageError {
        failure(.io(errno: errno), operation, path)
    }

    mutating func nextSequence() -> Int {
        sequence += 1
        return sequence
    }

    // MARK: Tree

    /// The parts of a path; absolute and relative paths start at the same root.
    static func parts(_ path: String) -> [String] {
        var parts: [String] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(String(part)) }
        }
        return parts
    }

    func look(_ path: String) -> Result<SimulatedNode, Errno> {
        var node = SimulatedNode.folder(root)
        for part in Self.parts(path) {
            if part.utf8.count > Self.maxNameBytes { return .failure(Errno(ENAMETOOLONG)) }
            guard case .folder(let folder) = node else { return .failure(Errno(ENOTDIR)) }
            guard let next = folder.names[part] else { return .failure(Errno(ENOENT)) }
            node = next
        }
        return .success(node)
    }

    func find(_ path: String) -> SimulatedNode? { try? look(path).get() }

    func file(_ path: String) -> FileNode? {
        if case .file(let file)? = find(path) { file } else { nil }
    }

    func folder(_ path: String) -> FolderNode? {
        if case .folder(let folder)? = find(path) { folder } else { nil }
    }

    /// Bytes of one part of a path, as on the file systems of Linux; a longer one is ENAMETOOLONG.
    static let maxNameBytes = 255

    /// The folder that holds the path's last part, and that part; or the errno that looking for it gives.
    func place(_ path: String) -> Result<(folder: FolderNode, name: String), Errno> {
        var parts = Self.parts(path)
        if parts.contains(where: { $0.utf8.count > Self.maxNameBytes }) { return .failure(Errno(ENAMETOOLONG)) }
        guard let name = parts.popLast() else { return .failure(Errno(EBUSY)) }
        var folder = root
        for part in parts {
            switch folder.names[part] {
            case .folder(let next): folder = next
            case .file: return .failure(Errno(ENOTDIR))
            case nil: return .failure(Errno(ENOENT))
            }
        }
        return .success((folder, name))
    }

    struct Errno: Error {
        let value: Int32
        init(_ value: Int32) { self.value = value }
    }

    // MARK: Space

    var freePages: Int {
        guard let capacity else { return .max }
        return max(0, Int(capacity) / SimulatedPage.size - usedPages)
    }

    /// Runs a change of a file's pages and counts what they take.
    mutating func changing<Result>(_ file: FileNode, _ change: () -> Result) -> Result {
        let before = file.pages.count
        file.modifiedMs = wallClockMs
        defer { usedPages += file.pages.count - before }
        return change()
    }

    mutating func unlink(_ node: SimulatedNode) {
        guard case .file(let file) = node else { return }
        file.names -= 1
        releaseIfUnused(file)
    }

    /// Its space counts as free once it has no name and nobody has it open. A crash may still bring the name back.
    mutating func releaseIfUnused(_ file: FileNode) {
        if file.names == 0, file.openFiles == 0 { usedPages -= file.pages.count }
    }
}
