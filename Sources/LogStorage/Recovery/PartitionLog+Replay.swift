import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization

/// Replaying the journal into a log whose segments have been opened: batches that only the journal has are appended to the
/// tail, damage is healed with what it has, and log starts are moved.
extension PartitionLog {
    /// Appends a batch of the journal to the tail if the log does not have it; gives whether it was new. A batch that fits
    /// into a damaged range heals that.
    func replayJournaled(
        _ batch: UnsafeRawBufferPointer, baseOffset: Int64, _ report: inout RecoveryReport, _ memory: inout SlicePacker
    ) throws(StorageError) -> Bool {
        guard batch.count >= RecordBatchHeader.size, let base = batch.baseAddress else { return false }
        let header = RecordBatchHeader(unchecked: base)
        let last = header.lastOffset.rawValue
        if try heal(with: batch, header) { return true }
        return state.withLock { state -> Bool in
            if last < state.logEndOffset || last < state.logStartOffset || baseOffset < state.logEndOffset {
                return false
            }
            if baseOffset > state.logEndOffset {
                let reason = "the journal goes on at offset \(baseOffset); what was between is lost"
                if report.lostEnd == nil { report.lostEnd = (reason, state.logEndOffset) }
                state.jump(to: baseOffset, reason)
            }
            let segment = state.segmentForAppend(
                of: batch.count, baseOffset: baseOffset, lastOffset: last, timeMs: header.maxTimestampMs)
            let position = segment.size
            segment.count(header, at: position, state.settings.indexIntervalBytes)
            state.tail.append(
                TailBatch(
                    baseOffset: baseOffset, lastOffset: last, segment: segment, position: position,
                    slice: memory.slice(copying: batch)))
            store.memory.add(batch.count)
            state.replay(header)
            state.progress.reset(to: state.logEndOffset)
            state.producers.advance(to: state.highWatermark)
            if !state.isDirty, !state.isDeleted {
                state.isDirty = true
                registry.addDirty(self)
            }
            return true
        }
    }

    /// Puts a journaled batch where the segment lost it.
    private func heal(with batch: UnsafeRawBufferPointer, _ header: RecordBatchHeader) throws(StorageError) -> Bool {
        let base = header.baseOffset.rawValue
        let found = state.withLock { state -> (DamagedRange, Segment)? in
            guard
                let range = state.quarantine.damaged.first(where: {
                    $0.baseOffset == base && header.lastOffset.rawValue < $0.endOffset
                }), let segment = state.segments.first(where: { $0.baseOffset == range.segmentBase })
            else { return nil }
            let isMissing = range.isMissing(behind: segment.size, of: segment.baseOffset)
            guard isMissing || Int64(batch.count) <= range.endPosition - range.startPosition else { return nil }
            // A segment that is still being appended to by this replay is not written to here.
            return segment.written == segment.size ? (range, segment) : nil
        }
        guard let (range, segment) = found else { return false }
        let file = try segment.openFile(store.handles, in: folder, create: false)
        try file.write(batch, at: range.startPosition)
        try file.sync()
        state.withLock { state in
            guard let place = state.quarantine.ranges.firstIndex(of: range) else { return }
            var rest = range
            rest.startPosition += Int64(batch.count)
            rest.baseOffset = header.lastOffset.rawValue + 1
            if range.startPosition == range.endPosition {
                rest.endPosition = rest.startPosition
                segment.size = rest.startPosition
                segment.written = segment.size
                segment.readable = segment.size
            }
            segment.maxTimestamp = max(segment.maxTimestamp, header.maxTimestampMs)
            if rest.baseOffset == rest.endOffset, rest.startPosition == rest.endPosition {
                state.quarantine.ranges.remove(at: place)
            } else {
                state.quarantine.ranges[place] = rest
            }
            state.quarantineIsStored = false
        }
        markDirty()
        return true
    }

    /// Closes the log's end for appends if acknowledged records are missing there and the journal has not healed it.
    func settleLostEnd(_ report: RecoveryReport) {
        guard let lost = report.lostEnd else { return }
        let isLost = state.withLock { state in
            state.quarantine.damaged.contains { $0.endOffset > lost.offset && $0.baseOffset >= lost.offset }
        }
        if isLost { quarantineEnd(lost.reason) }
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
        leadership.learn(header.partitionLeaderEpoch)
        if let batch = ProducerBatch(header) {
            producers.record(
                batch,
                // What is left of a batch that compaction has emptied begins nothing.
                baseOffset: header.recordCount > 0 ? header.baseOffset.rawValue : -1,
                lastOffset: header.lastOffset.rawValue, timestampMs: max(header.maxTimestampMs, replayTimeMs))
        } else if header.isControl, header.hasProducerID, let (marker, _) = AbortedTransaction.read(header) {
            producers.recordMarker(
                of: header.producerID.rawValue, epoch: header.producerEpoch.rawValue,
                coordinatorEpoch: marker.coordinatorEpoch, offset: header.lastOffset.rawValue,
                timestampMs: max(header.maxTimestampMs, replayTimeMs))
        }
    }

    /// Goes on at `offset`, in a new segment; what lies before it is lost.
    mutating func jump(to offset: Int64, _ reason: String) {
        let active = segments[segments.count - 1]
        _ = quarantine.add(
            DamagedRange(
                segmentBase: active.baseOffset, startPosition: active.size, endPosition: active.size,
                baseOffset: logEndOffset, endOffset: offset, reason: reason))
        quarantineIsStored = false
        if active.size == 0 { segments.removeLast() } else { active.isClosed = true }
        segments.append(Segment(baseOffset: offset))
        logEndOffset = offset
        progress.reset(to: offset)
    }
}
