import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// The one sequential file that makes every partition's small appends durable with one sync.
///
/// Files are used in turn: when one is full the next free one is taken, or a new one is made, up to `maxFiles`. A checkpoint
/// makes them free again (`recycle`). While there is no room (`hasRoom`), commits are written through to the segments, and
/// nobody waits.
///
/// Log starts can only be journaled. A megabyte is kept for them; when many commits have used that up as well, files beyond
/// `maxFiles` are made. So the journal takes at most `maxFiles` x `fileBytes`, and one block for each commit with a log start
/// that comes while one checkpoint is made.
///
/// Between a start and its first checkpoint there is no room for batches at all. The journal may end in a commit that the
/// stop tore, and each start that finds it decides anew whether it counts. Were batches acknowledged behind it, at the
/// offsets that it claims, a later start could take the torn one for them.
final class Journal: @unchecked Sendable {
    // SAFETY: everything that is neither behind a lock of its own nor atomic is the write side's: from `current` on to
    // `bytesWritten`. It is only used by who holds the lock of `GroupCommit.committer`, in which the journal stands:
    // the committing thread, an event loop that commits at the end of its turn, a checkpoint that carries entries, the
    // metrics page. Who makes a checkpoint keeps a reference beyond the lock, and uses `fullGenerations`, `recycle` and
    // `add`, the latter under the lock again; who makes a file ahead uses `wantsFile`, `makeFileAhead` and
    // `putOffMaking`. Before the store's first commit recovery uses it alone.
    static let maxFiles = 4

    struct Position {
        var generation: UInt64
        var sequence: UInt64
        var commit: UInt64
    }

    struct File {
        let file: any StorageFile
        let number: Int
        /// Generation of its frames; 0 for a free file.
        var generation: UInt64
    }

    private let fileSystem: any FileSystem
    private let folder: String
    let fileBytes: Int64
    /// Largest frame, header and padding included.
    private let frameBytes: Int
    private let usesDirect: Bool
    private let files: Lock<[File]>
    /// Numbers of files that were found and have another size than `fileBytes`: removed when a checkpoint has made their
    /// frames needless.
    private let misfits: Lock<[Int]>

    /// Held by who makes a file.
    private let making = Lock<Void>(())
    /// A commit waits for the file that is being made.
    private let awaited = Atomic<Bool>(false)
    /// A file could not be made ahead: not tried again before the next checkpoint.
    private let isPutOff = Atomic<Bool>(false)
    /// Bytes of the file in use that have frames, for who makes files.
    private let inUse = Atomic<Int64>(0)

    private var current: File?
    private var position: Int64 = 0
    private var generation: UInt64
    /// The newest generation that was there when the journal was opened.
    private let recoveredGeneration: UInt64
    private var sequence: UInt64
    /// Of the newest commit that wrote frames.
    private var commitNumber: UInt64
    private let staging: Chunk
    private var staged = JournalFormat.headerSize
    private var stagedEntries: UInt32 = 0
    private var unsynced = false
    /// The disk has room for further files.
    let mayGrow = Atomic<Bool>(true)
    /// A checkpoint covers what recovery found.
    private let hasBegun = Atomic<Bool>(false)

    /// Bytes written to the journal since it was opened, padding included.
    private(set) var bytesWritten: Int64 = 0

    /// Goes on after the frames that recovery found. The files are free once a checkpoint covers those frames. They and
    /// their names are synced here, as a process that died may not have come to it, unless the caller `trustsCache`.
    init(
        fileSystem: any FileSystem, folder: String, fileBytes: Int64, frameBytes: Int, direct: Bool, pool: ChunkPool,
        after last: Position, trustsCache: Bool = false
    ) throws(StorageError) {
        self.fileSystem = fileSystem
        self.folder = folder
        self.fileBytes = fileBytes
        self.frameBytes = frameBytes
        usesDirect = direct
        generation = last.generation
        recoveredGeneration = last.generation
        sequence = last.sequence
        commitNumber = last.commit
        staging = pool.chunk(atLeast: frameBytes)
        var found: [File] = []
        var misfits: [Int] = []
        for name in try fileSystem.list(folder).sorted() {
            guard let number = Self.number(of: name) else { continue }
            let path = Path.join(folder, name)
            guard try fileSystem.size(path) == fileBytes else {
                // One that was not made to its end gives its room back; one that has frames is needed until the checkpoint.
                if try Self.isBlank(fileSystem, path) { try fileSystem.remove(path) } else { misfits.append(number) }
                continue
            }
            let file = try fileSystem.open(path, .readWrite(create: false), direct: direct)
            if !trustsCache { try file.sync() }
            found.append(File(file: file, number: number, generation: last.generation))
        }
        if !trustsCache, !found.isEmpty { try fileSystem.syncDirectory(folder) }
        files = Lock(found)
        self.misfits = Lock(misfits)
    }

    /// No frame was ever written to it: the first one begins the file.
    private static func isBlank(_ fileSystem: any FileSystem, _ path: String) throws(StorageError) -> Bool {
        let file = try fileSystem.open(path, .read)
        defer { file.close() }
        return try file.read(JournalFormat.block, at: 0).allSatisfy { $0 == 0 }
    }

