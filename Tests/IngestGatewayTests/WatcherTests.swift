import BrokerCore
import BrokerTestKit
import Configuration
import Foundation
import Glibc
import JobLedger
import StorageIO
import Testing

@testable import IngestGateway

/// Watched directories: each file is taken once, whole, and whatever happens.
@Suite struct WatcherTests {
    /// A directory of its own.
    private final class Landing: Sendable {
        let path = FileManager.default.temporaryDirectory.appending(path: "millrace-\(UUID().uuidString)").path

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        /// Whole at once: a hidden file gets the name.
        func write(_ name: String, _ text: String) throws {
            try text.write(toFile: path + "/.new", atomically: false, encoding: .utf8)
            guard Glibc.rename(path + "/.new", path + "/" + name) == 0 else { throw CocoaError(.fileWriteUnknown) }
        }

        func names(_ folder: String = "") -> [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: path + "/" + folder)) ?? []).sorted()
        }

        /// Files that are neither taken nor on a shelf.
        var waiting: [String] { names().filter { $0 != "done" && $0 != "failed" } }
    }

    private static func yaml(_ landing: Landing, _ keys: String = "", settle: String = "0ms") -> String {
        """
        routes:
          - {id: rows, path: /rows, to: {topic: rows}, file: true, schema: {properties: {n: {type: integer}}}}
          - {id: keyed, path: /keyed, to: {topic: keyed}, file: {quarantine: bad.rows}, key: /user}
        watchers:
          landing: {directory: "\(landing.path)", settle: \(settle), \(keys.isEmpty ? "route: rows" : keys)}
        """
    }

    private func node(
        _ yaml: String, window: Int = 1 << 20, partitions: Int32 = 1,
        fileSystem: SimulatedFileSystem = SimulatedFileSystem()
    ) throws -> (node: GatewayHarness, watchers: [WatcherDefinition]) {
        var options = GatewayOptions()
        options.windowBytes = window
        let configuration = try GatewayConfiguration(yaml: yaml, options)
        let node = try GatewayHarness(
            options, partitions: partitions, configuration: configuration, fileSystem: fileSystem)
        return (node, configuration.watchers)
    }

    /// Runs with the directories watched, and with nobody who watches afterwards.
    private func watching(_ node: GatewayHarness, _ watchers: [WatcherDefinition], _ body: () throws -> Void) throws {
        node.gateway.watch(watchers)
        defer { node.gateway.stopWatching() }
        try body()
    }

    private func status(_ node: GatewayHarness) throws -> [String: Any] {
        let reply = try node.call("GET", "/v1/watchers")
        return try #require((reply.json["watchers"] as? [[String: Any]])?.first, "\(reply.text)")
    }

    /// The name without its job's.
    private static func names(_ landing: Landing, _ shelf: String) -> [String] {
        landing.names(shelf).map { String($0.dropLast(JobID.textLength + 1)) }
    }

    // MARK: Taking

    @Test func filesAreTakenAndMoved() throws {
        let landing = try Landing()
        try landing.write("early.csv", "n\n1\nx\n")
        let (node, watchers) = try self.node(Self.yaml(landing))
        try watching(node, watchers) {
            #expect(eventually { landing.names("done").count == 1 })
            try landing.write("late.ndjson", "{\"n\":2}\n{\"n\":3}\n")
            try landing.write("array.json", "[{\"n\":4},5]")
            #expect(eventually { landing.names("done").count == 3 })
            #expect(landing.waiting.isEmpty && landing.names("failed").isEmpty, "\(landing.names("failed"))")
            #expect(Self.names(landing, "done") == ["array.json", "early.csv", "late.ndjson"])
            #expect(try node.values("rows").sorted() == ["5", "{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":4}"])
            let bad = try node.stored("quarantine.rows").records
            #expect(bad.map(\.value) == ["x"] && bad[0].headers["file"] == "early.csv" && bad[0].headers["line"] == "3")
            let jobs = try #require(try node.call("GET", "/v1/jobs").json["jobs"] as? [[String: Any]])
            #expect(jobs.count == 3 && jobs.allSatisfy { $0["kind"] as? String == "watch" })
            #expect(
                jobs.allSatisfy { $0["state"] as? String == "finished" && $0["route"] as? String == "watcher landing" })
            for job in jobs {
                let (file, id) = (try #require(job["file"] as? String), try #require(job["job_id"] as? String))
                #expect(landing.names("done").contains("\(file).\(id)"))
            }
            #expect(eventually { (try? self.status(node)["done"] as? Int) == 3 })
            let status = try self.status(node)
            #expect(status["failed"] as? Int == 0, "\(status)")
            #expect(status["state"] as? String == "watching" && status["route"] as? String == "rows")
            #expect(node.metric("millrace_watched_files_total{outcome=\"done\"}") == 3)
        }
    }

    @Test func takenFilesAreDeletedWhereThatIsAskedFor() throws {
        let landing = try Landing()
        let (node, watchers) = try self.node(Self.yaml(landing, "route: rows, after: delete, pattern: 'a*'"))
        try watching(node, watchers) {
            try landing.write("a1.csv", "n\n1\n")
            try landing.write("b1.csv", "n\n2\n")
            // What is wrong as a whole is never deleted.
            try landing.write("a2.csv", "n,n\n1,2\n")
            #expect(eventually { landing.names("failed").count == 1 && landing.waiting == ["b1.csv"] })
            #expect(landing.names("done").isEmpty && Self.names(landing, "failed") == ["a2.csv"])
            #expect(try node.values("rows") == ["{\"n\":1}"])
        }
    }

    @Test func filesOfWhichNothingCanBeTakenAreSetAside() throws {
        let landing = try Landing()
        let (node, watchers) = try self.node(Self.yaml(landing))
        try watching(node, watchers) {
            try landing.write("empty.csv", "")
            try landing.write("object.json", "{\"n\":1}")
            try landing.write("cut.json", "[{\"n\":1},")
            try landing.write("text.txt", "n\n1\n")
            #expect(eventually { landing.names("failed").count == 4 }, "\(landing.names())")
            #expect(landing.waiting.isEmpty && landing.names("done").isEmpty)
            #expect(try node.values("rows") == ["{\"n\":1}"])
            let jobs = try node.broker.jobs.jobs()
            #expect(jobs.map(\.state) == [.failed, .failed], "\(jobs)")
            #expect(eventually { (try? self.status(node)["failed"] as? Int) == 4 })
        }
    }

    /// However often it is looked at, what is written to is not taken; once nobody does for long enough, it is.
    @Test func whatIsBeingWrittenIsLeftAlone() throws {
        let landing = try Landing()
        let (node, watchers) = try self.node(Self.yaml(landing, settle: "1h"))
        try landing.write("half.csv", "n\n1\n")
        try watching(node, watchers) {
            #expect(eventually { (try? self.status(node)["unsettled"] as? Int) == 1 })
            let file = try #require(FileHandle(forWritingAtPath: landing.path + "/half.csv"))
            _ = try file.seekToEnd()
            try file.write(contentsOf: Data("2\n".utf8))
            try file.close()
            #expect(eventually { (try? self.status(node)["unsettled"] as? Int) == 1 })
            #expect(landing.waiting == ["half.csv"])
            #expect(try node.broker.jobs.jobs().isEmpty)
        }
        let settled = try GatewayConfiguration(yaml: Self.yaml(landing, settle: "50ms")).watchers
        try watching(node, settled) { #expect(eventually { landing.names("done").count == 1 }) }
        #expect(try node.values("rows") == ["{\"n\":1}", "{\"n\":2}"])
    }

    @Test func nothingButFilesIsTakenAndNothingFromElsewhere() throws {
        let (landing, outside) = (try Landing(), try Landing())
        try outside.write("secret.csv", "n\n1\n")
        #expect(symlink(outside.path + "/secret.csv", landing.path + "/link.csv") == 0)
        #expect(mkfifo(landing.path + "/pipe.csv", 0o600) == 0)
        #expect(mkdir(landing.path + "/folder.csv", 0o700) == 0)
        try landing.write(".hidden.csv", "n\n1\n")
        let isRoot = geteuid() == 0
        if !isRoot {
            try landing.write("closed.csv", "n\n1\n")
            #expect(chmod(landing.path + "/closed.csv", 0) == 0)
        }
        let (node, watchers) = try self.node(Self.yaml(landing))
        try watching(node, watchers) {
            #expect(eventually { (try? self.status(node)["special"] as? Int) == 2 })
            #expect(try self.status(node)["unreadable"] as? Int == (isRoot ? 0 : 1))
            try landing.write("good.csv", "n\n2\n")
            #expect(eventually { landing.names("done").count == 1 })
            #expect(try node.values("rows") == ["{\"n\":2}"])
            let left = [".hidden.csv", "closed.csv", "folder.csv", "link.csv", "pipe.csv"]
            #expect(landing.waiting == left.filter { !isRoot || $0 != "closed.csv" })
        }
    }

    /// A place where files would go that leads elsewhere is none.
    @Test func aShelfThatLeadsElsewhereIsRefused() throws {
        let (landing, outside) = (try Landing(), try Landing())
        #expect(symlink(outside.path, landing.path + "/done") == 0)
        try landing.write("a.csv", "n\n1\n")
        let (node, watchers) = try self.node(Self.yaml(landing))
        try watching(node, watchers) {
            #expect(eventually { (try? self.status(node)["state"] as? String) == "waiting" })
            let status = try self.status(node)
            #expect((status["problem"] as? String)?.contains("is no directory") == true, "\(status)")
            let jobs = try node.broker.jobs.jobs()
            #expect(landing.waiting == ["a.csv"] && jobs.isEmpty)
        }
    }

    @Test func aBurstOfFilesIsTakenAFewAtATime() throws {
        let landing = try Landing()
        let count = 400
        for number in 0..<count / 2 { try landing.write("\(number).ndjson", "{\"n\":\(number)}\n") }
        let (node, watchers) = try self.node(Self.yaml(landing))
        try watching(node, watchers) {
            for number in count / 2..<count { try landing.write("\(number).ndjson", "{\"n\":\(number)}\n") }
            var most = 0
            #expect(
                try eventually {
                    most = max(most, try node.broker.jobs.jobs().count { $0.state == .running })
                    return landing.names("done").count == count
                })
            #expect(most <= WatchRun.mostAtHand)
            #expect(Set(try node.values("rows")) == Set((0..<count).map { "{\"n\":\($0)}" }))
            #expect(try node.values("rows").count == count)
        }
    }

    // MARK: Stops

    private static let rowCount = 300

    /// Rows of a file, some of which are wrong, some without a key.
    private static func rows(_ file: Int) -> [String] {
        (0..<rowCount).map { row in
            row % 9 == 0 ? "\(file)-\(row)" : row % 5 == 0 ? ",\(file)-\(row)" : "u\(row % 7),\(file)-\(row)"
        }
    }

    private static func isBad(_ row: String) -> Bool { !row.contains(",") }

    private func check(
        _ node: GatewayHarness, _ landing: Landing, files: Int, _ note: String
    ) throws {
        #expect(eventually { landing.waiting.isEmpty }, "\(note): \(landing.waiting)")
        #expect(landing.names("failed").isEmpty && landing.names("done").count == files, "\(note)")
        let rows = (0..<files).flatMap { Self.rows($0) }
        let good = rows.filter { !Self.isBad($0) }.map { row in
            let cells = row.split(separator: ",", omittingEmptySubsequences: false)
            return cells[0].isEmpty
                ? "{\"text\":\"\(cells[1])\"}" : "{\"user\":\"\(cells[0])\",\"text\":\"\(cells[1])\"}"
        }
        #expect(try node.values("keyed").sorted() == good.sorted(), "\(note)")
        #expect(try node.values("bad.rows").sorted() == rows.filter(Self.isBad).sorted(), "\(note)")
    }

    /// The power goes at a random moment, and what was not synced is there or not: each row of each file is stored once.
    @Test func afterACrashEachFileIsTakenOnce() throws {
        let files = 6
        var resumed = 0
        let seeds = testSeeds(10)
        for seed in seeds {
            let landing = try Landing()
            for file in 0..<files {
                try landing.write("\(file).csv", "user,text\n" + Self.rows(file).joined(separator: "\n"))
            }
            let yaml = Self.yaml(landing, "route: keyed")
            var (node, watchers) = try self.node(yaml, window: 200, partitions: 3)
            for round in 0..<3 {
                let wanted = (Int(seed) * 37 + round * 400) % 1300
                try watching(node, watchers) {
                    let isThere = try eventually { try node.values("keyed").count >= wanted }
                    #expect(isThere, "seed \(seed), round \(round)")
                }
                let image = node.fileSystem.crash(keeping: .random, seed: seed &+ UInt64(round))
                (node, watchers) = try self.node(yaml, window: 200, partitions: 3, fileSystem: image)
                resumed += try node.broker.jobs.jobs().count { $0.state == .running && $0.progress.rows > 0 }
            }
            try watching(node, watchers) { try check(node, landing, files: files, "seed \(seed)") }
            let jobs = try node.broker.jobs.jobs().filter { $0.state == .finished }
            #expect(jobs.count == files && jobs.allSatisfy { $0.progress.rows == Int64(Self.rowCount) }, "seed \(seed)")
            #expect(jobs.allSatisfy { $0.progress.line == Int64(Self.rowCount + 1) }, "seed \(seed)")
        }
        // Of one seed there may be none.
        #expect(resumed > 0 || seeds.count == 1)
    }

    /// Another configuration while files are at hand: they are taken up again.
    @Test func filesAtHandAreTakenUpByTheNextConfiguration() throws {
        let landing = try Landing()
        for file in 0..<3 { try landing.write("\(file).csv", "user,text\n" + Self.rows(file).joined(separator: "\n")) }
        let (node, watchers) = try self.node(Self.yaml(landing, "route: keyed"), window: 100, partitions: 3)
        defer { node.gateway.stopWatching() }
        node.gateway.watch(watchers)
        for round in 0..<6 {
            #expect(try eventually { try node.values("keyed").count >= round * 100 })
            let next = Self.yaml(landing, "route: keyed", settle: "\(round % 2 + 1)ms")
            node.gateway.watch(try GatewayConfiguration(yaml: next).watchers)
        }
        try check(node, landing, files: 3, "after other configurations")
    }

    @Test func aJobThatNobodyWatchesForEnds() throws {
        let landing = try Landing()
        try landing.write("0.csv", "user,text\n" + Self.rows(0).joined(separator: "\n"))
        let (node, watchers) = try self.node(Self.yaml(landing, "route: keyed"), window: 60)
        defer { node.gateway.stopWatching() }
        node.gateway.watch(watchers)
        #expect(try eventually { try node.values("keyed").count > 0 })
        node.gateway.watch([])
        #expect(try eventually { try node.broker.jobs.jobs().allSatisfy { $0.state != .running } })
        let job = try #require(try node.broker.jobs.jobs().first)
        let stored = try node.values("keyed").count
        #expect(job.progress.accepted == Int64(stored))
        if job.state != .finished {
            #expect(job.reason?.contains("not watched any more") == true && landing.waiting == ["0.csv"])
        }
    }

    @Test func aCancelledFileIsSetAside() throws {
        let landing = try Landing()
        let rows = (0..<20_000).map { "u,\($0)" }
        try landing.write("0.csv", "user,text\n" + rows.joined(separator: "\n"))
        let (node, watchers) = try self.node(Self.yaml(landing, "route: keyed"), window: 40)
        try watching(node, watchers) {
            #expect(try eventually { try node.values("keyed").count > 0 })
            let id = try #require(try node.broker.jobs.jobs().first?.id)
            #expect(try node.call("POST", "/v1/jobs/\(id.text):cancel", "{}").status == 202)
            #expect(eventually { landing.names("failed") == ["0.csv.\(id.text)"] })
            let job = try node.broker.jobs.job(id)
            #expect(job.state == .cancelled)
            let stored = try node.values("keyed").count
            #expect(job.progress.accepted == Int64(stored))
        }
    }

    /// What is stored when the watching stops is counted: no route that is another one then has a say in it.
    @Test func aStopLeavesNothingThatItsJobDoesNotCount() throws {
        let landing = try Landing()
        try landing.write("0.csv", "user,text\n" + (0..<20_000).map { "u,\($0)" }.joined(separator: "\n"))
        let (node, watchers) = try self.node(Self.yaml(landing, "route: keyed"), window: 40)
        try watching(node, watchers) {
            let isBegun = try eventually { try node.values("keyed").count > 0 }
            #expect(isBegun)
        }
        let (job, stored) = (try #require(try node.broker.jobs.jobs().first), try node.values("keyed").count)
        #expect(job.state == .running && job.progress.accepted == Int64(stored))
        #expect(job.floors == node.broker.jobs.floors(topic: "keyed", quarantine: "bad.rows"))
    }

    /// After a start it waits for its file to settle, and is cancelled meanwhile.
    @Test func aFileThatIsCancelledWhileNobodyIsAtItIsSetAside() throws {
        let landing = try Landing()
        try landing.write("0.csv", "user,text\n" + (0..<20_000).map { "u,\($0)" }.joined(separator: "\n"))
        let (node, watchers) = try self.node(Self.yaml(landing, "route: keyed"), window: 40)
        try watching(node, watchers) {
            let isBegun = try eventually { try node.values("keyed").count > 0 }
            #expect(isBegun)
        }
        let image = node.fileSystem.crash(keeping: .everything, seed: 1)
        let (next, nextWatchers) = try self.node(
            Self.yaml(landing, "route: keyed", settle: "3s"), window: 40, fileSystem: image)
        // It is the same file, and has changed just now.
        #expect(chmod(landing.path + "/0.csv", 0o640) == 0)
        try watching(next, nextWatchers) {
            #expect(eventually { (try? self.status(next)["unsettled"] as? Int) == 1 })
            let id = try #require(try next.broker.jobs.jobs().first?.id)
            #expect(try next.call("POST", "/v1/jobs/\(id.text):cancel", "{}").status == 202)
            #expect(eventually { landing.names("failed") == ["0.csv.\(id.text)"] })
            let job = try next.broker.jobs.job(id)
            #expect(job.state == .cancelled)
        }
    }

    @Test func aFileThatIsTakenUpWithAnotherTopicFails() throws {
        let landing = try Landing()
        try landing.write("0.csv", "user,text\n" + (0..<20_000).map { "u,\($0)" }.joined(separator: "\n"))
        let yaml = Self.yaml(landing, "route: keyed")
        let (node, watchers) = try self.node(yaml, window: 40)
        try watching(node, watchers) {
            let isBegun = try eventually { try node.values("keyed").count > 0 }
            #expect(isBegun)
        }
        let image = node.fileSystem.crash(keeping: .everything, seed: 1)
        let other = yaml.replacingOccurrences(of: "to: {topic: keyed}", with: "to: {topic: other}")
        let (next, nextWatchers) = try self.node(other, window: 40, fileSystem: image)
        try watching(next, nextWatchers) { #expect(eventually { landing.names("failed").count == 1 }) }
        let job = try #require(try next.broker.jobs.jobs().first)
        #expect(job.state == .failed && job.reason?.contains("another topic") == true, "\(job)")
        let stored = try next.values("keyed").count
        #expect(job.progress.accepted == Int64(stored))
    }

    /// What was written to after it was read is deleted by nobody, and a shelf stays the one that was opened.
    @Test func bytesThatNobodyHasReadAreKept() throws {
        let (landing, outside) = (try Landing(), try Landing())
        for name in ["a", "b"] { try landing.write(name, "1\n") }
        let folder = try WatchedFolder(landing.path)
        var found: [String: WatchedFolder.Found] = [:]
        while let entry = folder.nextEntry(like: "*") {
            if case .file(let file) = entry { found[file.name] = file }
        }
        let (a, b) = (try #require(found["a"]), try #require(found["b"]))
        let handle = try #require(FileHandle(forWritingAtPath: landing.path + "/a"))
        try handle.seekToEnd()
        try handle.write(contentsOf: Array("2\n".utf8))
        try handle.close()
        let job = JobID(high: 1, low: 1)
        let shelfOfA = try folder.remove("a", a.identity, to: nil, job)
        #expect(shelfOfA == .failed)
        #expect(landing.names("failed") == ["a." + job.text])
        #expect(Glibc.rename(landing.path + "/done", landing.path + "/before") == 0)
        #expect(symlink(outside.path, landing.path + "/done") == 0)
        let shelfOfB = try folder.remove("b", b.identity, to: .done, job)
        #expect(shelfOfB == .done)
        #expect(landing.names("before") == ["b." + job.text] && outside.names().isEmpty)
    }

    @Test func withoutAPipeDirectoriesAreLookedAtNowAndThen() throws {
        let events = DirectoryEvents { _ in -1 }
        events.wake()
        // Comes back, though nobody can wake it.
        #expect(events.wait(timeoutMs: nil) == .none)
    }

    // MARK: Words

    @Test(
        arguments: [
            "{route: rows}", "{directory: /a}", "{directory: a, route: rows}", "{directory: /a, route: none}",
            "{directory: /a, route: plain}", "{directory: /a, route: rows, pattern: a/b}",
            "{directory: /a, route: rows, format: xml}",
            "{directory: /a, route: rows, format: json}", "{directory: /a, route: rows, after: keep}",
            "{directory: /a, route: rows, settle: 2h}", "{directory: /a, route: rows, other: 1}",
        ])
    func whatIsWrongOfAWatcherIsRefused(text: String) throws {
        let routes = """
            routes:
              - {id: rows, path: /rows, to: {topic: rows}, file: true, formats: [csv, ndjson]}
              - {id: plain, path: /plain, to: {topic: plain}}
            watchers:

            """
        #expect(throws: ConfigurationError.self) { try GatewayConfiguration(yaml: routes + "  one: \(text)\n") }
        let good = "  one: {directory: /a, route: rows, format: csv, after: delete, settle: 2s, pattern: '*.csv'}\n"
        #expect(try GatewayConfiguration(yaml: routes + good).watchers.count == 1)
        #expect(throws: ConfigurationError.self) {
            try GatewayConfiguration(yaml: routes + good + good.replacing("one", with: "two"))
        }
    }

    @Test func aLongNameHasRoomForItsJob() {
        let id = JobID(high: 1, low: 2)
        #expect(WatchedFolder.shelved("a.csv", id) == "a.csv.\(id.text)")
        let long = WatchedFolder.shelved(String(repeating: "é", count: 127), id)
        #expect(long.utf8.count <= 255 && long.hasSuffix(".\(id.text)") && long.hasPrefix("éé"))
    }
}
