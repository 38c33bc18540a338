import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization

/// Opening a partition's log after a stop of any kind.
///
/// Three steps: what the checkpoint promises is taken as it is; what the segments hold beyond it is scanned batch by
/// batch, and the file cut where a write was torn; then the store replays the journal. Bytes that were synced and are not
/// what was written are put on the partition's list of damage and stay where they are.
///
/// What the checkpoint does not promise may be in the page cache alone: the process that wrote it died, the machine did
/// not. So nothing of it counts as durable. Whole batches are written once more in their place and their file is marked
/// for the sync that comes before the next checkpoint, as are names that no checkpoint has promised. A sync alone would
/// not do: after one that failed, the kernel takes pages for clean that never reached the disk. A file system that writes to
/// a new place what is overwritten may have no room for it: then the partition is set aside until there is, because to serve
/// it would be to acknowledge repeats of what a power cut takes away.
struct PartitionRecovery {
    let log: PartitionLog
    let fileSystem: any FileSystem
    /// What a checkpoint promises; nil when none does.
    let checkpoint: Checkpoint.Entry?
    /// One did, and it was lost.
    let isRebuilt: Bool
    let isFirstTry: Bool
    let known: Checkpoint.Entry
    var report = PartitionLog.RecoveryReport()
    var progress: ((Int64) -> Void)?

    var segments: [Segment] = []
    /// Taken out by retention before the stop; the next checkpoint's business, like any that retention takes out.
    var obsolete: [Segment] = []
    var damage: [DamagedRange] = []
    /// The offset that follows what was found so far.
    var endOffset: Int64
    /// A write was torn: what comes after it was never acknowledged.
    var isCut = false
    var walk = SegmentWalk(isContiguous: true, verifies: true)
    var interval: Int64 = 4096

    init(log: PartitionLog, entry: Checkpoint.Entry?, isFirstTry: Bool) {
        self.log = log
        self.isFirstTry = isFirstTry
        isRebuilt = entry?.isLost ?? false
        checkpoint = entry?.promise
        fileSystem = log.store.fileSystem
        known = checkpoint ?? Checkpoint.Entry()
        endOffset = known.endOffset
    }

    mutating func run() throws(StorageError) {
        let known = known
        let found = try Quarantine.load(fileSystem, folder: log.folder)
        // Its bytes were synced before it had its name; the name may be newer than the last sync of the folder.
        if found != nil, !trustsCache { try fileSystem.syncDirectory(log.folder) }
        let quarantine = found ?? Quarantine()
        log.state.withLock { state in
            state.logStartOffset = known.logStartOffset
            state.logEndOffset = known.endOffset
            state.progress.reset(to: known.endOffset)
            state.know(known.epochs)
            state.producers = known.producers
            state.truncations = known.truncations
            state.segments = [Segment(baseOffset: known.endOffset)]
            state.quarantine = quarantine
            // Whether a log was ever compacted is not known without its checkpoint.
            state.mayHaveGaps = known.mayHaveGaps || state.settings.isCompacted || isRebuilt
            walk.isContiguous = !state.mayHaveGaps
            walk.maxEpoch = max(state.leadership.epoch.rawValue, known.epochs.latest ?? 0)
            interval = state.settings.indexIntervalBytes
        }
        walk.gaps = quarantine.gaps
        var bases: [Int64] = []
        if try fileSystem.exists(log.folder) {
            log.io.withLock { $0.folderExists = true }
            let names = try log.finishExchanges(try fileSystem.list(log.folder))
            bases = names.compactMap(Segment.baseOffset(ofLogName:)).sorted()
            for name in names where name.hasSuffix(".tmp") {
                try fileSystem.remove(Path.join(log.folder, name))
            }
            // A checkpoint that tells of bytes in this folder promises its name.
            if checkpoint == nil || known.position == 0 { markNamesUnsynced() }
        }
        if let first = bases.first {
            if checkpoint == nil { endOffset = first } else { endOffset = known.logStartOffset }
            for (place, base) in bases.enumerated() {
                try open(base, next: place + 1 < bases.count ? bases[place + 1] : nil, isFirst: place == 0)
            }
        } else if known.position > 0 {
            endOffset = known.logStartOffset
        }
        if known.endOffset > endOffset, checkpoint != nil {
            lose(to: known.endOffset, "the log ends here; \(known.endOffset) is the end of what had been synced")
        }
        if report.cutBytes > 0 { try fileSystem.syncDirectory(log.folder) }
        publish(quarantine)
        openForRepeats()
        if !quarantine.isEmpty { log.store.reportDamage(of: log) }
        log.recordDamage(damage)
    }

    /// Opens the last segment's file when producers may repeat batches of a topic with LogAppendTime: an event loop
    /// answers a repeat with the batch's time, and reads it only from files that are already open.
    private func openForRepeats() {
        let wants = log.state.withLock { $0.settings.usesLogAppendTime && $0.producers.count > 0 }
        guard wants, let last = segments.last, last.size > 0 else { return }
        _ = try? last.openFile(log.store.handles, in: log.folder, create: false)
    }

