import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization

/// One pass over one log: finds the newest record of each key in the dirty part, then goes through all closed segments
/// from the log's start and writes what stays. Runs on one thread; appends, reads, commits and checkpoints go on.
final class CleanerPass {
    private let log: PartitionLog
    private let store: LogStore
    private let plan: CleanerPlan
    private let settings: LogSettings
    private let nowMs: Int64
    private var records: RecordIterator
    private var builder: RecordBatchBuilder
    private var transactions: TransactionEnds?
    /// Exclusive end of what the pass may clean; falls when damage or an undecided transaction is found.
    private var endOffset: Int64
    private(set) var damage: (baseOffset: Int64, what: String)?
    private(set) var isAnyReplaced = false

    init(_ log: PartitionLog, _ plan: CleanerPlan, nowMs: Int64) {
        self.log = log
        store = log.store
        self.plan = plan
        settings = log.settings
        self.nowMs = nowMs
        endOffset = plan.endOffset
        let context = CompressionContext()
        records = RecordIterator(context: context)
        builder = RecordBatchBuilder(pool: log.store.pool, context: context)
    }

    /// Runs the pass and returns the new progress. Throws `CleanerStop` and `StorageError`; segments exchanged before
    /// the error stay exchanged. That is harmless, because the pass can be repeated.
    func run() throws -> CleanerProgress {
        try checkStop()
        // Taken from the newest checkpoint rather than from memory: a newer batch may not be on disk yet, and if a
        // crash lost it, an older batch would again be its producer's newest. Newer batches that are on disk lie behind
        // the cleaned range.
        let lastOffsets = log.state.withLock { $0.checkpoint?.producers.lastOffsets ?? [:] }
        var map = OffsetMap(
            bytes: store.options.cleanerMapBytes, records: endOffset - plan.firstDirtyOffset,
            latestOffset: plan.firstDirtyOffset - 1)
        try fill(&map)
        // Damage or an undecided transaction may have been found behind keys that the map has already.
        map.latestOffset = min(map.latestOffset, endOffset - 1)
        var filter = CleanerFilter(
            nowMs: nowMs, deleteRetentionMs: settings.deleteRetentionMs, endOffset: map.latestOffset + 1,
            lastOffsets: lastOffsets, transactions: transactions ?? TransactionEnds(from: plan.firstDirtyOffset))
        var rest = plan.segments.prefix { $0.baseOffset <= map.latestOffset }
        while let first = rest.first {
            do {
                rest = rest.dropFirst(try clean(rest, map, &filter))
            } catch CleanerStop.damaged(let baseOffset, let what) {
                damage = (baseOffset, what)
                // Stop here: a tombstone after the damage may delete a record within it.
                return CleanerProgress(
                    firstDirtyOffset: min(plan.firstDirtyOffset, first.baseOffset), earliestHorizonMs: .max)
            }
        }
        return CleanerProgress(firstDirtyOffset: map.latestOffset + 1, earliestHorizonMs: filter.earliestHorizonMs)
    }

    private func checkStop() throws {
        if store.isOffline || store.threads.isStopping || log.state.withLock({ $0.isDeleted }) {
            throw CleanerStop.asked
        }
    }

    private func reader(_ facts: CleanerPlan.SegmentFacts) throws -> SegmentReader {
        let path = Path.join(log.folder, Segment.name(facts.baseOffset, ".log"))
        let file: any StorageFile
        do {
            file = try store.fileSystem.open(path, .read)
        } catch {
            // Retention was faster.
            if error.isNotFound { throw CleanerStop.changed }
            throw error
        }
        let walk = log.state.withLock { $0.walk(below: facts.endOffset) }
        return SegmentReader(file, baseOffset: facts.baseOffset, end: facts.size, walk, pool: store.pool)
    }

    // MARK: The map

    /// Adds the keys of the dirty part to the map, until the map is full.
    private func fill(_ map: inout OffsetMap) throws {
        // `run` limits `latestOffset` to below `endOffset` afterwards, so returning at any point is safe.
        for facts in plan.segments where facts.endOffset > plan.firstDirtyOffset {
            guard facts.baseOffset < endOffset else { return }
            do {
                guard try fill(&map, from: facts) else { return }
            } catch CleanerStop.damaged(let baseOffset, let what) {
                damage = (baseOffset, what)
                endOffset = facts.baseOffset
                return
            }
            map.latestOffset = max(map.latestOffset, min(facts.endOffset, endOffset) - 1)
        }
    }

    /// Adds the keys of one segment. Returns false when the map is full or `endOffset` is reached.
    private func fill(_ map: inout OffsetMap, from facts: CleanerPlan.SegmentFacts) throws -> Bool {
        var reader = try reader(facts)
        defer { store.statistics.cleanerReadBytes.add(Int(reader.position), ordering: .relaxed) }
        while let batch = try reader.next() {
            try checkStop()
            if batch.lastOffset.rawValue < plan.firstDirtyOffset { continue }
            if batch.isTransactional || batch.isControl {
                if transactions == nil { try readTransactionEnds(from: facts) }
                if batch.baseOffset.rawValue >= endOffset { return false }
                if batch.isControl
                    || transactions!.isAborted(batch.producerID.rawValue, at: batch.baseOffset.rawValue)
                {
                    map.latestOffset = batch.lastOffset.rawValue
                    continue
                }
            }
            if batch.baseOffset.rawValue >= endOffset { return false }
            do {
                guard try put(batch, &map) else { return false }
            } catch let error as RecordBatchError {
                throw CleanerStop.damaged(baseOffset: facts.baseOffset, what: "offset \(batch.baseOffset): \(error)")
            }
            map.latestOffset = batch.lastOffset.rawValue
        }
        return true
    }

