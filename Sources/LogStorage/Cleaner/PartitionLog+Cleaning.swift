import ByteBuffers
import StorageIO
import Synchronization
import Telemetry

extension PartitionLog {
    /// The closed segments, oldest first, up to the first that is not wholly in its file and below the high watermark.
    func closedSegments(_ state: State) -> [CleanerPlan.SegmentFacts] {
        var facts: [CleanerPlan.SegmentFacts] = []
        for (segment, next) in zip(state.segments, state.segments.dropFirst()) {
            guard segment.isClosed, segment.readable == segment.size, next.baseOffset <= state.highWatermark else {
                break
            }
            facts.append(
                CleanerPlan.SegmentFacts(
                    baseOffset: segment.baseOffset, endOffset: next.baseOffset, size: segment.size,
                    firstTimestampMs: segment.firstTimestamp, maxTimestampMs: segment.maxTimestamp))
        }
        return facts
    }

    /// The log's segments that these facts are of; nil when the log has changed.
    func segments(_ group: ArraySlice<CleanerPlan.SegmentFacts>) -> [Segment]? {
        state.withLock { state in
            guard
                let first = state.segments.firstIndex(where: { $0.baseOffset == group[group.startIndex].baseOffset }),
                first + group.count < state.segments.count
            else { return nil }
            let found = Array(state.segments[first..<first + group.count])
            let isSame = zip(found, group).allSatisfy { $0.baseOffset == $1.baseOffset && $0.size == $1.size }
            return isSame ? found : nil
        }
    }

    /// Replaces `old` by `new` for all readers. Returns false when the log has changed in the meantime. A reader that
    /// is in the middle of an old segment notices (`Segment.isRetired`) and reads again.
    func exchange(_ old: [Segment], for new: Segment) -> Bool {
        // Under the I/O lock, so that no index of an old segment is being stored under the name that the new one will
        // have.
        let began = MonotonicClock.nanoseconds
        defer { StallTrace.note(.exchange, from: began, to: MonotonicClock.nanoseconds, count: old.count, name) }
        return io.withLock { _ in
            let fileTime = new.maxTimestamp < 0 ? newestTime(of: old) : nil
            var gone: [TailBatch] = []
            let isExchanged = state.withLock { state -> Bool in
                guard !state.isDeleted, let first = state.segments.firstIndex(where: { $0 === old[0] }),
                    first + old.count < state.segments.count,
                    zip(state.segments[first...], old).allSatisfy({ $0 === $1 })
                else { return false }
                new.isClosed = true
                new.isInstalling = true
                new.readable = new.size
                new.firstTimestamp = old.map(\.firstTimestamp).min() ?? .max
                new.modifiedMs = fileTime
                for segment in old {
                    segment.isRetired.store(true, ordering: .releasing)
                    store.handles.remove(segment)
                    store.handles.markSynced(segment)
                }
                state.segments.replaceSubrange(first..<first + old.count, with: [new])
                gone = state.letGo(through: state.segments[first + 1].baseOffset - 1)
                return true
            }
            store.memory.release(gone)
            new.written = new.size
            // Until the file has its name the index must not be stored: it would stand beside another file.
            new.isFinished = true
            return isExchanged
        }
    }

    /// Returns the time of the newest record, counting a segment whose records have no time by its file's. Returns nil
    /// when the time of any segment is unknown, because that segment may be the newest.
    private func newestTime(of segments: [Segment]) -> Int64? {
        var newest = Int64.min
        for segment in segments {
            guard let time = state.withLock({ _ in segment.newestMs }) ?? fileTime(of: segment) else { return nil }
            newest = max(newest, time)
        }
        return newest
    }

    /// Gives the file of an exchanged segment its name, in the steps that recovery can finish. After an error the segment
    /// is served by its open handle, and `finishInstall` goes on.
    func install(_ segment: Segment, endOffset: Int64) throws(StorageError) {
        state.withLock { $0.installing = (segment, endOffset) }
        try finishInstall()
    }

    /// Goes on with an `install` that met an error: any step may be repeated.
    func finishInstall() throws(StorageError) {
        guard let (segment, endOffset) = state.withLock({ $0.isDeleted ? nil : $0.installing }) else { return }
        let began = MonotonicClock.nanoseconds
        defer { StallTrace.note(.exchange, from: began, to: MonotonicClock.nanoseconds, name) }
        let base = segment.baseOffset
        let fileSystem = store.fileSystem
        let unfinished = Path.join(folder, CleanerName.unfinished(base))
        let exchange = Path.join(folder, CleanerName.exchange(base, endOffset))
        if try fileSystem.exists(unfinished) { try fileSystem.rename(unfinished, to: exchange) }
        try fileSystem.syncDirectory(folder)
        if try fileSystem.exists(exchange) { try replaceFiles(base..<endOffset, of: try fileSystem.list(folder)) }
        io.withLock { _ in segment.isFinished = false }
        state.withLock { state in
            segment.isInstalling = false
            state.installing = nil
        }
        // From now on its handle may be closed, because its name leads to it.
        store.handles.add(segment)
        markDirty()
    }
}
