import Testing

@testable import BrokerCore

/// Members' silence counts only while the broker answers.
@Suite struct SessionHoldTests {
    private func holds(
        _ hold: inout SessionHold, ticket: UInt64, durable: UInt64, longCommitMs: Int64?, nowMs: Int64
    ) -> Bool {
        hold.holds(ticket: ticket, durable: durable, longCommitMs: longCommitMs, nowMs: nowMs)
    }

    @Test func nothingIsPutOffWhileAllIsDurable() {
        var hold = SessionHold()
        #expect(holds(&hold, ticket: 5, durable: 5, longCommitMs: nil, nowMs: 1000) == false)
        #expect(holds(&hold, ticket: 5, durable: 9, longCommitMs: nil, nowMs: 1020) == false)
    }

    @Test func deadlinesWaitForTheAppendThatWasTheNewestAtTheFirstLook() {
        var hold = SessionHold()
        #expect(holds(&hold, ticket: 6, durable: 5, longCommitMs: nil, nowMs: 1000) == true)
        // Others have followed: with a steady stream of commits there is always one that waits.
        #expect(holds(&hold, ticket: 8, durable: 6, longCommitMs: nil, nowMs: 1020) == false)
    }

    @Test func whatWasHeldUpMayComeAfterALongCommit() {
        var hold = SessionHold()
        #expect(holds(&hold, ticket: 6, durable: 5, longCommitMs: nil, nowMs: 1000) == true)
        #expect(holds(&hold, ticket: 6, durable: 6, longCommitMs: 9000, nowMs: 9010) == true)
        #expect(holds(&hold, ticket: 6, durable: 6, longCommitMs: 9000, nowMs: 11_999) == true)
        #expect(holds(&hold, ticket: 6, durable: 6, longCommitMs: 9000, nowMs: 12_000) == false)
    }

    @Test func aDiskThatIsAlwaysSlowPutsOffForAMinuteAtMost() {
        var hold = SessionHold()
        var now: Int64 = 0
        while hold.holds(ticket: 6, durable: 6, longCommitMs: now, nowMs: now) { now += 20 }
        #expect(now == SessionHold.maxMs)
    }
}
