import BrokerTestKit
import Forwarder
import Testing

/// A lane of numbers, whose calls change nothing of who holds it.
private final class Lane {
    var lane: PushLane<Int>

    init(_ settings: PushSettings, seed: UInt64 = 7) { lane = PushLane(settings, seed: seed) }

    func take(_ numbers: Range<Int>, bytes: Int = 100, at nowMs: Int64 = 0) {
        for number in numbers { lane.take(number, bytes: bytes, nowMs: nowMs) }
    }
    func room(_ nowMs: Int64 = 0) -> [Int] { [lane.room(nowMs: nowMs).messages, lane.room(nowMs: nowMs).bytes] }
    func next(_ nowMs: Int64 = 0) -> PushLane<Int>.Batch? { lane.nextBatch(nowMs: nowMs) }
    func due(_ nowMs: Int64 = 0) -> Int64? { lane.nextDeadlineMs(nowMs: nowMs) }
    func takeWaiting() -> [Int] { lane.takeWaiting() }
    @discardableResult
    func ended(_ outcome: PushOutcome, isFull: Bool = false, at nowMs: Int64 = 0) -> Bool {
        lane.ended(outcome, wasFull: isFull, nowMs: nowMs)
    }
}

@Suite struct PushLaneTests {
    private func lane(_ change: (inout PushSettings) -> Void = { _ in }) -> Lane {
        var settings = PushSettings()
        change(&settings)
        return Lane(settings)
    }

    private static let done = PushOutcome.answered(failed: [])
    private static let lost = PushOutcome.failed(PushFailure(.lost, "lost"))

    @Test func aBatchWaitsForItsWindowOrUntilItIsFull() {
        let lane = lane { ($0.windowMs, $0.maxRecords) = (1000, 3) }
        lane.take(0..<2, at: 100)
        #expect(lane.next(1099) == nil)
        #expect(lane.due(1099) == 1100)
        #expect(lane.next(1100)?.messages == [0, 1])
        lane.ended(Self.done, at: 1100)
        lane.take(2..<5, at: 1100)
        #expect(lane.room(1100) == [0, 0])
        #expect(lane.due(1100) == 1100)
        let full = lane.next(1100)
        #expect(full?.messages == [2, 3, 4])
        #expect(full?.isFull == true)
    }

    @Test func bytesAreABoundButForASingleMessage() {
        let lane = lane { ($0.maxBytes, $0.maxRecords) = (1024, 100) }
        #expect(lane.room() == [100, 1024])
        lane.take(0..<1, bytes: 600)
        #expect(lane.room() == [99, 424])
        lane.take(1..<2, bytes: 5000)
        #expect(lane.room() == [0, 0])
        #expect(lane.next()?.messages == [0])
        lane.ended(Self.done)
        #expect(lane.next()?.messages == [1])
    }

    @Test func aBacklogLetsMoreBatchesBeUnderWayAndAFailureFewer() {
        let lane = lane { ($0.concurrency, $0.maxRecords) = (4, 1) }
        for round in 0..<10 {
            lane.take(0..<1)
            #expect(lane.next() != nil)
            #expect(!lane.ended(Self.done, isFull: true))
            #expect(lane.lane.allowed == min(4, round + 2))
        }
        for _ in 0..<4 {
            lane.take(0..<1)
            #expect(lane.next() != nil)
        }
        #expect(lane.room() == [0, 0])
        lane.take(0..<1)
        #expect(lane.next() == nil)
        #expect(lane.due() == nil)
        #expect(lane.ended(Self.lost, isFull: true))
        #expect(lane.lane.allowed == 2)
        #expect(lane.takeWaiting() == [0])
        // What is not full is no backlog.
        lane.ended(Self.done)
        #expect(lane.lane.allowed == 2)
    }

    @Test func pausesGrowUpToALimitAndAnAnswerEndsThem() {
        let lane = lane { $0.maxRecords = 1 }
        var now: Int64 = 0
        for step in 0..<12 {
            lane.take(0..<1, at: now)
            #expect(lane.next(now) != nil)
            #expect(lane.ended(Self.lost, isFull: true, at: now))
            let wait = (lane.due(now) ?? 0) - now
            let most = min(PushSettings.maxPauseMs, PushSettings.firstPauseMs << Int64(step))
            #expect((most / 2...most).contains(wait), "pause \(step) of \(wait) ms")
            #expect(lane.room(now + wait - 1) == [0, 0])
            now += wait
            #expect(lane.room(now)[0] == 1)
        }
        lane.take(0..<1, at: now)
        _ = lane.next(now)
        #expect(!lane.ended(.answered(failed: [0]), at: now))
        #expect(lane.room(now)[0] == 1)
    }

    @Test func aReceiverSaysWhenItIsAskedAgainWithinALimit() {
        for (asked, waits) in [(5_000, 5_000), (10_000_000, PushSettings.maxAskedPauseMs)] as [(Int64, Int64)] {
            let lane = lane()
            lane.take(0..<1)
            _ = lane.next()
            #expect(lane.ended(.untouched(PushFailure(.busy, "busy"), pauseMs: asked)))
            #expect(lane.due() == waits)
            // A clock that is set back by hours makes it no longer.
            #expect(lane.room(-20_000_000)[0] > 0)
        }
    }

    /// Whatever comes, each message is in one batch or waits, in order, and no bound is passed.
    @Test(arguments: 0..<300) func noMessageIsLostOrDoubled(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var settings = PushSettings()
        (settings.maxRecords, settings.maxBytes) = (1 + random.below(6), 1024 + random.below(2000))
        (settings.windowMs, settings.concurrency) = (Int64(random.below(50)), 1 + random.below(4))
        let lane = Lane(settings, seed: UInt64(seed))
        var (next, now) = (0, Int64(0))
        var (underWay, seen): ([PushLane<Int>.Batch], [Int]) = ([], [])
        for _ in 0..<300 {
            now += Int64(random.below(20))
            let room = lane.room(now)
            if room[0] > 0, room[1] > 0, random.chance(0.6) {
                var left = room[1]
                for place in 0..<(1 + random.below(room[0])) {
                    let bytes = 1 + random.below(900)
                    // As a receive does: the first one comes however large it is.
                    if place > 0, bytes > left { break }
                    left -= bytes
                    lane.take(next..<next + 1, bytes: bytes, at: now)
                    next += 1
                }
            }
            while let batch = lane.next(now) {
                #expect(batch.messages.count <= settings.maxRecords)
                #expect(batch.bytes <= settings.maxBytes || batch.messages.count == 1)
                seen += batch.messages
                underWay.append(batch)
            }
            #expect(lane.lane.underWay == underWay.count && underWay.count <= settings.concurrency)
            guard !underWay.isEmpty, random.chance(0.7) else { continue }
            let batch = underWay.remove(at: random.below(underWay.count))
            let isPaused = lane.ended(random.chance(0.7) ? Self.done : Self.lost, isFull: batch.isFull, at: now)
            if isPaused { seen += lane.takeWaiting() }
        }
        #expect(seen + lane.takeWaiting() == Array(0..<next))
    }
}
