import BrokerTestKit
import Configuration
import Foundation
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
        func serve(_ yaml: String) throws {
            let served = folder.path + "/served.yaml"
            try yaml.write(toFile: served, atomically: false, encoding: .utf8)
            let configuration = try Configuration.load(file: served, environment: [:], flags: [])
            let record = RoutesRecord(
                pid: 1, file: file, reads: 1, values: RoutesRecord.values(of: configuration))
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
        #expect(run.output.contains("/v1/topics/{topic}/events"))
        #expect(try JSON(files.run("validate", ["--json"]).output)[0]["topic"].text == "a")
        let wrong = try Files("routes:\n  - path: /a\n    to: a\n    rate: {rps: 0}\n").run("validate")
        #expect(wrong.status == 4 && wrong.errors.contains("line 4") && wrong.errors.contains("routes[0].rate.rps=0"))
        let list = try Files("routes: 5\n")
        #expect(try CommandRun.of(["config", "check", "-c", list.file]).status == 4)
    }

    @Test func aPlanTellsEachDifferenceAndLeavesWithTwo() throws {
        let files = try Files(Self.yaml)
        let data = ["--data-dir", files.folder.path]
        #expect(try files.run("plan", data).status == 3)
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

    @Test func aRecordIsReadAsItWasWritten() throws {
        var record = RoutesRecord(
            pid: 7, file: "/a b\\n", reads: 3, values: ["routes[0].path": "/a", "x": "1\n2\r\\=3", "y": ""])
        record.problems = ["one\ntwo"]
        #expect(RoutesRecord(decoding: record.encoded) == record)
        #expect(RoutesRecord(decoding: Array("something else".utf8)) == nil)
    }
}
