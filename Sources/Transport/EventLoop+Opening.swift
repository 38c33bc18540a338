internal import ByteBuffers

/// Connections whose transform shakes hands. That costs a private-key operation, up to a millisecond, for whoever connects; so
/// on a loop they stand in a queue of their own, in the order in which they became ready, and have a small share of a turn.
///
/// The alternative was a pool of threads: no handshake would then delay a request, and each would cost two wakes and a
/// connection that is at home on two threads. With the share below, requests wait 2 ms and a handshake longer in the worst
/// of a storm, and nothing otherwise.
extension EventLoop {
    /// Nanoseconds of a turn for handshakes together; the last one that was begun comes to the end of its step.
    static let handshakeShare: Int64 = 2_000_000
    /// Handshakes of a loop that have begun and are not over: each holds up to 50 KiB. One more closes the oldest, for an
    /// honest one is over within milliseconds; what stays are those that wait.
    static let maxOpenings = 1024

    func handshakeBegins(_ connection: Connection) {
        connection.setTimer(
            Connection.OwnTimer.handshake, deadline: now + connection.limits.handshakeTimeout.nanoseconds)
        openings.count += 1
        openings.order.append(connection.id)
        while let oldest = openings.order.first {
            let found = self.connection(oldest)
            if let found, found.isOpening {
                if openings.count <= Self.maxOpenings { break }
                found.close(.handshakeTimeout)
                handshakeEnded(found)
            }
            openings.order.removeFirst()
        }
    }

    /// Called once for each that began: it is over, or the connection is.
    func handshakeEnded(_ connection: Connection) {
        guard connection.isOpening else { return }
        connection.isOpening = false
        openings.count -= 1
        connection.timers.cancel(Connection.OwnTimer.handshake)
    }
}

/// A loop's handshakes that are not over.
struct Openings {
    var count = 0
    /// In the order in which they were accepted; some of the later ones are over.
    var order = FIFO<ConnectionID>()
}
