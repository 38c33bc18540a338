public import ByteBuffers
public import KafkaModel
import RecordFormat
import StorageIO
import Synchronization

extension PartitionLog {
    /// How far a reader may see.
    public enum Visibility: Sendable {
        /// Consumers: only what is durable.
        case committed
        /// Consumers that read committed transactions alone: what is below the last stable offset. Records of aborted ones are
        /// among it (`abortedTransactions`).
        case stable
        /// The broker's own look at its log, the unflushed end included.
        case appended
    }

    /// Reads whole batches from the one that contains `offset` on: at most `maxBytes`, but one in any case when `atLeastOne`
    /// is set (KIP-74). Nothing is decoded, and every batch from a file has had its CRC checked.
    ///
    /// When both `maxBytes` and the rest of the segment are at least `fileFrom` bytes, the result tells where the records
    /// stand in the file, and they are not brought into memory. A CRC that was checked within the last minute, for any
    /// reader, is not checked again then (`CheckedRanges`).
    ///
    /// Waits for the file system when the records are no longer in memory. Event loops turn `mayWait` off: then only memory,
    /// and the page cache of files that are open, is looked at, and everything else is `.wouldWait`.
    public func read(
        from offset: Offset, maxBytes: Int, atLeastOne: Bool = true, visibility: Visibility = .committed,
        fileFrom: Int = .max, mayWait: Bool = true, pool: ChunkPool = .shared
    ) -> Result<FetchedRecords, ReadRefusal> {
        let maxBytes = min(maxBytes, Int(Int32.max))
        var wanted = offset.rawValue
        var attempts = 0
        while true {
            var plan: ReadPlan
            let outcome = state.withLock { state in
                if visibility != .appended { state.followers.noteReader() }
                return state.plan(from: wanted, maxBytes: maxBytes, atLeastOne, visibility)
            }
            switch outcome {
            case .failure(.corrupt(let what)): return .failure(.corrupt("\(folder)/\(what)"))
            case .failure(let refusal): return .failure(refusal)
            case .success(let found): plan = found
            }
            wanted = plan.wanted
            guard let source = plan.file else {
                if plan.records.byteCount > 0 { statistics.memoryReads.add(1, ordering: .relaxed) }
                return .success(plan.records)
            }
            do {
                let isFound = try read(
                    source, from: wanted, maxBytes: maxBytes, atLeastOne: atLeastOne, fileFrom: fileFrom, mayWait, pool,
                    into: &plan.records)
                // The segment was compacted or removed meanwhile: its name and its index may be another segment's.
                if source.segment.isRetired.load(ordering: .acquiring) { continue }
                if isFound {
                    if plan.records.byteCount > 0 { statistics.fileReads.add(1, ordering: .relaxed) }
                    return .success(plan.records)
                }
            } catch {
                if source.segment.isRetired.load(ordering: .acquiring) { continue }
                // Finds out what is damaged and quarantines it. The next plan leads around it, or is a refusal.
                guard case .corrupt = error, attempts < 2 else { return .failure(error) }
                guard mayWait else { return .failure(.wouldWait) }
                attempts += 1
                do { try examine(source.segment) } catch { return .failure(.storage(error.description)) }
                continue
            }
            // The segment has nothing at or past `wanted`: its records there were compacted away, go on after it.
            guard let next = source.nextBaseOffset, next > wanted else { return .success(plan.records) }
            wanted = next
        }
    }

    /// Part of a file that holds `wanted`, and the first readable byte past it.
    struct FileSource {
        let segment: Segment
        let start: Int64
        let end: Int64
        /// Offset of the batch at `start`, or the least that it may have in a compacted log.
        let expected: Int64
        let walk: SegmentWalk
        /// The index is in its file: look there for a later start.
        let indexCount: Int?
        /// Exclusive: batches that end behind it are not for this reader.
        let limit: Int64
        let nextBaseOffset: Int64?
    }

    struct ReadPlan {
        var records: FetchedRecords
        var file: FileSource?
        /// The offset asked for, or the first behind a gap that holds it.
        var wanted: Int64
    }

