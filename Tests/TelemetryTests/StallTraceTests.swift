import ByteBuffers
import Foundation
import Synchronization
import Testing

@testable import Telemetry

@Suite struct StallTraceTests {
    private static let slow = StallTrace.slowNanoseconds

    private func record(_ trace: StallTrace, _ number: Int, _ subject: String = "") {
        trace.record(.commit, Int64(number), Self.slow, bytes: number, count: number, subject)
    }

    @Test func whatIsShortIsNotNotedAndItsSubjectNotMade() {
        let name = UUID().uuidString
        var made = 0
        func subject() -> String {
            made += 1
            return name
        }
        StallTrace.note(.retention, from: 100, to: 100 + Self.slow - 1, subject())
        // What ends before it begins was noted before.
        StallTrace.note(.retention, from: .max, to: 100, subject())
        #expect(made == 0)
        StallTrace.note(.retention, from: 100, to: 100 + Self.slow, bytes: 7, count: 3, subject())
        let found = StallTrace.shared.stalls.filter { $0.subject == name }
        #expect(made == 1 && found.count == 1)
        #expect(found[0].stage == .retention && found[0].began == 100 && found[0].nanoseconds == Self.slow)
        #expect(found[0].bytes == 7 && found[0].count == 3 && found[0].thread == ByteBuffers.Thread.currentName)
    }

    @Test func whatIsTimedIsNotedAlsoWhenItThrows() {
        struct Refused: Error {}
        let name = UUID().uuidString
        #expect(throws: Refused.self) {
            try StallTrace.timed(.admin, name) {
                MonotonicClock.sleep(nanoseconds: Self.slow + 1_000_000)
                throw Refused()
            }
        }
        #expect(StallTrace.shared.stalls.contains { $0.subject == name })
    }

    @Test func theRingKeepsTheNewestInOrder() {
        let trace = StallTrace()
        #expect(trace.stalls.isEmpty)
        let all = StallTrace.capacity + 100
        for number in 1...all { record(trace, number, "s\(number)") }
        let stalls = trace.stalls
        #expect(stalls.map(\.number) == Array(UInt64(101)...UInt64(all)))
        #expect(stalls.allSatisfy { $0.subject == "s\($0.number)" && $0.bytes == Int($0.number) })
        #expect(trace.total(of: .commit).count == UInt64(all) && trace.droppedCount == 0)
        #expect(trace.total(of: .checkpoint).count == 0)
    }

    @Test func longNamesAreCut() {
        let trace = StallTrace()
        record(trace, 1, String(repeating: "x", count: 100))
        record(trace, 2, String(repeating: "x", count: StallTrace.subjectBytes))
        record(trace, 3, "short")
        #expect(trace.stalls.map { $0.subject.utf8.count } == [64, 64, 5])
    }

    @Test func aStageHasItsSumAndItsLongest() {
        let trace = StallTrace()
        for milliseconds in [5, 20, 7] as [Int64] {
            trace.record(.worker, 0, milliseconds * 1_000_000, bytes: 0, count: 0, "")
        }
        let total = trace.total(of: .worker)
        #expect(total.count == 3 && total.sum == 32_000_000 && total.longest == 20_000_000)
    }

    /// Each entry's parts are of one writer, however many write and read at a time.
    @Test func whatIsReadWasWrittenByOne() {
        let trace = StallTrace()
        let ended = Atomic<Int>(0)
        let threads = (0..<4).map { writer in
            ByteBuffers.Thread(name: "writer-\(writer)") {
                for number in 0..<5000 {
                    let value = writer * 10_000 + number
                    trace.record(.commit, Int64(value), Self.slow, bytes: value, count: value, "\(writer)-\(value)")
                }
                ended.add(1, ordering: .releasing)
            }
        }
        var looks = 0
        while ended.load(ordering: .acquiring) < 4 || looks == 0 {
            looks += 1
            for stall in trace.stalls {
                let writer = stall.bytes / 10_000
                #expect(
                    stall.count == stall.bytes && stall.began == Int64(stall.bytes)
                        && stall.subject == "\(writer)-\(stall.bytes)" && stall.thread == "writer-\(writer)")
            }
        }
        for thread in threads { thread.join() }
        #expect(trace.total(of: .commit).count == 20_000)
        #expect(
            trace.stalls.count <= StallTrace.capacity
                && trace.stalls.count >= StallTrace.capacity - Int(trace.droppedCount))
    }

    @Test func thePageIsJSON() throws {
        let trace = StallTrace()
        record(trace, 1, "a \"name\"\n")
        trace.record(.segmentWait, 2, 2 * Self.slow, bytes: 0, count: 0, "b")
        var page = ByteWriter()
        trace.writeJSON(into: &page)
        let object = try #require(
            JSONSerialization.jsonObject(with: Data(page.bytes)) as? [String: Any])
        #expect(object["slow_us"] as? Int == 5000)
        let stages = try #require(object["stages"] as? [[String: Any]])
        #expect(stages.map { $0["stage"] as? String } == ["commit", "segment.wait"])
        #expect(stages.map { $0["longest_us"] as? Int } == [5000, 10_000])
        let stalls = try #require(object["stalls"] as? [[String: Any]])
        #expect(stalls.map { $0["subject"] as? String } == ["a \"name\"\n", "b"])
        #expect(stalls.map { $0["number"] as? Int } == [1, 2])
    }

    @Test func everyStageHasANameOfItsOwn() {
        let names = Stall.Stage.allCases.map(\.name)
        #expect(Set(names).count == names.count)
    }
}