    private func put(_ batch: RecordBatchHeader, _ map: inout OffsetMap) throws -> Bool {
        if batch.recordCount == 0 { return true }
        try records.open(batch)
        while let record = try records.next() {
            guard record.offset.rawValue >= plan.firstDirtyOffset, let key = record.key else { continue }
            guard map.put(key, offset: record.offset.rawValue) else { return false }
            map.latestOffset = record.offset.rawValue
        }
        return true
    }

    /// Reads the ends of all transactions from this segment on, and lowers `endOffset` to the first transaction that
    /// has none.
    private func readTransactionEnds(from first: CleanerPlan.SegmentFacts) throws {
        var ends = TransactionEnds(from: max(plan.firstDirtyOffset, first.baseOffset))
        var markers = RecordIterator()
        for facts in plan.segments where facts.baseOffset >= first.baseOffset && facts.baseOffset < endOffset {
            var reader = try reader(facts)
            defer { store.statistics.cleanerReadBytes.add(Int(reader.position), ordering: .relaxed) }
            do {
                while let batch = try reader.next() {
                    try checkStop()
                    if batch.lastOffset.rawValue < plan.firstDirtyOffset { continue }
                    ends.record(batch, marker: try markers.marker(of: batch))
                }
            } catch CleanerStop.damaged(let baseOffset, let what) {
                damage = (baseOffset, what)
                endOffset = facts.baseOffset
                break
            }
        }
        if let undecided = ends.firstUndecidedOffset { endOffset = min(endOffset, undecided) }
        transactions = ends
    }

    // MARK: The segments

    /// Writes the kept batches of the first of `segments`, and of as many following segments as fit into the same file,
    /// and exchanges the new segment for them. Returns the number of segments processed. A single segment of which
    /// everything is kept is left alone.
    private func clean(
        _ segments: ArraySlice<CleanerPlan.SegmentFacts>, _ map: borrowing OffsetMap, _ filter: inout CleanerFilter
    ) throws -> Int {
        let first = segments[segments.startIndex]
        let path = Path.join(log.folder, CleanerName.unfinished(first.baseOffset))
        var writer: SegmentWriter?
        var taken = 0
        do {
            for facts in segments {
                if taken > 0 {
                    let size = writer?.segment.size ?? first.size
                    guard CleanerPlan.fits(facts, behind: first, size: size, segmentBytes: settings.segmentBytes) else {
                        break
                    }
                    if writer == nil {
                        writer = try begin(path, first)
                        try copy(first, upTo: first.size, &writer!)
                    }
                }
                try checkRoom(facts.size)
                try clean(facts, path, first, map, &filter, &writer)
                taken += 1
            }
            guard writer != nil else { return taken }
            try writer!.finish()
            store.statistics.cleanerWrittenBytes.add(Int(writer!.segment.size), ordering: .relaxed)
            guard let old = log.segments(segments.prefix(taken)), log.exchange(old, for: writer!.segment) else {
                throw CleanerStop.changed
            }
        } catch {
            if writer != nil { try? store.fileSystem.remove(path) }
            throw error
        }
        isAnyReplaced = true
        try log.install(writer!.segment, endOffset: segments[segments.startIndex + taken - 1].endOffset)
        return taken
    }

    private func clean(
        _ facts: CleanerPlan.SegmentFacts, _ path: String, _ first: CleanerPlan.SegmentFacts,
        _ map: borrowing OffsetMap, _ filter: inout CleanerFilter, _ writer: inout SegmentWriter?
    ) throws {
        var reader = try reader(facts)
        defer { store.statistics.cleanerReadBytes.add(Int(reader.position), ordering: .relaxed) }
        while true {
            let position = reader.position
            guard let batch = try reader.next() else { return }
            try checkStop()
            let outcome: CleanerFilter.Outcome
            do {
                outcome = try filter.decide(batch, map, &records, &builder)
            } catch {
                throw CleanerStop.damaged(baseOffset: facts.baseOffset, what: "offset \(batch.baseOffset): \(error)")
            }
            if case .same = outcome {
                try writer?.append(batch.bytes)
                continue
            }
            if writer == nil {
                // A writer is missing only while nothing of the first segment has changed: what precedes the change is
                // copied now.
                writer = try begin(path, first)
                try copy(first, upTo: position, &writer!)
            }
            if case .changed(let slice) = outcome { try writer!.append(slice.bytes) }
        }
    }

    private func begin(_ path: String, _ first: CleanerPlan.SegmentFacts) throws(StorageError) -> SegmentWriter {
        try SegmentWriter(
            store.fileSystem, path: path, baseOffset: first.baseOffset, indexInterval: settings.indexIntervalBytes)
    }

    /// Copies the unchanged batches that precede `position`.
    private func copy(_ facts: CleanerPlan.SegmentFacts, upTo position: Int64, _ writer: inout SegmentWriter) throws {
        var reader = try reader(facts)
        while reader.position < position, let batch = try reader.next() { try writer.append(batch.bytes) }
        store.statistics.cleanerReadBytes.add(Int(reader.position), ordering: .relaxed)
    }

    /// Throws `CleanerStop.noRoom` when writing `bytes` more would leave less than half of the reserve that commits and
    /// checkpoints live on.
    private func checkRoom(_ bytes: Int64) throws {
        guard let space = store.space else { return }
        if space.free < bytes + store.options.reserveBytes / 2 { throw CleanerStop.noRoom }
    }
}
