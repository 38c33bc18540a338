import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// Reads the journal's files back after a stop of any kind.
///
/// A frame that is not whole is either the torn end of the last commit, which nobody was told of, or damage. It is damage when
/// something behind it proves that it had been synced: a frame of a later commit, or a later file. What can still be told from
/// such a frame is told, and reading goes on behind it.
///
/// Each start leaves one generation out (`end`). A start that could make no checkpoint leaves that gap in the journal, and a
/// later start finds it. Then the frames' sequence goes on across the gap, which tells it from a lost file, and the end of the
/// file before it is judged as that start judged it.
struct JournalReader {
    /// What the reader found.
    enum Event {
        case entry(JournalFormat.Entry)
        /// An entry of a last commit that is not whole. Perhaps nobody was told of it, so it counts only if it continues its
        /// log.
        case unsureEntry(JournalFormat.Entry)
        /// A batch that had been acknowledged is lost.
        case lost(JournalSalvage.Lost, reason: String)
        /// Records that had been acknowledged are lost, and it is not known whose.
        case lostUnknown(reason: String)
    }

    /// Where writing goes on. It leaves one generation out, because a commit that the stop tore may have written frames of
    /// that one, and they must not be taken for frames of the next commit.
    var end: Journal.Position {
        Journal.Position(generation: last.generation + 1, sequence: last.sequence, commit: lastCommit)
    }

    private var last: (generation: UInt64, sequence: UInt64) = (0, 0)
    private var lastCommit: UInt64 = 0
    private(set) var frames = 0
    /// Damaged parts of files, to be set aside before the file is used again.
    private(set) var damaged: [(path: String, position: Int64, bytes: [UInt8])] = []
    /// For the log: what was found and is not damage for certain.
    private(set) var notices: [String] = []
    /// What was read of each file, from its beginning, by path.
    private var extents: [String: Extent] = [:]

    private struct Extent {
        /// Exclusive end, in bytes.
        var end: Int64 = 0
        var checksum: UInt32 = 0

        mutating func add(_ bytes: UnsafeRawBufferPointer) {
            end += Int64(bytes.count)
            checksum = CRC32C.checksum(bytes, seed: checksum)
        }
    }

    private struct File {
        let file: any StorageFile
        let generation: UInt64
        /// Of its first frame; nil when that is not known.
        var firstSequence: UInt64?
    }

    /// Calls `body` with every entry of the generations after `recycled`, oldest first, and with what is lost. `recycled`
    /// is nil when it is not known: then all files are read.
    mutating func read(
        _ fileSystem: any FileSystem, folder: String, after recycled: UInt64?,
        _ body: (Event) throws(StorageError) -> Void
    ) throws(StorageError) {
        var files: [File] = []
        var unsure: [File] = []
        defer { for entry in files + unsure { entry.file.close() } }
        for name in try fileSystem.list(folder) where Journal.number(of: name) != nil {
            let file = try fileSystem.open(Path.join(folder, name), .read)
            guard let found = try look(at: file, after: recycled ?? 0) else {
                unsure.append(try begun(file))
                continue
            }
            if found.generation > recycled ?? 0 {
                files.append(found)
            } else {
                last.generation = max(last.generation, found.generation)
                file.close()
            }
        }
        files.sort { $0.generation < $1.generation }
        last.generation = max(last.generation, recycled ?? 0)
        var expected = recycled.map { $0 + 1 } ?? files.first?.generation ?? 0
        var begun = unsure
        for (index, entry) in files.enumerated() {
            // What the start in the gap found just begun.
            let gap = begun.firstIndex { $0.generation >= expected && $0.generation < entry.generation }
            if let gap { try readBegun(begun.remove(at: gap), body) }
            if entry.generation != expected, !isStart(from: expected, to: entry) {
                try body(
                    .lostUnknown(
                        reason: "\(entry.file.path): generation \(entry.generation) where \(expected) is expected"))
                // What comes next follows nothing that was read.
                last.sequence = 0
            }
            expected = entry.generation + 1
            // A start in the gap behind it took it for the newest, too.
            let isNewest = index == files.count - 1 || files[index + 1].generation != expected
            try read(entry, isNewest: isNewest, body)
        }
        for file in begun { try readBegun(file, body) }
    }

