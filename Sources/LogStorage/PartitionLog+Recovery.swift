import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// Opening a partition's log after a stop of any kind. Serving and recovery share the code that notes a batch.
///
/// Three steps: what the checkpoint promises is taken as it is; what the segments hold beyond it is scanned batch by
/// batch, and the file cut at the first that is not whole and next in offset; then the store replays the journal.
extension PartitionLog {
    /// Finds the segments, scans from the checkpoint on, cuts the torn tail. `flushedOffset` is the log end after it.
    func recover(from checkpoint: Checkpoint.Entry?) throws(StorageError) -> RecoveryReport {
        var report = RecoveryReport()
        let start = checkpoint ?? Checkpoint.Entry()
        state.withLock { state in
            state.logStartOffset = start.logStartOffset
            state.logEndOffset = start.endOffset
            state.flushedOffset = start.endOffset
            state.epochs = start.epochs
            state.producers = start.producers
            state.segments = [Segment(baseOffset: start.endOffset)]
        }
        guard store.fileSystem.exists(folder) else {
            guard start.position == 0 else {
                throw StorageError(.corrupt("the folder of a partition with records is gone"), .open, path: folder)
            }
            return report
        }
        io.withLock { $0.folderExists = true }
        let names = try finishExchanges(try store.fileSystem.list(folder))
        let bases = names.compactMap(Segment.baseOffset(ofLogName:)).sorted()
        for name in names where name.hasSuffix(".tmp") { try store.fileSystem.remove(Path.join(folder, name)) }
        if let checkpoint, checkpoint.position > 0, !bases.contains(checkpoint.segmentBase) {
            throw StorageError(
                .corrupt("the segment is gone, of which \(checkpoint.position) bytes had been synced"), .open,
                path: Path.join(folder, Segment.name(checkpoint.segmentBase, ".log")))
        }
        guard !bases.isEmpty else { return report }

        var segments: [Segment] = []
        var endOffset = checkpoint == nil ? bases[0] : start.endOffset
        for (index, base) in bases.enumerated() {
            let segment = Segment(baseOffset: base)
            let path = Path.join(folder, segment.logName)
            // Retention had taken it out, and the stop came before its file was gone.
            if let checkpoint, base < checkpoint.segmentBase, bases[index + 1] <= checkpoint.logStartOffset {
                report.orphans.append(path)
                continue
            }
            let fileSize = try store.fileSystem.size(path)
            let trusted: Int64
            if let checkpoint, base < checkpoint.segmentBase {
                trusted = fileSize
            } else if let checkpoint, base == checkpoint.segmentBase {
                trusted = min(checkpoint.position, fileSize)
                if checkpoint.position > fileSize {
                    throw StorageError(
                        .corrupt("\(fileSize) bytes where \(checkpoint.position) had been synced"), .read, path: path)
                }
            } else {
                trusted = 0
            }
            // A segment past a torn one holds nothing that was acknowledged from there. It goes once the journal has
            // confirmed that.
            if trusted == 0, base > endOffset, !(checkpoint == nil && index == 0) {
                report.orphans.append(path)
                report.cutBytes += fileSize
                continue
            }
            try openSegment(
                segment, fileSize: fileSize, trusted: trusted, isLast: index == bases.count - 1, report: &report)
            if segment.size < fileSize {
                var next = endOffset
                try scan(segment, to: fileSize, verify: true, report: &report) { header in
                    guard header.baseOffset.rawValue >= next else { return false }
                    next = header.lastOffset.rawValue + 1
                    self.state.withLock { $0.replay(header) }
                    return true
                }
                endOffset = next
                if segment.size < fileSize {
                    report.cutBytes += fileSize - segment.size
                    let file = try segment.openFile(store.fileSystem, in: folder, create: false)
                    try file.truncate(to: segment.size)
                    try file.sync()
                }
            }
            segment.written = segment.size
            segment.readable = segment.size
            segment.isClosed = true
            segments.append(segment)
        }
        if report.cutBytes > 0 { try store.fileSystem.syncDirectory(folder) }
        state.withLock { state in
            if let last = segments.last {
                last.isClosed = false
                state.segments = segments
            } else {
                state.segments = [Segment(baseOffset: endOffset)]
            }
            state.logStartOffset = max(state.logStartOffset, segments.first?.baseOffset ?? 0)
            state.logEndOffset = endOffset
            state.flushedOffset = endOffset
        }
        return report
    }

    struct RecoveryReport {
        var scannedBytes: Int64 = 0
        var cutBytes: Int64 = 0
        /// Segments behind a torn one.
        var orphans: [String] = []
    }

    /// Takes over the part of a segment that the checkpoint vouches for, `trusted` bytes, with its index: the stored one
    /// as far as it goes, the rest made again from the batch headers.
    private func openSegment(
        _ segment: Segment, fileSize: Int64, trusted: Int64, isLast: Bool, report: inout RecoveryReport
    ) throws(StorageError) {
        let path = Path.join(folder, segment.indexName)
        if trusted > 0, store.fileSystem.exists(path) {
            let bytes = try store.fileSystem.readWhole(path, limit: 1 << 30)
            let stored = bytes.withUnsafeBytes { SegmentIndex.decode($0, baseOffset: segment.baseOffset) }
            if let stored, stored.segmentSize <= trusted {
                segment.index = stored.index
                segment.size = stored.segmentSize
                segment.maxTimestamp = stored.maxTimestamp
                segment.firstTimestamp = stored.firstTimestamp
                segment.lastIndexedPosition = stored.index.lastPosition
                segment.indexedSize = stored.segmentSize
                if !isLast, stored.segmentSize == fileSize {
                    segment.index.dropFromMemory()
                    segment.isFinished = true
                }
            }
        }
        try scan(segment, to: trusted, verify: false, report: &report) { _ in true }
        if segment.size != trusted {
            throw StorageError(
                .corrupt("no record batch at byte \(segment.size), where \(trusted) bytes had been synced"), .read,
                path: Path.join(folder, segment.logName))
        }
    }

