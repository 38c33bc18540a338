import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// Writes batches from the tail to their segments' files. Both roads to durability end here: batches that the journal has
/// made durable are written behind, later and without a sync; a long run is written through, with a sync, as its commit.
extension PartitionLog {
    /// Writes every batch of the tail up to and including `lastOffset` to its segment, in order, without syncing. Long runs
    /// go past the page cache when there is a `direct` writer.
    ///
    /// The batches count as not written until `settle` is called. Called with the I/O lock held (`writer` is what it
    /// protects).
    func writeTail(
        through lastOffset: Int64, _ writer: inout WriterState, direct: DirectWriter? = nil
    ) throws(StorageError) {
        let batches = state.withLock { state -> [TailBatch] in
            let end = state.tail.partitioningIndex { $0.lastOffset > lastOffset }
            guard state.settled < end else { return [] }
            return (state.settled..<end).map { state.tail[$0] }.filter { $0.position >= $0.segment.written }
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
            let file = try openToWrite(segment, &writer)
            let last = run[end - 1]
            let began = MonotonicClock.nanoseconds
            if let direct,
                last.position + Int64(last.slice.count) - segment.written >= store.options.writeThroughRunBytes
            {
                try writeDirect(run.map(\.slice), segment, file, direct, &writer)
            } else {
                writer.direct = nil
                try file.write(run.map(\.slice), at: segment.written)
            }
            let runEnd = last.position + Int64(last.slice.count)
            StallTrace.note(
                .segmentWrite, from: began, to: MonotonicClock.nanoseconds, bytes: Int(runEnd - segment.written),
                count: run.count, name)
            segment.written = runEnd
            segment.writes += 1
            start = end
        }
        try trimClosed(&writer)
    }

    /// Writes a run of one segment past the page cache. `file` is the segment's buffered handle.
    private func writeDirect(
        _ slices: [ByteSlice], _ segment: Segment, _ file: any StorageFile, _ directWriter: DirectWriter,
        _ writer: inout WriterState
    ) throws(StorageError) {
        if writer.direct?.segment !== segment {
            writer.direct = DirectSegment(
                segment: segment,
                file: try store.fileSystem.open(
                    Path.join(folder, segment.logName), .readWrite(create: false), direct: true),
                end: try BlockEnd(file: file, written: segment.written, pool: store.pool))
        }
        writer.paddedBelow = min(writer.paddedBelow, segment.baseOffset)
        segment.isPadded = true
        // Taken out for the call: after a failed write nothing is known of the last block.
        guard var direct = writer.direct.take() else { preconditionFailure("opened above") }
        do throws(StorageError) {
            try directWriter.write(slices, to: direct.file, at: segment.written, end: &direct.end)
        } catch {
            // The first block also holds bytes of earlier writes, which may be nowhere else.
            guard error.isDeviceFailure, let errno = error.errno else { throw error }
            throw StorageError(.outOfService(errno: errno), .write, path: error.path)
        }
        writer.direct = direct
    }

    /// Cuts the padding of segments that are closed and wholly written. Called with the I/O lock held.
    private func trimClosed(_ writer: inout WriterState) throws(StorageError) {
        guard writer.paddedBelow != .max else { return }
        let padded = state.withLock { state in
            state.segments.reversed().prefix { $0.baseOffset >= writer.paddedBelow }.filter(\.isPadded)
                .map { (segment: $0, isDone: $0.isClosed && $0.written == $0.size) }
        }
        writer.paddedBelow = .max
        for (segment, isDone) in padded {
            do throws(StorageError) {
                if isDone {
                    try StallTrace.timed(.segmentTrim, name) { () throws(StorageError) in try trim(segment, &writer) }
                }
            } catch {
                // The batches are written; padding that cannot be cut now is cut later, at the latest by the next start.
                guard error.reach == .partition else { throw error }
                Log.warning("a segment could not be cut to its batches", "partition", name, "reason", error)
            }
            if segment.isPadded { writer.paddedBelow = min(writer.paddedBelow, segment.baseOffset) }
        }
    }

    private func trim(_ segment: Segment, _ writer: inout WriterState) throws(StorageError) {
        if writer.direct?.segment === segment { writer.direct = nil }
        store.handles.markUnsynced(segment)
        try segment.openFile(store.handles, in: folder, create: false).truncate(to: segment.written)
        segment.isPadded = false
        segment.writes += 1
    }

