import Testing

@testable import ByteBuffers

@Suite struct CommitClockTests {
    @Test func aFailedTicketStaysFailedBehindLaterOnes() {
        let clock = CommitClock()
        clock.fail(from: 2, through: 2)
        clock.publish(3)
        #expect([1, 2, 3].map(clock.hasFailed) == [false, true, false])
    }

    /// A disk that refuses one partition's writes fails a part of each commit, for as long as the broker runs.
    @Test func failuresPastTheirBoundBecomeOneAndNoneIsForgotten() {
        let clock = CommitClock()
        let commits = UInt64(CommitClock.maxFailedRanges) * 3
        for commit in 1...commits {
            clock.fail(from: commit * 10, through: commit * 10)
            clock.publish(commit * 10 + 1)
        }
        #expect(clock.failedRanges.withLock(\.count) == CommitClock.maxFailedRanges)
        for commit in 1...commits { #expect(clock.hasFailed(commit * 10)) }
        // The newest, which somebody may wait for, are still apart.
        #expect(!clock.hasFailed((commits - 1) * 10 + 1))
        #expect(!clock.hasFailed(commits * 10 + 1))
    }
}