    /// Whether the one generation that is missing before `entry` was left out by a start, not lost. A start that found
    /// nothing counts frames from 1, any other goes on counting.
    private func isStart(from expected: UInt64, to entry: File) -> Bool {
        let read = max(last.generation + 1, expected)
        return entry.generation <= read + 1 && entry.firstSequence == last.sequence + 1
    }

    /// The first frame of a file that was just begun, torn or damaged.
    private mutating func readBegun(
        _ entry: File, _ body: (Event) throws(StorageError) -> Void
    ) throws(StorageError) {
        // Of an earlier use, or not to be told: as if it were the next.
        let isNext = entry.generation == last.generation + 1 || entry.generation == last.generation + 2
        let generation = isNext ? entry.generation : last.generation + 1
        _ = try endOfFrames(
            File(file: entry.file, generation: generation), at: 0, try entry.file.size(), isNewest: true, body)
    }

    /// A file without a whole frame that counts, with the generation that its first one claims.
    private func begun(_ file: any StorageFile) throws(StorageError) -> File {
        let head = try file.read(JournalFormat.headerSize, at: 0)
        let guess = head.withUnsafeBytes { JournalFormat.guess($0) }
        return File(file: file, generation: guess.map { $0.isFrame ? $0.generation : 0 } ?? 0)
    }

    /// A file and the generation of its frames; nil when its first frame is not whole, and none behind it is newer than
    /// those of other uses.
    private func look(at file: any StorageFile, after recycled: UInt64) throws(StorageError) -> File? {
        let bytes = try file.read(JournalFormat.maxFrame, at: 0)
        if let first = bytes.withUnsafeBytes({ JournalFormat.open($0) }) {
            return File(file: file, generation: first.generation, firstSequence: first.sequence)
        }
        // The first frame is torn or damaged: the one behind it tells, though it may be of an earlier use, which is
        // recycled then.
        let size = try file.size()
        var position = Int64(JournalFormat.block)
        while position < size {
            if let header = try frame(of: file, at: position, size) {
                // Of the use before, which is recycled: this use has not got further than its first frame.
                if header.generation <= recycled { return nil }
                let guess = bytes.withUnsafeBytes { JournalFormat.guess($0) }
                let isKnown = guess?.isFrame == true && guess?.generation == header.generation
                return File(
                    file: file, generation: header.generation, firstSequence: isKnown ? guess?.sequence : nil)
            }
            position += Int64(JournalFormat.block)
        }
        return nil
    }

    private mutating func read(
        _ entry: File, isNewest: Bool, _ body: (Event) throws(StorageError) -> Void
    ) throws(StorageError) {
        let file = entry.file
        let size = try file.size()
        var position: Int64 = 0
        let chunk = ChunkPool.shared.chunk(atLeast: 4 << 20)
        last.generation = max(last.generation, entry.generation)
        while position < size {
            let window = UnsafeMutableRawBufferPointer(
                start: chunk.base, count: Int(min(Int64(chunk.capacity), size - position)))
            let count = try file.read(into: window, at: position)
            var at = 0
            // A frame may begin anywhere in the window but must lie in it as a whole; the largest is a quarter of it.
            while at < count, count - at >= JournalFormat.maxFrame || position + Int64(count) == size {
                let rest = UnsafeRawBufferPointer(start: chunk.base + at, count: count - at)
                guard let header = JournalFormat.open(rest), header.generation == entry.generation,
                    let entries = try? JournalFormat.entries(of: header, in: rest)
                else {
                    guard let next = try passOver(entry, from: position + Int64(at), size, isNewest, body) else {
                        return
                    }
                    position = next
                    at = -1
                    break
                }
                if last.sequence != 0, header.sequence != last.sequence + 1 {
                    try body(
                        .lostUnknown(
                            reason:
                                "\(file.path): frame \(header.sequence) at byte \(position + Int64(at)) follows frame "
                                + "\(last.sequence)"))
                }
                for entry in entries { try body(.entry(entry)) }
                last.sequence = header.sequence
                lastCommit = header.commit
                frames += 1
                at += header.frameSize
                extents[file.path, default: Extent()].add(UnsafeRawBufferPointer(rebasing: rest[..<header.frameSize]))
            }
            if at == 0 { return }
            if at > 0 { position += Int64(at) }
        }
    }

