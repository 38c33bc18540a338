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
        defer { for entry in files { entry.file.close() } }
        for name in try fileSystem.list(folder) where Journal.number(of: name) != nil {
            let file = try fileSystem.open(Path.join(folder, name), .read)
            let bytes = try file.read(JournalFormat.maxFrame, at: 0)
            let first = bytes.withUnsafeBytes { JournalFormat.open($0) }
            // Not begun, or recycled: what it holds is in the segments.
            guard let first, first.generation > recycled else {
                if let first { last.generation = max(last.generation, first.generation) }
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
        let chunk = ChunkPool.shared.chunk(atLeast: JournalFormat.maxFrame)
        var position = start + Int64(JournalFormat.block)
        while position < size {
            let head = UnsafeMutableRawBufferPointer(start: chunk.base, count: JournalFormat.block)
            let count = try file.read(into: head, at: position)
            if count >= JournalFormat.headerSize,
                UInt32(bigEndian: chunk.base.loadUnaligned(as: UInt32.self)) == JournalFormat.magic
            {
                let whole = UnsafeMutableRawBufferPointer(
                    start: chunk.base, count: Int(min(Int64(chunk.capacity), size - position)))
                let length = try file.read(into: whole, at: position)
                if let header = JournalFormat.open(UnsafeRawBufferPointer(start: chunk.base, count: length)),
                    header.generation == generation, header.commit > lastCommit + 1
                {
                    throw StorageError(
                        .corrupt(
                            "the frame at byte \(start) is damaged: frame \(header.sequence) of a later commit follows "
                                + "at byte \(position), so acknowledged writes are lost in between"),
                        .read, path: file.path)
                }
            }
            position += Int64(JournalFormat.block)
        }
    }
}