    /// Puts what there is into `records`; false when the segment has nothing at or past `wanted`.
    private func read(
        _ source: FileSource, from wanted: Int64, maxBytes: Int, atLeastOne: Bool, fileFrom: Int, _ mayWait: Bool,
        _ pool: ChunkPool, into records: inout FetchedRecords
    ) throws(ReadRefusal) -> Bool {
        do throws(StorageError) {
            guard
                let file = mayWait
                    ? try source.segment.openFile(store.handles, in: folder, create: false)
                    : source.segment.openedFile
            else { throw .wouldWait(source.segment.logName) }
            var position = source.start
            var expected = source.expected
            if let count = source.indexCount {
                // A reader that goes on where the last one stopped needs no index.
                if let mark = source.segment.marks.withLock({ $0.position(of: wanted) }) {
                    if mark > position { (position, expected) = (mark, wanted) }
                } else if !mayWait {
                    throw .wouldWait(source.segment.indexName)
                } else if let found = try entry(ofIndexOf: source.segment, at: wanted, count),
                    Int64(found.position) > position
                {
                    position = Int64(found.position)
                    expected = source.segment.baseOffset + Int64(found.relativeOffset)
                }
            }
            guard position < source.end else { return false }
            let staysInFile = Int64(fileFrom) <= min(Int64(maxBytes), source.end - position)
            var window = SegmentWindow(
                file, at: position, end: source.end, keeping: staysInFile ? nil : max(maxBytes, Self.smallestRead),
                mayWait: mayWait, pool: pool)
            guard
                let found = try choose(
                    from: wanted, maxBytes: maxBytes, atLeastOne: atLeastOne, source, &window, position: position,
                    expected: expected)
            else { return false }
            records.isCut = found.bytes.upperBound < source.end && found.endOffset < source.limit
            guard !found.bytes.isEmpty else { return true }
            // What was read just now is in the page cache, what was read within the last minute need not be.
            if staysInFile, found.bytes.lowerBound < found.readFrom {
                try window.bring(found.bytes.lowerBound..<min(found.readFrom, found.bytes.upperBound))
            }
            if source.indexCount != nil {
                source.segment.marks.withLock { $0.record(found.endOffset, at: found.bytes.upperBound) }
            }
            records.byteCount = found.bytes.count
            records.endOffset = Offset(found.endOffset)
            records.place =
                staysInFile
                ? .file(
                    FileSlice(file: file, position: found.bytes.lowerBound, count: found.bytes.count) {
                        [segment = source.segment] in segment.checked.withLock { $0.removeAll() }
                    })
                : .memory([window.slice(found.bytes)])
            return true
        } catch {
            if case .corrupt = error.kind { throw .corrupt(error.description) }
            if !mayWait, error.isWouldWait { throw .wouldWait }
            throw .storage(error.description)
        }
    }

    /// Where to begin in a segment whose index has left memory; nil: at its start.
    private func entry(
        ofIndexOf segment: Segment, at wanted: Int64, _ count: Int
    ) throws(StorageError) -> IndexEntry? {
        guard let file = try? store.fileSystem.open(Path.join(folder, segment.indexName), .read) else { return nil }
        defer { file.close() }
        let relative = wanted - segment.baseOffset
        return try StoredIndex(file: file, count: count).last { Int64($0.relativeOffset) <= relative }
    }

    /// The least that is read from a file: a shorter read costs the same.
    private static let smallestRead = 16 << 10

