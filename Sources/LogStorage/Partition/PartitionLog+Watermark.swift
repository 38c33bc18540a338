import ByteBuffers
public import KafkaModel

/// The high watermark: how it moves, and who is told.
///
/// Readers and waiters know nothing of flushing; they see the high watermark alone. Next to the offset stands a count
/// of bytes that moves with it and never back, the *position*. It tells how much a partition has grown without a look
/// at its records, so a fetch that waits for many bytes is decided by subtraction, as in Kafka's `DelayedFetch`.
extension PartitionLog {
    /// A partition as a reader that waits sees it.
    public struct Watermark: Sendable {
        /// Bytes of log that have become visible since the log was opened.
        public var position: Int64
        public var logStartOffset: Offset
        /// The partition is deleted: it tells nobody of anything any more.
        public var isDeleted: Bool
    }

    /// Asks to be told when `step` bytes more than now are visible, or when something else has changed that may end a
    /// wait: the partition was deleted, or its start has moved. `Int64.max` asks for the latter alone.
    ///
    /// The waiter is told once. If it is still registered, by `slot`, this only moves its threshold. Nothing is missed:
    /// what is visible now is in the answer, what comes later is told.
    public func watch(_ waiter: ReadWaiter, slot: inout Int32, step: Int64) -> Watermark {
        state.withLock { state in
            if !state.isDeleted {
                let (threshold, isNever) = state.watermarkPosition.addingReportingOverflow(step)
                slot = state.waiters.set(waiter, threshold: isNever ? .max : threshold, slot: slot)
                state.unreadBytes = 0
            }
            return Watermark(
                position: state.watermarkPosition, logStartOffset: Offset(state.logStartOffset),
                isDeleted: state.isDeleted)
        }
    }

    /// Forgets a waiter that gave up.
    public func forget(_ waiter: ReadWaiter, slot: Int32) {
        state.withLock { $0.waiters.remove(waiter, slot: slot) }
    }

    /// All up to and including `lastOffset` is durable, `bytes` more than before; adds those to be told to `told`.
    func advanceFlushedOffset(through lastOffset: Int64, bytes: Int, _ told: inout [ReadWaiter]) {
        state.withLock { $0.advanceFlushedOffset(through: lastOffset, bytes: bytes, &told) }
    }
}

extension PartitionLog.State {
    /// Exclusive end of what readers see. On one node what is flushed is committed. This is the one place that says so:
    /// with replicas it becomes a field, which moves (with `watermarkPosition`) when enough of them have the records.
    var highWatermark: Int64 { flushedOffset }

    mutating func advanceFlushedOffset(through lastOffset: Int64, bytes: Int, _ told: inout [ReadWaiter]) {
        // `writeStuck` has committed it meanwhile.
        guard lastOffset >= flushedOffset else { return }
        flushedOffset = lastOffset + 1
        watermarkPosition += Int64(bytes)
        while let waiter = waiters.next(reached: watermarkPosition) { told.append(waiter) }
    }
}
