public import ByteBuffers
internal import CSystem
internal import Glibc
internal import Telemetry

/// Writing. Small bytes go to the loop's output chunk, large ones are queued by reference; at the end of the loop's
/// turn each connection that was written to sends what its gates let through, by one `sendmsg` (or `send`); parts of
/// files by `sendfile`.
extension Connection {
    /// Bytes written and not yet accepted by the kernel, gated ones included.
    public var pendingOutputBytes: Int { output.pending }

    /// Appends what `body` encodes: replies, heads, anything small. `body` gets an empty writer whose positions begin
    /// at 0, for lengths that are patched afterwards, and writes nothing else to this loop's connections meanwhile.
    public func write(_ body: (inout ByteWriter) -> Void) {
        guard state == .open else { return }
        loop.scratch.removeAll()
        body(&loop.scratch)
        append(loop.place(loop.scratch.bytes))
        loop.trimScratch()
    }

    /// Appends a slice by reference: nothing is copied, the slice's chunk lives until it is sent.
    public func write(_ slice: ByteSlice) {
        guard state == .open else { return }
        append(slice)
    }

    /// Appends part of a file, which the kernel sends from its page cache: nothing is copied into our memory, but for what a
    /// transform seals. A file that turns out to be shorter closes the connection.
    public func write(_ slice: FileSlice) {
        guard state == .open else { return }
        output.append(slice)
        didAppend()
    }

    /// Appends a copy of `bytes`.
    public func write(copying bytes: UnsafeRawBufferPointer) {
        guard state == .open else { return }
        append(loop.place(bytes))
    }

    /// Appends bytes that `fill` writes in place: it gets exactly `limit` uninitialised bytes and answers how many it
    /// wrote.
    public func write(upTo limit: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Int) {
        guard state == .open else { return }
        append(loop.place(upTo: limit, fill))
    }

    /// Holds back what is written from here on until the group's commit clock has published all of `commits`, and until all
    /// that was written and gated before has left. If one of them fails, none of it is sent: once the others are published
    /// or have failed, the handler is asked for a replacement (`commitFailed`), to which `tag` tells what kind of reply it was,
    /// and without one the connection is reset.
    ///
    /// `weight`: bytes of the request that wait in memory for the commit; see `ConnectionLimits.maxUncommitted`.
    ///
    /// Call it right before writing a reply that acknowledges something; tickets of one connection do not fall. False:
    /// that has failed already, nothing was gated, and a reply with a tag must say so; without a tag the connection was
    /// reset.
    @discardableResult
    public func gate(_ commits: CommitSpan, tag: UInt32 = 0, weight: Int = 0) -> Bool {
        guard state == .open else { return true }
        guard let clock = loop.commitClock else { preconditionFailure("gate without a commit clock") }
        // In this order: whoever sees a later ticket published sees the failures before it.
        let published = clock.published
        if clock.hasFailed(commits, published: published) {
            if tag == 0 { abort(.commitFailed) }
            return false
        }
        if commits.last <= published { return true }
        output.gate(commits, tag: tag, weight: weight)
        if output.gatedWeight > limits.maxUncommitted { isBackPressured = true }
        loop.enqueueGate(commits.last, of: self)
        if let timeout = limits.commitTimeout { watchCommit(commits.last, timeout) }
        return true
    }

    /// Does the same for what rests on one commit.
    @discardableResult
    public func gate(ticket: UInt64, tag: UInt32 = 0, weight: Int = 0) -> Bool {
        gate(CommitSpan(ticket), tag: tag, weight: weight)
    }

    /// Replaces the replies that rest on something that has failed, or resets the connection. Those that wait for other
    /// commits wait on. `limit`: of gates up to this ticket alone.
    func failGates(_ clock: CommitClock, upTo limit: UInt64 = .max) {
        if watchesCommits, state != .closed { handler?.commitsMoved(on: self) }
        let published = clock.published
        while state != .closed,
            let held = output.held(upTo: limit, { clock.hasFailed($0, published: published) })
        {
            guard held.isWhole, let replacement = handler?.commitFailed(held, on: self) else {
                return abort(.commitFailed)
            }
            replace(held, by: replacement)
        }
    }

    func replace(_ held: HeldOutput, by replacement: ReplacedOutput) {
        let bytes = replacement.bytes
        let slice = bytes.isEmpty ? nil : bytes.withUnsafeBytes { loop.place($0) }
        output.replace(held, by: slice, isLast: replacement.isLast)
        loop.touch(self)
    }

    private func append(_ slice: ByteSlice) {
        output.append(slice)
        didAppend()
    }

    private func didAppend() {
        if output.pending > limits.outputHighWater {
            isBackPressured = true
            if output.pending > limits.maxPendingOutput { return close(.outputLimit) }
        } else if output.pendingInMemory > EventLoop.littleUnsent, output.pendingInMemory > loop.outputShare {
            isBackPressured = true
        }
        loop.touch(self)
    }

