import ByteBuffers
import KafkaModel
import RecordFormat

/// Decides which records of each batch are kept. Must be given a log's batches in order, starting with the first. Does
/// no I/O.
///
/// - A record stays when the map knows no newer record with its key. A record without a key is removed: compacted
///   topics refuse such records, so it was written before the topic was compacted.
/// - A tombstone that stays gives its batch a delete horizon, `delete.retention.ms` from now. A pass that finds the
///   horizon passed drops the tombstone. This is safe because the pass that set the horizon removed every record that
///   the tombstone deletes, and a consumer reading from the start has had that long to see the tombstone.
/// - The marker of a transaction gets a horizon once none of the transaction's data is left; aborted data goes at
///   once.
/// - A batch whose records are all removed is removed too, with two exceptions that keep an empty batch: the newest
///   batch of its producer, whose sequence must survive, and the last batch of the cleaned range, whose last offset
///   must survive.
/// - Offsets never change: a batch keeps its base and its last offset, a record its offset.
///
/// Source: KIP-58, KIP-98, KIP-534; the rules are those of Kafka's `Cleaner` and `MemoryRecords.filterTo`.
struct CleanerFilter {
    let nowMs: Int64
    let deleteRetentionMs: Int64
    /// Exclusive end of what the pass cleans.
    let endOffset: Int64
    /// The last offset of the newest batch of each known producer, by producer id.
    let lastOffsets: [Int64: Int64]
    let transactions: TransactionEnds
    /// The earliest horizon among what stays; `Int64.max` for none.
    private(set) var earliestHorizonMs = Int64.max
    /// Producers with transactional data since their last marker.
    private var withData: Set<Int64> = []
    /// For each record of the current batch: whether it stays.
    private var stays: [Bool] = []

    enum Outcome {
        /// The batch stays as it is, byte for byte.
        case same
        case changed(ByteSlice)
        case gone
    }

    init(
        nowMs: Int64, deleteRetentionMs: Int64, endOffset: Int64, lastOffsets: [Int64: Int64],
        transactions: TransactionEnds
    ) {
        self.nowMs = nowMs
        self.deleteRetentionMs = deleteRetentionMs
        self.endOffset = endOffset
        self.lastOffsets = lastOffsets
        self.transactions = transactions
    }

    mutating func decide(
        _ batch: RecordBatchHeader, _ map: borrowing OffsetMap, _ records: inout RecordIterator,
        _ builder: inout RecordBatchBuilder
    ) throws -> Outcome {
        let producer = batch.producerID.rawValue
        let horizonMs = batch.attributes.contains(.deleteHorizon) ? batch.baseTimestampMs : nil
        let isPastHorizon = horizonMs.map { $0 <= nowMs } ?? false
        var dropsAll = false
        var isEmptiedMarker = false
        if batch.isControl {
            isEmptiedMarker = try isMarkerWithoutData(batch, &records)
            dropsAll = isEmptiedMarker && isPastHorizon
        } else if batch.isTransactional {
            withData.insert(producer)
            dropsAll = transactions.isAborted(producer, at: batch.baseOffset.rawValue)
        }
        let (staying, hasTombstone) = try dropsAll ? (0, false) : choose(batch, map, &records, isPastHorizon)
        if staying == 0 {
            let isLastOfProducer = batch.hasProducerID && lastOffsets[producer] == batch.lastOffset.rawValue
            guard isLastOfProducer || batch.lastOffset.rawValue + 1 == endOffset else { return .gone }
            return batch.recordCount == 0 ? .same : .changed(emptied(batch, &builder))
        }
        let needsHorizon = horizonMs == nil && (hasTombstone || isEmptiedMarker)
        let newHorizonMs = needsHorizon ? saturated(nowMs, deleteRetentionMs) : horizonMs
        if let newHorizonMs, hasTombstone || isEmptiedMarker {
            earliestHorizonMs = min(earliestHorizonMs, newHorizonMs)
        }
        if staying == batch.recordCount, !needsHorizon { return .same }
        return .changed(try rewritten(batch, horizonMs: newHorizonMs, &records, &builder))
    }

    private func saturated(_ first: Int64, _ second: Int64) -> Int64 {
        let (sum, overflow) = first.addingReportingOverflow(second)
        return overflow ? .max : sum
    }

    /// Returns whether all data of the transaction that this marker ends has been removed. True as well for a marker
    /// batch that has lost its record.
    private mutating func isMarkerWithoutData(
        _ batch: RecordBatchHeader, _ records: inout RecordIterator
    ) throws(RecordBatchError) -> Bool {
        if batch.recordCount == 0 { return true }
        guard try records.marker(of: batch) != nil else { return false }
        return withData.remove(batch.producerID.rawValue) == nil
    }

    /// Marks the records that stay. Returns their number, and whether a kept record that the map covers is a tombstone.
    private mutating func choose(
        _ batch: RecordBatchHeader, _ map: borrowing OffsetMap, _ records: inout RecordIterator, _ isPastHorizon: Bool
    ) throws(RecordBatchError) -> (Int32, Bool) {
        stays.removeAll(keepingCapacity: true)
        var staying: Int32 = 0
        var hasTombstone = false
        if batch.recordCount == 0 { return (0, false) }
        try records.open(batch)
        while let record = try records.next() {
            var isKept = true
            let offset = record.offset.rawValue
            if !batch.isControl, offset <= map.latestOffset {
                if let key = record.key {
                    let isNewest = map.offset(of: key).map { offset >= $0 } ?? true
                    let isTombstone = record.value == nil
                    isKept = isNewest && !(isTombstone && isPastHorizon)
                    if isKept, isTombstone { hasTombstone = true }
                } else {
                    isKept = false
                }
            }
            stays.append(isKept)
            if isKept { staying += 1 }
        }
        return (staying, hasTombstone)
    }

    private func options(_ batch: RecordBatchHeader) -> RecordBatchBuilder.Options {
        var options = RecordBatchBuilder.Options()
        options.baseOffset = batch.baseOffset
        options.partitionLeaderEpoch = batch.partitionLeaderEpoch
        options.producerID = batch.producerID
        options.producerEpoch = batch.producerEpoch
        options.baseSequence = batch.baseSequence
        options.lastOffsetDelta = batch.lastOffsetDelta
        options.attributes = batch.attributes.subtracting(.deleteHorizon)
        if batch.attributes.contains(.logAppendTime) { options.logAppendTimeMs = batch.maxTimestampMs }
        return options
    }

    private func emptied(_ batch: RecordBatchHeader, _ builder: inout RecordBatchBuilder) -> ByteSlice {
        var options = options(batch)
        options.emptyMaxTimestampMs = batch.maxTimestampMs
        builder.begin()
        return builder.finishUncompressed(options)
    }

    /// The batch with the records that stay, compressed with its own codec.
    private func rewritten(
        _ batch: RecordBatchHeader, horizonMs: Int64?, _ records: inout RecordIterator,
        _ builder: inout RecordBatchBuilder
    ) throws -> ByteSlice {
        var options = options(batch)
        options.compression = batch.attributes.compression ?? .none
        if horizonMs != nil { options.attributes.insert(.deleteHorizon) }
        builder.begin(baseTimestampMs: horizonMs)
        try records.open(batch)
        while let record = try records.next() {
            guard stays[Int(record.index)] else { continue }
            builder.append(
                key: record.key, value: record.value, headers: record.headers.bytes, headerCount: record.headers.count,
                timestampMs: record.timestampMs, offsetDelta: record.offsetDelta)
        }
        return try builder.finish(options)
    }
}
