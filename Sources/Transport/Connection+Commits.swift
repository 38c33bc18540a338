public import ByteBuffers

/// Waiting for commits without gates: for a protocol whose replies overtake each other, and so are not held back by their places in
/// one order of output.
extension Connection {
    /// What has become of the commits that a reply rests on.
    public enum CommitOutcome: Sendable {
        /// Some of them is outstanding.
        case pending
        /// All are durable.
        case published
        /// One of them never will be, and none is outstanding.
        case failed
    }

    public func outcome(of commits: CommitSpan) -> CommitOutcome {
        guard let clock = loop.commitClock else { preconditionFailure("a reply rests on commits without a commit clock") }
        // In this order: whoever sees a later ticket published sees the failures before it.
        let published = clock.published
        if clock.hasFailed(commits, published: published) { return .failed }
        return commits.last <= published ? .published : .pending
    }

    /// Has the handler told (`commitsMoved`) when the outcome of these may be another.
    public func watch(_ commits: CommitSpan) {
        guard state == .open || state == .draining else { return }
        watchesCommits = true
        loop.enqueueGate(commits.last, of: self)
    }

    /// Lets another protocol go on with the connection: called by the present handler from within its `received`, which hands on what
    /// is left of its input, and returns. The present handler is told nothing any more.
    public func handOver(to successor: any ConnectionHandler) { handler = successor }
}
