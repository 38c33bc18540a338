import BrokerTestKit
import CommandSyntax
import Testing

@testable import ConsoleCommands

/// `millrace mock-events`.
@Suite struct MockEventsTests {
    @Test(arguments: MockEventsOptions.Kind.allCases)
    func eachLineIsJSONAndTheSameForASeed(kind: MockEventsOptions.Kind) throws {
        func lines(seed: UInt64) -> [String] {
            var events = MockEvents(kind, seed: seed)
            return (0..<500).map { events.next(atMs: 1_700_000_000_000 + Int64($0)) }
        }
        let first = lines(seed: 7)
        #expect(first == lines(seed: 7))
        #expect(first != lines(seed: 8))
        for line in first {
            #expect(line.hasSuffix("}\n"))
            _ = try JSON(line)
        }
        #expect(Set(first).count == first.count)
    }

    @Test func asManyAreWrittenAsAreAskedForAtARateToo() throws {
        for rate in [[], ["--rate", "100000"]] {
            let run = try CommandRun.of(["mock-events", "--kind", "session", "--count", "2500", "--seed", "3"] + rate)
            #expect(run.status == 0 && run.errors == "")
            #expect(run.lines.count == 2_500)
            let types = try Set(run.lines.compactMap { try JSON($0)["event_type"].text })
            #expect(types == ["session_started", "session_completed"])
        }
        #expect(try CommandRun.of(["mock-events", "--kind", "none"]).status == 2)
    }
}
