public import ByteBuffers
import KafkaModel
public import RecordFormat
import Synchronization

extension PartitionLog {
    /// Who appends, which decides the checks: a client's batch is held to the topic's size and timestamp limits.
    public typealias Origin = RecordBatchValidator.Origin

    /// Why any append would be refused just now; nil when appends are taken.
    public func refusal(_ origin: Origin) -> AppendRefusal? { state.withLock { refusal(origin, &$0) } }

    /// Changes nothing: to lend the state in another way than `inout` copies all of it.
    private func refusal(_ origin: Origin, _ state: inout State) -> AppendRefusal? {
        if state.isDeleted { return AppendRefusal(.unknownTopicOrPartition, "the topic is being deleted") }
        // A name is made only where it is told.
        if !state.leadership.isLeader { return Self.leadershipRefusal(of: name) }
        if let refusal = store.refusal(origin) { return refusal }
        if state.fault != nil || state.isStuck, let refusal = state.faultRefusal(of: name) { return refusal }
        guard let reason = state.quarantine.endReason else { return nil }
        return AppendRefusal(
            .kafkaStorageError,
            "the end of \(folderName) is quarantined (\(reason)); stop the broker and run millrace log repair")
    }

    /// Appends one validated batch at `logEndOffset`: assigns its base offset and leader epoch in place and queues it
    /// for the next group commit. Durable and readable once the store's commits reach the receipt's `ticket`.
    ///
    /// The repeat of an idempotent batch is acknowledged by what is on disk, never by memory alone: at once below
    /// `flushedOffset`, which says what commits have synced and what a start has made durable before it served; else with the
    /// ticket of the first append, which fails as that one's does. After a failed sync it is refused like any other.
    ///
    /// The caller has checked the batch's header and CRC, hands its memory over, and calls `LogStore.kick` when its
    /// round of appends is done. `nowMs` is the wall clock. With `keysAreChecked` the caller has also looked at the keys
    /// (`checkKeys`), which may take long. `verified`: what the transaction coordinator has said of a transactional batch
    /// (`verify`). Source: KIP-98, KIP-101, KIP-890.
    public func append(
        _ batch: ByteSlice, origin: Origin, nowMs: Int64, keysAreChecked: Bool = false,
        verified: TransactionGuard? = nil
    ) -> Result<AppendReceipt, AppendRefusal> {
        let header = RecordBatchHeader(unchecked: batch.pointer)
        if origin == .client, !keysAreChecked, requiresKeys, case .refused(let refusal) = checkKeys(header, .full) {
            return .failure(refusal)
        }
        let result = state.withLock { state -> Result<AppendReceipt, AppendRefusal> in
            if let refusal = refusal(origin, &state) { return .failure(refusal) }
            if origin == .client, batch.count > state.settings.maxBatchBytes {
                return .failure(
                    AppendRefusal(
                        .messageTooLarge,
                        "The record batch size in the append to \(folderName) is \(batch.count) bytes which exceeds "
                            + "the maximum configured value of \(state.settings.maxBatchBytes)."))
            }
            var producer: ProducerBatch?
            if origin == .broker, !header.isTransactional {
                producer = ProducerBatch(header)
            } else if let identity = ProducerBatch(header) {
                // A coordinator's own batch has been let in by `transactionProblem`, and its state has taken it in since: to look at
                // the room twice would be two decisions.
                let mayBegin = origin == .broker || verified == nil || producerLimit.hasRoomForOpen
                switch state.producers.check(identity, verified: verified, mayBegin: mayBegin) {
                case .accept: producer = identity
                case .duplicate(let baseOffset, let lastOffset):
                    return .success(
                        AppendReceipt(
                            baseOffset: Offset(baseOffset), lastOffset: Offset(lastOffset),
                            logAppendTimeMs: state.appendTimeInMemory(of: baseOffset),
                            logStartOffset: Offset(state.logStartOffset),
                            ticket: lastOffset < state.flushedOffset ? 0 : state.lastTicket, isDuplicate: true))
                case .refuse(let code):
                    return .failure(
                        AppendRefusal(
                            code,
                            "producer \(identity.producerID) epoch \(identity.producerEpoch): "
                                + Self.reason(code, identity, folderName)))
                }
            }
            var appendTime: Int64 = -1
            if state.settings.usesLogAppendTime {
                appendTime = nowMs
                RecordBatchHeader.setLogAppendTime(nowMs, at: batch.pointer)
            } else if origin == .client, let refusal = state.timestampRefusal(header, nowMs: nowMs) {
                return .failure(refusal)
            }

            return .success(place(batch, producer, appendTime: appendTime, nowMs: nowMs, &state))
        }
        guard case .success(var receipt) = result, receipt.isDuplicate, receipt.logAppendTimeMs == Self.unknownTime
        else { return result }
        receipt.logAppendTimeMs = appendTimeInFile(of: receipt.baseOffset)
        return .success(receipt)
    }