    private var trustsCache: Bool { log.store.options.unsafeTrustsCache }

    /// The names of the folder and of files in it may be known to the kernel alone.
    private func markNamesUnsynced() {
        if trustsCache { return }
        log.io.withLock { writer in
            writer.names.addFolder()
            writer.names.addFile()
        }
    }

    /// Records the offsets from `endOffset` up to `offset` as lost, unless a repair has already made them a gap.
    private mutating func lose(to offset: Int64, _ reason: String) {
        guard endOffset < offset else { return }
        if walk.gaps.contains(where: { $0.lowerBound <= endOffset && offset <= $0.upperBound }) {
            endOffset = offset
            return
        }
        let size = segments.last?.size ?? 0
        damage.append(
            DamagedRange(
                segmentBase: segments.last?.baseOffset ?? endOffset, startPosition: size, endPosition: size,
                baseOffset: endOffset, endOffset: offset, reason: reason))
        if offset == known.endOffset { report.lostEnd = (reason, endOffset) }
        endOffset = offset
    }

    private mutating func open(_ base: Int64, next: Int64?, isFirst: Bool) throws(StorageError) {
        let segment = Segment(baseOffset: base)
        let path = Path.join(log.folder, segment.logName)
        // Retention had taken it out, and the stop came before its file was gone. It goes after the next checkpoint:
        // the one that was read here may itself not be on disk yet.
        if checkpoint != nil, base < known.segmentBase, let next, next <= known.logStartOffset {
            obsolete.append(segment)
            return
        }
        let fileSize = try fileSystem.size(path)
        var promised: Int64 = 0
        if checkpoint != nil {
            if base < known.segmentBase { promised = fileSize }
            if base == known.segmentBase { promised = known.position }
            if base > known.segmentBase {
                lose(to: known.endOffset, "the segment is gone, of which \(known.position) bytes had been synced")
            }
        }
        if base > endOffset {
            if isFirst, checkpoint == nil || base <= known.logStartOffset {
                endOffset = base
            } else if isCut || (promised == 0 && !isRebuilt) {
                // Nothing that was acknowledged is behind a torn end. It goes once the journal has confirmed that.
                report.orphans.append(path)
                report.cutBytes += fileSize
                return
            } else if walk.isContiguous {
                lose(to: base, "a segment is gone")
            } else {
                endOffset = base
            }
        }
        if isFirst, base < endOffset { endOffset = base }
        if promised == 0 { markNamesUnsynced() }
        let trusted = min(promised, fileSize)
        // The offset that follows the trusted part.
        let limit = base == known.segmentBase && checkpoint != nil ? known.endOffset : next ?? known.endOffset
        endOffset = try openTrusted(segment, fileSize, trusted, limit: limit, isLast: next == nil)
        segments.append(segment)
        if promised > fileSize {
            let reason = "the file has \(fileSize) bytes where \(promised) had been synced"
            lose(to: limit, reason)
            // Its last batches may have been cut in the middle.
            if report.lostEnd == nil, let last = damage.last { report.lostEnd = (reason, last.baseOffset) }
        }
        if segment.size < fileSize { try scanRest(of: segment, to: fileSize, next: next) }
        segment.written = segment.size
        segment.readable = segment.size
        segment.isClosed = true
    }

    /// Takes over the part of a segment that the checkpoint vouches for, with its index: the stored one as far as it
    /// goes, the rest made again from the batch headers. Gives the offset that follows.
    private mutating func openTrusted(
        _ segment: Segment, _ fileSize: Int64, _ trusted: Int64, limit: Int64, isLast: Bool
    ) throws(StorageError) -> Int64 {
        guard trusted > 0 else { return max(endOffset, segment.baseOffset) }
        let walk = walk.vouched(
            segment.baseOffset, limit: limit, isWhole: segment.baseOffset < known.segmentBase)
        var expected: Int64? = segment.baseOffset
        if let stored = try storedIndex(of: segment), stored.segmentSize <= trusted {
            segment.index = stored.index
            segment.size = stored.segmentSize
            segment.maxTimestamp = stored.maxTimestamp
            segment.firstTimestamp = stored.firstTimestamp
            segment.lastIndexedPosition = stored.index.lastPosition
            segment.indexedSize = stored.segmentSize
            expected = stored.endOffset >= 0 ? stored.endOffset : nil
            if !isLast, stored.segmentSize == fileSize {
                segment.index.dropFromMemory()
                segment.isFinished = true
            }
        }
        guard segment.size < trusted else { return expected ?? limit }
        let file = try segment.openFile(log.store.handles, in: log.folder, create: false)
        let interval = interval
        var headers = walk
        headers.verifies = false
        var read: Int64 = 0
        var next = expected
        let end = try headers.run(
            file, from: segment.size, to: trusted, expected: &next, pool: log.store.pool, read: &read
        ) { segment.count($0, at: $1, interval) }
        if case .broken(let at) = end {
            if walk.mayBePadded, try SegmentWalk.isPadding(file, from: at, to: trusted) {
                // The next segment has begun before this one's last block was cut to its batches.
            } else {
                // Which batch it was only the checksums tell: the whole part again, from the beginning.
                next = try survey(segment, file, to: trusted, limit: limit, walk, &read)
            }
        }
        report.scannedBytes += read
        progress?(read)
        return next ?? limit
    }

