import ConsoleCommands
import Foundation
import Telemetry
import Testing

/// Commands against a broker of this process.
@Suite struct BrokerCommandTests {
    private let harness: CommandHarness

    init() throws { harness = try CommandHarness() }

    @Test func topicsFromCreationToDeletion() throws {
        let created = try harness.run("topic", "create", "rides", "--partitions", "2", "--set", "retention.ms=7d")
        #expect(created.output.hasPrefix("created topic rides with 2 partitions"))
        try harness.run("topic", "create", "rides", status: 1)
        #expect(try harness.run("topic", "create", "rides", "--if-not-exists").output.contains("is there already"))
        try harness.run("topic", "alter", "rides", "--partitions", "3", "--set", "segment.bytes=2MiB")
        let described = try harness.run("topic", "describe", "rides").output
        #expect(described.contains("Setting: retention.ms=604800000\n"))
        #expect(described.contains("Setting: segment.bytes=2097152\n"))
        #expect(try harness.run("topic", "ls").lines.contains { $0.hasPrefix("rides") && $0.contains("3") })
        #expect(
            try harness.run("topic", "delete", "rides", "--json").output == #"[{"name":"rides","deleted":true}]"# + "\n"
        )
        let again = try harness.run("topic", "delete", "rides", "missing", status: 1)
        #expect(again.errors.contains("topic rides: there") && again.errors.contains("topic missing: there"))
    }

    @Test func recordsAreReadFromAndToWhereTheyWereAsked() throws {
        let told = try harness.run(
            "produce", "t", "--key-separator", ":", "--header", "h=v", text: "a:0\nb:1\nc:2\nd:3\n")
        #expect(told.errors.contains("4 records written"))
        let format = ["--format", "%p/%o %k=%v %h\\n"]
        #expect(try consume("t", ["-e"] + format) == ["0/0 a=0 h=v", "0/1 b=1 h=v", "0/2 c=2 h=v", "0/3 d=3 h=v"])
        #expect(try consume("t", ["--from", "1", "--to", "3"]) == ["1", "2"])
        #expect(try consume("t", ["--from", "-1", "-e"]) == ["3"])
        #expect(try consume("t", ["--from", "beginning", "--max", "2"]) == ["0", "1"])
        #expect(try consume("t", ["--from", "-1h", "--to", "end"]).count == 4)
        #expect(try harness.run("consume", "t", "-e", "--partition", "7", status: 1).errors.contains("no partition 7"))
        try harness.run("topic", "trim", "t", "--before", "-1")
        #expect(try consume("t", ["-e"]) == ["3"])
    }

    @Test func whatConsumeWritesAsJSONProduceReads() throws {
        let lines = #"""
            {"key":"k","value":"v","timestamp":1700000000000,"headers":[{"key":"h","value":null}]}
            {"key_base64":"//4=","value":null}

            """#
        let report = try JSON(harness.run("produce", "from", "--json", text: lines).output)
        #expect(report["records"].integer == 2 && report["failed"].integer == 0)
        let copy = try harness.run("consume", "from", "-e", "--json").output
        try harness.run("produce", "to", "--json", text: copy)
        #expect(
            try harness.run("consume", "to", "-e", "--json").output
                == copy.replacing(#""topic":"from""#, with: #""topic":"to""#))
    }

    @Test func anErrorInTheInputLeavesWhatWasReadWrittenAndTold() throws {
        let run = try harness.run("produce", "t", "-k", ":", text: "a:1\nb:2\nwithout\nc:3\n", status: 1)
        #expect(run.errors.contains("line 3") && run.errors.contains("2 records written"))
        #expect(try consume("t", ["-e"]) == ["1", "2"])
    }

    @Test func aSignalEndsTheInputAndLeavesNoPartOfALine() throws {
        try harness.run("topic", "create", "t")
        let process = try harness.begin("produce", "t")
        process.type("one\ntwo\nhalf of a li")
        try harness.wait("what is typed is sent") { try consume("t", ["-e"]) == ["one", "two"] }
        #expect(process.interruption.take(signal: 2) == .inOrder)
        let run = try process.end()
        #expect(run.status == 130 && run.errors.contains("2 records written") && !run.errors.contains("not"))
        process.endInput()
        #expect(try consume("t", ["-e"]) == ["one", "two"])
    }

    @Test func groupsFromTheFirstCommitToDeletion() throws {
        try harness.run("produce", "t", text: "0\n1\n2\n3\n")
        #expect(try consume("t", ["--group", "g", "--from", "beginning", "-e"]) == ["0", "1", "2", "3"])
        #expect(try consume("t", ["--group", "g", "-e"]).isEmpty)
        let described = try JSON(harness.run("group", "describe", "g", "--json").output)
        #expect(described[0]["partitions"][0]["committed_offset"].integer == 4)
        #expect(described[0]["partitions"][0]["lag"].integer == 0)
        let dry = try harness.run("group", "reset-offsets", "g", "--topic", "t", "--to-offset", "3")
        #expect(dry.errors.contains("--execute does it"))
        #expect(try consume("t", ["--group", "g", "-e"]).isEmpty)
        try harness.run("group", "reset-offsets", "g", "--topic", "t", "--shift-by", "-2", "--execute")
        #expect(try consume("t", ["--group", "g", "-e"]) == ["2", "3"])
        try harness.run("group", "delete", "g")
        #expect(try harness.run("group", "list").errors == "no groups\n")
        #expect(try harness.run("group", "delete", "g", status: 1).errors.contains("there is no such group"))
    }

    @Test func aMemberThatIsInterruptedCommitsAndLeaves() throws {
        try harness.run("produce", "t", text: "0\n1\n")
        let member = try harness.begin("consume", "t", "--group", "g", "--from", "beginning")
        func state() throws -> JSON { try JSON(harness.run("group", "describe", "g", "--json").output) }
        try harness.wait("it has read and committed") {
            try harness.run("group", "list").output.contains("g")
                && state()[0]["partitions"][0]["committed_offset"].integer == 2
        }
        #expect(member.interruption.take(signal: 15) == .inOrder)
        let run = try member.end()
        member.endInput()
        #expect(run.status == 143 && run.lines == ["0", "1"])
        #expect(try state()[0]["members"].count == 0)
    }

    @Test func aCommandOverSeveralThingsGoesOnBehindOneThatFails() throws {
        try harness.run("topic", "create", "a", "b")
        let run = try harness.run("topic", "describe", "a", "missing", "b", "--json", status: 1)
        let found = try JSON(run.output)
        #expect(found[0]["name"].text == "a" && found[1]["name"].text == "b")
        #expect(run.errors.contains("missing"))
    }

    @Test func benchProducesWhatBenchConsumes() throws {
        let written = try JSON(
            harness.run("bench", "produce", "--topic", "b", "--records", "1001", "--size", "100", "--json").output)
        #expect(written["records"].integer == 1001 && written["bytes"].integer == 100_100)
        let read = try JSON(harness.run("bench", "consume", "--topic", "b", "--json").output)
        #expect(read["records"].integer == 1001)
    }

    private func consume(_ topic: String, _ words: [String]) throws -> [String] {
        let run = try CommandRun.of(
            ["consume", topic] + words + CommandHarness.patience, environment: harness.environment)
        #expect(run.status == 0, "\(words): \(run.errors)")
        return run.lines
    }
}

/// Of what took long, which the gateway answers.
@Suite struct TraceCommandTests {
    @Test func stallsAreShownByStageAndOneByOne() throws {
        let harness = try CommandHarness(["http.enable": "true"])
        let address = harness.httpAddress
        let name = UUID().uuidString
        StallTrace.note(.exchange, from: 0, to: 21_400_000, bytes: 1234, count: 5, name)
        StallTrace.note(.removal, from: 0, to: 9_000_000, name)

        let all = try harness.run("trace", "--http", address)
        let stalls = all.lines.filter { $0.contains(name) }
        #expect(stalls.count == 2 && all.lines.contains { $0.hasPrefix("exchange ") })
        #expect(stalls[0].contains(" 21.4  exchange ") && stalls[0].contains(" 1234       5  \(name)"))
        #expect(try harness.run("trace", "--http", address, "--min", "10ms").lines.count { $0.contains(name) } == 1)
        #expect(try harness.run("trace", "--http", address, "--stage", "remov").lines.count { $0.contains(name) } == 1)
        let page = try JSON(harness.run("trace", "--http", address, "--json").output)
        #expect(page["slow_us"].integer == 5000 && (page["stalls"].count ?? 0) >= 2)
    }

    @Test func withoutAGatewayItEndsAsWithoutABroker() throws {
        let run = try CommandRun.of(["trace", "--http", "127.0.0.1:1"])
        #expect(run.status == 3 && run.errors.contains("127.0.0.1:1"))
    }
}
