import ByteBuffers
import StorageIO
import Synchronization

/// One file of a partition's log: whole record batches, back to back, whose first offset names the file.
///
/// Who protects what: the fields marked (state) by the partition's state lock, those marked (io) by its I/O lock. A
/// segment that was deleted stays readable for those who still hold its file.
final class Segment: @unchecked Sendable {
    // SAFETY: see the field marks; `file` has a lock of its own.
    let baseOffset: Int64
    /// Bytes appended, whether or not they are in the file yet. (state)
    var size: Int64 = 0
    /// Bytes that readers may take from the file: written, and durable here or in the journal. (state)
    var readable: Int64 = 0
    /// Largest timestamp in the segment; `Int64.min` when it is empty. (state)
    var maxTimestamp = Int64.min
    /// When its file last changed, where that stands for its records' time; nil until retention has asked, and again with
    /// each batch. (state)
    var modifiedMs: Int64?
    /// What its age is counted from: the newest record, or the file where records have no time. (state)
    var newestMs: Int64? { maxTimestamp >= 0 ? maxTimestamp : modifiedMs }
    /// Timestamp of the first batch; `Int64.max` when it is empty or not known (state)
    var firstTimestamp = Int64.max
    /// (state)
    var index = SegmentIndex()
    /// Position of the newest index entry, or 0. (state)
    var lastIndexedPosition: Int64 = 0
    /// No more appends; the next segment has begun. (state)
    var isClosed = false
    /// Bytes in the file. (io)
    var written: Int64 = 0
    /// Something was written since the last sync, so the handle stays open. (io, for changes)
    private let unsynced = Atomic<Bool>(false)
    /// Writes so far: tells whether one came while something else was done. (io)
    var writes = 0
    /// The file may end in zero bytes beyond `written` (see `DirectWriter`). (io)
    var isPadded = false
    /// Bytes of log that the stored index covers. (io)
    var indexedSize: Int64 = 0
    /// The index file stands and the index left memory. (io)
    var isFinished = false

    /// Another segment has taken its place under the same name, or its file is going. Whoever reads a segment looks at this
    /// afterwards and, where it is set, finds out anew where the records are: what it read may be the other's. Never reset.
    let isRetired = Atomic<Bool>(false)
    /// Its file does not have its name yet; retention must wait. (state)
    var isInstalling = false

    /// Which bytes had their checksums checked lately, for readers that send records from the file.
    let checked = Lock(CheckedRanges())
    /// Where the last reads ended, so that a reader that goes on there needs no index once that has left memory.
    let marks = Lock(ReadMarks())

    private let file: Lock<(any StorageFile)?>
    /// The handle was used since the last look of those who close handles.
    private let isUsed = Atomic<Bool>(true)

    init(baseOffset: Int64, file: (any StorageFile)? = nil) {
        self.baseOffset = baseOffset
        self.file = Lock(file)
    }

    static func name(_ baseOffset: Int64, _ suffix: String) -> String {
        let digits = String(baseOffset)
        return String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits + suffix
    }

    var logName: String { Self.name(baseOffset, ".log") }
    var indexName: String { Self.name(baseOffset, ".index") }

    /// The base offset in a segment's file name, or nil for a file of another kind.
    static func baseOffset(ofLogName name: String) -> Int64? {
        guard name.hasSuffix(".log"), name.utf8.count == 24 else { return nil }
        return Int64(name.dropLast(4))
    }

    /// The file, if it is open.
    var openedFile: (any StorageFile)? {
        let open = file.withLock { $0 }
        if open != nil { markUsed() }
        return open
    }

    private func markUsed() { if !isUsed.load(ordering: .relaxed) { isUsed.store(true, ordering: .relaxed) } }

    var needsSync: Bool { unsynced.load(ordering: .relaxed) }

    /// Sets whether the segment needs a sync and gives what it was. Only `SegmentHandles` calls this, because it counts them.
    func setNeedsSync(_ value: Bool) -> Bool {
        // Under the lock that a handle is given up under: one that is about to be written to stays.
        file.withLock { _ in unsynced.exchange(value, ordering: .relaxed) }
    }

    /// The open file, opened when it is not. `create` also makes it.
    func openFile(_ handles: SegmentHandles, in folder: String, create: Bool) throws(StorageError) -> any StorageFile {
        if let open = openedFile { return open }
        let opened = try handles.fileSystem.open(Path.join(folder, logName), .readWrite(create: create))
        let (kept, isNew) = file.withLock { current -> (any StorageFile, Bool) in
            if let other = current { return (other, false) }
            // Kept, it would stay open for nobody, and its file's room with it.
            if isRetired.load(ordering: .acquiring) { return (opened, false) }
            current = opened
            return (opened, true)
        }
        isUsed.store(true, ordering: .relaxed)
        if isNew { handles.add(self) }
        return kept
    }

    /// Closes the handle unless it was used lately, or is needed for a sync; gives whether it did.
    func giveUpHandle() -> Bool {
        let given = file.withLock { current -> (isGiven: Bool, file: (any StorageFile)?) in
            if needsSync || isUsed.exchange(false, ordering: .relaxed) { return (false, nil) }
            defer { current = nil }
            return (true, current)
        }
        return given.isGiven
    }

    /// Gives up the handle; readers that hold it keep it until they are done.
    func closeFile() {
        file.withLock { $0 = nil }
        checked.withLock { $0.removeAll() }
    }
}