    /// Looks through the part that the checkpoint vouches for and finds what is damaged. Gives the offset that follows.
    private mutating func survey(
        _ segment: Segment, _ file: any StorageFile, to trusted: Int64, limit: Int64, _ walk: SegmentWalk,
        _ read: inout Int64
    ) throws(StorageError) -> Int64? {
        segment.forgetBatches()
        let interval = interval
        var next: Int64? = segment.baseOffset
        let survey = try walk.survey(
            file, segmentBase: segment.baseOffset, from: 0, to: trusted, expected: &next, limit: limit,
            pool: log.store.pool, read: &read
        ) { segment.count($0, at: $1, interval) }
        damage += survey.damage
        if survey.tail == .damage { segment.size = trusted }
        return next
    }

    private func storedIndex(of segment: Segment) throws(StorageError) -> SegmentIndex.Stored? {
        let path = Path.join(log.folder, segment.indexName)
        guard try fileSystem.exists(path) else { return nil }
        let bytes = try fileSystem.readWhole(path, limit: 1 << 30)
        return bytes.withUnsafeBytes { SegmentIndex.decode($0, baseOffset: segment.baseOffset) }
    }

    /// Scans the part of a segment that the checkpoint does not cover: accepts whole batches, cuts a torn end, and
    /// skips damage.
    private mutating func scanRest(of segment: Segment, to fileSize: Int64, next: Int64?) throws(StorageError) {
        let file = try segment.openFile(log.store.handles, in: log.folder, create: false)
        let log = log
        let interval = interval
        var read: Int64 = 0
        var rewritten: Int64 = 0
        defer {
            report.scannedBytes += read
            report.rewrittenBytes += rewritten
            progress?(read)
        }
        var expected: Int64? = endOffset
        // Without a checkpoint it is not known which of all the bytes were promised; a sync has to do. Unless it was
        // tried before: that sync may have failed.
        let isRewritten = !(isRebuilt && isFirstTry) && !trustsCache
        if !trustsCache { log.store.handles.markUnsynced(segment) }
        let survey = try walk.unvouched(segment.baseOffset, next: next, isRebuilt: isRebuilt).survey(
            file, segmentBase: segment.baseOffset, from: segment.size, to: fileSize, expected: &expected, limit: next,
            pool: log.store.pool, read: &read,
            accepted: { bytes, position throws(StorageError) in
                guard isRewritten else { return }
                rewritten += Int64(bytes.count)
                try file.write(bytes, at: position)
            },
            { header, position in
                log.state.withLock { $0.replay(header) }
                segment.count(header, at: position, interval)
            })
        damage += survey.damage
        endOffset = expected ?? endOffset
        switch survey.tail {
        case .batches: break
        case .padding(let at):
            try file.truncate(to: at)
            try file.sync()
        case .torn(let at): try cut(segment, file, at: at, fileSize)
        case .damage:
            segment.size = fileSize
            if next == nil, let last = damage.last {
                report.lostEnd = ("the log's last batch is damaged", last.baseOffset)
            }
        }
    }

    private mutating func cut(
        _ segment: Segment, _ file: any StorageFile, at position: Int64, _ fileSize: Int64
    ) throws(StorageError) {
        isCut = true
        segment.size = position
        report.cutBytes += fileSize - position
        if isRebuilt {
            // Without a checkpoint nothing proves that it was never acknowledged.
            let bytes = try file.read(Int(fileSize - position), at: position)
            try fileSystem.writeAtomically(
                Path.join(log.folder, "\(segment.logName).cut-\(position)"), bytes)
        }
        try file.truncate(to: position)
        try file.sync()
    }

    private func publish(_ quarantine: Quarantine) {
        // Where the log goes on at an offset that does not follow the last segment's bytes, a new one begins.
        let isBehind = segments.last.map { last in
            (damage + quarantine.ranges).contains {
                $0.isMissing(behind: last.size, of: last.baseOffset) && $0.endOffset <= endOffset
            }
        }
        log.state.withLock { state in
            if let last = segments.last, isBehind == false {
                last.isClosed = false
                state.segments = segments
            } else {
                state.segments = segments + [Segment(baseOffset: endOffset)]
            }
            // A lost first segment leaves the log's start where it was, so that readers are told.
            if checkpoint == nil {
                state.logStartOffset = max(state.logStartOffset, segments.first?.baseOffset ?? 0)
            }
            state.obsolete = obsolete
            state.logEndOffset = endOffset
            state.progress.reset(to: endOffset)
            state.producers.advance(to: state.highWatermark)
        }
        if !obsolete.isEmpty { log.markDirty() }
    }
}
