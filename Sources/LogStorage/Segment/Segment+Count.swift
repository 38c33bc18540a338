import KafkaModel
import RecordFormat

/// What a segment knows of its batches, as they are appended, replayed or found. Called with the state lock held, or on a
/// segment that nobody else knows of yet.
extension Segment {
    /// Counts a batch that begins at byte `position`, and indexes it when enough bytes have gone by.
    func count(batchAt position: Int64, baseOffset: Int64, size: Int64, maxTimestamp: Int64, interval: Int64) {
        if position > 0, position - lastIndexedPosition >= interval {
            index.append(
                IndexEntry(
                    relativeOffset: UInt32(baseOffset - self.baseOffset), position: UInt32(position),
                    maxTimestampBefore: self.maxTimestamp))
            lastIndexedPosition = position
        }
        self.size = position + size
        self.maxTimestamp = max(self.maxTimestamp, maxTimestamp)
        // The file changes once more.
        modifiedMs = nil
    }

    /// The exclusive upper bound of a segment's offsets, because a new segment begins before offsets are this far
    /// apart. It limits what a damaged base offset can claim, since no checksum covers base offsets.
    static func offsetLimit(of baseOffset: Int64) -> Int64 { baseOffset + Int64(Int32.max) + 1 }

    /// Counts a batch found at byte `position`.
    func count(_ header: RecordBatchHeader, at position: Int64, _ interval: Int64) {
        if firstTimestamp == .max { firstTimestamp = max(0, header.maxTimestampMs) }
        count(
            batchAt: position, baseOffset: header.baseOffset.rawValue, size: Int64(header.totalSize),
            maxTimestamp: header.maxTimestampMs, interval: interval)
        if header.isControl { noteMarker(header) }
    }

    /// Notes what the marker of an aborted transaction says. All of the batch must be in memory.
    func noteMarker(_ header: RecordBatchHeader) {
        guard header.totalSize <= SegmentWalk.maxControlBatch else { return }
        if let aborted = AbortedTransaction(marker: header) { index.append(aborted) }
    }

    /// Resets everything known about the batches, before they are scanned from the beginning again.
    func forgetBatches() {
        index = SegmentIndex()
        size = 0
        maxTimestamp = .min
        firstTimestamp = .max
        lastIndexedPosition = 0
        indexedSize = 0
        isFinished = false
    }
}
