internal import CSystem

/// How much has to come before a connection is read again.
///
/// A client that seals or sends each piece of a long frame by itself (librdkafka: records of TLS with 27 and 1,041 bytes) has a wake
/// of our loop with nearly every one, which costs both sides more than the piece. The kernel can gather them: a socket is not readable
/// below its mark (SO_RCVLOWAT). The mark never asks for more than the frame still lacks, so what it waits for comes, or the
/// mark is taken away after `ConnectionLimits.gatherTimeout`.
///
/// ```
///   a frame of which the length is known
///   ├─ small ─ small ─ small ─ small ─┤──── mark ────┤──── mark ────┤── what is left ──┤ small ─ small ┤ end: mark 1
///      wakes of less than `smallPiece`, `smallPieces` in a row          at least `leastMark`
/// ```
/// A quick sender of large pieces never has a mark: its wakes bring much, and one that came later would only let the bytes grow cold.
struct Arrival {
    /// Bytes that a wake brought, below which it was hardly worth it.
    static let smallPiece = 4 << 10
    /// Such wakes in a row at which a mark is set.
    static let smallPieces: UInt8 = 4
    /// What is waited for, at most: far less than a socket holds, so that its sender is never held up.
    static let mostMark = 32 << 10
    /// Below this the system call is not worth it.
    static let leastMark = 8 << 10
    /// The mark of a socket that has none.
    static let anyByte = 1

    var mark = Arrival.anyByte
    var small: UInt8 = 0

    var isMarked: Bool { mark > Arrival.anyByte }
}

extension Connection {
    /// Sets the mark for the next wake. `got`: bytes that the last one brought; nil: there was none, but the frame may be another.
    func reviewArrival(got: Int?) {
        // What is left in the socket is read in the next turn, whatever the mark.
        guard listener.options.gathersFrames, state == .open, !isReadable else { return }
        if let got {
            arrival.small = held != nil && got < Arrival.smallPiece ? min(arrival.small + 1, Arrival.smallPieces) : 0
        }
        // Bytes of a record may wait in the transform, and count for what the frame lacks.
        let lacking = held == nil || partialSince == 0 ? 0 : wanted - heldCount - (transform?.mostUnopened ?? 0)
        let isWorthIt = lacking >= Arrival.leastMark && (arrival.isMarked || arrival.small == Arrival.smallPieces)
        setArrivalMark(isWorthIt ? min(lacking, Arrival.mostMark) : Arrival.anyByte)
    }

    /// Takes the mark away when nothing has been read for `gatherTimeout`, for what waits below it may be the last that comes: TLS ends a
    /// stream by a record, behind which a client may keep its connection. The kernel wakes the loop for what is there.
    func checkArrival() {
        guard arrival.isMarked else { return }
        let deadline = lastInputAt + limits.gatherTimeout.nanoseconds
        if deadline > loop.now { return setTimer(OwnTimer.arrival, deadline: deadline) }
        arrival.small = 0
        setArrivalMark(Arrival.anyByte)
    }

    func setArrivalMark(_ bytes: Int) {
        guard bytes != arrival.mark, state != .closed else { return }
        if !arrival.isMarked { setTimer(OwnTimer.arrival, deadline: loop.now + limits.gatherTimeout.nanoseconds) }
        arrival.mark = bytes
        let result = millrace_set_receive_mark(fd, Int32(bytes))
        precondition(result == 0, "SO_RCVLOWAT \(bytes) failed with errno \(-result)")
    }
}
