import KafkaModel
import Testing

@testable import QueueLedger

/// How messages come and go, as a ledger tells of it.
@Suite struct FlowTests {
    @Test func whatHasComeAndGoneInTheLastMinuteIsTold() {
        var queue = LedgerDriver()
        #expect(queue.ledger.flow(nowMs: queue.nowMs).spanMs == 0)
        // Ten a second come, and five are worked on for 400 ms each.
        for _ in 0..<90 {
            queue.send(10)
            let received = queue.receive(5)
            queue.pass(400)
            _ = queue.acknowledge(received)
            queue.pass(600)
        }
        let flow = queue.ledger.flow(nowMs: queue.nowMs)
        let seconds = Double(flow.spanMs) / 1000
        #expect((55...60).contains(seconds), "\(flow.spanMs)")
        #expect((9.5...10.5).contains(Double(flow.arrived) / seconds), "\(flow)")
        #expect((4.7...5.3).contains(Double(flow.acknowledged) / seconds), "\(flow)")
        #expect(flow.work.meanMs == 400 && flow.work.percentileMs(99) == 447)
        #expect(flow.work.count < 90 * 5 + 1 && flow.work.count >= 60 * 5, "\(flow.work.count)")
        // What is over for long is not told of.
        #expect(queue.ledger.flow(nowMs: queue.nowMs + 180_000).work.count == 0)
    }

    @Test func aClockThatIsSetBackBeginsAnew() {
        var queue = LedgerDriver()
        queue.send(5)
        queue.pass(20_000)
        #expect(queue.ledger.flow(nowMs: queue.nowMs).arrived == 5)
        #expect(queue.ledger.flow(nowMs: queue.nowMs - 60_000) == LedgerFlow())
        queue.pass(-60_000)
        queue.send(3)
        queue.pass(4999)
        #expect(queue.ledger.flow(nowMs: queue.nowMs).spanMs == 0)
        queue.pass(1)
        #expect(queue.ledger.flow(nowMs: queue.nowMs).arrived == 3)
        #expect(queue.ledger.flow(nowMs: queue.nowMs).spanMs == 5000)
    }

    /// Only who has acknowledged has worked: what came back, was given up or purged has not.
    @Test func endsOfOtherKindsAreNoWork() {
        var queue = LedgerDriver()
        queue.send(6)
        let received = queue.receive(4)
        queue.pass(1000)
        _ = queue.release([received[0]])
        _ = queue.reject([received[1]])
        _ = queue.acknowledge([received[2]])
        let end = queue.ledger.toldEnd
        queue.perform { ledger, _ in ledger.retain(from: end) }
        let flow = queue.ledger.flow(nowMs: queue.nowMs + 5000)
        #expect(flow.acknowledged == 1 && flow.work.count == 1 && flow.work.totalMs == 1000)
    }

    @Test func bucketsHoldTheirLengthsAndAreAQuarterTooLongAtMost() {
        var before = -1
        for ms in Array(0...5000) + [65_535, 65_536, 1_000_000, 43_200_000] as [Int64] {
            let bucket = WorkTimes.bucket(of: ms)
            #expect(bucket >= before && bucket <= 100)
            let longest = WorkTimes.longest(in: bucket)
            guard longest >= ms, WorkTimes.bucket(of: longest) == bucket,
                WorkTimes.bucket(of: longest + 1) == bucket + 1,
                Double(longest) <= max(Double(ms) * 1.25, Double(ms))
            else {
                Issue.record("\(ms) ms is in bucket \(bucket), which ends at \(longest)")
                return
            }
            before = bucket
        }
        var times = WorkTimes()
        #expect(times.meanMs == nil && times.percentileMs(99) == nil)
        for ms in 1...100 { times.note(Int64(ms)) }
        times.note(-5)
        times.note(.max)
        #expect(times.count == 102 && times.percentileMs(0) == 0 && times.percentileMs(50) == 55)
        #expect(times.percentileMs(100) == WorkTimes.longest(in: WorkTimes.bucket(of: 43_200_000)))
        var other = WorkTimes()
        other.note(7)
        other.add(times)
        #expect(other.count == 103 && other.totalMs == times.totalMs + 7)
    }
}