    static func number(of name: String) -> Int? {
        name.hasSuffix(".journal") ? Int(name.dropLast(8)) : nil
    }

    // MARK: Writing, under the committer's lock

    /// Largest payload of one entry.
    var maxEntry: Int { frameBytes - JournalFormat.headerSize - JournalFormat.entryHeaderSize }

    /// Adds an entry to the frame being staged, writing it out first when it is full.
    func add(
        _ kind: JournalFormat.Kind, _ partition: TopicPartition, value: Int64, truncations: UInt32,
        bytes: UnsafeRawBufferPointer
    ) throws(StorageError) {
        precondition(bytes.count <= maxEntry, "journal entry of \(bytes.count) bytes")
        let needed = JournalFormat.entryHeaderSize + bytes.count
        if staged + needed > frameBytes { try writeFrame() }
        let at = staging.base + staged
        JournalFormat.writeEntryHeader(
            kind, partition, value: value, length: bytes.count, truncations: truncations, at: at)
        if let source = bytes.baseAddress, bytes.count > 0 {
            (at + JournalFormat.entryHeaderSize).copyMemory(from: source, byteCount: bytes.count)
        }
        staged += needed
        stagedEntries += 1
    }

    /// Writes what is staged and waits until all of the commit's frames are on disk (not when `sync` is off).
    ///
    /// After an error here or in `add` nothing is staged: who tries again adds everything again. What was written by then
    /// stays, with the number of the commit that comes next: a reader takes a frame of a later commit as a proof that
    /// this one had been on disk.
    func commit(sync: Bool = true) throws(StorageError) {
        guard stagedEntries > 0 || unsynced else { return }
        if !unsynced, sync {
            // The usual case, one frame: written and synced in one call.
            try writeFrame(durably: true)
        } else {
            if stagedEntries > 0 { try writeFrame() }
            if sync { try current?.file.sync() }
            unsynced = false
        }
        commitNumber += 1
    }

    private func writeFrame(durably: Bool = false) throws(StorageError) {
        defer {
            staged = JournalFormat.headerSize
            stagedEntries = 0
        }
        let size = Int64(JournalFormat.padded(staged))
        if current == nil || position + size > fileBytes { try takeNextFile() }
        let header = JournalFormat.Header(
            generation: generation, sequence: sequence + 1, commit: commitNumber + 1,
            payloadLength: UInt32(staged - JournalFormat.headerSize), entryCount: stagedEntries)
        let length = JournalFormat.seal(header, at: staging.base)
        let bytes = UnsafeRawBufferPointer(start: staging.base, count: length)
        if durably {
            try writeDurably(bytes)
        } else {
            try current!.file.write(bytes, at: position)
            unsynced = true
        }
        // Only now: the next frame takes the place of one that failed, and no number is left out, which a reader would
        // take for a lost frame.
        sequence += 1
        position += Int64(length)
        inUse.store(position, ordering: .relaxed)
        bytesWritten += Int64(length)
    }

    private func writeDurably(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        let file = current!.file
        do throws(StorageError) {
            try file.writeDurably(bytes, at: position)
        } catch {
            // It may have been the sync that failed, and the file takes nothing more.
            guard let errno = error.errno else { throw error }
            throw StorageError(.outOfService(errno: errno), .write, path: file.path)
        }
    }

    /// Whether entries with `payload` bytes in all, `entries` of them, fit into what is free, with a megabyte to spare
    /// for the entries that have no other road (log starts).
    func hasRoom(payload: Int, entries: Int) -> Bool {
        guard hasBegun.load(ordering: .relaxed) else { return false }
        let net = payload + entries * JournalFormat.entryHeaderSize + frameBytes
        // Each frame is padded to a block, each file wastes less than one frame at its end.
        let frames = net / (frameBytes / 2) + 1
        let needed = Int64(net + frames * (JournalFormat.block + JournalFormat.headerSize))
        let left = current == nil ? 0 : max(0, fileBytes - position - Int64(frameBytes))
        if needed <= left { return true }
        let (free, count) = files.withLock { ($0.count { $0.generation == 0 }, $0.count) }
        let usable = fileBytes - Int64(frameBytes)
        let makable = mayGrow.load(ordering: .relaxed) ? max(0, Self.maxFiles - count) : 0
        return needed <= left + Int64(free + makable) * usable
    }

    /// Bytes of entries, with their headers, that fit into the file in use, so that nothing has to be made or waited for;
    /// negative near its end. 0 when no file is in use, and before the first checkpoint: then even one entry means taking
    /// a file, perhaps making one.
    var roomAtOnce: Int {
        guard current != nil, hasBegun.load(ordering: .relaxed) else { return 0 }
        return Int(fileBytes - position) - 2 * frameBytes
    }

