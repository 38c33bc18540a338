import ByteBuffers
public import KafkaModel
import RecordFormat
import StorageIO
import Synchronization

extension PartitionLog {
    /// A record found by its time.
    public struct TimestampedOffset: Sendable, Equatable {
        public var offset: Offset
        public var timestampMs: Int64
        public var leaderEpoch: Int32
    }

    /// The first record at or after the log's start whose timestamp is `timestampMs` or above, among those that the reader may
    /// see; nil when there is none. Source: KIP-79.
    ///
    /// - Parameter takesUnreadable: a batch whose records cannot be made out is taken for its first record, by the batch's own greatest
    ///   time: for who looks for a place from which on to read. Else it is refused, as nobody knows which of its records would be it.
    public func firstOffset(
        notBefore timestampMs: Int64, visibility: Visibility = .committed, takesUnreadable: Bool = false
    ) -> Result<TimestampedOffset?, ReadRefusal> {
        let segments = state.withLock { state in
            state.segments.filter { $0.size > 0 && $0.maxTimestamp >= timestampMs }
        }
        for segment in segments {
            var start = segment.baseOffset
            do {
                start = try startOfSearch(in: segment, timestampMs)
            } catch  where !segment.isRetired.load(ordering: .acquiring) {
                return .failure(.storage(error.description))
            } catch {}
            // Compacted meanwhile: the index that was looked at may be another segment's.
            if segment.isRetired.load(ordering: .acquiring) { start = segment.baseOffset }
            let limit = state.withLock { state -> Int64 in
                let next = state.segments.first { $0.baseOffset > segment.baseOffset }?.baseOffset
                return min(next ?? .max, visibility == .stable ? state.lastStableOffset : state.highWatermark)
            }
            switch scan(from: start, below: limit, visibility, notBefore: timestampMs, takesUnreadable) {
            case .success(nil): continue
            case let result: return result
            }
        }
        return .success(nil)
    }

    /// The record with the largest timestamp, the first of them where there are several; nil for an empty log.
    /// Source: KIP-734.
    public func offsetOfMaxTimestamp(
        visibility: Visibility = .committed
    ) -> Result<TimestampedOffset?, ReadRefusal> {
        let newest = state.withLock { state in state.segments.map(\.maxTimestamp).max() ?? .min }
        guard newest >= 0 else { return .success(nil) }
        return firstOffset(notBefore: newest, visibility: visibility)
    }

    private func startOfSearch(in segment: Segment, _ timestampMs: Int64) throws(StorageError) -> Int64 {
        let (inMemory, count) = state.withLock { _ -> (IndexEntry?, Int) in
            segment.index.isInMemory
                ? (segment.index.floor(timestamp: timestampMs), 0) : (nil, segment.index.count)
        }
        if let inMemory { return segment.baseOffset + Int64(inMemory.relativeOffset) }
        let path = Path.join(folder, segment.indexName)
        guard try store.fileSystem.exists(path) else { return segment.baseOffset }
        let file = try store.fileSystem.open(path, .read)
        defer { file.close() }
        let found = try StoredIndex(file: file, count: count).last { $0.maxTimestampBefore < timestampMs }
        return segment.baseOffset + Int64(found.relativeOffset)
    }

    private func scan(
        from start: Int64, below limit: Int64, _ visibility: Visibility, notBefore timestampMs: Int64,
        _ takesUnreadable: Bool
    ) -> Result<TimestampedOffset?, ReadRefusal> {
        let first = logStartOffset.rawValue
        var offset = max(start, first)
        var records = RecordIterator()
        while offset < limit {
            let fetched: FetchedRecords
            switch read(from: Offset(offset), maxBytes: 256 << 10, visibility: visibility, pool: store.pool) {
            case .success(let found): fetched = found
            case .failure(let refusal): return .failure(refusal)
            }
            if fetched.byteCount == 0 { return .success(nil) }
            for slice in fetched.slices {
                var cursor = RecordBatchCursor(slice.bytes)
                do {
                    while let batch = try cursor.next() {
                        offset = batch.lastOffset.rawValue + 1
                        guard batch.maxTimestampMs >= timestampMs else { continue }
                        do throws(RecordBatchError) {
                            try records.open(batch)
                            while let record = try records.next() {
                                guard record.timestampMs >= timestampMs, record.offset.rawValue >= first else {
                                    continue
                                }
                                return .success(TimestampedOffset(record.offset, record.timestampMs, in: batch))
                            }
                        } catch {
                            guard takesUnreadable else { throw error }
                            let from = max(batch.baseOffset, Offset(first))
                            return .success(TimestampedOffset(from, batch.maxTimestampMs, in: batch))
                        }
                    }
                } catch {
                    return .failure(.corrupt("\(folderName), offset \(offset) or before: \(error)"))
                }
            }
        }
        return .success(nil)
    }
}

extension PartitionLog.TimestampedOffset {
    fileprivate init(_ offset: Offset, _ timestampMs: Int64, in batch: RecordBatchHeader) {
        self.init(offset: offset, timestampMs: timestampMs, leaderEpoch: batch.partitionLeaderEpoch.rawValue)
    }
}
