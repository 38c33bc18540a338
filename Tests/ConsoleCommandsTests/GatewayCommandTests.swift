import BrokerTestKit
import Configuration
import Foundation
import StorageIO
import Testing

/// Routes of a file, without a broker and beside what one serves.
@Suite struct GatewayCommandTests {
    private static let yaml =
        "topics: {a: {retention: 1h}}\nroutes:\n  - {path: /a, to: a, rate: {rps: 5, burst: 10}}\n"

    private struct Files {
        let folder: TemporaryFolder
        var file: String { folder.path + "/routes.yaml" }

        init(_ yaml: String) throws {
            folder = try TemporaryFolder()
            try yaml.write(toFile: file, atomically: false, encoding: .utf8)
        }

        /// Lets the folder look as after a start with this text.
        func serve(_ yaml: String, pid: Int32 = 1, differences: [String] = []) throws {
            let served = folder.path + "/served.yaml"
            try yaml.write(toFile: served, atomically: false, encoding: .utf8)
            let configuration = try Configuration.load(file: served, environment: [:], flags: [])
            var record = RoutesRecord(
                pid: pid, file: file, reads: 1, values: RoutesRecord.values(of: configuration))
            record.leftAsTheyAre = differences
            try Data(record.encoded).write(to: URL(filePath: folder.path + "/" + RoutesRecord.fileName))
        }

        func run(_ command: String, _ more: [String] = []) throws -> CommandRun {
            try CommandRun.of(["gateway", command, "-c", file] + more)
        }
    }

    @Test func routesAreListedOrRefused() throws {
        let files = try Files(Self.yaml)
        let run = try files.run("validate")
        #expect(run.status == 0 && run.output.contains("/a") && run.output.contains("5/s, 10 at once"))
        #expect(run.output.contains("/v1/topics/{topic}/events") && run.output.hasSuffix("\nvalid\n"))
        // It is at the listener of operators alone.
        #expect(!run.output.contains("configuration:reload"))
        let operators = try files.run("validate", ["--set", "admin.listener=127.0.0.1:0"])
        #expect(operators.output.contains("configuration:reload"))
        let operand = try CommandRun.of(["gateway", "validate", files.file])
        #expect(operand.status == 2 && operand.errors.contains("is named by -c \(files.file)"))
        #expect(try JSON(files.run("validate", ["--json"]).output)[0]["topic"].text == "a")
        let wrong = try Files("routes:\n  - path: /a\n    to: a\n    rate: {rps: 0}\n").run("validate")
        #expect(wrong.status == 4 && wrong.errors.contains("line 4") && wrong.errors.contains("routes[0].rate.rps=0"))
        let list = try Files("routes: 5\n")
        #expect(try CommandRun.of(["config", "check", "-c", list.file]).status == 4)
    }

    @Test func aPlanTellsEachDifferenceAndLeavesWithTwo() throws {
        let files = try Files(Self.yaml)
        let data = ["--data-dir", files.folder.path]
        let nobody = try files.run("plan", data)
        #expect(nobody.status == 3 && nobody.errors.contains("--data-dir"))
        let unnamed = try CommandRun.of(["gateway", "plan"] + data)
        #expect(unnamed.status == 2 && unnamed.errors.contains("give -c FILE"))
        try files.serve(Self.yaml)
        let same = try files.run("plan", data)
        #expect(same.status == 0 && same.output.contains("no difference"))
        try files.serve("routes:\n  - {path: /a, to: a, rate: {rps: 6, burst: 10}, success: 200}\n")
        let run = try files.run("plan", data)
        #expect(run.status == 2)
        #expect(
            run.output == """
                ~ routes[0].rate.rps: 6 -> 5
                - routes[0].success: 200
                + topics.a.retention: 1h

                """)
    }

    @Test func nothingIsAppliedWhereNoBrokerRuns() throws {
        let files = try Files(Self.yaml)
        try files.serve("routes: []\n")
        let run = try files.run("apply", ["--data-dir", files.folder.path])
        #expect(run.status == 3 && run.errors.contains("no broker of this user serves"))
    }

    @Test func topicsThatStayAsTheyAreAreTold() throws {
        let files = try Files(Self.yaml)
        let data = ["--data-dir", files.folder.path]
        try files.serve(Self.yaml, differences: ["topics.a.retention.ms: has 1, declared 3600000"])
        for command in ["plan", "apply"] {
            let run = try files.run(command, data)
            #expect(run.status == 0 && run.output.contains("stays: topics.a.retention.ms: has 1, declared 3600000\n"))
        }
        // What the file says otherwise, the broker has not looked at.
        try files.serve(
            "topics: {a: {retention: 2h}}\n", differences: ["topics.a.retention.ms: has 1, declared 7200000"])
        #expect(try files.run("plan", data).output.contains("stays") == false)
    }

    @Test func aBrokerThatIgnoresTheSignalIsNamed() throws {
        let files = try Files(Self.yaml)
        let shell = Process()
        let (input, output) = (Pipe(), Pipe())
        shell.executableURL = URL(filePath: "/bin/sh")
        shell.arguments = ["-c", "trap '' HUP; echo ready; read line"]
        (shell.standardInput, shell.standardOutput) = (input, output)
        try shell.run()
        defer {
            try? input.fileHandleForWriting.close()
            shell.waitUntilExit()
        }
        #expect(output.fileHandleForReading.availableData.isEmpty == false)
        try files.serve("routes: []\n", pid: shell.processIdentifier)
        let lock = try PosixFileSystem().lock(files.folder.path + "/millrace.lock")
        defer { lock.release() }
        let run = try files.run("apply", ["--data-dir", files.folder.path])
        #expect(run.status == 3 && run.errors.contains("SIGHUP ignored") && run.errors.contains("configuration:reload"))
        #expect(shell.isRunning)
    }

    @Test func aRecordIsReadAsItWasWritten() throws {
        var record = RoutesRecord(
            pid: 7, file: "/a b\\n", reads: 3, values: ["routes[0].path": "/a", "x": "1\n2\r\\=3", "y": ""])
        record.problems = ["one\ntwo"]
        record.leftAsTheyAre = ["topics.a.partitions: has 1, declared 2"]
        #expect(RoutesRecord(decoding: record.encoded) == record)
        #expect(RoutesRecord(decoding: Array("something else".utf8)) == nil)
    }
}