    private func takeNextFile() throws(StorageError) {
        if unsynced {
            try current?.file.sync()
            unsynced = false
        }
        try makeFreeFile()
        generation += 1
        position = 0
        inUse.store(0, ordering: .relaxed)
        current = files.withLock { files in
            let index = files.firstIndex { $0.generation == 0 }!
            files[index].generation = generation
            return files[index]
        }
    }

    /// The file in use is more than half full, none is free, and one more may be made: by somebody whom no commit waits for.
    var wantsFile: Bool {
        guard inUse.load(ordering: .relaxed) > fileBytes / 2, mayGrow.load(ordering: .relaxed),
            !isPutOff.load(ordering: .relaxed)
        else { return false }
        return files.withLock { files in files.count < Self.maxFiles && !files.contains { $0.generation == 0 } }
    }

    /// Makes a free file unless there is one. Who comes while another makes one waits for that, which is made without rests then.
    private func makeFreeFile() throws(StorageError) {
        awaited.store(true, ordering: .relaxed)
        defer { awaited.store(false, ordering: .relaxed) }
        try making.withLock { _ throws(StorageError) in if freeFiles == 0 { _ = try makeFile() } }
    }

    /// Makes a free file, unless there is one, before a commit needs it. `isPaced`: leaves at least half of the disk's time to the
    /// commits beside it, as long as none of them waits for the file. Gives up when `isStopping`, which is asked often.
    func makeFileAhead(isPaced: Bool, until isStopping: () -> Bool) throws(StorageError) {
        try making.withLock { _ throws(StorageError) in
            if freeFiles == 0 { try makeFile(isPaced: isPaced, until: isStopping) }
        }
    }

    /// Makes no file ahead before the next checkpoint, which may free some: a commit that needs one makes it, or goes to the
    /// segments.
    func putOffMaking() { isPutOff.store(true, ordering: .relaxed) }

    /// A commit waits for the file that is being made.
    var isAwaited: Bool { awaited.load(ordering: .relaxed) }

    /// What is written at a time by somebody whom nobody waits for: a commit finds the disk at work on no more than this.
    private static let aheadBytes = 128 << 10

    /// Makes one more free file, written with zeros to its end so that a later sync has no metadata to write
    /// (measured: 86 against 140 us).
    private func makeFile(
        isPaced: Bool = false, until isStopping: () -> Bool = { false }
    ) throws(StorageError) {
        let misfit = misfits.withLock { $0.max() ?? 0 }
        let number = max(misfit, files.withLock { $0.map(\.number).max() ?? 0 }) + 1
        let path = Path.join(folder, "\(number).journal")
        let file = try fileSystem.open(path, .readWrite(create: true), direct: usesDirect)
        let began = MonotonicClock.nanoseconds
        defer {
            StallTrace.note(.journalFile, from: began, to: MonotonicClock.nanoseconds, bytes: Int(fileBytes), path)
        }
        let zeros = ChunkPool.shared.chunk(atLeast: 1 << 20)
        zeros.base.initializeMemory(as: UInt8.self, repeating: 0, count: 1 << 20)
        var at: Int64 = 0
        do throws(StorageError) {
            while at < fileBytes {
                if isStopping() { return giveUp(file) }
                let rests = isPaced && !isAwaited
                let length = min(Int64(rests ? Self.aheadBytes : zeros.capacity), fileBytes - at)
                let pieceBegan = MonotonicClock.nanoseconds
                try file.write(UnsafeRawBufferPointer(start: zeros.base, count: Int(length)), at: at)
                if rests { MonotonicClock.sleep(nanoseconds: MonotonicClock.nanoseconds - pieceBegan) }
                at += length
            }
            try file.sync()
            try fileSystem.syncDirectory(folder)
        } catch {
            giveUp(file)
            throw error
        }
        files.withLock { $0.append(File(file: file, number: number, generation: 0)) }
    }

    /// Part of a file is of no use, and the disk may be full. What cannot be removed is written again by who makes the next one.
    private func giveUp(_ file: any StorageFile) {
        file.close()
        try? fileSystem.remove(file.path)
    }

    // MARK: Recycling

    /// Generations that are full: everything before the one in use.
    var fullGenerations: UInt64 {
        files.withLock { files in
            let newest = files.map(\.generation).max() ?? 0
            return newest <= recoveredGeneration ? recoveredGeneration : newest - 1
        }
    }
    var freeFiles: Int { files.withLock { $0.count { $0.generation == 0 } } }
    var fileCount: Int { files.withLock { $0.count } }

    /// Frees the files whose generation is at or below `generation`: their content is in the segments, synced.
    func recycle(through generation: UInt64) {
        hasBegun.store(true, ordering: .relaxed)
        isPutOff.store(false, ordering: .relaxed)
        // One that cannot be removed is of no use and no harm: its generation is over.
        let needless = misfits.withLock { numbers in
            defer { numbers = [] }
            return numbers
        }
        for number in needless { try? fileSystem.remove(Path.join(folder, "\(number).journal")) }
        files.withLock { files in
            for index in files.indices where files[index].generation > 0 && files[index].generation <= generation {
                files[index].generation = 0
            }
        }
    }
}