    /// Chooses the batches to return, starting with the batch at byte `position`: their bytes, the exclusive end of
    /// their offsets, and from where on all bytes were read for it. The range is empty if the first batch is larger than
    /// `maxBytes`; the result is nil if the segment has nothing at or past `wanted`.
    private func choose(
        from wanted: Int64, maxBytes: Int, atLeastOne: Bool, _ source: FileSource, _ window: inout SegmentWindow,
        position: Int64, expected: Int64
    ) throws(StorageError) -> (bytes: Range<Int64>, endOffset: Int64, readFrom: Int64)? {
        var at = position
        var expected = expected
        var first: Int64?
        // Whatever is handed out in memory is checked; what stays in the file need not be, up to here.
        var checkedEnd: Int64 = 0
        var now = 0
        var isLarge = true
        while at < source.end {
            let isAlone = !window.keeps && isLarge && (first == nil || at < checkedEnd)
            guard let header = try window.header(at: at, isFree: first == nil, isAlone: isAlone) else {
                if first != nil { break }
                throw corrupt(source.segment, at, "a batch reaches past the log's end")
            }
            guard source.walk.accepts(header, expected: expected, room: source.end - at) else {
                // What stands before the damage is good; the next read begins at it.
                if first != nil { break }
                throw corrupt(source.segment, at, "no record batch header")
            }
            let (total, end) = (header.totalSize, header.lastOffset.rawValue + 1)
            if end > source.limit { break }
            if end > wanted {
                if at + Int64(total) - (first ?? at) > maxBytes {
                    if first != nil { break }
                    if !atLeastOne { return (at..<at, expected, at) }
                }
                if first == nil {
                    window.end = min(source.end, at + Int64(max(maxBytes, total)))
                    // After a failed write the file may no longer hold what was checked earlier.
                    if !window.keeps, !store.isOffline {
                        now = Int(MonotonicClock.nanoseconds)
                        checkedEnd = source.segment.checked.withLock { $0.end(from: at, now: now) }
                        if checkedEnd < window.end {
                            // The disk brings the next read's records while these are sent.
                            window.file.readAhead(from: at, length: 2 * Int64(maxBytes))
                        }
                    }
                }
                if at + Int64(total) > checkedEnd {
                    let claimed = header.crc
                    guard let crc = try window.crc(of: total, at: at, isFree: first == nil) else { break }
                    guard crc == claimed else {
                        if first != nil { break }
                        throw corrupt(source.segment, at, "the record batch's CRC does not match")
                    }
                }
                if first == nil { first = at }
            }
            expected = end
            at += Int64(total)
            isLarge = total >= window.preferred / 4
        }
        guard let first else { return nil }
        if now > 0, at > checkedEnd {
            source.segment.checked.withLock { $0.insert(max(first, checkedEnd)..<at, now: now) }
        }
        return (first..<at, expected, checkedEnd)
    }

    private func corrupt(_ segment: Segment, _ position: Int64, _ what: String) -> StorageError {
        StorageError(
            .corrupt("byte \(position): \(what)"), .read, path: Path.join(folder, segment.logName))
    }
}

extension PartitionLog.State {
    /// Why nothing of the log can be read just now; nil when it can be.
    private var readRefusal: ReadRefusal? {
        // The files of a deleted partition are closed for good.
        if isDeleted { return .storage("the topic is deleted") }
        guard leadership.isLeader else { return .notLeader }
        // Its offsets are those of the last checkpoint.
        if let fault, fault.kind == .unopened { return .storage(fault.error.description) }
        return nil
    }

    private func noRecords(_ visibility: PartitionLog.Visibility) -> FetchedRecords {
        FetchedRecords(
            highWatermark: Offset(highWatermark), logStartOffset: Offset(logStartOffset),
            lastStableOffset: Offset(lastStableOffset), logEndOffset: Offset(logEndOffset),
            watermarkPosition: position(visibility))
    }