    /// Walks a segment's batches from `segment.size` to byte `end`, noting each that `accept` takes; stops at the first
    /// that is not whole, or not accepted. With `verify` each CRC is checked, without it only headers are read.
    private func scan(
        _ segment: Segment, to end: Int64, verify: Bool, report: inout RecoveryReport,
        _ accept: (RecordBatchHeader) -> Bool
    ) throws(StorageError) {
        guard segment.size < end else { return }
        let file = try segment.openFile(store.fileSystem, in: folder, create: false)
        let interval = state.withLock { $0.settings.indexIntervalBytes }
        var window = store.pool.chunk(atLeast: verify ? 1 << 20 : 64 << 10)
        while segment.size < end {
            let start = segment.size
            let length = Int(min(Int64(window.capacity), end - start))
            let count = try file.read(into: UnsafeMutableRawBufferPointer(start: window.base, count: length), at: start)
            report.scannedBytes += Int64(count)
            var at = 0
            // What the batch at `at` needs when the window does not hold enough of it.
            var needed = RecordBatchHeader.size
            while count - at >= RecordBatchHeader.size {
                let header = RecordBatchHeader(unchecked: window.base + at)
                let total = header.totalSize
                guard header.magic == RecordBatchHeader.currentMagic, total >= RecordBatchHeader.size,
                    start + Int64(at) + Int64(total) <= end
                else { return }
                if verify {
                    needed = total
                    if total > count - at { break }
                    if header.computedCRC() != header.crc { return }
                }
                guard accept(header) else { return }
                if segment.firstTimestamp == .max { segment.firstTimestamp = max(0, header.maxTimestampMs) }
                segment.note(
                    batchAt: start + Int64(at), baseOffset: header.baseOffset.rawValue, size: Int64(total),
                    maxTimestamp: header.maxTimestampMs, interval: interval)
                at += total
                needed = RecordBatchHeader.size
            }
            if at == 0 {
                // Less than a batch is left, or it is larger than the window.
                guard needed > length, Int64(needed) <= end - start else { return }
                window = store.pool.chunk(atLeast: needed)
            }
        }
    }

    /// A batch that the journal holds and the segments may not. Gives whether it was new.
    func replayJournaled(_ batch: UnsafeRawBufferPointer, baseOffset: Int64) throws(StorageError) -> Bool {
        guard batch.count >= RecordBatchHeader.size, let base = batch.baseAddress else {
            throw StorageError(.corrupt("a journaled batch is shorter than its header"), .read, path: folder)
        }
        let header = RecordBatchHeader(unchecked: base)
        let last = header.lastOffset.rawValue
        return try state.withLock { state throws(StorageError) -> Bool in
            if last < state.logEndOffset || last < state.logStartOffset { return false }
            guard baseOffset == state.logEndOffset else {
                throw StorageError(
                    .corrupt(
                        "the journal goes on at offset \(baseOffset) where the log ends at \(state.logEndOffset): "
                            + "records in between are lost"),
                    .read, path: folder)
            }
            let slice = store.pool.slice(copying: batch)
            let segment = state.segmentForAppend(
                of: batch.count, baseOffset: baseOffset, lastOffset: last, nowMs: header.maxTimestampMs)
            let position = segment.size
            if segment.firstTimestamp == .max { segment.firstTimestamp = max(0, header.maxTimestampMs) }
            segment.note(
                batchAt: position, baseOffset: baseOffset, size: Int64(batch.count),
                maxTimestamp: header.maxTimestampMs, interval: state.settings.indexIntervalBytes)
            state.tail.append(
                TailBatch(baseOffset: baseOffset, lastOffset: last, segment: segment, position: position, slice: slice))
            state.replay(header)
            state.flushedOffset = state.logEndOffset
            if !state.isDirty {
                state.isDirty = true
                store.noteDirty(self)
            }
            return true
        }
    }

    func replayLogStart(_ offset: Int64) {
        state.withLock { state in
            guard offset > state.logStartOffset, offset <= state.logEndOffset else { return }
            state.logStartOffset = offset
            state.epochs.truncateStart(to: offset)
        }
    }
}

extension PartitionLog.State {
    /// Counts a recovered batch: log end, leader epoch, producer.
    mutating func replay(_ header: RecordBatchHeader) {
        logEndOffset = header.lastOffset.rawValue + 1
        epochs.begin(header.partitionLeaderEpoch.rawValue, at: header.baseOffset.rawValue)
        leaderEpoch = max(leaderEpoch, header.partitionLeaderEpoch.rawValue)
        if let batch = ProducerBatch(header) {
            producers.record(
                batch, lastOffset: header.lastOffset.rawValue, timestampMs: max(header.maxTimestampMs, replayTimeMs))
        }
    }
}
