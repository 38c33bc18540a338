internal import CSystem
internal import Glibc
internal import Synchronization
internal import Telemetry

/// One listening socket, on the loop that accepts from it.
///
/// One loop accepts and hands the connections over, each to the loop with the fewest. The other way, a SO_REUSEPORT
/// socket for each loop, lets the kernel choose by a hash: of a few heavy clients, as brokers have them, all may land
/// on one loop; and a second broker started by mistake on the same port would take half of the connections instead of
/// failing.
final class Acceptor {
    let fd: Int32
    let state: ListenerState
    let slot: UInt32
    /// More may be waiting; the edge was seen.
    var isWaiting = false
    /// Out of descriptors or memory, or handshakes are too many: a timer tries again.
    var isPostponed = false

    init(fd: Int32, state: ListenerState, slot: UInt32) {
        self.fd = fd
        self.state = state
        self.slot = slot
    }
}

extension EventLoop {
    /// Connections accepted from one listener in one turn.
    static var acceptsPerTurn: Int { 64 }
    /// How long accepting is put off when the process has no descriptor left. The clients wait in the backlog.
    static var acceptPause: Duration { .milliseconds(100) }

    func addAcceptor(fd: Int32, state: ListenerState) {
        let slot = nextAcceptorSlot
        nextAcceptorSlot += 1
        guard !isStopping, slot < Self.mailboxSlot, state.isListening else {
            millrace_close(fd)
            return
        }
        let added = millrace_epoll_add(
            epoll, fd, millrace_event_readable | millrace_event_edge_triggered, UInt64(slot))
        precondition(added == 0, "epoll_ctl for a listener failed with errno \(-added)")
        acceptors.append(Acceptor(fd: fd, state: state, slot: slot))
    }

    func closeAcceptors(of state: ListenerState? = nil) {
        waitingAcceptors.removeAll { state == nil || $0.state === state }
        for acceptor in acceptors where state == nil || acceptor.state === state { millrace_close(acceptor.fd) }
        acceptors.removeAll { state == nil || $0.state === state }
    }

    func acceptorReady(_ slot: UInt32) {
        guard let acceptor = acceptors.first(where: { $0.slot == slot }) else { return }
        if !acceptor.isWaiting, !acceptor.isPostponed {
            acceptor.isWaiting = true
            waitingAcceptors.append(acceptor)
        }
    }

    func acceptWaiting() {
        if waitingAcceptors.isEmpty { return }
        let waiting = waitingAcceptors
        waitingAcceptors.removeAll()
        for acceptor in waiting {
            acceptor.isWaiting = false
            accept(from: acceptor)
        }
    }

    private func accept(from acceptor: Acceptor) {
        let hasHandshakes = acceptor.state.options.makeTransform != nil
        for _ in 0..<Self.acceptsPerTurn {
            if hasHandshakes,
                shared.leastLoaded(startingAt: index).mailbox.isBusyOpening.exchange(false, ordering: .relaxed)
            {
                return pause(acceptor, Self.openingPause)
            }
            var native = millrace_address()
            let fd = acceptor.state.options.accept(acceptor.fd, &native)
            if fd >= 0 {
                assign(fd, SocketAddress(native), acceptor.state)
                continue
            }
            switch -fd {
            case EAGAIN: return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return postpone(acceptor)
            // The connection died in the backlog, or is of no use; the next one may be sound.
            default: continue
            }
        }
        acceptorReady(acceptor.slot)
    }

    private func postpone(_ acceptor: Acceptor) {
        shared.counters.acceptPostponed.add()
        pause(acceptor, Self.acceptPause)
    }

    private func pause(_ acceptor: Acceptor, _ time: Duration) {
        acceptor.isPostponed = true
        schedule(after: time) { loop in
            acceptor.isPostponed = false
            loop.acceptorReady(acceptor.slot)
        }
    }

    /// Refuses it, or gives it to the loop with the fewest connections.
    private func assign(_ fd: Int32, _ peer: SocketAddress, _ listener: ListenerState) {
        if let preamble = listener.options.preamble, !preamble.isExpected(peer) {
            shared.counters.refusedStrangers.add()
            return millrace_close(fd)
        }
        if let wait = listener.options.delayBeforeClose?(peer) { return close(fd, after: wait) }
        guard listener.admit(peer, shared.counters) else { return refuse(fd, peer, listener) }
        let target = shared.leastLoaded(startingAt: index)
        target.mailbox.connections.add(1, ordering: .relaxed)
        if target.index == index {
            adopt(fd, peer, listener)
            return
        }
        let accepted = target.submit { $0.adopt(fd, peer, listener) }
        if !accepted { forget(fd, peer, listener, load: target, isCounted: listener.countsAtOnce(peer)) }
    }

