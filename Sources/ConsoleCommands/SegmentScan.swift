import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// The segments below a path, by partition folder.
struct SegmentFiles {
    struct Folder {
        var path: String
        /// File names, by ascending base offset.
        var names: [String]
    }

    /// Folders within folders; a data folder has its segments in the third.
    private static let maxDepth = 6

    /// Finds them below `path`, which may be a segment itself. Throws when there is nothing at `path`.
    static func find(_ path: String, _ files: some FileSystem) throws -> [Folder] {
        guard try files.exists(path) else { throw CommandFailure("\(path): there is no such file or folder") }
        guard try files.isDirectory(path) else {
            guard baseOffset(ofName: Path.name(path)) != nil else {
                throw CommandFailure("\(path): not a segment; its name would be 20 digits and .log")
            }
            return [Folder(path: Path.parent(path), names: [Path.name(path)])]
        }
        var folders: [Folder] = []
        try search(path, files, depth: 0, &folders)
        return folders
    }

    private static func search(_ path: String, _ files: some FileSystem, depth: Int, _ folders: inout [Folder]) throws {
        let names = try files.list(path)
        let segments = names.filter { baseOffset(ofName: $0) != nil }
        if !segments.isEmpty { folders.append(Folder(path: path, names: segments.sorted())) }
        guard depth < maxDepth else { return }
        for name in names where try files.isDirectory(Path.join(path, name)) {
            try search(Path.join(path, name), files, depth: depth + 1, &folders)
        }
    }

    static func baseOffset(ofName name: String) -> Int64? {
        guard name.utf8.count == 24, name.hasSuffix(".log") else { return nil }
        return name.dropLast(4).allSatisfy { $0.isASCII && $0.isNumber } ? Int64(name.dropLast(4)) : nil
    }
}

/// What a walk through one segment found.
struct SegmentScan {
    /// What stands at `position` in place of a batch, and whether it is damage.
    struct Defect {
        var position: Int64
        var reason: String
        /// A last batch that is cut off, or zeros behind the last batch: what a crash, or writing ahead, leaves.
        var isHarmless: Bool
    }

    var size: Int64 = 0
    var batches = 0
    var records: Int64 = 0
    var firstOffset: Int64?
    var lastOffset: Int64?
    var defect: Defect?

    /// Bytes read at a time; a larger batch is read whole.
    private static let windowBytes = 1 << 20

    /// Walks the batches of a segment, checking what `checks` says, until the end, a defect, or `body` returns false.
    /// `body` gets each batch with its position; its bytes are valid during the call.
    static func run(
        _ file: any StorageFile, isLast: Bool, verifies: Bool,
        _ body: (RecordBatchHeader, Int64) throws -> Bool = { _, _ in true }
    ) throws -> SegmentScan {
        var scan = SegmentScan(size: try file.size())
        let validator = RecordBatchValidator(origin: .broker)
        var iterator = RecordIterator(outputLimit: 1 << 30)
        var window = ChunkPool.shared.chunk(atLeast: windowBytes)
        var position: Int64 = 0
        while position < scan.size {
            let wanted = Int(min(Int64(window.capacity), scan.size - position))
            let count = try file.read(
                into: UnsafeMutableRawBufferPointer(start: window.base, count: wanted), at: position)
            var at = 0
            var needed = 0
            while at < count {
                let rest = UnsafeRawBufferPointer(start: window.base + at, count: count - at)
                let batch: RecordBatchHeader
                do throws(RecordBatchError) {
                    batch = verifies ? try validator.validateFirst(rest) : try RecordBatchHeader.first(in: rest)
                    if verifies {
                        try iterator.open(batch)
                        try iterator.verifyRemaining()
                    }
                } catch {
                    if case .truncated(let size, _) = error, position + Int64(at) + Int64(size) <= scan.size {
                        needed = size
                        break
                    }
                    scan.defect = try defect(error, position + Int64(at), file, isLast: isLast, size: scan.size)
                    return scan
                }
                if let last = scan.lastOffset, batch.baseOffset.rawValue <= last {
                    scan.defect = Defect(
                        position: position + Int64(at),
                        reason: "base offset \(batch.baseOffset.rawValue) after offset \(last)", isHarmless: false)
                    return scan
                }
                scan.batches += 1
                scan.records += Int64(batch.recordCount)
                scan.firstOffset = scan.firstOffset ?? batch.baseOffset.rawValue
                scan.lastOffset = batch.lastOffset.rawValue
                if try !body(batch, position + Int64(at)) { return scan }
                at += batch.totalSize
            }
            position += Int64(at)
            if at == 0 {
                // The batch is larger than the window.
                window = ChunkPool.shared.chunk(atLeast: max(needed, window.capacity + 1))
            }
        }
        return scan
    }

    private static func defect(
        _ error: RecordBatchError, _ position: Int64, _ file: any StorageFile, isLast: Bool, size: Int64
    ) throws -> Defect {
        if try isZero(file, from: position, to: size) {
            return Defect(
                position: position, reason: "\(size - position) zero bytes behind the last batch", isHarmless: true)
        }
        if case .truncated = error {
            return Defect(
                position: position, reason: "a last batch that is cut off after \(size - position) bytes",
                isHarmless: isLast)
        }
        return Defect(position: position, reason: "\(error)", isHarmless: false)
    }

    private static func isZero(_ file: any StorageFile, from start: Int64, to end: Int64) throws -> Bool {
        var position = start
        while position < end {
            let bytes = try file.read(Int(min(Int64(windowBytes), end - position)), at: position)
            if bytes.isEmpty || bytes.contains(where: { $0 != 0 }) { return false }
            position += Int64(bytes.count)
        }
        return true
    }
}