    /// Where the records from `wanted` on are. Memory is answered at once, a file as a place to read.
    func plan(
        from wanted: Int64, maxBytes: Int, _ atLeastOne: Bool, _ visibility: PartitionLog.Visibility
    ) -> Result<PartitionLog.ReadPlan, ReadRefusal> {
        // Comes before the offset's range: OFFSET_OUT_OF_RANGE by offsets that are not the log's would make a consumer reset.
        if let refusal = readRefusal { return .failure(refusal) }
        let readable = visibility == .appended ? logEndOffset : highWatermark
        guard wanted >= logStartOffset, wanted <= readable else {
            return .failure(
                .outOfRange(logStartOffset: Offset(logStartOffset), highWatermark: Offset(highWatermark)))
        }
        let end = visibility == .stable ? lastStableOffset : readable
        var wanted = wanted
        while let range = quarantine.range(holding: wanted) {
            guard range.isRepaired else { return .failure(.corrupt(range.description)) }
            wanted = min(readable, range.endOffset)
            if wanted == readable { break }
        }
        var records = noRecords(visibility)
        if wanted >= end { return .success(PartitionLog.ReadPlan(records: records, file: nil, wanted: wanted)) }
        if let first = tail.first, wanted >= first.baseOffset {
            var index = tail.partitioningIndex { $0.lastOffset >= wanted }
            var slices: [ByteSlice] = []
            while index < tail.count {
                let batch = tail[index]
                guard batch.lastOffset < end else { break }
                if records.byteCount + batch.slice.count > maxBytes, !(slices.isEmpty && atLeastOne) {
                    records.isCut = true
                    break
                }
                slices.append(batch.slice)
                records.byteCount += batch.slice.count
                records.endOffset = Offset(batch.lastOffset + 1)
                index += 1
            }
            records.place = .memory(slices)
            return .success(PartitionLog.ReadPlan(records: records, file: nil, wanted: wanted))
        }
        // The last segment that begins at or below `wanted`.
        var low = max(0, segments.partitioningIndex { $0.baseOffset > wanted } - 1)
        while low < segments.count - 1, segments[low].readable == 0 { low += 1 }
        let segment = segments[low]
        var start: Int64 = 0
        var expected = segment.baseOffset
        if segment.index.isInMemory {
            let entry = segment.index.floor(offset: wanted - segment.baseOffset)
            start = Int64(entry.position)
            expected += Int64(entry.relativeOffset)
        }
        var fileEnd = segment.readable
        var next = low + 1 < segments.count ? segments[low + 1].baseOffset : nil
        // Between the damage before it and the damage behind it; a repair leaves the bytes where they are.
        for range in quarantine.ranges {
            if range.baseOffset > wanted {
                next = min(next ?? .max, range.baseOffset)
                if range.segmentBase == segment.baseOffset { fileEnd = min(fileEnd, range.startPosition) }
                break
            }
            if range.segmentBase == segment.baseOffset, range.endPosition >= start {
                start = range.endPosition
                expected = range.endOffset
            }
        }
        return .success(
            PartitionLog.ReadPlan(
                records: records,
                file: PartitionLog.FileSource(
                    segment: segment, start: start, end: fileEnd, expected: expected,
                    walk: walk(below: low + 1 < segments.count ? segments[low + 1].baseOffset : logEndOffset),
                    indexCount: segment.index.isInMemory ? nil : segment.index.count, limit: end, nextBaseOffset: next),
                wanted: wanted))
    }

    /// Returns the rules that batches before `offsetLimit` must satisfy.
    func walk(below offsetLimit: Int64) -> SegmentWalk {
        SegmentWalk(
            offsetLimit: offsetLimit, isContiguous: !mayHaveGaps,
            maxEpoch: max(leadership.epoch.rawValue, epochs.latest ?? 0), gaps: quarantine.gaps, verifies: true)
    }
}

extension PartitionLog {
    /// Looks through a segment's readable part, quarantines what is damaged, and makes the index again.
    func examine(_ segment: Segment) throws(StorageError) {
        let (walk, limit, end, interval) = state.withLock { state in
            (
                state.walk(
                    below: state.segments.first { $0.baseOffset > segment.baseOffset }?.baseOffset
                        ?? state.logEndOffset), state.endOffset(of: segment), segment.readable,
                state.settings.indexIntervalBytes
            )
        }
        let file = try segment.openFile(store.handles, in: folder, create: false)
        let made = Segment(baseOffset: segment.baseOffset)
        var expected: Int64? = segment.baseOffset
        var read: Int64 = 0
        let survey = try walk.survey(
            file, segmentBase: segment.baseOffset, from: 0, to: end, expected: &expected, limit: limit,
            pool: store.pool, read: &read
        ) { made.count($0, at: $1, interval) }
        recordDamage(survey.damage)
        try io.withLock { _ throws(StorageError) in
            state.withLock { _ in
                // An index in memory is as good as the appends that made it.
                guard !segment.index.isInMemory else { return }
                segment.index = made.index
                segment.isFinished = false
            }
        }
    }
}