    /// Lets what waits for commits up to `published` leave.
    func releaseGates(_ published: UInt64) {
        // One of several commits may have failed before the last was published.
        if let clock = loop.commitClock, clock.failureCount > 0 { failGates(clock, upTo: published) }
        if state == .closed { return }
        output.release(published)
        loop.touch(self)
        if watchesCommits { handler?.commitsMoved(on: self) }
    }

    // MARK: Sending

    /// System calls for one connection in one turn: a peer that reads as fast as we write does not keep the loop.
    static var sendsPerTurn: Int { 8 }
    static var vectorCapacity: Int { 64 }
    /// Output of at least this many bytes does not wait for the end of the turn: another call costs less than its wait.
    static var earlyFlush: Int { 128 << 10 }

    /// Sends what may leave. Called once a turn for a touched connection.
    func flush() {
        guard state == .open || state == .draining else { return }
        if let transform { flush(through: transform) } else { flushBytes() }
        if state == .closed { return }
        updateStallClock()
        if isBackPressured, isOutputLow, output.gatedWeight <= limits.maxUncommitted / 2 {
            isBackPressured = false
            if state == .open { handler?.outputDrained(on: self) }
            loop.enqueueReady(self)
        }
        guard state == .draining else { return }
        if output.pending == 0 { finishDraining() } else if peerFinished { watchFinished() }
    }

    private func flushBytes() {
        var calls = 0
        while isWritable, output.sendable > 0 {
            if calls == Self.sendsPerTurn { return loop.touch(self) }
            calls += 1
            sendOnce()
            if state == .closed { return }
        }
    }

    /// Enough has left for more requests.
    private var isOutputLow: Bool {
        output.pending <= limits.outputLowWater
            && (output.pendingInMemory <= EventLoop.littleUnsent / 4 || output.pendingInMemory <= loop.outputShare / 4)
    }

    private func sendOnce() {
        if let file = output.nextFile { return send(file) }
        let (sendable, isFollowed) = output.sendableFromMemory
        let vector = loop.vector
        var parts = 0
        var asked = 0
        while parts < Self.vectorCapacity, parts < output.segments.count, asked < sendable {
            let slice = output.segments[parts]
            let length = min(slice.count, sendable - asked)
            vector[parts] = iovec(iov_base: slice.pointer, iov_len: length)
            asked += length
            parts += 1
        }
        let count =
            parts == 1 && !isFollowed
            ? millrace_send(fd, vector[0].iov_base, asked)
            : millrace_send_vector(fd, vector, Int32(parts), isFollowed ? 1 : 0)
        finishSend(count, of: asked)
    }

    private func send(_ file: FileSlice) {
        let length = min(file.count, output.sendable)
        let count = StallTrace.timed(.loopSendFile, bytes: length, peerAddress.description) {
            millrace_send_file(fd, file.file.descriptor, file.position, length)
        }
        if count > 0 {
            // A short one may also end at a page that cannot be read: only the next call tells.
            loop.shared.counters.bytesSentFromFiles.add(count)
            didSend(count)
        } else {
            // 0: the file's end, where bytes were promised.
            let result = count == 0 ? -Int(EIO) : count
            if result == -Int(EIO) { file.reportReadFailure() }
            finishSend(result, of: length)
        }
    }

    private func finishSend(_ count: Int, of asked: Int) {
        if count > 0 {
            didSend(count)
            // The kernel's buffer is full, and says so by an edge when it has room.
            if count < asked { isWritable = false }
        } else if count == -Int(EAGAIN) {
            isWritable = false
        } else {
            close(.failed(errno: Int32(-count)))
        }
    }

    func didSend(_ count: Int) {
        output.didSend(count)
        loop.sentInTurn += count
        lastWriteAt = loop.now
        if stalledSince != 0 { stalledSince = loop.now }
    }

    /// Times what may leave and does not, until the next flush: the socket takes none, or (a net) the transform. What the next turn
    /// sends, because this one has sent enough, is not waited for.
    private func updateStallClock() {
        if owesBytes, !isWritable || !isTouched {
            if stalledSince == 0 {
                stalledSince = loop.now
                setTimer(OwnTimer.writeStall, deadline: loop.now + limits.writeStallTimeout.nanoseconds)
            }
            // The edge for output is armed with the one for input; alone only when input is not wanted.
            if !isArmed { updateInterest(armed: false) }
        } else if stalledSince != 0 {
            stalledSince = 0
            timers.cancel(OwnTimer.writeStall)
        }
    }

    /// Shuts our side down, since everything has left.
    private func finishDraining() {
        if let transform, !hasFinished(transform) {
            if state == .draining { updateStallClock() }
            return
        }
        if inputEnded || peerFinished && !isReadable || closeReason == .shutdown && !isReadable {
            return close()
        }
        state = .lingering
        _ = millrace_shutdown_write(fd)
        startLinger()
        if !isArmed { updateInterest(armed: true) }
        if isReadable { loop.enqueueReady(self) }
    }
}
