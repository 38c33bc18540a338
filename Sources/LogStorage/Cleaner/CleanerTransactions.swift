import ByteBuffers
import KafkaModel
import RecordFormat

/// Where the transactions of a part of a log end, and how: read from its markers, as the data's own batches do not say
/// whether they were aborted. Source: KIP-98.
struct TransactionEnds {
    private struct End {
        var offset: Int64
        var isAbort: Bool
    }

    /// Where looking began; data before it is not judged.
    private let startOffset: Int64
    /// By producer, in the order of their offsets.
    private var ends: [Int64: [End]] = [:]
    /// First offset of the transactions that have no end yet.
    private var open: [Int64: Int64] = [:]

    init(from startOffset: Int64) { self.startOffset = startOffset }

    /// The first record that belongs to a transaction without an end: from here on nothing is decided.
    var firstUndecidedOffset: Int64? { open.values.min() }

    /// Notes a batch; batches come in the order of the log. `marker` is what a control batch says.
    mutating func record(_ batch: RecordBatchHeader, marker: EndTransactionMarker?) {
        let producer = batch.producerID.rawValue
        if let marker {
            open[producer] = nil
            ends[producer, default: []].append(
                End(offset: batch.baseOffset.rawValue, isAbort: marker.isCommit == false))
        } else if batch.isTransactional, !batch.isControl, open[producer] == nil {
            open[producer] = batch.baseOffset.rawValue
        }
    }

    /// Returns whether the data of `producer` at `offset` belongs to an aborted transaction, which the producer's next
    /// marker tells. Data without a later marker is undecided and not reported as aborted.
    ///
    /// Nothing before `startOffset` is reported either, because an earlier pass has removed all aborted data there: a
    /// transaction that was still open in that pass begins at or after `startOffset`.
    func isAborted(_ producer: Int64, at offset: Int64) -> Bool {
        guard offset >= startOffset, let ends = ends[producer] else { return false }
        let next = ends.partitioningIndex { $0.offset > offset }
        return next < ends.count && ends[next].isAbort
    }
}

extension RecordIterator {
    /// What a control batch says; nil when it has no record any more, or is not the end of a transaction.
    mutating func marker(of batch: RecordBatchHeader) throws(RecordBatchError) -> EndTransactionMarker? {
        guard batch.isControl, batch.recordCount > 0 else { return nil }
        try open(batch)
        guard let record = try next() else { return nil }
        return EndTransactionMarker(record)
    }
}
