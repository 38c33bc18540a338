import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import JobLedger
import StorageIO
import Testing

@testable import IngestGateway

/// Runs of pulls against a server that is played: what is stored, what is told, and what a crash leaves.
@Suite struct PullTests {
    private static let yaml = """
        auth: {secrets: {token: {env: TOKEN}}}
        pulls:
          items:
            url: http://h/items
            to: {topic: rows}
            records: /data
            key: /user
            schema: {required: [id]}
            pages: {by: next, pointer: /next}
            headers: {Accept: application/json, Authorization: {secret: token, prefix: Token}}
            retry: {attempts: 3, base: 1ms, cap: 2ms, retry_after: 5ms}
            redirects: 2
        """

    /// What a server is asked, and what it answers.
    private final class Server: PullSource {
        typealias Answer = @Sendable (_ address: WebAddress, _ headers: [String]) -> Result<PullReply, PullFailure>
        private let answer: Answer
        private let asked: Lock<[String]>
        /// The page at which nothing comes until nobody waits for it any more.
        private let hangsAt: Int?

        init(_ asked: Lock<[String]>, hangsAt: Int?, _ answer: @escaping Answer) {
            (self.asked, self.hangsAt, self.answer) = (asked, hangsAt, answer)
        }

        func get(
            _ address: WebAddress, headers: [String], isStopping: @escaping @Sendable () -> Bool
        ) -> Result<PullReply, PullFailure> {
            asked.withLock { $0.append(address.text) }
            guard PullTests.number(address) == hangsAt else { return answer(address, headers) }
            let pause = Signal()
            while !isStopping() { pause.wait(timeoutMs: 1) }
            return .failure(.passing("was given up"))
        }
    }

    private static func reply(_ body: String, _ status: Int = 200) -> Result<PullReply, PullFailure> {
        .success(PullReply(status: status, body: Array(body.utf8)))
    }

    private static func rows(_ numbers: Range<Int>) -> [String] {
        numbers.map { $0 % 7 == 3 ? "{\"user\":\($0 % 5)}" : "{\"id\":\($0),\n\"user\":\($0 % 5)}" }
    }

    /// Page `number` of `pages`, from 1, of ten rows each.
    private static func page(_ number: Int, of pages: Int) -> String {
        let next = number < pages ? "\"/items?page=\(number + 1)\"" : "null"
        return "{\"data\":[\(rows((number - 1) * 10..<number * 10).joined(separator: ","))],\"next\":\(next)}"
    }

    private static func number(_ address: WebAddress) -> Int {
        Int(address.text.split(separator: "=").last ?? "") ?? 1
    }

    private func node(
        _ asked: Lock<[String]> = Lock([]), yaml: String = yaml, partitions: Int32 = 3, window: Int = 200,
        fileSystem: SimulatedFileSystem = SimulatedFileSystem(), hangsAt: Int? = nil, _ answer: @escaping Server.Answer
    ) throws -> GatewayHarness {
        var options = GatewayOptions()
        options.windowBytes = window
        let configuration = try GatewayConfiguration(yaml: yaml, environment: ["TOKEN": "canary"], options)
        let node = try GatewayHarness(
            options, partitions: partitions, configuration: configuration, fileSystem: fileSystem)
        node.gateway.pulls.replace(configuration.pulls, of: node.gateway) { _ in Server(asked, hangsAt: hangsAt, answer)
        }
        return node
    }

    private func begin(_ node: GatewayHarness) throws -> HTTPReply {
        var reply = try run(node)
        // Until it is known that nothing was left behind.
        _ = try eventually {
            if reply.status == 503 { reply = try run(node) }
            return reply.status != 503
        }
        return reply
    }

    private func run(_ node: GatewayHarness, _ name: String = "items") throws -> HTTPReply {
        try node.call("POST", "/v1/pulls/\(name):run", "{}", fields: ["Content-Type: application/json"])
    }

    private func ended(_ node: GatewayHarness) throws -> Job {
        #expect(eventually { (try? node.broker.jobs.jobs().first?.state).map { $0 != .running } ?? false })
        return try #require(try node.broker.jobs.jobs().first)
    }

    /// Good rows as they are stored, without regard to their order.
    private static func good(_ numbers: Range<Int>) -> [String] {
        rows(numbers).filter { $0.contains("id") }.map { $0.replacing("\n", with: " ") }.sorted()
    }

