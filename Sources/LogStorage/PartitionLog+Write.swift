import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization

/// From the tail into the segments' files. Both roads to durability end here: batches that were journaled are written
/// behind, a long run is written straight and synced as its commit.
extension PartitionLog {
    /// Writes every batch of the tail up to and including `lastOffset` to its segment, in order, without syncing.
    /// The batches stay in the tail until `settle`. Called with the I/O lock held (`writer` is what it protects).
    func writeTail(through lastOffset: Int64, _ writer: inout WriterState) throws(StorageError) {
        let batches = state.withLock { state -> [TailBatch] in
            let end = state.tail.partitioningIndex { $0.lastOffset > lastOffset }
            return (0..<end).map { state.tail[$0] }.filter { $0.position >= $0.segment.written }
        }
        var start = 0
        while start < batches.count {
            let segment = batches[start].segment
            var end = start + 1
            while end < batches.count, batches[end].segment === segment { end += 1 }
            let run = batches[start..<end]
            precondition(
                run[start].position == segment.written,
                "\(folderName): batch at \(run[start].position), segment written to \(segment.written)")
            let file = try openForWriting(segment, &writer)
            try file.write(run.map(\.slice), at: segment.written)
            let last = run[end - 1]
            segment.written = last.position + Int64(last.slice.count)
            segment.needsSync = true
            start = end
        }
    }

    /// Lets go of the tail's batches up to and including `lastOffset`, which are now durable and in their files.
    func settle(through lastOffset: Int64) {
        let freed = state.withLock { state in
            let end = state.tail.partitioningIndex { $0.lastOffset > lastOffset }
            var freed = 0
            for index in 0..<end {
                let batch = state.tail[index]
                batch.segment.readable = max(batch.segment.readable, batch.position + Int64(batch.slice.count))
                freed += batch.slice.count
            }
            state.tail.removeFirst(end)
            return freed
        }
        store.tailBytes.subtract(freed, ordering: .relaxed)
    }

    /// Makes everything up to and including `lastOffset` durable in the segments themselves. The caller publishes it.
    func writeStraight(through lastOffset: Int64) throws(StorageError) {
        try io.withLock { writer throws(StorageError) in
            if state.withLock({ $0.isDeleted }) { return }
            try writeTail(through: lastOffset, &writer)
            try syncSegments()
        }
    }

    /// Writes what is durable by the journal to the segments and lets go of its memory.
    func writeBehind() throws(StorageError) {
        try io.withLock { writer throws(StorageError) in
            if state.withLock({ $0.isDeleted }) { return }
            let through = state.withLock { $0.flushedOffset - 1 }
            try writeTail(through: through, &writer)
            settle(through: through)
        }
    }

    /// Syncs every segment that was written since its last sync. Called with the I/O lock held.
    func syncSegments() throws(StorageError) {
        for segment in state.withLock({ $0.segments }) where segment.needsSync {
            if !store.options.unsafeWithoutSync {
                try segment.openFile(store.fileSystem, in: folder, create: false).sync()
            }
            segment.needsSync = false
        }
    }

    /// Stores indexes that have grown enough to be worth it, and drops those of closed segments from memory. Not synced:
    /// an index that a crash tore is made again.
    func storeIndexes() throws(StorageError) {
        try io.withLock { _ throws(StorageError) in
            let segments = state.withLock { state in state.segments.filter { !$0.isFinished } }
            for segment in segments {
                let isWhole = state.withLock { _ in segment.isClosed && segment.written == segment.size }
                guard segment.written > 0, isWhole || segment.written - segment.indexedSize >= Self.indexStoreBytes
                else { continue }
                let (bytes, size) = state.withLock { _ in
                    let bytes = segment.index.encode(
                        baseOffset: segment.baseOffset, segmentSize: segment.size, maxTimestamp: segment.maxTimestamp,
                        firstTimestamp: segment.firstTimestamp)
                    return (bytes, segment.size)
                }
                let path = Path.join(folder, segment.indexName)
                let file = try store.fileSystem.open(path + ".tmp", .readWrite(create: true))
                try file.truncate(to: 0)
                try file.write(bytes, at: 0)
                file.close()
                try store.fileSystem.rename(path + ".tmp", to: path)
                segment.indexedSize = size
                guard isWhole else { continue }
                state.withLock { _ in segment.index.dropFromMemory() }
                segment.isFinished = true
            }
        }
    }

    /// Growth of a segment, in bytes, after which its index is stored again; bounds what recovery reads to remake it.
    static let indexStoreBytes: Int64 = 1 << 20

    /// The segment's file, made together with the partition's folder when it is new. A new file's name is durable
    /// before its first byte is written.
    func openForWriting(_ segment: Segment, _ writer: inout WriterState) throws(StorageError) -> any StorageFile {
        if !writer.folderExists {
            try store.fileSystem.createDirectoryDurably(folder)
            writer.folderExists = true
        }
        let isNew = segment.written == 0 && !store.fileSystem.exists(Path.join(folder, segment.logName))
        let file = try segment.openFile(store.fileSystem, in: folder, create: true)
        if isNew { try store.fileSystem.syncDirectory(folder) }
        return file
    }
}
