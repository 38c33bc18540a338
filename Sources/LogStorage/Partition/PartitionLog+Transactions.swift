import ByteBuffers
public import KafkaModel
import RecordFormat
import StorageIO
import Synchronization

/// Transactions in one partition. Source: KIP-98, KIP-890.
///
/// ```
///   offsets   … a a B a │ c B … M │ …        B: batches of an open transaction, M: its marker, on disk
///                       ▲         ▲
///          lastStableOffset       it moves here when the marker can be seen
/// ```
/// Which transaction begins where is part of `ProducerStates`; which of them were aborted stands in the segments, in the
/// markers themselves (`AbortedExtent`), and in their indexes. So a checkpoint carries the open ones alone, and what is lost of
/// an index is made again of its own segment.
extension PartitionLog {
    /// What is known of a transactional batch before it is appended.
    public enum Verification: Sendable, Equatable {
        /// Its transaction is open here: it can be appended.
        case open
        /// The coordinator is to be asked; its yes makes this valid.
        case ask(TransactionGuard)
        /// A newer producer of the same id has been here.
        case fenced
    }

    /// Whether the coordinator has to be asked before a batch of this producer is appended. `isVersion2`: the client lets the
    /// coordinator add the partition (KIP-890).
    public func verification(of producerID: ProducerID, _ epoch: ProducerEpoch, isVersion2: Bool) -> Verification {
        state.withLock { state in
            if state.producers.hasOpenTransaction(of: producerID.rawValue, epoch.rawValue) { return .open }
            if let known = state.producers.epoch(of: producerID.rawValue), epoch.rawValue < known { return .fenced }
            return .ask(TransactionGuard(logEndOffset: state.logEndOffset, isVersion2: isVersion2))
        }
    }

    /// Why the coordinator's own batch for a producer would be refused: its transaction is not open here, and `verified` does not
    /// say that it may begin, or there is no room for one more. Nil when it is taken: `append` looks at that room for clients'
    /// batches alone.
    public func transactionProblem(
        of producerID: ProducerID, _ epoch: ProducerEpoch, _ verified: TransactionGuard?
    ) -> ErrorCode? {
        let batch = ProducerBatch(
            producerID: producerID.rawValue, producerEpoch: epoch.rawValue, baseSequence: -1, lastSequence: -1,
            isTransactional: true)
        let hasRoom = producerLimit.hasRoomForOpen
        let verdict = state.withLock { $0.producers.check(batch, verified: verified, mayBegin: hasRoom) }
        if case .refuse(let code) = verdict { return code }
        return nil
    }

    /// Appends the marker that ends a producer's transaction here, whether or not one is open; once more where it was appended
    /// before, unless its transaction is of version 2. Source: KIP-98, KIP-1228.
    public func endTransaction(
        _ marker: TransactionMarker, nowMs: Int64
    ) -> Result<MarkerReceipt, AppendRefusal> {
        if let refusal = refusal(.broker) { return .failure(refusal) }
        return state.withLock { state in
            if state.isDeleted || !state.leadership.isLeader || state.isStuck || state.fault != nil {
                return .failure(AppendRefusal(.notLeaderOrFollower, "\(name) takes no appends just now"))
            }
            let firstOffset: Int64?
            switch state.producers.checkMarker(marker) {
            case .accept(let first): firstOffset = first
            case .repeated(let offset):
                return .success(MarkerReceipt(offset: Offset(offset), ticket: state.lastTicket, isRepeated: true))
            case .refuse(let code):
                return .failure(
                    AppendRefusal(
                        code,
                        "the marker of producer \(marker.producerID.rawValue), epoch \(marker.epoch.rawValue), coordinator "
                            + "epoch \(marker.coordinatorEpoch), is older than what \(name) knows"))
            }
            var extent: AbortedExtent?
            if !marker.isCommit, let firstOffset {
                let next = state.producers.ongoing.firstOffset(except: firstOffset)
                extent = AbortedExtent(firstOffset: firstOffset, lastStableOffset: next ?? state.logEndOffset + 1)
            }
            let batch = EndTransactionMarker(isCommit: marker.isCommit, coordinatorEpoch: marker.coordinatorEpoch).batch(
                producerID: marker.producerID, producerEpoch: marker.epoch, timestampMs: nowMs, aborted: extent,
                pool: store.pool)
            let receipt = place(batch, nil, appendTime: -1, nowMs: nowMs, &state)
            return .success(MarkerReceipt(offset: receipt.baseOffset, ticket: receipt.ticket, isRepeated: false))
        }
    }

    /// Counts a control batch that is put into `segment` at the log's end. Called with the state lock held.
    func recordMarker(_ header: RecordBatchHeader, in segment: Segment, nowMs: Int64, _ state: inout State) {
        segment.noteMarker(header)
        guard header.hasProducerID, let (marker, _) = AbortedTransaction.read(header) else { return }
        recordMarker(of: header, marker, offset: header.lastOffset.rawValue, nowMs: nowMs, &state)
    }

    // MARK: What readers leave out

