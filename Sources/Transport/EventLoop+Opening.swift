internal import ByteBuffers
internal import Synchronization

/// Connections whose transform shakes hands. That costs a private-key operation, up to a millisecond, for whoever connects; so
/// on a loop they stand in queues of their own, in the order in which they became ready, and have a small share of a turn. Those
/// that have begun go first: the costly step lies behind them, and is lost when they do not come to an end.
///
/// The alternative was a pool of threads: no handshake would then delay a request, and each would cost two wakes and a
/// connection that is at home on two threads. With the share below, requests wait 2 ms and a handshake longer in the worst
/// of a storm, and nothing otherwise.
///
/// ```
///   accepted ──► silent ──its hello was read──► begun ──► over
///                  │ oldest first, then ─────────►│
///                  └───────── closed ◄────────────┘  when there are too many, and never one that waits for us
/// ```
extension EventLoop {
    /// Nanoseconds of a turn for handshakes together; the last one that was begun comes to the end of its step.
    static let handshakeShare: Int64 = 2_000_000
    /// Part of it for those that have begun: the rest is for hellos, so that many small steps do not hold them up.
    static let begunShare: Int64 = 1_500_000
    /// Handshakes of a loop that are not over: each holds up to 50 KiB. One more closes the oldest that owes us bytes; an honest
    /// one is over within milliseconds. When all wait for us (a storm of clients that come back), closing one would only make it come
    /// again: the listener waits instead, and the clients in its backlog.
    static let usualMaxOpenings = 1024
    /// At so many times the number, the oldest is closed whatever it waits for.
    static let mostOpenings = 2
    /// Nanoseconds that a client has for its next flight before it may be closed for others.
    static let roundTrip: Int64 = 500_000_000
    /// Connections looked at to find one that owes us bytes.
    static let victimLooks = 16
    /// How long a listener waits when all handshakes of a loop wait for us: some are over by then.
    static var openingPause: Duration { .milliseconds(5) }

    func handshakeBegins(_ connection: Connection) {
        startHandshakeClock(connection)
        openings.count += 1
        openings.silent.append(connection.id)
        forgetEnded(\.silent, hasBegun: false)
        forgetEnded(\.begun, hasBegun: true)
        guard openings.count > maxOpenings else { return }
        let isTooMuch = openings.count > maxOpenings * Self.mostOpenings
        let quiet = isTooMuch ? nil : now
        if let victim = victim(\.silent, hasBegun: false, quietSince: quiet)
            ?? victim(\.begun, hasBegun: true, quietSince: quiet.map { $0 - Self.roundTrip })
        {
            victim.close(.handshakeTimeout)
            handshakeEnded(victim)
        } else {
            handle.mailbox.isBusyOpening.store(true, ordering: .relaxed)
        }
    }

    func startHandshakeClock(_ connection: Connection) {
        connection.setTimer(
            Connection.OwnTimer.handshake, deadline: now + connection.limits.handshakeTimeout.nanoseconds)
    }

    /// Bytes of it were read, and it is not over.
    func handshakeGoesOn(_ connection: Connection) {
        connection.lastInputAt = now
        guard !connection.hasBegunOpening else { return }
        connection.hasBegunOpening = true
        openings.begun.append(connection.id)
    }

    /// Called once for each that began: it is over, or the connection is.
    func handshakeEnded(_ connection: Connection) {
        guard connection.isOpening else { return }
        connection.isOpening = false
        openings.count -= 1
        connection.timers.cancel(Connection.OwnTimer.handshake)
    }

    private func opening(_ id: ConnectionID, hasBegun: Bool) -> Connection? {
        guard let found = connection(id), found.isOpening, found.hasBegunOpening == hasBegun else { return nil }
        return found
    }

    /// Lets go of entries at the front that mean nothing any more.
    private func forgetEnded(_ list: WritableKeyPath<Openings, FIFO<ConnectionID>>, hasBegun: Bool) {
        while let first = openings[keyPath: list].first, opening(first, hasBegun: hasBegun) == nil {
            openings[keyPath: list].removeFirst()
        }
    }

    /// Takes out the oldest of a list that owes us bytes since before that time: epoll was asked for them in vain. Nil: the oldest,
    /// whether it owes any or not.
    private func victim(
        _ list: WritableKeyPath<Openings, FIFO<ConnectionID>>, hasBegun: Bool, quietSince: Int64?
    ) -> Connection? {
        for _ in 0..<min(openings[keyPath: list].count, Self.victimLooks) {
            guard let id = openings[keyPath: list].first else { return nil }
            openings[keyPath: list].removeFirst()
            guard let found = opening(id, hasBegun: hasBegun) else { continue }
            guard let quietSince else { return found }
            if !found.isReadyQueued, !found.isBudgetQueued, found.lastInputAt < quietSince { return found }
            openings[keyPath: list].append(id)
        }
        return nil
    }
}

/// A loop's handshakes that are not over.
struct Openings {
    var count = 0
    /// About in the order in which they were accepted, and in which their hellos came. Some entries are over, or in the other list.
    var silent = FIFO<ConnectionID>()
    var begun = FIFO<ConnectionID>()
}
