import BrokerTestKit
import ConsoleCommands
import Foundation
import Glibc
import Testing

/// What holds for every command, without a broker.
@Suite struct ConsoleProgramTests {
    private static let nobody = ["MILLRACE_BOOTSTRAP": "127.0.0.1:1"]

    @Test func helpAndVersionGoToStandardOutput() throws {
        let help = try CommandRun.of(["topic", "--help"])
        #expect(help.status == 0 && help.output.contains("Usage: millrace topic") && help.errors.isEmpty)
        #expect(try CommandRun.of(["--version"]).output.hasPrefix("millrace "))
        #expect(try CommandRun.of(["version", "--json"]).output.contains(#""name":"millrace""#))
        #expect(try CommandRun.of(["completion", "bash"]).output.contains("complete"))
    }

    @Test func aSlipIsToldOnStandardErrorWithTheNearestWord() throws {
        let run = try CommandRun.of(["topic", "list", "--jsno"])
        #expect(run.status == 2 && run.output.isEmpty)
        #expect(run.errors.hasPrefix("millrace: --jsno: no such option; did you mean --json?\n"))
    }

    @Test func anEnvironmentVariableNamesTheBrokerAndAnOptionGoesBefore() throws {
        let run = try CommandRun.of(["topic", "list", "--timeout", "1"], environment: Self.nobody)
        #expect(run.status == 3 && run.errors.contains("127.0.0.1:1"))
        let wrong = try CommandRun.of(["topic", "list"], environment: ["MILLRACE_BOOTSTRAP": "a:b:c"])
        #expect(wrong.status == 2 && wrong.errors.contains("must be HOST:PORT"))
        let other = try CommandRun.of(
            ["topic", "list", "--bootstrap", "127.0.0.2:1", "--timeout", "1"], environment: Self.nobody)
        #expect(other.status == 3 && other.errors.contains("127.0.0.2:1"))
    }

    @Test func wrongConfigurationIsToldWithItsKey() throws {
        let run = try CommandRun.of(["config", "check", "--set", "num.partitions=0"])
        #expect(run.status == 4 && run.errors.contains("num.partitions=0"))
        let environment = ["MILLRACE_NUM_PARTITIONS": "7"]
        #expect(try CommandRun.of(["config", "check"], environment: environment).output.contains("7"))
        #expect(try CommandRun.of(["config", "keys", "num.partitoins"]).errors.contains("num.partitions"))
    }

    /// What `serve` would refuse before it opens anything.
    @Test func certificatesThatCannotBeUsedAreToldByTheCheck() throws {
        let words = ["config", "check", "--set", "listeners=SSL://127.0.0.1:9093", "--set"]
        let missing = try CommandRun.of(words + ["ssl.keystore.location=/nowhere/both.pem"])
        #expect(missing.status == 4 && missing.errors.contains("ssl.keystore.location: /nowhere/both.pem"))
        let file = try TemporaryFolder()
        let path = file("both.pem")
        let text = TestCertificates.serverKey + "\n" + TestCertificates.serverCertificate
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try CommandRun.of(words + ["ssl.keystore.location=\(path)"]).status == 0)
    }

    @Test func outputThatCannotBeWrittenIsAnError() throws {
        let full = open("/dev/full", O_WRONLY)
        defer { close(full) }
        let run = try CommandRun.of(["config", "keys"], output: full)
        #expect(run.status == 1 && run.errors.contains("cannot write the output"))
    }

    @Test func readersThatGoAwayAreNoError() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        close(ends[0])
        defer { close(ends[1]) }
        // As the executable does before it runs such a command.
        signal(SIGPIPE, SIG_IGN)
        #expect(try CommandRun.of(["config", "keys"], output: ends[1]).status == 0)
    }

    @Test(arguments: [2, 15])
    func anInterruptedCommandLeavesWithItsSignal(number: Int32) throws {
        let interruption = Interruption()
        #expect(interruption.take(signal: number) == .inOrder)
        #expect(interruption.take(signal: number) == .atOnce)
        let run = try CommandRun.of(
            ["topic", "list"], environment: Self.nobody, interruption: interruption)
        #expect(run.status == 128 + number && run.errors.isEmpty)
    }

    /// Which words these are, `ParserTests` says.
    @Test func whatTheTableRefusesIsToldBeforeAnybodyIsAsked() throws {
        let run = try CommandRun.of(["topic", "alter", "t"], environment: Self.nobody)
        #expect(run.status == 2 && run.output.isEmpty)
        #expect(run.errors.hasPrefix("millrace: nothing to alter"))
    }
}