    /// The aborted transactions that reach into the records from `from` to `end` (exclusive, at most the last stable offset),
    /// by their first offsets. Source: KIP-98, and Kafka's transaction indexes.
    ///
    /// To be called after the records were read: where retention or DeleteRecords has taken their beginning away meanwhile,
    /// what was known of them is gone, too, and they must not be shown. May wait for the disk unless `mayWait` is off.
    public func abortedTransactions(
        from: Offset, to end: Offset, mayWait: Bool = true
    ) -> Result<[AbortedTransaction], ReadRefusal> {
        var found: [AbortedTransaction] = []
        var attempts = 0
        while true {
            let segments = state.withLock { state in
                let first = max(0, state.segments.partitioningIndex { $0.baseOffset > from.rawValue } - 1)
                return state.segments[first...].filter { $0.index.abortedCount > 0 }
            }
            found.removeAll(keepingCapacity: true)
            var isOver = false
            var wasRetired = false
            for segment in segments where !isOver {
                let inMemory = state.withLock { _ in segment.index.isInMemory ? segment.index.aborted : nil }
                if let inMemory {
                    let start = inMemory.partitioningIndex { $0.lastOffset >= from.rawValue }
                    isOver = Self.collect(inMemory[start...], below: end.rawValue, &found)
                    continue
                }
                guard mayWait else { return .failure(.wouldWait) }
                do {
                    isOver = try collectStored(of: segment, from: from.rawValue, below: end.rawValue, &found)
                } catch {
                    if segment.isRetired.load(ordering: .acquiring) {
                        wasRetired = true
                        break
                    }
                    // The index is made again of its segment.
                    guard attempts < 2 else { return .failure(.storage(error.description)) }
                    attempts += 1
                    do { try examine(segment) } catch { return .failure(.storage(error.description)) }
                    wasRetired = true
                    break
                }
                if segment.isRetired.load(ordering: .acquiring) { wasRetired = true }
            }
            // Compacted meanwhile, and perhaps another segment's.
            if wasRetired {
                if state.withLock({ $0.isDeleted }) { return .failure(.storage("\(name) was deleted")) }
                continue
            }
            let (start, highWatermark) = state.withLock { ($0.logStartOffset, $0.highWatermark) }
            guard start <= from.rawValue else {
                return .failure(.outOfRange(logStartOffset: Offset(start), highWatermark: Offset(highWatermark)))
            }
            found.sort { $0.firstOffset < $1.firstOffset }
            return .success(found)
        }
    }

    /// Takes those that begin below `end`; true when none that follows can.
    private static func collect(
        _ entries: some Sequence<AbortedTransaction>, below end: Int64, _ found: inout [AbortedTransaction]
    ) -> Bool {
        for entry in entries {
            if entry.firstOffset < end { found.append(entry) }
            if entry.lastStableOffset >= end { return true }
        }
        return false
    }

    /// Does the same with what is in the index file of a closed segment.
    private func collectStored(
        of segment: Segment, from: Int64, below end: Int64, _ found: inout [AbortedTransaction]
    ) throws(StorageError) -> Bool {
        let (entries, count) = state.withLock { _ in (segment.index.count, segment.index.abortedCount) }
        let file = try store.fileSystem.open(Path.join(folder, segment.indexName), .read)
        defer { file.close() }
        let stored = StoredIndex(file: file, count: entries)
        var place = try stored.firstAborted(of: count) { $0.lastOffset >= from }
        while place < count {
            let some = try stored.aborted(place..<min(count, place + Self.abortedAtOnce))
            if Self.collect(some, below: end, &found) { return true }
            place += some.count
        }
        return false
    }

    /// Entries that are read from an index at once: 4 KiB.
    private static let abortedAtOnce = 128

    // MARK: What is known of producers

    /// One producer, as DescribeProducers tells of it. Source: KIP-664.
    public struct KnownProducer: Sendable, Equatable {
        public var producerID: Int64
        public var epoch: Int16
        /// -1: none is known.
        public var lastSequence: Int32
        public var lastTimestampMs: Int64
        /// -1: no marker of it is known.
        public var coordinatorEpoch: Int32
        /// -1: no transaction is open.
        public var transactionStart: Int64
    }

    /// What is known of all producers here, by their ids.
    public var knownProducers: [KnownProducer] {
        let entries = state.withLock { $0.producers.entries }
        return entries.map { id, entry in
            KnownProducer(
                producerID: id, epoch: entry.epoch, lastSequence: entry.window.last?.lastSequence ?? -1,
                lastTimestampMs: entry.lastTimestampMs, coordinatorEpoch: entry.coordinatorEpoch,
                transactionStart: entry.transactionStart)
        }.sorted { $0.producerID < $1.producerID }
    }
}

extension PartitionLog.State {
    /// Exclusive end of what is decided: at most the high watermark, at least the log's start.
    var lastStableOffset: Int64 {
        guard let first = producers.ongoing.first else { return highWatermark }
        return max(logStartOffset, min(highWatermark, first.firstOffset))
    }

    /// Bytes below the last stable offset, counted as `watermarkPosition` is.
    var stablePosition: Int64 {
        guard let first = producers.ongoing.first else { return watermarkPosition }
        return min(watermarkPosition, first.position)
    }

    func position(_ visibility: PartitionLog.Visibility) -> Int64 {
        visibility == .stable ? stablePosition : watermarkPosition
    }

    /// Takes out everybody who waits, because something else than growth has happened.
    mutating func takeWaiters() -> [ReadWaiter] { waiters.removeAll() + stableWaiters.removeAll() }
}
