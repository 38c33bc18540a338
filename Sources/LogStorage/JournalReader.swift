import ByteBuffers
import StorageIO

/// Reads the journal's files back after a stop of any kind.
struct JournalReader {
    /// Where the journal goes on. `generation` leaves one out: the first frames of that one may have been written by a
    /// commit that the stop tore, and must not be taken for those of the next.
    var end: Journal.Position {
        Journal.Position(generation: last.generation + 1, sequence: last.sequence, commit: lastCommit)
    }

    private var last: (generation: UInt64, sequence: UInt64) = (0, 0)
    private var lastCommit: UInt64 = 0
    private(set) var frames = 0

    /// Calls `body` with every entry of the generations after `recycled`, oldest first. Stops at the end of the newest file's frames.
    /// Throws `.corrupt` when a frame is damaged although later ones prove that it had been synced.
    mutating func read(
        _ fileSystem: any FileSystem, folder: String, after recycled: UInt64,
        _ body: (JournalFormat.Entry) throws(StorageError) -> Void
    ) throws(StorageError) {
        var files: [(file: any StorageFile, generation: UInt64)] = []
        var unbegun: [any StorageFile] = []
        defer {
            for entry in files { entry.file.close() }
            for file in unbegun { file.close() }
        }
        for name in try fileSystem.list(folder) where Journal.number(of: name) != nil {
            let file = try fileSystem.open(Path.join(folder, name), .read)
            let bytes = try file.read(JournalFormat.maxFrame, at: 0)
            let first = bytes.withUnsafeBytes { JournalFormat.open($0) }
            guard let first else {
                unbegun.append(file)
                continue
            }
            // Recycled: what it holds is in the segments.
            guard first.generation > recycled else {
                last.generation = max(last.generation, first.generation)
                file.close()
                continue
            }
            files.append((file, first.generation))
        }
        files.sort { $0.generation < $1.generation }
        last.generation = max(last.generation, recycled)
        for (index, entry) in files.enumerated() {
            guard entry.generation == recycled + UInt64(index) + 1 else {
                throw StorageError(
                    .corrupt("generation \(entry.generation) where \(recycled + UInt64(index) + 1) is expected"), .read,
                    path: entry.file.path)
            }
            let isNewest = index == files.count - 1
            try read(entry.file, generation: entry.generation, isNewest: isNewest, body)
        }
        for file in unbegun { try proveUnbegun(file) }
    }

    private mutating func read(
        _ file: any StorageFile, generation: UInt64, isNewest: Bool,
        _ body: (JournalFormat.Entry) throws(StorageError) -> Void
    ) throws(StorageError) {
        let size = try file.size()
        var position: Int64 = 0
        let chunk = ChunkPool.shared.chunk(atLeast: 4 << 20)
        while position < size {
            let window = UnsafeMutableRawBufferPointer(
                start: chunk.base, count: Int(min(Int64(chunk.capacity), size - position)))
            let count = try file.read(into: window, at: position)
            var at = 0
            // A frame may begin anywhere in the window but must lie in it as a whole; the largest is a quarter of it.
            while at < count, count - at >= JournalFormat.maxFrame || position + Int64(count) == size {
                let rest = UnsafeRawBufferPointer(start: chunk.base + at, count: count - at)
                guard let header = JournalFormat.open(rest), header.generation == generation else {
                    if isNewest { try proveTorn(file, from: position + Int64(at), size, generation) }
                    return
                }
                guard last.sequence == 0 || header.sequence == last.sequence + 1 else {
                    throw StorageError(
                        .corrupt(
                            "frame \(header.sequence) at byte \(position + Int64(at)) follows frame \(last.sequence): "
                                + "acknowledged writes are lost in between"),
                        .read, path: file.path)
                }
                let entries: [JournalFormat.Entry]
                do {
                    entries = try JournalFormat.entries(of: header, in: rest)
                } catch {
                    throw StorageError(
                        .corrupt("frame at byte \(position + Int64(at)): \(error)"), .read, path: file.path)
                }
                for entry in entries { try body(entry) }
                last = (generation, header.sequence)
                lastCommit = header.commit
                frames += 1
                at += header.frameSize
            }
            if at == 0 { return }
            position += Int64(at)
        }
    }

    /// After the first frame that is not whole: a frame of a later commit than the one that was under way proves that
    /// it was whole once, so this is damage and not the torn end of the last commit.
    private func proveTorn(
        _ file: any StorageFile, from start: Int64, _ size: Int64, _ generation: UInt64
    ) throws(StorageError) {
        var position = start + Int64(JournalFormat.block)
        while position < size {
            if let header = try frame(of: file, at: position, size), header.generation == generation,
                header.commit > lastCommit + 1
            {
                throw damage(of: file, from: start, header, at: position)
            }
            position += Int64(JournalFormat.block)
        }
    }

    /// A file without a whole first frame was never begun, or its first commit was torn. Then it holds newer frames of
    /// that one commit at most; those of two, or of one that cannot follow what was read, prove that the first was whole.
    private func proveUnbegun(_ file: any StorageFile) throws(StorageError) {
        let size = try file.size()
        var commit: UInt64?
        var position = Int64(JournalFormat.block)
        // The second frame begins where the largest first one would end, or before.
        while position < size, commit != nil || position <= Int64(JournalFormat.maxFrame) {
            if let header = try frame(of: file, at: position, size), header.generation > last.generation {
                if commit.map({ $0 != header.commit }) ?? (frames > 0 && header.commit > lastCommit + 1) {
                    throw damage(of: file, from: 0, header, at: position)
                }
                commit = header.commit
            }
            position += Int64(JournalFormat.block)
        }
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

    private func damage(
        of file: any StorageFile, from start: Int64, _ later: JournalFormat.Header, at position: Int64
    ) -> StorageError {
        StorageError(
            .corrupt(
                "the frame at byte \(start) is damaged: frame \(later.sequence) of a later commit follows at byte "
                    + "\(position), so acknowledged writes are lost in between"),
            .read, path: file.path)
    }
}
