internal import ByteBuffers
internal import CSystem
internal import Glibc
internal import Telemetry

/// Reading. Small frames are parsed in the loop's shared chunk and leave nothing behind. A frame that is not whole
/// moves to a chunk of the connection's own, which grows with the bytes that arrive:
///
/// ```
///   shared chunk of the loop    [ frame | frame | fra ]
///                                                 └──► own chunk [ frame so far      room ]
///   next read, one readv:                                          own room ◄── socket ──► shared chunk (what follows)
/// ```
extension Connection {
    /// Smallest own chunk.
    static var smallestHold: Int { 4 << 10 }
    /// A frame above this is read without much of what follows it, so that little has to be moved.
    static var largeFrame: Int { 64 << 10 }
    /// How much is read before the size of a frame is known, on a connection that sends large ones.
    static var probe: Int { 16 << 10 }
    /// Input held by reference instead of being moved, when a handler stops amid frames.
    static var referenceHold: Int { 16 << 10 }
    /// A connection that has sent a frame gets memory for one of its size at once, up to this.
    static var trustedFrame: Int { 2 << 20 }

    /// Ciphertext of one turn. Opening it costs ten times what a plain read does, and records may be small or give nothing.
    static var transformShare: Int { 128 << 10 }

    /// The socket may be read now.
    var mayRead: Bool {
        switch state {
        case .open: !isMuted && !isBackPressured && !isGivingWay && !inputEnded
        case .lingering: !inputEnded
        case .draining, .closed: false
        }
    }

    var heldCount: Int { heldEnd - heldStart }
    /// Bytes with which the handler is called again.
    var wanted: Int { review > 0 ? min(review, needed) : needed }

    /// Bytes of input that have arrived and were not consumed: between calls of `received`, how far a frame has come.
    public var unconsumedInput: Int { heldCount }

    /// Goes on after a pause: what is held, then the socket.
    func continueInput() {
        isGivingWay = false
        if wantsInput, held != nil, heldIsUnoffered || inputEnded { offerHeld() }
        finishIfEnded()
        if mayRead {
            if isReadable { readInput() } else { reviewArrival(got: nil) }
            if mayRead, !isArmed { updateInterest(armed: true) }
        }
        noticeFinished()
    }

    /// Reads until the socket is drained, the handler stops us, or this turn's share is used.
    func readInput() {
        let before = loop.receivedInTurn
        readWhatThereIs()
        if let transform { watchRecord(transform) }
        reviewArrival(got: loop.receivedInTurn - before)
    }

    private func readWhatThereIs() {
        var share = transform == nil ? limits.readShare : min(limits.readShare, Self.transformShare)
        while isReadable, mayRead {
            if share <= 0 {
                loop.enqueueReady(self)
                return
            }
            if state == .lingering {
                share -= discardOnce()
                continue
            }
            let most = loop.receivable(self)
            if most == 0 { return }
            let count = held == nil ? receiveIntoShared(most) : receiveIntoHeld(most)
            share -= max(count, transform?.cost ?? 0)
        }
    }

    // MARK: One read

    private func receiveIntoShared(_ most: Int) -> Int {
        let (chunk, offset) = loop.readSpace()
        let room = min(most, frameHint > Self.largeFrame ? Self.probe : chunk.capacity - offset)
        let count = receive(chunk.base + offset, room, nil, 0)
        if count > 0 {
            loop.didRead(upTo: offset + count)
            offer(chunk, offset, count)
        }
        return max(count, 1)
    }

    private func receiveIntoHeld(_ most: Int) -> Int {
        guard makeRoom(), let own = held else { return 1 }
        let missing = needed > heldCount ? needed - heldCount : own.capacity - heldEnd
        let room = min(missing, own.capacity - heldEnd)
        // What follows the frame goes to the shared chunk; with a frame of unknown length nothing is known to follow.
        let takesMore = room == missing && needed > 0 && transform == nil
        let count: Int
        if takesMore {
            let (shared, offset) = loop.readSpace()
            let spare = min(needed > Self.largeFrame ? Self.probe : most, shared.capacity - offset)
            count = receive(own.base + heldEnd, room, shared.base + offset, spare)
            if count > room {
                heldEnd += room
                loop.didRead(upTo: offset + count - room)
                offerHeld()
                offer(shared, offset, count - room)
                return count
            }
        } else {
            count = receive(own.base + heldEnd, room, nil, 0)
        }
        if count > 0 {
            heldEnd += count
            heldIsUnoffered = true
            if heldCount >= wanted { offerHeld() }
        }
        return max(count, 1)
    }

    /// Reads and drops the rest of the input of a connection that is closing, as it comes from the socket.
    private func discardOnce() -> Int {
        let (chunk, offset) = loop.readSpace()
        return max(receiveBytes(chunk.base + offset, chunk.capacity - offset, nil, 0), 1)
    }