    /// At a frame that is not whole. Gives where reading goes on, nil at the end of this file's frames.
    private mutating func passOver(
        _ entry: File, from start: Int64, _ size: Int64, _ isNewest: Bool,
        _ body: (Event) throws(StorageError) -> Void
    ) throws(StorageError) -> Int64? {
        var position = start + Int64(JournalFormat.block)
        var found: (position: Int64, header: JournalFormat.Header)?
        var isProven = !isNewest
        while position < size {
            if let header = try frame(of: entry.file, at: position, size), header.generation == entry.generation {
                let first = found ?? (position, header)
                found = first
                // A commit is begun when the one before it is on disk: two commits behind this frame, or one that does
                // not follow the last one read, prove that it was whole once.
                if header.commit != first.header.commit || (frames > 0 && header.commit > lastCommit + 1) {
                    isProven = true
                }
                if isProven { break }
            }
            position += Int64(JournalFormat.block)
        }
        guard let found else { return try endOfFrames(entry, at: start, size, isNewest: isNewest, body) }
        guard isProven else {
            notices.append("\(entry.file.path): the last commit, at byte \(start), is not whole and was left out")
            return nil
        }
        let bytes = try entry.file.read(Int(found.position - start), at: start)
        try salvage(bytes, of: entry, at: start, isDamage: true, body)
        last.sequence = found.header.sequence - 1
        // The frames between were a commit of their own, or its part.
        lastCommit = max(lastCommit, found.header.commit - 1)
        frames = max(frames, 1)
        return found.position
    }

    /// No whole frame follows: the file's end, or the one frame that was being written, or one that is damaged and the
    /// last of its file.
    private mutating func endOfFrames(
        _ entry: File, at start: Int64, _ size: Int64, isNewest: Bool, _ body: (Event) throws(StorageError) -> Void
    ) throws(StorageError) -> Int64? {
        let bytes = try entry.file.read(Int(min(Int64(JournalFormat.maxFrame), size - start)), at: start)
        guard let guess = bytes.withUnsafeBytes({ JournalFormat.guess($0) }) else { return nil }
        let votes =
            (guess.isFrame ? 1 : 0) + (guess.generation == entry.generation ? 1 : 0)
            + (guess.sequence == last.sequence + 1 ? 1 : 0)
        guard votes >= 2 else { return nil }
        let length = min(bytes.count, JournalFormat.padded(JournalFormat.headerSize + Int(guess.payloadLength)))
        try salvage(Array(bytes[..<length]), of: entry, at: start, isDamage: !isNewest, body)
        last.sequence += 1
        last.generation = max(last.generation, entry.generation)
        lastCommit = max(lastCommit, guess.commit == lastCommit + 1 ? guess.commit : lastCommit + 1)
        return nil
    }

