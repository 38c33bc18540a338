internal import ByteBuffers

/// How long a connection's replies have waited for their commits: the ticket whose wait is timed, and the latest one.
///
/// Timing every ticket would cost one timer per reply, so only one ticket is timed at a time. When its timer fires and
/// it was published, the latest ticket is timed next, counted from when it was gated. So a peer that waits for each
/// reply is told after `commitTimeout`, and one that pipelines requests after at most twice that.
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

    /// Replaces the waiting replies by the handler's answer, or resets the connection if there is none: what was
    /// appended may still be committed, so the peer must not take an orderly end of the replies for the whole truth.
    private func commitIsOverdue() {
        guard let held = output.held({ _ in true }) else { return }
        guard held.isWhole, let replacement = handler?.commitOverdue(held, on: self) else {
            return abort(.commitFailed)
        }
        replace(held, by: ReplacedOutput(replacement, isLast: true))
    }
}