    /// Sockets that wait for their end because their peers open too many. Each takes a descriptor and no more.
    static var maxDelayedCloses: Int { 256 }

    private func close(_ fd: Int32, after wait: Duration) {
        shared.counters.refusedByRate.add()
        guard delayedCloses.count < Self.maxDelayedCloses else { return millrace_close(fd) }
        delayedCloses.insert(fd)
        schedule(after: wait) { loop in
            if loop.delayedCloses.remove(fd) != nil { millrace_close(fd) }
        }
    }

    func closeDelayed() {
        for fd in delayedCloses { millrace_close(fd) }
        delayedCloses.removeAll()
    }

    /// Says why, where the listener has words for it, and closes.
    private func refuse(_ fd: Int32, _ peer: SocketAddress, _ listener: ListenerState) {
        guard listener.options.makeTransform == nil, let words = listener.options.refusal?(), listener.beginRefusal()
        else {
            millrace_close(fd)
            return
        }
        handle.mailbox.connections.add(1, ordering: .relaxed)
        guard let connection = adopt(fd, peer, listener, isRefused: true) else { return }
        words.withUnsafeBytes { connection.write(copying: $0) }
        connection.closeAfterFlush()
    }

    private func forget(
        _ fd: Int32, _ peer: SocketAddress, _ listener: ListenerState, load: LoopHandle, isRefused: Bool = false,
        isCounted: Bool
    ) {
        millrace_close(fd)
        load.mailbox.connections.subtract(1, ordering: .relaxed)
        if isRefused { listener.endRefusal() } else { listener.release(isCounted ? peer : nil) }
    }

    /// Makes the socket a connection of this loop.
    @discardableResult
    func adopt(
        _ fd: Int32, _ peer: SocketAddress, _ listener: ListenerState, isRefused: Bool = false
    ) -> Connection? {
        if isStopping {
            forget(
                fd, peer, listener, load: handle, isRefused: isRefused, isCounted: listener.countsAtOnce(peer))
            return nil
        }
        let slot: UInt32
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = UInt32(slots.count)
            slots.append(nil)
            generations.append(1)
        }
        let id = ConnectionID(loop: UInt16(index), slot: slot, generation: generations[Int(slot)])
        let connection = Connection(
            id: id, fd: fd, peer: peer, loop: self, listener: listener,
            transform: listener.options.makeTransform?(self),
            isRefused: isRefused)
        connection.interest =
            millrace_event_readable | millrace_event_writable | millrace_event_peer_closed
            | millrace_event_edge_triggered
        let added = millrace_epoll_add(epoll, fd, connection.interest, connection.token)
        if added < 0 {
            freeSlots.append(slot)
            forget(fd, peer, listener, load: handle, isRefused: isRefused, isCounted: connection.isCounted)
            return nil
        }
        slots[Int(slot)] = connection
        connectionCount += 1
        if !isRefused {
            shared.counters.accepted.add()
            connection.handler = listener.options.makeHandler(self, connection)
        }
        connection.startIdleClock()
        if connection.isOpening { handshakeBegins(connection) }
        if connection.awaitsPreamble, let preamble = listener.options.preamble {
            connection.startPreambleClock(preamble)
        }
        return connection
    }

    /// Removes a closed connection from the loop.
    func remove(_ connection: Connection) {
        let slot = Int(connection.id.slot)
        guard slots[slot] === connection else { return }
        slots[slot] = nil
        generations[slot] &+= 1
        freeSlots.append(connection.id.slot)
        connectionCount -= 1
        connection.lingerEnded()
        if connection.isOpening { handshakeEnded(connection) }
        budgetTurnEnded(of: connection)
        let reason = connection.closeReason ?? .closedByHandler
        if !connection.isRefused { shared.counters.countClose(reason) }
        let handler = connection.handler
        connection.handler = nil
        handler?.closed(on: connection, reason: reason)
        connection.transform?.end()
        if connection.timers.count > 0 { addStaleTimers(connection.timers.count) }
        // Closing takes the descriptor out of epoll.
        forget(
            connection.fd, connection.peerAddress, connection.listener, load: handle, isRefused: connection.isRefused,
            isCounted: connection.isCounted)
    }
}

extension Connection {
    /// Closes a connection in a graceful stop if nothing is parked or worked on: what is owed is in the output already.
    func stopIfQuiet() {
        if state == .open, !isMuted, workInProgress == 0 { closeAfterFlush(.shutdown) }
    }
}