    /// Tells what a frame that is not whole still holds, and what it does not.
    private mutating func salvage(
        _ bytes: [UInt8], of entry: File, at start: Int64, isDamage: Bool,
        _ body: (Event) throws(StorageError) -> Void
    ) throws(StorageError) {
        let chunk = ChunkPool.shared.chunk(atLeast: max(1, bytes.count))
        bytes.withUnsafeBytes {
            chunk.base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(chunk.base), byteCount: $0.count)
        }
        let found = JournalSalvage(UnsafeRawBufferPointer(start: chunk.base, count: bytes.count))
        let place = "\(entry.file.path): the frame at byte \(start)"
        for entry in found.entries { try body(isDamage ? .entry(entry) : .unsureEntry(entry)) }
        withExtendedLifetime(chunk) {}
        if isDamage {
            notices.append("\(place) is damaged; \(found.entries.count) of its entries are whole and were taken")
            for lost in found.lost {
                try body(.lost(lost, reason: "\(place) is damaged"))
            }
            if found.hasUnknown { try body(.lostUnknown(reason: "\(place) is damaged")) }
        } else {
            notices.append(
                "\(place) is not whole: \(found.entries.count) of its entries are; a torn end, or "
                    + "damage of the last commit")
        }
        damaged.append((entry.file.path, start, bytes))
        bytes.withUnsafeBytes { extents[entry.file.path, default: Extent()].add($0) }
    }

    /// The whole frame at byte `position`, or nil when there is none.
    private func frame(
        of file: any StorageFile, at position: Int64, _ size: Int64
    ) throws(StorageError) -> JournalFormat.Header? {
        let head = try file.read(JournalFormat.headerSize, at: position)
        let isFrame = head.withUnsafeBytes {
            $0.count == JournalFormat.headerSize
                && UInt32(bigEndian: $0.loadUnaligned(as: UInt32.self)) == JournalFormat.magic
        }
        guard isFrame else { return nil }
        let whole = try file.read(Int(min(Int64(JournalFormat.maxFrame), size - position)), at: position)
        return whole.withUnsafeBytes { JournalFormat.open($0) }
    }
}

extension JournalReader {
    /// Writes what was read once more in its place and syncs it, when the journal has to keep it: the process that wrote it
    /// may have died after a sync that failed, and then it may be in the page cache alone, taken for clean. A stop
    /// within it leaves each byte as it was or as it was read. Returns the bytes.
    ///
    /// Errors: `.corrupt` when the page cache has lost it meanwhile; `.noRoomToRewrite`, which no file system gives that
    /// overwrites files in place; what the file system refuses.
    func writeAgain(_ fileSystem: any FileSystem) throws(StorageError) -> Int64 {
        let chunk = ChunkPool.shared.chunk(atLeast: 1 << 20)
        for (path, extent) in extents {
            let file = try fileSystem.open(path, .readWrite(create: false))
            defer { file.close() }
            var again = Extent()
            while again.end < extent.end {
                let window = UnsafeMutableRawBufferPointer(
                    start: chunk.base, count: Int(min(1 << 20, extent.end - again.end)))
                let count = try file.read(into: window, at: again.end)
                guard count > 0 else { break }
                let bytes = UnsafeRawBufferPointer(rebasing: window[..<count])
                do throws(StorageError) { try file.write(bytes, at: again.end) } catch {
                    guard error.isNoSpace, let errno = error.errno else { throw error }
                    throw StorageError(.noRoomToRewrite(errno: errno), .write, path: path)
                }
                again.add(bytes)
            }
            guard again.checksum == extent.checksum else {
                throw StorageError(.corrupt("what was just read of the journal reads differently"), .read, path: path)
            }
            try file.sync()
        }
        return extents.values.reduce(0) { $0 + $1.end }
    }
}

extension JournalFormat {
    /// A frame's header without its checksum.
    struct Guess {
        var isFrame: Bool
        var generation: UInt64
        var sequence: UInt64
        var commit: UInt64
        var payloadLength: UInt32
    }

    /// What the header of a frame that is not whole claims; nil where there is none.
    static func guess(_ bytes: UnsafeRawBufferPointer) -> Guess? {
        guard bytes.count >= headerSize, bytes[..<headerSize].contains(where: { $0 != 0 }),
            let base = bytes.baseAddress
        else { return nil }
        return Guess(
            isFrame: UInt32(bigEndian: base.loadUnaligned(as: UInt32.self)) == magic,
            generation: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            sequence: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
            commit: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 24, as: UInt64.self)),
            payloadLength: UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 32, as: UInt32.self)))
    }
}
