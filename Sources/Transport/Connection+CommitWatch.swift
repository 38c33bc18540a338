internal import ByteBuffers

/// How long a connection's replies have waited for their commits: the ticket whose wait is timed, and the latest one.
///
/// Timing every ticket would cost a timer a reply. One is timed at a time; when its time is over and it was published, the
/// latest one is next, from the moment at which it was gated. A peer that waits for each reply is so told in time, one that
/// sends requests ahead within twice the time.
struct CommitWatch {
    /// 0: the timer is not set.
    var watched: UInt64 = 0
    var latest: UInt64 = 0
    var latestAt: Int64 = 0
}

extension Connection {
    func watchCommit(_ ticket: UInt64, _ timeout: Duration) {
        commitWatch.latest = ticket
        commitWatch.latestAt = loop.now
        if commitWatch.watched != 0 { return }
        commitWatch.watched = ticket
        setTimer(OwnTimer.commit, deadline: loop.now + timeout.nanoseconds)
    }

    func checkCommit() {
        let watch = commitWatch
        commitWatch.watched = 0
        guard state == .open || state == .draining, output.isGated, let timeout = limits.commitTimeout,
            let clock = loop.commitClock
        else { return }
        let published = clock.published
        if watch.watched > published { return commitIsOverdue() }
        guard watch.latest > published else { return }
        commitWatch.watched = watch.latest
        setTimer(OwnTimer.commit, deadline: watch.latestAt + timeout.nanoseconds)
    }

    /// Replaces all that waits by what the handler says, or resets the connection: what was appended may still be
    /// committed, so nobody may take the replies behind it for the whole truth.
    private func commitIsOverdue() {
        guard let held = output.held({ _ in true }) else { return }
        guard held.isWhole, let replacement = handler?.commitOverdue(held, on: self) else {
            return abort(.commitFailed)
        }
        output.dropHeld(held)
        if !replacement.isEmpty { replacement.withUnsafeBytes { output.append(loop.place($0)) } }
        loop.touch(self)
    }
}
