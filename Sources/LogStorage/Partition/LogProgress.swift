import ByteBuffers

/// How far a log is durable on this node, and how far readers may read it. On a single node the two offsets move
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

    /// Exclusive: what a held high watermark may reach, also where that is not flushed yet.
    private var allowedOffset: Int64 = 0
    /// What commits have flushed above a high watermark that is held, oldest first.
    private var flushedAbove = FIFO<Flushed>()

    /// Commits told apart above a held high watermark. More are joined to the newest: it becomes visible in larger steps then.
    static let maxFlushedAbove = 4096

    private struct Flushed {
        var endOffset: Int64
        var bytes: Int

        mutating func join(_ endOffset: Int64, _ bytes: Int) {
            self.endOffset = endOffset
            self.bytes += bytes
        }
    }

    /// Sets both offsets as a start finds them, or as a checkpoint says. A high watermark that is held stays within what it
    /// may reach, and goes back only with the log's end.
    mutating func reset(to offset: Int64) {
        flushedOffset = offset
        flushedAbove = FIFO()
        guard holdsHighWatermark, highWatermark < offset else {
            highWatermark = offset
            allowedOffset = min(allowedOffset, offset)
            return
        }
        // How many bytes become visible with it is not known: the position moves by one, so that it shows that some did. Nobody is
        // told here, and nobody waits: a log that is recovered or read again has no readers yet.
        flushedAbove.append(Flushed(endOffset: offset, bytes: 1))
        _ = advanceHighWatermark(to: allowedOffset)
    }

    /// Everything below `endOffset` is on disk, `bytes` more than before. Gives whether the high watermark has moved.
    mutating func flushed(to endOffset: Int64, bytes: Int) -> Bool {
        flushedOffset = endOffset
        if holdsHighWatermark, endOffset > allowedOffset || !flushedAbove.isEmpty {
            if flushedAbove.count < Self.maxFlushedAbove {
                flushedAbove.append(Flushed(endOffset: endOffset, bytes: bytes))
            } else {
                flushedAbove.last!.join(endOffset, bytes)
            }
            return false
        }
        highWatermark = endOffset
        watermarkPosition += Int64(bytes)
        return true
    }

    /// From now on the high watermark waits for more than this node's disk.
    mutating func holdHighWatermark() {
        holdsHighWatermark = true
        allowedOffset = highWatermark
    }

    /// From now on it follows the flushed offset again. Gives whether it has moved.
    mutating func releaseHighWatermark() -> Bool {
        holdsHighWatermark = false
        return advanceHighWatermark(to: flushedOffset)
    }

    /// Everything below `offset` is durable wherever it has to be, but perhaps not here yet. Moves the high watermark to the
    /// end of the last commit at or below it, at most to `flushedOffset` and never back; returns whether it has moved. What is
    /// flushed later and lies below `offset` is visible at once.
    mutating func advanceHighWatermark(to offset: Int64) -> Bool {
        allowedOffset = max(allowedOffset, offset)
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