    /// Makes one system call. Returns the bytes that came; 0 or less where none did, and the state says what happened.
    private func receive(
        _ first: UnsafeMutableRawPointer, _ firstCount: Int,
        _ second: UnsafeMutableRawPointer?, _ secondCount: Int
    ) -> Int {
        if awaitsPreamble, let preamble = listener.options.preamble, !readPreamble(preamble) { return 0 }
        if let transform { return receive(through: transform, first, firstCount) }
        return receiveBytes(first, firstCount, second, secondCount)
    }

    private func receiveBytes(
        _ first: UnsafeMutableRawPointer, _ firstCount: Int,
        _ second: UnsafeMutableRawPointer?, _ secondCount: Int
    ) -> Int {
        let count =
            second == nil
            ? millrace_receive(fd, first, firstCount)
            : millrace_receive_two(fd, first, firstCount, second, secondCount)
        if count > 0 {
            // A short read has drained the socket: a later arrival is a new edge. Not so once the peer's end has been
            // announced, for no edge follows it.
            if count < firstCount + secondCount, !peerFinished { isReadable = false }
            didReceive(count)
        } else if count == 0 {
            endOfInput()
        } else if count == -Int(EAGAIN) {
            isReadable = false
        } else {
            close(.failed(errno: Int32(-count)))
        }
        return count
    }

    private func receive(
        through transform: any StreamTransform, _ first: UnsafeMutableRawPointer, _ firstCount: Int
    ) -> Int {
        let space = UnsafeMutableRawBufferPointer(start: first, count: firstCount)
        let result = transform.receive(into: space, from: fd, expectsEnd: peerFinished)
        if isOpening {
            if !transform.isOpening {
                loop.handshakeEnded(self)
                checkPeerEnd()
            } else if transform.cost > 0 {
                loop.handshakeGoesOn(self)
            }
        }
        // A handshake's answer, an alert, new keys.
        if transform.hasUnsent { loop.touch(self) }
        switch result {
        case .bytes(let count):
            didReceive(count)
            return count
        case .more(let count):
            // Readable as before: `readInput` goes on, in this turn or the next.
            if count > 0 { didReceive(count) }
            return count
        case .drained(let count):
            isReadable = false
            if count > 0 { didReceive(count) }
            return count
        case .end: endOfInput()
        case .failed(let errno): close(.failed(errno: errno))
        case .refused: endRefused(transform)
        }
        return 0
    }

    /// Lets the transform say why it goes on no further, and closes.
    func endRefused(_ transform: any StreamTransform) {
        // Whoever looks for a client that cannot connect looks here first; the log's limiter bounds who does it on purpose.
        Log.info(
            "connection ended by its transform", "peer", peerAddress.description, "port", localAddress?.port ?? 0,
            "reason", transform.problem)
        output.removeAll()
        closeAfterFlush(.streamRefused)
    }

    /// Times a record of which the end does not come: it holds memory as a partial frame does. A partial frame has a clock of its
    /// own, which is the same.
    private func watchRecord(_ transform: any StreamTransform) {
        guard state == .open, held == nil, !isOpening else { return }
        if !transform.isMidRecord {
            stopPartialClock()
        } else if partialSince == 0 || lastInputAt > partialSince {
            startPartialClock()
        }
    }

    private func didReceive(_ count: Int) {
        loop.receivedInTurn += count
        lastInputAt = loop.now
    }

    private func endOfInput() {
        isReadable = false
        inputEnded = true
        peerFinished = true
        if state == .lingering { return close(closeReason ?? .closedByHandler) }
        finishIfEnded()
    }

    /// Sends what is owed and closes, if the peer has finished and nothing is parked.
    func finishIfEnded() {
        if inputEnded, wantsInput, workInProgress == 0 { closeAfterFlush(.closedByPeer) }
    }

    // MARK: Offering

    private func offer(_ chunk: Chunk, _ offset: Int, _ count: Int) {
        if held != nil { return appendToHeld(chunk.base + offset, count) }
        guard wantsInput else {
            hold(chunk, offset, offset + count)
            heldIsUnoffered = true
            return
        }
        var input = ConnectionInput(chunk: chunk, start: offset, end: offset + count)
        handler?.received(&input, on: self)
        guard settle(input, consumed: count - input.count, wasHeld: false), input.count > 0 else { return }
        hold(chunk, input.start, input.end)
        startPartialClock()
    }

    private func offerHeld() {
        guard wantsInput, let chunk = held else {
            heldIsUnoffered = true
            return
        }
        heldIsUnoffered = false
        let before = heldCount
        var input = ConnectionInput(chunk: chunk, start: heldStart, end: heldEnd)
        (input.needed, input.review) = (needed, review)
        handler?.received(&input, on: self)
        guard settle(input, consumed: before - input.count, wasHeld: true) else { return }
        heldStart = input.start
        if input.count == 0 {
            dropHeld()
            stopPartialClock()
        } else if before > input.count || partialSince == 0 {
            startPartialClock()
        }
    }