    private static func reason(_ code: ErrorCode, _ batch: ProducerBatch, _ folderName: String) -> String {
        switch code {
        case .invalidTxnState: "no transaction of it is open in \(folderName), or one that is not this batch's"
        case .notEnoughReplicas: "no more transactions may be open in \(folderName), or on this node, until some end"
        default: "sequence \(batch.baseSequence) does not follow in \(folderName)"
        }
    }

    /// Puts a batch that was checked at the log's end, and queues it. Called with the state lock held.
    @inline(__always)
    func place(
        _ batch: ByteSlice, _ producer: ProducerBatch?, appendTime: Int64, nowMs: Int64, _ state: inout State
    ) -> AppendReceipt {
        let header = RecordBatchHeader(unchecked: batch.pointer)
        let base = state.logEndOffset
        let last = base + Int64(header.lastOffsetDelta)
        RecordBatchHeader.assign(
            baseOffset: Offset(base), partitionLeaderEpoch: state.leadership.epoch, at: batch.pointer)
        state.epochs.begin(state.leadership.epoch.rawValue, at: base)
        let timestamp = header.maxTimestampMs
        let segment = state.segmentForAppend(
            of: batch.count, baseOffset: base, lastOffset: last, timeMs: timestamp >= 0 ? timestamp : nowMs)
        let position = segment.size
        segment.count(
            batchAt: position, baseOffset: base, size: Int64(batch.count), maxTimestamp: timestamp,
            interval: state.settings.indexIntervalBytes)
        if segment.firstTimestamp == .max { segment.firstTimestamp = timestamp >= 0 ? timestamp : nowMs }
        if let producer {
            recordProducer(producer, baseOffset: base, lastOffset: last, nowMs: nowMs, &state)
        } else if header.isControl {
            recordMarker(header, in: segment, nowMs: nowMs, &state)
        }
        state.appendedBytes += Int64(batch.count)
        state.tail.append(
            TailBatch(baseOffset: base, lastOffset: last, segment: segment, position: position, slice: batch))
        state.logEndOffset = last + 1
        if !state.isDirty {
            state.isDirty = true
            registry.addDirty(self)
        }
        state.lastTicket = commits.enqueue(
            QueuedAppend(
                log: self, slice: batch, baseOffset: base, lastOffset: last, truncations: state.truncations))
        return AppendReceipt(
            baseOffset: Offset(base), lastOffset: Offset(last), logAppendTimeMs: appendTime,
            logStartOffset: Offset(state.logStartOffset), ticket: state.lastTicket, isDuplicate: false)
    }

    /// Stands in a receipt until the batch's header has been read from its file, outside the lock.
    fileprivate static let unknownTime = Int64.min

    /// Returns the append time stored in a batch's header; -1 when it has none, or when it cannot be read without
    /// waiting for the disk, which an event loop must not do. A client that is told -1 uses its own timestamp for the
    /// record.
    private func appendTimeInFile(of baseOffset: Offset) -> Int64 {
        guard case .success(let records) = read(from: baseOffset, maxBytes: 1, mayWait: false, pool: store.pool),
            let batch = records.slices.first
        else { return -1 }
        // Compaction may have removed the batch; the read then returned a later one.
        let header = RecordBatchHeader(unchecked: batch.pointer)
        return header.baseOffset == baseOffset ? header.logAppendTimeMs : -1
    }
}

