import ByteBuffers
public import KafkaModel

/// Who is told when the high watermark moves.
///
/// A fetch that waits for many bytes is decided by subtraction of positions (`LogProgress.watermarkPosition`), without a
/// look at records, as in Kafka's `DelayedFetch`.
extension PartitionLog {
    /// A partition as a reader that waits sees it.
    public struct Watermark: Sendable {
        /// Bytes of log that have become visible since the log was opened.
        public var position: Int64
        public var logStartOffset: Offset
        public var leaderEpoch: LeaderEpoch
        /// The partition is deleted, or not led by this node: it tells nobody of anything.
        public var isGone: Bool
    }

    /// Asks to be told when `step` bytes more than now are visible, or when something else has changed that may end a
    /// wait: the partition was deleted, its leader has resigned or leads by another epoch, or its start has moved.
    /// `Int64.max` asks for the latter alone.
    ///
    /// The waiter is told once. If it is still registered, by `slot`, this only moves its threshold. Nothing is missed:
    /// what is visible now is in the answer, what comes later is told. When `enough` is reached, nobody waits for more, and
    /// the waiter is told of the rest alone, as of a deletion: it stays registered as long as it is not told.
    ///
    /// With `.stable` bytes count once they are below the last stable offset.
    public func watch(
        _ waiter: ReadWaiter, slot: inout Int32, step: Int64, enough: Int64 = .max, visibility: Visibility = .committed
    ) -> Watermark {
        state.withLock { state in
            let isGone = state.isDeleted || !state.leadership.isLeader
            let position = state.position(visibility)
            if !isGone {
                let (threshold, isNever) = position.addingReportingOverflow(step)
                let isOver = isNever || position >= enough
                // It may have waited for the other position until now.
                if visibility == .stable {
                    state.waiters.remove(waiter, slot: slot)
                    slot = state.stableWaiters.set(waiter, threshold: isOver ? .max : threshold, slot: slot)
                } else {
                    if !state.stableWaiters.isEmpty { state.stableWaiters.remove(waiter, slot: slot) }
                    slot = state.waiters.set(waiter, threshold: isOver ? .max : threshold, slot: slot)
                }
                state.followers.noteReader()
            }
            return Watermark(
                position: position, logStartOffset: Offset(state.logStartOffset),
                leaderEpoch: state.leadership.epoch, isGone: isGone)
        }
    }

    /// Forgets a waiter that gave up.
    public func forget(_ waiter: ReadWaiter, slot: Int32) {
        state.withLock { state in
            state.waiters.remove(waiter, slot: slot)
            state.stableWaiters.remove(waiter, slot: slot)
        }
    }

    /// Records that everything up to and including `lastOffset`, `bytes` more than before, is on this node's disk. Adds
    /// to `told` the waiters whose threshold is reached by that.
    @inline(__always)
    func advanceFlushedOffset(through lastOffset: Int64, bytes: Int, _ told: inout [ReadWaiter]) {
        state.withLock { $0.advanceFlushedOffset(through: lastOffset, bytes: bytes, &told) }
    }

    /// Whether the batch that begins at `baseOffset` is on disk. A commit takes a batch whole.
    ///
    /// Whoever sees that a ticket has failed also sees here what of its commit is on disk all the same.
    public func isFlushed(_ baseOffset: Offset) -> Bool { state.withLock { $0.flushedOffset > baseOffset.rawValue } }

    /// Lets the high watermark wait for more than this node's disk: for replicas, which move it by `advanceHighWatermark`.
    func holdHighWatermark() { state.withLock { $0.progress.holdHighWatermark() } }

    /// Lets the high watermark follow this node's disk again.
    func releaseHighWatermark() {
        var told: [ReadWaiter] = []
        state.withLock { state in
            if state.progress.releaseHighWatermark() { state.takeReached(&told) }
        }
        commits.tell(told)
    }

    /// Moves the high watermark up to `offset`, exclusive, at most to the flushed offset; wakes who waits for that.
    func advanceHighWatermark(to offset: Offset) {
        var told: [ReadWaiter] = []
        state.withLock { state in
            if state.progress.advanceHighWatermark(to: offset.rawValue) { state.takeReached(&told) }
        }
        commits.tell(told)
    }
}

extension PartitionLog.State {
    var flushedOffset: Int64 { progress.flushedOffset }
    var highWatermark: Int64 { progress.highWatermark }
    var watermarkPosition: Int64 { progress.watermarkPosition }

    @inline(__always)
    mutating func advanceFlushedOffset(through lastOffset: Int64, bytes: Int, _ told: inout [ReadWaiter]) {
        // `writeStuck` has committed it meanwhile.
        guard lastOffset >= flushedOffset else { return }
        if progress.flushed(to: lastOffset + 1, bytes: bytes) { takeReached(&told) }
    }

    /// Takes out the waiters whose position is reached, after the high watermark has moved.
    fileprivate mutating func takeReached(_ told: inout [ReadWaiter]) {
        if !producers.ongoing.isEmpty { producers.advance(to: highWatermark) }
        while let waiter = waiters.next(reached: watermarkPosition) { told.append(waiter) }
        if stableWaiters.isEmpty { return }
        while let waiter = stableWaiters.next(reached: stablePosition) { told.append(waiter) }
    }
}
