import ByteBuffers
public import KafkaModel
import StorageIO
import Synchronization
import Telemetry

extension PartitionLog {
    /// Takes closed segments out of the log that retention no longer keeps, or that lie below the log's start. Their files are
    /// removed after the next checkpoint, which no longer needs them. An active segment whose records are all too old is closed
    /// first. Gives whether any segment was taken out.
    func enforceRetention(nowMs: Int64) -> Bool {
        readFileTimes()
        return removeExpired(nowMs: nowMs)
    }

    /// Records without a timestamp (-1) are as old as the file that holds them, as in Kafka.
    private func readFileTimes() {
        let unknown = state.withLock { state in
            state.settings.deletesByRetention && state.settings.retentionMs >= 0
                ? state.segments.filter(\.wantsFileTime).map { (segment: $0, size: $0.size) } : []
        }
        for (segment, size) in unknown {
            // A segment whose file does not tell its time is kept.
            guard let time = fileTime(of: segment) else { continue }
            // A batch that was appended meanwhile is younger than that.
            state.withLock { _ in if segment.size == size { segment.modifiedMs = time } }
        }
    }

    /// When a segment's file last changed; nil where that cannot be told.
    func fileTime(of segment: Segment) -> Int64? {
        try? store.fileSystem.modifiedMs(Path.join(folder, segment.logName))
    }

    private func removeExpired(nowMs: Int64) -> Bool {
        state.withLock { state in
            let settings = state.settings
            guard settings.deletesByRetention, settings.retentionMs >= 0 else { return }
            let active = state.segments[state.segments.count - 1]
            // Only when all of it is in its file: batches in the tail are bound to their segment.
            if active.size > 0, active.readable == active.size, let newest = active.newestMs,
                nowMs - newest > settings.retentionMs
            {
                _ = state.roll(at: state.logEndOffset)
            }
        }
        var told: [ReadWaiter] = []
        let isAny = state.withLock { state -> Bool in
            let settings = state.settings
            var total = state.segments.reduce(Int64(0)) { $0 + $1.size }
            var number = 0
            while number < state.segments.count - 1 {
                let segment = state.segments[number]
                guard segment.isClosed, segment.readable == segment.size, !segment.isInstalling else { break }
                let next = state.segments[number + 1]
                // What readers have not seen yet is not deleted, however old it says it is.
                guard next.baseOffset <= state.highWatermark else { break }
                let isBelowStart = next.baseOffset <= state.logStartOffset
                let isOld =
                    settings.deletesByRetention && settings.retentionMs >= 0
                    && (segment.newestMs.map { nowMs - $0 > settings.retentionMs } ?? (segment.size == 0))
                let isSurplus =
                    settings.deletesByRetention && settings.retentionBytes >= 0
                    && total - segment.size >= settings.retentionBytes
                // Damaged bytes are kept until somebody has looked at them (`log repair`), or deleted the records.
                let isDamaged = state.quarantine.ranges.contains {
                    !$0.isRepaired && $0.segmentBase == segment.baseOffset
                }
                guard isBelowStart || (!isDamaged && (isOld || isSurplus)) else { break }
                total -= segment.size
                state.logStartOffset = max(state.logStartOffset, next.baseOffset)
                number += 1
            }
            guard number > 0 else { return false }
            state.obsolete += state.segments.prefix(number)
            state.segments.removeFirst(number)
            if state.quarantine.removeBelow(state.logStartOffset, segmentBase: state.segments[0].baseOffset) {
                state.quarantineIsStored = false
                store.requests.add(.quarantines)
            }
            state.epochs.truncateStart(to: state.logStartOffset)
            told = state.takeWaiters()
            return true
        }
        commits.tell(told)
        if isAny {
            evictBelowStart()
            markDirty()
        }
        return isAny
    }

