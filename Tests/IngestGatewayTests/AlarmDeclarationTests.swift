import Alarms
import Configuration
import Telemetry
import Testing

@testable import IngestGateway

@Suite struct AlarmDeclarationTests {
    private func problems(_ yaml: String) -> [String] {
        do {
            _ = try GatewayConfiguration(yaml: yaml, environment: ["HOOK": "whsec_c2VjcmV0"])
            return []
        } catch {
            return "\(error)".split(separator: "\n").map(String.init)
        }
    }

    @Test func whatIsWrittenIsRead() throws {
        let rules = try GatewayConfiguration(
            yaml: #"""
                auth: {secrets: {ops: {env: HOOK}}}
                alarms:
                  depth:
                    metric: 'millrace_queue_messages{queue="jobs",state="visible"}'
                    above: 1000
                    for: 3/5x2m
                    missing: ok
                    topic: alarms
                    webhook: {url: 'https://ops.internal/hook', secret: ops}
                  refusals: {metric: 'millrace_http_requests_total{status="4*"}', share: millrace_http_requests_total, above: 0.5}
                  slow-commits: {metric: millrace_storage_commit_seconds, percentile: 50, above: 1e-3}
                  damage: {enabled: false}
                """#, environment: ["HOOK": "whsec_c2VjcmV0"]
        ).alarms
        let depth = try #require(rules.first { $0.name == "depth" })
        #expect("\(depth.metric)" == #"millrace_queue_messages{queue="jobs",state="visible"}"#)
        #expect(depth.bound == .above(1000) && (depth.wrong, depth.periods, depth.periodMs) == (3, 5, 120_000))
        #expect(depth.missing == .fine && depth.topic == "alarms" && depth.share == nil)
        #expect(depth.webhook?.url == "https://ops.internal/hook")
        #expect(rules.first { $0.name == "refusals" }?.share == MetricSelector("millrace_http_requests_total"))
        // In place of the one that is there without a word.
        let slow = rules.filter { $0.name == "slow-commits" }
        #expect(slow.count == 1 && slow[0].percentile == 50 && slow[0].bound == .above(0.001))
        #expect(!rules.contains { $0.name == "damage" } && rules.contains { $0.name == "disk-full" })
    }

    @Test(arguments: [
        ("a: {above: 1}", "must say metric"),
        ("a: {metric: millrace_x}", "either above or below"),
        ("a: {metric: millrace_x, above: 1, below: 0}", "either above or below"),
        ("a: {metric: other_x, above: 1}", "names no metric"),
        (#"a: {metric: 'millrace_x{a=b}', above: 1}"#, "names no metric"),
        ("a: {metric: millrace_x, above: much}", "is no number"),
        ("a: {metric: millrace_x, above: inf}", "is no number"),
        ("a: {metric: millrace_x, above: 1, percentile: 101}", "from 0 to 100"),
        ("a: {metric: millrace_x, above: 1, for: 60s}", "how many of the last periods"),
        ("a: {metric: millrace_x, above: 1, for: 0/1x60s}", "how many of the last periods"),
        ("a: {metric: millrace_x, above: 1, for: 3/2x60s}", "how many of the last periods"),
        ("a: {metric: millrace_x, above: 1, for: 1/101x60s}", "how many of the last periods"),
        ("a: {metric: millrace_x, above: 1, for: 1/1x5s}", "how many of the last periods"),
        ("a: {metric: millrace_x, above: 1, missing: never}", "nodata, ok or alarm"),
        ("a: {metric: millrace_x, above: 1, topic: 'a b'}", "alarms.a.topic"),
        ("a: {metric: millrace_x, above: 1, topic: __queue_state}", "only the broker writes"),
        ("a: {metric: millrace_x, above: 1, fro: 1/1x60s}", "did you mean for?"),
        ("a: {metric: millrace_x, above: 1, webhook: {url: \"https://a/b\"}}", "must say url and secret"),
        ("a: {metric: millrace_x, above: 1, webhook: {url: \"ftp://a/b\", secret: s}}", "no address of http or https"),
        ("a: {metric: millrace_x, above: 1, webhook: {url: \"https://a/b\", secret: s}}", "no secret of this name"),
        ("a: {enabled: false}", "no alarm a by itself"),
    ])
    func whatIsWrongIsTold(_ entry: String, _ reason: String) {
        let found = problems("alarms:\n  \(entry)\n")
        #expect(found.contains { $0.contains(reason) && $0.contains("line 2") }, "\(found)")
    }

    @Test func thereAreNotTooMany() {
        let many = (0...AlarmRule.maxAlarms).map { "  a\($0): {metric: millrace_x, above: 1}\n" }.joined()
        #expect(problems("alarms:\n" + many).contains { $0.contains("more than 200 alarms") })
    }

    /// Each of those that are there without a word, by the metrics that it looks at.
    @Test(arguments: [true, false]) func eachThatIsThereWithoutAWordFires(isWrong: Bool) throws {
        let (metrics, board) = (MetricsRegistry(), AlarmBoard())
        board.replace(by: try GatewayConfiguration(yaml: "alarms: {}").alarms)
        let requests = ["200", "503"].map { status in
            metrics.counter("millrace_http_requests_total", labels: ["code": "", "route": "r", "status": status])
        }
        let records = ["accepted", "rejected"].map { result in
            metrics.counter("millrace_ingest_records_total", labels: ["route": "r", "result": result])
        }
        let denied = metrics.counter("millrace_ratelimit_denied_total", labels: ["policy": "p"])
        let commits = metrics.histogram("millrace_storage_commit_seconds")
        metrics.reading("millrace_disk_used_ratio") { isWrong ? 0.81 : 0.8 }
        for name in ["millrace_disk_full", "millrace_storage_offline", "millrace_storage_quarantined_partitions"] {
            metrics.gauge(name).set(isWrong ? 1 : 0)
        }
        metrics.gauge("millrace_token_key_age_seconds", labels: ["issuer": "i"]).set(isWrong ? 3601 : 3600)
        metrics.gauge("millrace_forwarder_running", labels: ["forwarder": "a"]).set(1)
        metrics.gauge("millrace_forwarder_running", labels: ["forwarder": "b"]).set(isWrong ? 0 : 1)
        for (name, fine, wrong) in [
            ("dead_letters", 0, 1), ("oldest_age_seconds", 3600, 3601), ("drain_seconds", 3600, 3601),
            ("work_visibility_ratio", 0.16, 0.17), ("paused", 0, 1),
        ] as [(String, Double, Double)] {
            metrics.list("millrace_queue_" + name, help: "").set([(["queue": "q"], isWrong ? wrong : fine)])
        }
        let unreadable = metrics.counter("millrace_queue_unreadable_messages_total")
        for minute in Int64(0)..<6 {
            requests[0].add(99)
            records[0].add(99)
            requests[1].add(isWrong ? 2 : 1)
            records[1].add(isWrong ? 2 : 1)
            denied.add(isWrong ? 6 : 5)
            unreadable.add(isWrong ? 1 : 0)
            for _ in 0..<100 { commits.observe(isWrong ? 300_000_000 : 100_000_000) }
            _ = board.turn(at: minute * 60_000, nowMs: minute * 60_000) { metrics.read($0) }
        }
        #expect(board.all.count == AlarmDeclaration.builtIn.count)
        for alarm in board.all {
            #expect(alarm.state == (isWrong ? .alarm : .fine), "\(alarm.rule.name): \(alarm.value ?? -1)")
        }
    }

    // MARK: Over HTTP

    private func harness() throws -> GatewayHarness { try GatewayHarness() }

    @Test func alarmsAreListedWithTheirState() throws {
        let harness = try harness()
        harness.gateway.alarms.replace(by: [AlarmRule("depth", MetricSelector("millrace_depth")!, .above(10))])
        _ = harness.gateway.alarms.turn(at: 0, nowMs: 1_000) { _ in .gauges([11.5]) }
        let all = try harness.call("GET", "/v1/alarms")
        #expect(all.status == 200)
        #expect(
            all.text == """
                {"alarms":[{"name":"depth","state":"ALARM","value":11.5,"since":"1970-01-01T00:00:01.000Z","silent_until":null,\
                "metric":"millrace_depth","above":10,"for":"1/1x60s","missing":"nodata","topic":null,"webhook":false}]}
                """)
        let one = try harness.call("GET", "/v1/alarms?name=depth")
        #expect(
            one.text.hasSuffix(
                #","history":[{"state":"ALARM","at":"1970-01-01T00:00:01.000Z","value":11.5}]}"#), "\(one.text)")
        let none = try harness.call("GET", "/v1/alarms?name=other")
        #expect(none.status == 404 && none.string("error") == "There is no alarm of this name.")
    }

    @Test func alarmsAreSilenced() throws {
        let harness = try harness()
        func silence(_ body: String) throws -> HTTPReply {
            try harness.call("POST", "/v1/alarms:silence", body, fields: ["Content-Type: application/json"])
        }
        let reply = try silence(#"{"name":"damage","for_ms":60000}"#)
        #expect(reply.status == 200 && reply.string("silent_until") != nil, "\(reply.text)")
        #expect(try silence(#"{"name":"damage","for_ms":0}"#).text.contains(#""silent_until":null"#))
        for (body, status) in [
            (#"{"name":"nobody","for_ms":1}"#, 404), (#"{"for_ms":1}"#, 400), (#"{"name":"damage"}"#, 400),
            (#"{"name":"damage","for_ms":-1}"#, 400), (#"{"name":"damage","for_ms":2592000001}"#, 400),
            (#"{"name":"damage","for":1}"#, 400), ("{", 400), ("", 400),
        ] { #expect(try silence(body).status == status, "\(body)") }
    }
}
