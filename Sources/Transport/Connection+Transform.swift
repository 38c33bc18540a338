internal import ByteBuffers
internal import Glibc

/// Writing through a transform: what may leave is sealed, in memory or from files, as far as its buffer goes, then given to
/// the socket.
extension Connection {
    /// Bytes may leave and have not: of the output, or records that the socket did not take.
    var owesBytes: Bool { output.sendable > 0 || transform?.hasUnsent == true }

    func flush(through transform: any StreamTransform) {
        // It seals nothing any more, and no read may come that says so: the connection was muted, waits for its output to leave, or
        // drains. What the transform had to say (an alert) still leaves.
        if transform.hasFailed, output.pending > 0 { endRefused(transform) }
        var calls = 0
        while isWritable {
            if !isOpening { fill(transform) }
            guard state != .closed, transform.hasUnsent else { return }
            if calls == Self.sendsPerTurn { return loop.touch(self) }
            calls += 1
            switch transform.flush(to: fd) {
            case .sent:
                lastWriteAt = loop.now
                if stalledSince != 0 { stalledSince = loop.now }
                // The kernel's buffer is full, and says so by an edge when it has room.
                if transform.hasUnsent { isWritable = false }
            case .wouldBlock: isWritable = false
            case .failed(let errno): close(.failed(errno: errno))
            }
        }
    }

    /// Seals the front of the output until the transform has no room. (With kTLS, parts of files would leave here as they are.)
    private func fill(_ transform: any StreamTransform) {
        while true {
            // When memory is scarce, a peer that does not read is given one record to hold, not a chunk of them.
            if loop.isScarce, transform.hasUnsent { return }
            let most = min(transform.room, output.sendable, loop.isScarce ? transform.recordSize : .max)
            if most == 0 { return }
            let bytes: UnsafeRawBufferPointer
            if let file = output.nextFile {
                let (chunk, offset) = loop.readSpace()
                let space = UnsafeMutableRawBufferPointer(
                    start: chunk.base + offset, count: min(most, file.count, EventLoop.smallestRead))
                guard file.read(into: space) else { return close(.failed(errno: EIO)) }
                bytes = UnsafeRawBufferPointer(space)
            } else {
                bytes = nextBytes(min(most, output.sendableFromMemory.count), transform.recordSize)
            }
            guard transform.seal(bytes) else { return close(.streamRefused) }
            didSend(bytes.count)
        }
    }

    /// Returns the next bytes in memory, at most `most`: a large piece in place, small ones together in room that the next read
    /// will use, so that they share a record. Valid until then.
    private func nextBytes(_ most: Int, _ recordSize: Int) -> UnsafeRawBufferPointer {
        let first = output.segments[0]
        if first.count >= min(most, recordSize) {
            return UnsafeRawBufferPointer(start: first.pointer, count: min(first.count, most))
        }
        let (chunk, offset) = loop.readSpace()
        let goal = min(most, recordSize, EventLoop.smallestRead)
        var filled = 0
        var index = 0
        while filled < goal {
            let slice = output.segments[index]
            let count = min(slice.count, goal - filled)
            (chunk.base + offset + filled).copyMemory(from: slice.pointer, byteCount: count)
            filled += count
            index += 1
        }
        return UnsafeRawBufferPointer(start: chunk.base + offset, count: filled)
    }

    /// Adds the transform's farewell. False: it has not left yet, and a later flush comes back.
    func hasFinished(_ transform: any StreamTransform) -> Bool {
        transform.finish()
        flush(through: transform)
        return state == .draining && !transform.hasUnsent
    }

    /// Tells the peer of a connection that is closed at once that this is the end, if nothing is cut off by it and the socket takes
    /// it.
    func sayGoodbye(_ transform: any StreamTransform, _ reason: CloseReason) {
        if case .failed = reason { return }
        guard state == .open || state == .draining, !isOpening, output.pending == 0, !transform.hasUnsent else {
            return
        }
        transform.finish()
        if transform.hasUnsent { _ = transform.flush(to: fd) }
    }
}