    // MARK: A run

    @Test func allPagesAreStoredAndTold() throws {
        let asked = Lock<[String]>([])
        let headers = Lock<[String]>([])
        let node = try node(asked) { address, lines in
            headers.withLock { $0 = lines }
            return Self.reply(Self.page(Self.number(address), of: 3))
        }
        defer { node.gateway.pulls.stop() }
        let reply = try begin(node)
        #expect(
            reply.status == 202 && reply.string("kind") == "pull" && reply.string("pull") == "items", "\(reply.text)")
        let job = try ended(node)
        #expect(job.id.text == reply.string("job_id") && job.state == .finished && job.reason == nil)
        #expect(job.pull == PullProgress(name: "items", pages: 3, place: "http://h/items?page=3"))
        #expect(job.progress.accepted == 26 && job.progress.rejected == 4 && job.progress.line == 30)
        #expect(job.progress.bytes == Int64((1...3).reduce(0) { $0 + Self.page($1, of: 3).utf8.count }))
        #expect(asked.withLock { $0 } == ["http://h/items", "http://h/items?page=2", "http://h/items?page=3"])
        #expect(headers.withLock { $0 } == ["Accept: application/json", "Authorization: Token canary"])
        #expect(try node.values("rows").sorted() == Self.good(0..<30))
        for record in try node.stored("rows").records {
            let line = try #require(record.headers["line"].flatMap { Int($0) })
            #expect(record.value == Self.rows(line - 1..<line)[0].replacing("\n", with: " "))
            #expect(record.key == "\((line - 1) % 5)" && record.headers["event_id"] != nil)
        }
        let bad = try node.stored("quarantine.rows").records
        #expect(bad.map(\.value) == [3, 10, 17, 24].map { "{\"user\":\($0 % 5)}" })
        #expect(bad.map { $0.headers["line"] } == ["4", "11", "18", "25"])
        #expect(bad[0].headers["reason"]?.contains("id") == true && bad[0].headers["job_id"] == job.id.text)
        #expect(job.rejected.map(\.line) == [4, 11, 18, 25])
        let shown = try node.call("GET", "/v1/pulls")
        #expect(shown.status == 200 && !shown.text.contains("canary"), "\(shown.text)")
        let pull = try #require((shown.json["pulls"] as? [[String: Any]])?.first)
        #expect(pull["name"] as? String == "items" && pull["url"] as? String == "http://h/items")
        #expect((pull["job"] as? [String: Any])?["pages"] as? Int == 3 && pull["every_ms"] is NSNull)
        let described = try node.call("GET", "/v1/jobs/\(job.id.text)")
        #expect(described.string("state") == "finished" && described.string("pull") == "items")
    }

    @Test func whatPassesIsAskedForAgainAndWhatLastsEndsTheRun() throws {
        let cases: [(Result<PullReply, PullFailure>, words: String?)] = [
            (Self.reply("", 429), nil), (Self.reply("", 500), nil), (Self.reply("", 503), nil),
            (Self.reply("", 408), nil),
            (.failure(.passing("could not be had")), nil), (Self.reply("{\"data\":["), nil),
            (Self.reply("", 404), "Page 2 was answered 404."), (Self.reply("", 401), "answered 401"),
            (Self.reply("<html>"), "Page 2 is no JSON"), (Self.reply("[]"), "has no list at /data"),
            (.failure(.lasting("is forbidden")), "Page 2 is forbidden"), (Self.reply("", 304), "answered 304"),
        ]
        for (trouble, words) in cases {
            let asked = Lock<[String]>([])
            let node = try node(asked) { address, _ in
                // The second page, until it was asked for three times.
                let tries = asked.withLock { asked in asked.count { $0 == address.text } }
                return Self.number(address) == 2 && tries < 3
                    ? trouble : Self.reply(Self.page(Self.number(address), of: 2))
            }
            #expect(try begin(node).status == 202)
            let job = try ended(node)
            let count = asked.withLock { $0.count }
            if let words {
                #expect(job.state == .failed && job.reason?.contains(words) == true && count == 2, "\(job)")
                #expect(job.pull?.pages == 1 && job.progress.rows == 10)
            } else {
                #expect(job.state == .finished && count == 4 && job.progress.rows == 20, "\(job)")
            }
            node.gateway.pulls.stop()
        }
    }

    @Test func noMoreTriesAreMadeThanMay() throws {
        let asked = Lock<[String]>([])
        let node = try node(asked) { _, _ in
            .success(PullReply(status: 503, body: [], retryAfter: "3600"))
        }
        defer { node.gateway.pulls.stop() }
        #expect(try begin(node).status == 202)
        let job = try ended(node)
        #expect(job.reason == "Page 1 was asked for 3 times, and was answered 503.", "\(job)")
        #expect(asked.withLock { $0.count } == 3 && job.progress.rows == 0)
    }

    @Test func redirectionsAreFollowedWithoutWhatLogsIn() throws {
        let seen = Lock<[String: [String]]>([:])
        let node = try node { address, headers in
            seen.withLock { $0[address.text] = headers }
            func go(_ target: String) -> Result<PullReply, PullFailure> {
                .success(PullReply(status: 302, body: [], location: target))
            }
            switch address.text {
            case "http://h/items": return go("/moved")
            case "http://h/moved": return go("http://other/items")
            case "http://other/items":
                return Self.reply("{\"data\":[{\"id\":1}],\"next\":\"http://h/loop\"}")
            default: return go("/loop")
            }
        }
        defer { node.gateway.pulls.stop() }
        #expect(try begin(node).status == 202)
        let job = try ended(node)
        #expect(job.reason?.contains("redirected more than 2 times") == true, "\(job)")
        #expect(job.progress.accepted == 1)
        let headers = seen.withLock { $0 }
        #expect(headers["http://h/moved"]?.count == 2 && headers["http://other/items"]?.isEmpty == true)
    }

    @Test func oneRunAtATimeAndItCanBeEnded() throws {
        let node = try node(hangsAt: 2) { address, _ in Self.reply(Self.page(Self.number(address), of: 3)) }
        defer { node.gateway.pulls.stop() }
        let begun = try begin(node)
        #expect(begun.status == 202)
        #expect(eventually { (try? node.broker.jobs.jobs().first?.pull?.pages) == 1 })
        let second = try run(node)
        #expect(second.status == 409 && second.string("code") == "pull_runs", "\(second.text)")
        #expect(try run(node, "none").status == 404)
        let id = try #require(begun.string("job_id"))
        let cancelled = try node.call("POST", "/v1/jobs/\(id):cancel", "{}", fields: ["Content-Type: application/json"])
        #expect(cancelled.status == 202)
        let job = try ended(node)
        #expect(job.state == .cancelled && job.progress.rows == 10 && job.pull?.pages == 1, "\(job)")
        #expect(eventually { (try? run(node).status) == 202 })
    }

    @Test func runsBeginByThemselves() throws {
        let node = try node(yaml: Self.yaml + "\n    every: 1s\n") { address, _ in
            Self.reply(Self.page(Self.number(address), of: 1))
        }
        defer { node.gateway.pulls.stop() }
        #expect(eventually { ((try? node.broker.jobs.jobs()) ?? []).count { $0.state == .finished } >= 2 })
        let jobs = try node.broker.jobs.jobs().sorted { $0.id < $1.id }
        #expect(jobs[1].createdMs - jobs[0].createdMs >= 1_000)
    }

    @Test func aPullThatChangesEndsItsRun() throws {
        let node = try node(hangsAt: 2) { address, _ in Self.reply(Self.page(Self.number(address), of: 3)) }
        defer { node.gateway.pulls.stop() }
        #expect(try begin(node).status == 202)
        #expect(eventually { (try? node.broker.jobs.jobs().first?.pull?.pages) == 1 })
        node.gateway.pulls.replace([], of: node.gateway) { _ in preconditionFailure("a pull that is none") }
        let job = try ended(node)
        #expect(job.state == .cancelled && job.reason?.contains("configuration") == true, "\(job)")
        #expect(job.progress.accepted == Int64(try node.values("rows").count) && job.progress.rows == 10)
        #expect(try run(node).status == 404)
    }

    // MARK: Crashes

    /// Every row of every page is there once, whenever the power goes and whatever of the last commits is on disk.
    @Test func afterACrashARunGoesOnAndEachRowIsThereOnce() throws {
        let pages = 6
        var resumed = 0
        for seed in testSeeds(12) {
            // Some while nothing comes, the others wherever the run is just then.
            let limit = Int(seed % 5) + 2
            let first = try node(hangsAt: seed % 2 == 0 ? limit : nil) { address, _ in
                Self.reply(Self.page(Self.number(address), of: pages))
            }
            #expect(try begin(first).status == 202)
            if seed % 3 != 0 {
                #expect(
                    eventually {
                        (try? first.broker.jobs.jobs().first?.pull?.pages).map { $0 >= Int64(limit - 1) } ?? false
                    })
            }
            let image = first.fileSystem.crash(keeping: .random, seed: seed)
            first.gateway.pulls.stop()
            let asked = Lock<[String]>([])
            let second = try node(asked, fileSystem: image) { address, _ in
                Self.reply(Self.page(Self.number(address), of: pages))
            }
            defer { second.gateway.pulls.stop() }
            guard let left = try second.broker.jobs.jobs().first else {
                #expect(try second.values("rows").isEmpty, "seed \(seed)")
                continue
            }
            let job = try ended(second)
            #expect(job.id == left.id && job.state == .finished, "seed \(seed): \(job)")
            if !asked.withLock({ $0.isEmpty }) { resumed += 1 }
            #expect(try second.values("rows").sorted() == Self.good(0..<pages * 10), "seed \(seed)")
            #expect(
                try second.values("quarantine.rows").count == Self.rows(0..<pages * 10).count { !$0.contains("id") })
            #expect(job.progress.accepted == Int64(Self.good(0..<pages * 10).count), "seed \(seed): \(job)")
            #expect(job.progress.rows == Int64(pages * 10) && job.progress.line == Int64(pages * 10))
            #expect(job.pull?.pages == Int64(pages))
        }
        #expect(resumed > 0)
    }

    /// A server that stops in order leaves the run to the next one.
    @Test func aStopLeavesTheRun() throws {
        let first = try node(hangsAt: 3) { address, _ in Self.reply(Self.page(Self.number(address), of: 4)) }
        #expect(try begin(first).status == 202)
        #expect(eventually { (try? first.broker.jobs.jobs().first?.pull?.pages) == 2 })
        first.gateway.pulls.stop()
        let left = try #require(try first.broker.jobs.jobs().first)
        #expect(left.state == .running && left.progress.rows == 20)
        let second = try node(fileSystem: first.fileSystem.crash(keeping: .everything, seed: 1)) { address, _ in
            Self.reply(Self.page(Self.number(address), of: 4))
        }
        defer { second.gateway.pulls.stop() }
        let job = try ended(second)
        #expect(job.id == left.id && job.state == .finished && job.progress.rows == 40, "\(job)")
        #expect(try second.values("rows").sorted() == Self.good(0..<40))
    }

    @Test func whatNobodyGoesOnWithIsEnded() throws {
        let first = try node(hangsAt: 2) { address, _ in Self.reply(Self.page(Self.number(address), of: 3)) }
        #expect(try begin(first).status == 202)
        #expect(eventually { (try? first.broker.jobs.jobs().first?.pull?.pages) == 1 })
        let image = first.fileSystem.crash(keeping: .everything, seed: 1)
        first.gateway.pulls.stop()
        for (yaml, words) in [
            ("pulls: {}", "no such pull"),
            (Self.yaml.replacing("http://h/items", with: "http://h/others"), "another address"),
        ] {
            let second = try node(yaml: yaml, fileSystem: image.crash(keeping: .everything, seed: 2)) { _, _ in
                Self.reply("", 404)
            }
            let job = try ended(second)
            #expect(job.state == .failed && job.reason?.contains(words) == true, "\(job)")
            #expect(job.progress.accepted == Int64(try second.values("rows").count) && job.progress.accepted > 0)
            second.gateway.pulls.stop()
        }
    }

    // MARK: Configuration

    @Test func whatIsWrittenIsRead() throws {
        let pull = try #require(
            try GatewayConfiguration(
                yaml: """
                    auth: {secrets: {token: {env: TOKEN}}}
                    pulls:
                      all:
                        url: https://api.internal/v1/items?kind=a
                        to: {topic: rows}
                        every: 15m
                        pages: {by: cursor, parameter: after, pointer: /meta/next, size: 100, size_parameter: limit}
                        max_pages: 50
                        max_bytes: 1MiB
                        timeout: 5s
                        redirects: 0
                        allow: [10.0.0.0/8, "fd00::/8"]
                        origins: https://Pages.internal
                        ca: /etc/ca.pem
                        quarantine: bad
                        retry: {attempts: 2, base: 1s, cap: 10s, retry_after: 1m}
                        enrich: {headers: {event_id: uuidv7}}
                    """, environment: ["TOKEN": "canary"]
            ).pulls.first)
        #expect(
            pull.everyMs == 900_000 && pull.maxBytes == 1 << 20 && pull.timeoutMs == 5_000 && pull.maxRedirects == 0)
        #expect(pull.pages.maxPages == 50 && pull.pages.origins == ["https://pages.internal:443"])
        #expect(pull.pages.size == PullPages.Plan.Size(parameter: "limit", rows: 100))
        #expect(pull.allowed.count == 2 && pull.authorityFile == "/etc/ca.pem" && pull.quarantine == "bad")
        #expect(pull.retry == PullRetry.Rule(attempts: 2, baseMs: 1_000, mostMs: 10_000, mostAskedMs: 60_000))
        #expect(pull.records == nil && pull.plan.headers.map(\.name) == ["event_id"])
        guard case .cursor("after", let pointer) = pull.pages.pagination else {
            Issue.record("\(pull.pages.pagination)")
            return
        }
        #expect(pointer.text == "/meta/next")
    }

    @Test(arguments: [
        ("p: {to: {topic: t}}", "must say url"), ("p: {url: \"http://h/\"}", "nothing says where"),
        ("\"a b\": {url: \"http://h/\", to: {topic: t}}", "the name of a pull"),
        ("p: {url: \"ftp://h/\", to: {topic: t}}", "is no address"),
        ("p: {url: \"http://user:canary@h/\", to: {topic: t}}", "is no address"),
        ("p: {url: \"http://h/\", to: {queue: q}}", "rows go to a topic"),
        ("p: {url: \"http://h/\", to: {topic: t}, quarantine: t}", "in one topic"),
        ("p: {url: \"http://h/\", to: {topic: t}, key: Partition-Key}", "no request"),
        ("p: {url: \"http://h/\", to: {topic: t}, every: 0s}", "pulls.p.every"),
        ("p: {url: \"http://h/\", to: {topic: t}, records: data}", "must be a JSON pointer"),
        ("p: {url: \"http://h/\", to: {topic: t}, pages: {}}", "must say by"),
        ("p: {url: \"http://h/\", to: {topic: t}, pages: {by: luck}}", "pulls.p.pages.by"),
        ("p: {url: \"http://h/\", to: {topic: t}, pages: {by: next}}", "must say pointer"),
        ("p: {url: \"http://h/\", to: {topic: t}, pages: {by: link, pointer: /a}}", "pages by link have none"),
        ("p: {url: \"http://h/\", to: {topic: t}, pages: {by: page, size: 5}}", "both of size"),
        ("p: {url: \"http://h/\", to: {topic: t}, headers: {X: {secret: nothing}}}", "no secret of this name"),
        ("p: {url: \"http://h/\", to: {topic: t}, headers: {\"a:b\": c}}", "no name of a header"),
        ("p: {url: \"http://h/\", to: {topic: t}, allow: everything}", "is no network"),
        ("p: {url: \"http://h/\", to: {topic: t}, allow: 10.1.2.3/8}", "is no network"),
        ("p: {url: \"http://h/\", to: {topic: t}, max_bytes: 17MiB}", "pulls.p.max_bytes"),
        ("p: {url: \"http://h/\", to: {topic: t}, redirects: 11}", "pulls.p.redirects"),
        ("p: {url: \"http://h/\", to: {topic: t}, retry: {attempts: 0}}", "pulls.p.retry.attempts"),
    ]) func whatIsWrongIsTold(_ line: String, _ words: String) {
        do {
            _ = try GatewayConfiguration(yaml: "pulls:\n  " + line)
            Issue.record("\(line) is taken")
        } catch {
            #expect("\(error)".contains(words) && !"\(error)".contains("canary"), "\(error)")
        }
    }
}
