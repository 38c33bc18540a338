import ByteBuffers

/// How far a log is durable on this node, and how far readers may read it: two offsets that one node happens to move
/// together.
///
/// ```
///   logStartOffset ≤ highWatermark ≤ flushedOffset ≤ logEndOffset
/// ```
/// `flushedOffset` moves with this node's commits. `highWatermark` says what is durable wherever it has to be. Without
/// replicas that is here alone, so it follows `flushedOffset`. A leader with replicas *holds* it (`holdsHighWatermark`) and
/// moves it when enough of them have the records; a follower holds it and moves it as its leader says.
///
/// Readers and waiters know nothing of flushing: they see the high watermark alone. With it moves `watermarkPosition`, a
/// count of bytes that never goes back, which tells how much a partition has grown without a look at its records.
struct LogProgress {
    /// Exclusive: everything below is on this node's disk.
    private(set) var flushedOffset: Int64 = 0
    /// Exclusive end of what readers see.
    private(set) var highWatermark: Int64 = 0
    /// Bytes that have become visible since the log was opened.
    private(set) var watermarkPosition: Int64 = 0
    /// The high watermark moves by `advanceHighWatermark` alone, and not with `flushedOffset`.
    private(set) var holdsHighWatermark = false

    /// What commits have flushed above a high watermark that is held.
    ///
    /// Limit: one for each append between the two offsets. Who holds the watermark bounds that by how far it lets a log run
    /// ahead of its replicas.
    private var flushedAbove = FIFO<Flushed>()

    private struct Flushed {
        let endOffset: Int64
        let bytes: Int
    }

    /// Both offsets of a log as a start finds it, or as a checkpoint says. Nothing has become visible by it.
    mutating func reset(to offset: Int64) {
        flushedOffset = offset
        highWatermark = offset
        flushedAbove = FIFO()
    }

    /// Everything below `endOffset` is on disk, `bytes` more than before. Gives whether the high watermark has moved.
    mutating func flushed(to endOffset: Int64, bytes: Int) -> Bool {
        flushedOffset = endOffset
        if holdsHighWatermark {
            flushedAbove.append(Flushed(endOffset: endOffset, bytes: bytes))
            return false
        }
        highWatermark = endOffset
        watermarkPosition += Int64(bytes)
        return true
    }

    /// From now on the high watermark waits for more than this node's disk.
    mutating func holdHighWatermark() { holdsHighWatermark = true }

    /// From now on it follows the flushed offset again. Gives whether it has moved.
    mutating func releaseHighWatermark() -> Bool {
        holdsHighWatermark = false
        return advanceHighWatermark(to: flushedOffset)
    }

    /// Everything below `offset` is durable wherever it has to be. Moves the high watermark to the end of the last batch at
    /// or below it, at most to `flushedOffset` and never back; gives whether it has moved.
    mutating func advanceHighWatermark(to offset: Int64) -> Bool {
        var reached = 0
        while reached < flushedAbove.count, flushedAbove[reached].endOffset <= offset {
            highWatermark = flushedAbove[reached].endOffset
            watermarkPosition += Int64(flushedAbove[reached].bytes)
            reached += 1
        }
        flushedAbove.removeFirst(reached)
        return reached > 0
    }
}