    /// Removes the files of segments that the newest checkpoint no longer knows. May be tried again.
    ///
    /// Not under the I/O lock, for which a commit may wait: to remove a large file takes tens of milliseconds. Nobody else works on
    /// these files, but for a deletion of the partition, which takes the rest with it.
    func removeObsolete(_ obsolete: [Segment]) throws(StorageError) {
        let began = MonotonicClock.nanoseconds
        defer { StallTrace.note(.removal, from: began, to: MonotonicClock.nanoseconds, count: obsolete.count, name) }
        let isDeleted = try io.withLock { writer throws(StorageError) -> Bool in
            if state.withLock({ $0.isDeleted }) { return true }
            // The file of what is now the first segment must exist before its predecessors are removed.
            let first = state.withLock { $0.segments[0] }
            _ = try openForWriting(first, &writer)
            try syncNames(&writer)
            for segment in obsolete {
                if writer.direct?.segment === segment { writer.direct = nil }
                store.handles.retire(segment)
            }
            return false
        }
        if isDeleted { return }
        do throws(StorageError) {
            for segment in obsolete {
                for name in [segment.logName, segment.indexName] {
                    let path = Path.join(folder, name)
                    if try store.fileSystem.exists(path) { try store.fileSystem.remove(path) }
                }
            }
            try store.fileSystem.syncDirectory(folder)
        } catch {
            guard error.reach == .partition, state.withLock({ $0.isDeleted }) else { throw error }
        }
    }

    /// Moves the log's start up to `offset` (exclusive end of what is removed; -1: the high watermark) and gives the new
    /// start and the ticket after which it is durable. Whole segments below it go with the next retention round.
    /// Source: KIP-107.
    public func deleteRecords(before offset: Offset) -> Result<(logStartOffset: Offset, ticket: UInt64), AppendRefusal>
    {
        var told: [ReadWaiter] = []
        let result = moveStart(to: offset, &told)
        if case .success(let (start, ticket)) = result, ticket > 0 {
            evict(through: start.rawValue - 1, atMost: State.maxLetGoBytes)
            // What a large window has of it goes beside us.
            if keepsAnything(through: start.rawValue - 1) { store.memory.evictLater(self) }
        }
        commits.tell(told)
        return result
    }

    private func moveStart(
        to offset: Offset, _ told: inout [ReadWaiter]
    ) -> Result<(logStartOffset: Offset, ticket: UInt64), AppendRefusal> {
        state.withLock { state in
            if state.isDeleted {
                return .failure(AppendRefusal(.unknownTopicOrPartition, "the topic is being deleted"))
            }
            if !state.leadership.isLeader { return .failure(Self.leadershipRefusal(of: name)) }
            if let refusal = store.refusal, store.isOffline { return .failure(refusal) }
            if let fault = state.fault, fault.kind == .unopened {
                return .failure(AppendRefusal(.kafkaStorageError, "\(name) cannot be opened: \(fault.error)"))
            }
            let target = offset.rawValue == -1 ? state.highWatermark : offset.rawValue
            guard target >= 0, target <= state.highWatermark else {
                return .failure(
                    AppendRefusal(
                        .offsetOutOfRange,
                        "cannot delete records before \(target): the high watermark is \(state.highWatermark)"))
            }
            guard target > state.logStartOffset else { return .success((Offset(state.logStartOffset), 0)) }
            state.logStartOffset = target
            // Readers that wait may stand below the new start.
            told = state.takeWaiters()
            state.epochs.truncateStart(to: target)
            if !state.isDirty {
                state.isDirty = true
                registry.addDirty(self)
            }
            state.lastTicket = commits.queue.add(
                logStart: target, of: self, truncations: state.truncations)
            return .success((Offset(target), state.lastTicket))
        }
    }

    /// Forgets producers that have been silent since before `timestampMs`; gives whether there were any. A checkpoint that
    /// was made before still knows them, and so does a restart from it, until it expires them in turn.
    @discardableResult
    public func expireProducers(silentSince timestampMs: Int64) -> Bool {
        let isAny = state.withLock { state in
            let before = state.producers.count
            state.producers.expire(silentSince: timestampMs)
            producerLimit.update(&state)
            return state.producers.count < before
        }
        if isAny { markDirty() }
        return isAny
    }
}

extension Segment {
    /// Whether the file's time must be read: the segment's records have no timestamps, all of it is in its file, and no
    /// batch came since the time was last read. Called with the state lock held.
    fileprivate var wantsFileTime: Bool {
        size > 0 && maxTimestamp < 0 && modifiedMs == nil && readable == size && !isInstalling
    }
}