    /// Cuts the padding of all segments, the active one included, because the store stops. Syncs that: the next start takes
    /// the size of a file for the end of its batches.
    func trimAll() throws(StorageError) {
        try io.withLock { writer throws(StorageError) in
            if state.withLock({ $0.isDeleted }) { return }
            let segments = state.withLock { $0.segments.filter(\.isPadded) }
            for segment in segments { try trim(segment, &writer) }
            writer.paddedBelow = .max
            try syncSegments(&writer)
        }
    }

    /// Closes the handle for direct I/O and drops the block that the next direct write would go on from. That write opens
    /// them again.
    func closeDirect() { io.withLock { $0.direct = nil } }

    /// Counts the tail's batches up to and including `lastOffset` as durable and in their files.
    ///
    /// They stay in memory for readers that follow (`Followers`), as long as the store's window has room. Where nobody does,
    /// their memory is used again at once, while the processor's cache still has it.
    func settle(through lastOffset: Int64) {
        let (memory, replayPool) = (store.memory, store.replayPool)
        let outcome = state.withLock { $0.settle(through: lastOffset, memory, replayPool) }
        if outcome.written == 0 { return }
        memory.subtract(outcome.written)
        memory.window.count(settled: outcome.written)
        let released = memory.release(outcome.gone)
        if outcome.isKept { memory.keep(self, through: lastOffset, released: released) }
        memory.wakeForTicks()
    }

    /// Lets go of settled batches up to and including `lastOffset`, oldest first and about `limit` bytes of them.
    func evict(through lastOffset: Int64, atMost limit: Int = .max) {
        let gone = state.withLock { $0.letGo(through: lastOffset, atMost: limit) }
        store.memory.release(gone)
    }

    /// Lets go of what lies below the log's start, all at once.
    func evictBelowStart() { evict(through: logStartOffset.rawValue - 1) }

    /// Whether a settled batch at or before `lastOffset` is in memory.
    func keepsAnything(through lastOffset: Int64) -> Bool {
        state.withLock { state in state.settled > 0 && state.tail.first!.baseOffset <= lastOffset }
    }

    /// Writes everything up to and including `lastOffset` to the segments: the first half of a commit that is written
    /// through. It is durable after `flush`, and visible when the caller publishes the commit.
    func writeThrough(upTo lastOffset: Int64, with writer: DirectWriter?) throws(StorageError) {
        let began = MonotonicClock.nanoseconds
        try io.withLock { state throws(StorageError) in
            StallTrace.note(.segmentWait, from: began, to: MonotonicClock.nanoseconds, name)
            if self.state.withLock({ $0.isDeleted }) { return }
            try writeTail(through: lastOffset, &state, direct: writer)
        }
    }

    /// Syncs what was written to the partition's segments: the second half of a commit that is written through.
    func flush() throws(StorageError) {
        let began = MonotonicClock.nanoseconds
        try io.withLock { writer throws(StorageError) in
            StallTrace.note(.segmentWait, from: began, to: MonotonicClock.nanoseconds, name)
            if state.withLock({ $0.isDeleted }) { return }
            try syncSegments(&writer)
        }
    }

    /// Syncs what was written to the partition's segments by now, and the names of new files, while others write on: for a
    /// checkpoint, for whose syncs no commit is to wait.
    func flushBeside() throws(StorageError) {
        do throws(StorageError) {
            let seen = try io.withLock { writer throws(StorageError) -> (names: NewNames, unsynced: [Unsynced])? in
                if state.withLock({ $0.isDeleted }) { return nil }
                return (writer.names, try openUnsynced())
            }
            guard let (names, unsynced) = seen else { return }
            try sync(names)
            for (_, _, file) in unsynced { try file.sync() }
            io.withLock { $0.names.markDurable(names) }
            markSynced(unsynced.map { ($0.segment, $0.writes) })
        } catch {
            // A folder or file that cannot be opened: `flush` knows another way.
            guard error.reach == .partition else { throw error }
            try flush()
        }
    }

    private typealias Unsynced = (segment: Segment, writes: Int, file: any StorageFile)

    /// The segments that were written since their last sync, with their files. Called with the I/O lock held.
    private func openUnsynced() throws(StorageError) -> [Unsynced] {
        let lists = state.withLock { [$0.obsolete, $0.segments] }
        var found: [Unsynced] = []
        for segment in lists.joined() where segment.needsSync {
            let file = try segment.openFile(store.handles, in: folder, create: false)
            found.append((segment, segment.writes, file))
        }
        return found
    }

