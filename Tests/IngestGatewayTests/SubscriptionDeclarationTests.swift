import BrokerCore
import Configuration
import Testing

@testable import IngestGateway

@Suite struct SubscriptionDeclarationTests {
    private static let secrets = "auth: {secrets: {key: {env: KEY}, plain: {env: PLAIN}}}\n"
    private static let environment = ["KEY": "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0", "PLAIN": "secret"]

    private func problems(_ yaml: String) -> [String] {
        do {
            _ = try GatewayConfiguration(yaml: Self.secrets + yaml, environment: Self.environment)
            return []
        } catch {
            return "\(error)".split(separator: "\n").map(String.init)
        }
    }

    @Test func whatIsWrittenIsRead() throws {
        let configuration = try GatewayConfiguration(
            yaml: Self.secrets + """
                subscriptions:
                  a: {from: q, to: "http://[::1]:8000/x?y=1", secret: key}
                  b:
                    from: r
                    to: https://worker.internal/batch
                    secret: key
                    batch: {records: 500, bytes: 2MiB, window: 5s}
                    concurrency: 8
                    timeout: 2m
                    ca: /etc/ca.pem
                    link_local: [169.254.7.7, "fe80::7"]
                """, environment: Self.environment)
        #expect(configuration.subscriptions.count == 2)
        let a = configuration.subscriptions[0]
        #expect((a.maxRecords, a.maxBytes, a.windowMs, a.concurrency) == (10, 1 << 20, 0, 1))
        #expect(a.timeoutMs == 30_000)
        #expect(a.shownURL == "http://[::1]:8000/x")
        let b = configuration.subscriptions[1]
        #expect((b.maxRecords, b.maxBytes, b.windowMs, b.concurrency) == (500, 2 << 20, 5000, 8))
        #expect(b.timeoutMs == 120_000)
        #expect(b.authorityFile == "/etc/ca.pem")
        #expect(b.linkLocal.count == 2)
        #expect(!"\(b)".contains("c2VjcmV0"))
    }

    @Test(arguments: [
        ("s: {to: \"http://a/\", secret: key}", "must say from"),
        ("s: {from: q, secret: key}", "must say to"),
        ("s: {from: q, to: \"http://a/\"}", "must say secret"),
        ("s: {from: q, to: \"http://a/\", secret: nothing}", "no secret of this name"),
        ("s: {from: q, to: \"http://a/\", secret: plain}", "is not whsec_"),
        ("s: {from: q, to: \"ftp://a/\", secret: key}", "is no address"),
        ("s: {from: q, to: \"http://user@a/\", secret: key}", "is no address"),
        ("s: {from: q, to: \"http://a/#b\", secret: key}", "is no address"),
        ("s: {from: q, to: \"http:///x\", secret: key}", "is no address"),
        ("s: {from: q, to: \"http://a:0/\", secret: key}", "is no address"),
        ("s: {from: q, to: \"http://a/\", secret: key, batch: {records: 10001}}", "subscriptions.s.batch.records"),
        ("s: {from: q, to: \"http://a/\", secret: key, batch: {bytes: 7MiB}}", "subscriptions.s.batch.bytes"),
        ("s: {from: q, to: \"http://a/\", secret: key, concurrency: 33}", "subscriptions.s.concurrency"),
        ("s: {from: q, to: \"http://a/\", secret: key, timeout: 16m}", "subscriptions.s.timeout"),
        ("s: {from: q, to: \"http://a/\", secret: key, link_local: 10.0.0.1}", "is none of the addresses"),
        ("s: {from: q, to: \"http://a/\", secret: key, sign: no}", "subscriptions.s"),
    ])
    func whatIsWrongIsTold(_ entry: String, _ reason: String) {
        let found = problems("subscriptions:\n  \(entry)\n")
        #expect(found.contains { $0.contains(reason) && $0.contains("line 3") }, "\(found)")
    }

    @Test func aQueueHasOneTaker() {
        let s = "{from: q, to: \"http://a/\", secret: key}"
        let two = problems("subscriptions:\n  a: \(s)\n  b: \(s)\n")
        #expect(two.contains { $0.contains("a takes the messages of the queue q already") }, "\(two)")
        let both = problems("forwarders: {f: {from: q, to: t}}\nsubscriptions: {s: \(s)}\n")
        #expect(both.contains { $0.contains("f takes the messages of the queue q already") }, "\(both)")
    }

    @Test func allOfThemHaveABound() {
        func text(_ count: Int, _ more: String) -> String {
            "subscriptions:\n"
                + (0..<count).map { "  s\($0): {from: q\($0), to: \"http://a/\", secret: key\(more)}\n" }.joined()
        }
        #expect(problems(text(32, "")) == [])
        #expect(problems(text(33, "")).contains { $0.contains("more than 32 subscriptions") })
        #expect(problems(text(2, ", concurrency: 32")) == [])
        #expect(problems(text(3, ", concurrency: 32")).contains { $0.contains("more than 64 requests") })
        let large = ", concurrency: 32, batch: {bytes: 5MiB}"
        #expect(problems(text(1, large)).contains { $0.contains("more than 128 MiB") })
    }
}
