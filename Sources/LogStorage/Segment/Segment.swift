import ByteBuffers
import StorageIO
import Synchronization

/// One file of a partition's log: whole record batches, back to back, whose first offset names the file.
///
/// Who protects what: the fields marked (state) by the partition's state lock, those marked (io) by its I/O lock. A start, and
/// the cleaner, make segments that nobody else knows of yet, and need neither. A segment that was deleted stays readable for
/// those who still hold its file.
final class Segment: @unchecked Sendable {
    // SAFETY: see the field marks; `file` has a lock of its own.
    let baseOffset: Int64
    /// Bytes appended, whether or not they are in the file yet. (state)
    var size: Int64 = 0
    /// Bytes that readers may take from the file: written, and durable here or in the journal. (state)
    var readable: Int64 = 0
    /// Largest timestamp in the segment; `Int64.min` when it is empty. (state)
    var maxTimestamp = Int64.min
    /// When the file last changed, used as the age of records without a timestamp. Nil until retention has asked for
    /// it, and again after each batch. (state)
    var modifiedMs: Int64?
    /// The time that retention counts the segment's age from: its newest record, or the file if records have no
    /// timestamps. (state)
    var newestMs: Int64? { maxTimestamp >= 0 ? maxTimestamp : modifiedMs }
    /// Largest timestamp of the first batch, or the time of its append if it has none; `Int64.max` when empty or
    /// unknown. (state)
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
    /// Number of writes so far, by which a sync that runs without the lock sees whether another write came meanwhile.
    /// (io)
    var writes = 0
    /// The file may end in zero bytes beyond `written` (see `DirectWriter`). (io)
    var isPadded = false
    /// Bytes of log that the stored index covers. (io)
    var indexedSize: Int64 = 0
    /// The final index is stored and no longer in memory. Also true while the segment is being installed, so that no
    /// index is stored. (io)
    var isFinished = false

    /// Set, and never reset, when another segment has taken this one's name or when its file is being removed. A reader
    /// must check it after each read: when it is set, the bytes may be those of the other segment, and the reader must
    /// find the records anew.
    let isRetired = Atomic<Bool>(false)
    /// Its file does not have its name yet; retention must wait. (state)
    var isInstalling = false

    /// Which bytes had their checksums checked lately, for readers that send records from the file.
    let checked = Lock(CheckedRanges())
    /// Where the last reads ended, so that a reader that goes on there needs no index once that has left memory.
    let marks = Lock(ReadMarks())

    private let file: Lock<(any StorageFile)?>
    /// Whether the handle was used since `giveUpHandle` last asked: the reference bit of the clock algorithm.
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

    /// Sets whether the segment needs a sync, and returns the previous value. Only `SegmentHandles` calls this, because
    /// it counts these segments.
    func setNeedsSync(_ value: Bool) -> Bool {
        // Under the same lock as `giveUpHandle`, so that the handle of a segment about to be written is not closed.
        file.withLock { _ in unsynced.exchange(value, ordering: .relaxed) }
    }

    /// Returns the open file; opens it when it is not, and with `create` makes it.
    ///
    /// Called by whoever reads or writes the segment, on a thread that may wait for the disk: writers hold the partition's
    /// `io`, readers hold nothing, so two may open it at once and the second's handle is closed. An event loop only looks
    /// whether it is open (`openedFile`). <doc:FilesAndDescriptors> has who else may open the file.
    func openFile(_ handles: SegmentHandles, in folder: String, create: Bool) throws(StorageError) -> any StorageFile {
        if let open = openedFile { return open }
        let opened = try handles.fileSystem.open(Path.join(folder, logName), .readWrite(create: create))
        let (kept, isNew) = file.withLock { current -> (any StorageFile, Bool) in
            if let other = current { return (other, false) }
            // Do not keep the handle of a retired segment: nothing would close it, and the removed file would keep its
            // disk space.
            if isRetired.load(ordering: .acquiring) { return (opened, false) }
            current = opened
            return (opened, true)
        }
        isUsed.store(true, ordering: .relaxed)
        if isNew { handles.add(self) }
        return kept
    }

    /// Closes the handle unless it was used recently or is needed for a sync. Returns false if it was kept for one of
    /// these reasons.
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