    /// Writes what the journal has made durable to the segments, up to and including `lastOffset` (nil: all of it). The
    /// journal keeps it until a checkpoint has synced the segments.
    func writeBehind(through lastOffset: Int64? = nil, with direct: DirectWriter?) throws(StorageError) {
        try io.withLock { writer throws(StorageError) in
            if state.withLock({ $0.isDeleted }) { return }
            let through = lastOffset ?? state.withLock { $0.flushedOffset - 1 }
            // Only the committing thread keeps handles open, a bounded number of them.
            let wasOpen = writer.direct != nil
            try writeTail(through: through, &writer, direct: direct)
            if !wasOpen { writer.direct = nil }
            settle(through: through)
        }
    }

    /// Syncs every segment that was written since its last sync, and the names of new ones. Called with the I/O lock held.
    func syncSegments(_ writer: inout WriterState) throws(StorageError) {
        // Includes segments that retention has removed: until a checkpoint has forgotten them, the log is only complete
        // with them.
        let lists = state.withLock { [$0.obsolete, $0.segments] }
        let unsynced = lists.joined().filter(\.needsSync)
        do throws(StorageError) {
            if store.options.unsafeWithoutSync { return unsynced.forEach(store.handles.markSynced) }
            try syncNames(&writer)
            for segment in unsynced {
                try segment.openFile(store.handles, in: folder, create: false).sync()
                store.handles.markSynced(segment)
            }
        } catch {
            // A folder or file that cannot be opened. What is written has to be on disk all the same.
            guard error.reach == .partition else { throw error }
            try store.fileSystem.syncAll(store.folder)
            writer.names.markDurable(writer.names)
            unsynced.forEach(store.handles.markSynced)
        }
    }

    /// Gives the segments that were written since their last sync, each with its count of writes, so that `markSynced` can
    /// tell whether another write came during the sync.
    func unsyncedSegments() -> [(segment: Segment, writes: Int)] {
        io.withLock { _ in
            let lists = state.withLock { [$0.obsolete, $0.segments] }
            return lists.joined().filter(\.needsSync).map { ($0, $0.writes) }
        }
    }

    /// Marks these segments synced, except those that were written again since `unsyncedSegments` gave them.
    func markSynced(_ segments: [(segment: Segment, writes: Int)]) {
        io.withLock { _ in
            for (segment, writes) in segments where segment.writes == writes { store.handles.markSynced(segment) }
        }
    }

    /// Syncs the folders whose entries are new, so that a crash does not lose the name of a file whose bytes are on disk.
    /// Called with the I/O lock held.
    func syncNames(_ writer: inout WriterState) throws(StorageError) {
        try sync(writer.names)
        writer.names.markDurable(writer.names)
    }

    private func sync(_ names: NewNames) throws(StorageError) {
        if names.hasFolder { try store.fileSystem.syncDirectory(store.partitionsFolder) }
        if names.hasFile { try store.fileSystem.syncDirectory(folder) }
    }