    /// Applies what the handler asked for, after it was called. Returns false when the connection is closing, and its
    /// input was dropped.
    private func settle(_ input: ConnectionInput, consumed: Int, wasHeld: Bool) -> Bool {
        guard state == .open else {
            dropInput()
            return false
        }
        (needed, review) = (input.needed, input.review)
        // Left amid input: it is offered again when the handler wants it.
        if input.count > 0, !wantsInput { heldIsUnoffered = true }
        if consumed > 0 {
            frameHint = max(wasHeld ? min(consumed, Self.trustedFrame) : 0, frameHint / 2)
        }
        if consumed > 0 || !wantsInput { loop.budgetTurnEnded(of: self) }
        if needed > limits.maxFrameBytes || input.count > limits.maxFrameBytes {
            close(.inputLimit)
            return false
        }
        return true
    }

    // MARK: Holding

    /// Keeps a rest of the shared chunk.
    private func hold(_ chunk: Chunk, _ start: Int, _ end: Int) {
        let count = end - start
        if !wantsInput, count >= Self.referenceHold, !loop.isScarce {
            (held, heldStart, heldEnd, heldIsOwn) = (chunk, start, end, false)
            return
        }
        let capacity = loop.grant(frameCapacity(have: count), atLeast: count, to: self)
        moveToOwn(from: chunk.base + start, count: count, capacity: capacity)
    }

    private func moveToOwn(from bytes: UnsafeMutableRawPointer, count: Int, capacity: Int) {
        let own = loop.pool.chunk(atLeast: capacity)
        loop.movedInput += count
        own.base.copyMemory(from: bytes, byteCount: count)
        (held, heldStart, heldEnd, heldIsOwn) = (own, 0, count, true)
        loop.updateTurnBytes(self)
    }

    /// Appends input that came behind the held bytes, because those were not all consumed.
    private func appendToHeld(_ bytes: UnsafeMutableRawPointer, _ count: Int) {
        if !heldIsOwn || held!.capacity - heldEnd < count {
            let wanted = frameCapacity(have: heldCount)
            let own = loop.pool.chunk(atLeast: loop.grant(wanted, atLeast: heldCount + count, to: self))
            own.base.copyMemory(from: held!.base + heldStart, byteCount: heldCount)
            (heldEnd, heldStart, heldIsOwn) = (heldCount, 0, true)
            held = own
            loop.updateTurnBytes(self)
        }
        (held!.base + heldEnd).copyMemory(from: bytes, byteCount: count)
        heldEnd += count
        heldIsUnoffered = true
        if heldCount >= wanted { offerHeld() }
    }

    /// Ensures that at least one byte can be read behind the held ones. Returns false when the connection was closed
    /// instead.
    private func makeRoom() -> Bool {
        guard let chunk = held else { return false }
        let have = heldCount
        if have > limits.maxFrameBytes {
            close(.inputLimit)
            return false
        }
        if hasRoom(in: chunk) { return true }
        // The byte budget was asked before this read, see `growth`: it is all of that or no read, so that a frame is not moved
        // again and again for a little room.
        moveToOwn(from: chunk.base + heldStart, count: have, capacity: frameCapacity(have: have))
        return true
    }

    /// Returns whether there is room behind what is held for the frame, or enough of it.
    private func hasRoom(in chunk: Chunk) -> Bool {
        heldIsOwn && heldEnd < chunk.capacity
            && (heldStart == 0 || heldStart + max(needed, heldCount + 1) <= chunk.capacity)
    }

    /// Bytes in memory that are this connection's: its partial frame, unsent replies, sealed or not, requests that wait for their commit.
    var heldForBudget: Int {
        (held?.capacity ?? 0) + output.pendingInMemory + output.gatedWeight + (transform?.memory ?? 0)
    }

    /// Bytes by which the next read would increase `heldForBudget`.
    var growth: Int {
        guard let held, !hasRoom(in: held) else { return 0 }
        return max(0, ChunkPool.capacity(atLeast: frameCapacity(have: heldCount)) - (heldIsOwn ? held.capacity : 0))
    }

    /// Returns the memory for a partial frame of which `have` bytes are there: four times what came, up to the frame,
    /// and at once the size that this connection has sent before. So an announced length alone takes 4 KiB, and a frame
    /// is copied at most once, counted in bytes, until it is whole.
    private func frameCapacity(have: Int) -> Int {
        let earned = max(have * 4, Self.smallestHold, frameHint)
        return needed > have ? min(needed, earned) : max(have * 2, Self.smallestHold)
    }

    private func dropHeld() {
        held = nil
        (heldStart, heldEnd, heldIsOwn, heldIsUnoffered) = (0, 0, false, false)
    }

    func dropInput() {
        dropHeld()
        (needed, review) = (0, 0)
        stopPartialClock()
        setArrivalMark(Arrival.anyByte)
    }
}