extension RecordBatchHeader {
    /// The broker's time of the append, where the topic's timestamps are that, else -1.
    fileprivate var logAppendTimeMs: Int64 { attributes.contains(.logAppendTime) ? maxTimestampMs : -1 }
}

extension PartitionLog.State {
    /// What a repeat of the batch at `baseOffset` is told as its time: -1 unless the topic uses LogAppendTime, and
    /// `unknownTime` where the batch is in its file alone.
    fileprivate func appendTimeInMemory(of baseOffset: Int64) -> Int64 {
        guard settings.usesLogAppendTime else { return -1 }
        let place = tail.partitioningIndex { $0.lastOffset >= baseOffset }
        guard place < tail.count, tail[place].baseOffset == baseOffset else { return PartitionLog.unknownTime }
        return RecordBatchHeader(unchecked: tail[place].slice.pointer).logAppendTimeMs
    }

    /// Returns the active segment, or a new one if the batch would overfill it, is too late for it, or has an offset
    /// that its index cannot express. A batch is too late when its timestamp is later than the segment's first by more
    /// than `segment.ms`. As in Kafka, the clock plays no part, so that old records that are written today share a
    /// segment.
    mutating func segmentForAppend(of size: Int, baseOffset: Int64, lastOffset: Int64, timeMs: Int64) -> Segment {
        let active = segments[segments.count - 1]
        guard active.size > 0 else { return active }
        let overfull = active.size + Int64(size) > settings.segmentBytes
        let age = active.firstTimestamp == .max ? 0 : timeMs - active.firstTimestamp
        let overdue = age > settings.effectiveSegmentMs - jitter(of: active)
        let tooFar = lastOffset - active.baseOffset > Int64(Int32.max)
        let isCrowded = active.index.aborted.count >= SegmentIndex.maxAborted
        guard overfull || overdue || tooFar || isCrowded else { return active }
        return roll(at: baseOffset)
    }

    /// Returns how much earlier `segment.jitter.ms` closes this segment; the same value each time.
    func jitter(of segment: Segment) -> Int64 {
        let most = min(settings.segmentJitterMs, settings.effectiveSegmentMs)
        guard most > 0 else { return 0 }
        // The base offset varies the jitter within a partition, the first timestamp between partitions.
        let seed = UInt64(bitPattern: segment.baseOffset &+ segment.firstTimestamp &* 31) &* 0x9e37_79b9_7f4a_7c15
        return Int64((seed >> 1) % UInt64(most)) + 1
    }

    mutating func roll(at baseOffset: Int64) -> Segment {
        segments[segments.count - 1].isClosed = true
        let next = Segment(baseOffset: baseOffset)
        segments.append(next)
        return next
    }

    /// Kafka's check of a producer's timestamps; the batch's header bounds them all. Source: KIP-937.
    // Inlined, for a call of a method that changes nothing copies the state.
    @inline(__always)
    func timestampRefusal(_ header: RecordBatchHeader, nowMs: Int64) -> AppendRefusal? {
        let newest = header.maxTimestampMs
        if newest >= 0, settings.timestampAfterMaxMs != .max, newest - nowMs > settings.timestampAfterMaxMs {
            return AppendRefusal(
                .invalidTimestamp,
                "Timestamp \(newest) of message with offset 0 is out of range. The timestamp should be within "
                    + "[\(nowMs - min(settings.timestampBeforeMaxMs, nowMs)), \(nowMs + settings.timestampAfterMaxMs)]")
        }
        let oldest = header.baseTimestampMs
        if oldest >= 0, settings.timestampBeforeMaxMs != .max, nowMs - oldest > settings.timestampBeforeMaxMs {
            return AppendRefusal(
                .invalidTimestamp,
                "Timestamp \(oldest) of message with offset 0 is out of range. The timestamp should be within "
                    + "[\(nowMs - settings.timestampBeforeMaxMs), \(nowMs + min(settings.timestampAfterMaxMs, .max - nowMs))]"
            )
        }
        return nil
    }
}