    /// Stores indexes that have grown enough to be worth it, and drops those of closed segments from memory. Not synced:
    /// an index that a crash tore is made again.
    func storeIndexes() throws(StorageError) {
        try io.withLock { _ throws(StorageError) in
            let segments = state.withLock { state in
                state.isDeleted ? [] : state.segments.filter { !$0.isFinished }
            }
            for segment in segments {
                let isWhole = state.withLock { _ in segment.isClosed && segment.written == segment.size }
                guard segment.written > 0, isWhole || segment.written - segment.indexedSize >= Self.indexStoreBytes
                else { continue }
                let (bytes, size) = state.withLock { state in
                    let bytes = segment.index.encode(
                        baseOffset: segment.baseOffset, segmentSize: segment.size, maxTimestamp: segment.maxTimestamp,
                        firstTimestamp: segment.firstTimestamp, endOffset: state.endOffset(of: segment))
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

    /// Opens the segment's file and keeps its handle open until the next sync: a failed write-back may be reported to that
    /// handle alone.
    private func openToWrite(_ segment: Segment, _ writer: inout WriterState) throws(StorageError) -> any StorageFile {
        let wasUnsynced = segment.needsSync
        store.handles.markUnsynced(segment)
        do throws(StorageError) {
            return try StallTrace.timed(.segmentOpen, name) { () throws(StorageError) in
                try openForWriting(segment, &writer)
            }
        } catch {
            if !wasUnsynced { store.handles.markSynced(segment) }
            throw error
        }
    }

    /// The segment's file, made together with the partition's folder when it is new. The names of both are durable with
    /// the next sync, of the partition or of everything: over thousands of new partitions one sync serves them all.
    func openForWriting(_ segment: Segment, _ writer: inout WriterState) throws(StorageError) -> any StorageFile {
        if !writer.folderExists {
            try store.fileSystem.createDirectory(folder)
            writer.folderExists = true
            writer.names.addFolder()
        }
        if segment.written == 0, try !store.fileSystem.exists(Path.join(folder, segment.logName)) {
            writer.names.addFile()
        }
        return try segment.openFile(store.handles, in: folder, create: true)
    }
}

extension PartitionLog.State {
    /// Most batches of a partition that stay in memory. The places of those that have left are cut off together, while
    /// readers and writers wait: 0.3 ms for so many.
    static let maxKeptBatches = 64 << 10
    /// Batches of fewer bytes, on average, are not kept for nobody when there are more than a few: whoever writes them pays the most
    /// for a byte as it is, and 64 clients with a record in flight each would pay 3 % more.
    static let smallBatchBytes = 4 << 10
    static let fewBatches = 1024
    /// Bytes of batches that an append's thread lets go of at once: to unmap them takes a millisecond.
    static let maxLetGoBytes = 32 << 20

    /// Counts batches as settled. `gone`: those that do not stay, to be released without the lock.
    fileprivate mutating func settle(
        through lastOffset: Int64, _ memory: TailMemory, _ replayPool: ChunkPool
    ) -> (written: Int, isKept: Bool, gone: [PartitionLog.TailBatch]) {
        let end = tail.partitioningIndex { $0.lastOffset > lastOffset }
        guard settled < end else { return (0, false, []) }
        var written = 0
        for index in settled..<end {
            let batch = tail[index]
            batch.segment.readable = max(batch.segment.readable, batch.position + Int64(batch.slice.count))
            written += batch.slice.count
        }
        // What a start has replayed is not kept: its pool is not the one that is counted.
        let isKept =
            followers.settle(written, isWaitedFor: waiters.awaitsGrowth || stableWaiters.awaitsGrowth, isWhole: isWhole(upTo: end), memory.window)
            && !replayPool.owns(tail[end - 1].slice.chunk)
        if !isKept, settled == 0 {
            // The usual case of a partition that nobody reads: nothing of it is counted.
            tail.removeFirst(end)
            return (written, false, [])
        }
        memory.hold(tail, settled..<end)
        settled = end
        if isKept {
            let surplus = settled - Self.maxKeptBatches
            return (written, true, surplus > 0 ? letGo(through: tail[surplus - 1].lastOffset) : [])
        }
        // What is left of a large window goes with the next ones.
        let gone = letGo(through: lastOffset, atMost: max(Self.maxLetGoBytes, 2 * written))
        return (written, settled > 0, gone)
    }

    /// Whether all of the log up to the tail's batch `end` is in memory, in batches that are large enough, or few enough, to be
    /// kept for somebody who has not come yet.
    private func isWhole(upTo end: Int) -> Bool {
        let (first, last) = (tail[0], tail[end - 1])
        guard first.baseOffset <= logStartOffset else { return false }
        if end <= Self.fewBatches || first.segment !== last.segment { return true }
        return last.position + Int64(last.slice.count) - first.position >= Int64(end * Self.smallBatchBytes)
    }

    /// Takes settled batches up to and including `lastOffset` out of memory, oldest first and about `limit` bytes of them:
    /// they are read from their segments from now on. To be released by `TailMemory.release`, without the lock.
    mutating func letGo(through lastOffset: Int64, atMost limit: Int = .max) -> [PartitionLog.TailBatch] {
        let end = min(settled, tail.partitioningIndex { $0.lastOffset > lastOffset })
        var gone: [PartitionLog.TailBatch] = []
        var bytes = 0
        while gone.count < end, bytes < limit {
            let batch = tail[gone.count]
            bytes += batch.slice.count
            gone.append(batch)
        }
        tail.removeFirst(gone.count)
        settled -= gone.count
        return gone
    }
}
