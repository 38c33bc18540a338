import BrokerTestKit
import Testing

@testable import Coordinators

@Suite struct DeadlineQueueTests {
    @Test func heartbeatsLeaveOneEntryAMember() {
        var queue = DeadlineQueue()
        var deadline = GroupTimer()
        for now in 0..<1_000 {
            deadline.set(Int64(now) + 10_000, in: &queue, groupID: "g", subject: .session(memberID: "m"))
        }
        // The one entry is that of the first; when it fires, the deadline has moved and is put back.
        #expect(queue.next == 10_000)
        let early = queue.popDue(10_000)!
        let firedEarly = deadline.fires(early, now: 10_000, in: &queue)
        #expect(!firedEarly)
        #expect(queue.next == 10_999)
        let late = queue.popDue(10_999)!
        let fired = deadline.fires(late, now: 10_999, in: &queue)
        #expect(fired)
        #expect(queue.next == nil)
    }

    @Test func earlierDeadlineFiresOnceAtItsTime() {
        var queue = DeadlineQueue()
        var deadline = GroupTimer()
        deadline.set(300_000, in: &queue, groupID: "g", subject: .join)
        deadline.set(10_000, in: &queue, groupID: "g", subject: .join)
        let first = queue.popDue(10_000)!
        let fired = deadline.fires(first, now: 10_000, in: &queue)
        #expect(fired)
        let leftOver = queue.popDue(300_000)!
        let firedAgain = deadline.fires(leftOver, now: 300_000, in: &queue)
        #expect(!firedAgain)
    }

    @Test func cancelledDeadlineDoesNotFire() {
        var queue = DeadlineQueue()
        var deadline = GroupTimer()
        deadline.set(10, in: &queue, groupID: "g", subject: .sync)
        deadline.cancel()
        let fired = deadline.fires(queue.popDue(10)!, now: 10, in: &queue)
        #expect(!fired)
        #expect(queue.next == nil)
    }

    @Test(arguments: testSeeds(10)) func entriesComeInTimeAndArmingOrder(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var queue = DeadlineQueue()
        var times: [Int64] = []
        for _ in 0..<500 {
            times.append(Int64(random.below(100)))
            queue.push(at: times.last!, groupID: "g", subject: .join)
        }
        var popped: [DeadlineQueue.Entry] = []
        while let entry = queue.popDue(99) { popped.append(entry) }
        #expect(popped.map(\.at) == times.sorted())
        #expect(zip(popped, popped.dropFirst()).allSatisfy { $0.at < $1.at || $0.order < $1.order })
    }
}
