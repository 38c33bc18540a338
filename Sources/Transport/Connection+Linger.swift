/// The end of a connection whose last reply has left: input is read and dropped, so that no reset overtakes the reply.
struct Linger {
    /// Whether the peer is in the middle of a request that was refused: it may take long to notice.
    var isForRefusedInput = false
    /// The time at which a long linger ends, whatever comes; 0: it is a short one.
    var deadline: Int64 = 0
}

extension Connection {
    func startLinger() {
        guard linger.isForRefusedInput, loop.longLingers < EventLoop.maxLongLingers else {
            return setTimer(OwnTimer.linger, deadline: loop.now + limits.lingerTimeout.nanoseconds)
        }
        loop.longLingers += 1
        linger.deadline = loop.now + limits.refusedInputTimeout.nanoseconds
        setTimer(OwnTimer.linger, deadline: nextLook)
    }

    /// Ends a short linger; a long one goes on while input comes.
    func checkLinger() {
        if linger.deadline > loop.now, nextLook > loop.now {
            setTimer(OwnTimer.linger, deadline: nextLook)
        } else {
            close()
        }
    }

    private var nextLook: Int64 {
        min(linger.deadline, max(lastInputAt, lastWriteAt) + limits.refusedInputIdleTimeout.nanoseconds)
    }

    func lingerEnded() {
        if linger.deadline != 0 { loop.longLingers -= 1 }
    }
}
