import BrokerCore
import Configuration
import Testing

@testable import IngestGateway

@Suite struct ForwarderDeclarationTests {
    private func problems(_ yaml: String) -> [String] {
        do {
            _ = try GatewayConfiguration(yaml: yaml, environment: ["KAFKA": "hidden"])
            return []
        } catch {
            return "\(error)".split(separator: "\n").map(String.init)
        }
    }

    @Test func whatIsWrittenIsRead() throws {
        let configuration = try GatewayConfiguration(
            yaml: """
                auth: {secrets: {kafka: {env: KAFKA}}}
                forwarders:
                  fleet: {from: fleet, to: events}
                  other:
                    from: jobs
                    to: jobs
                    key: group
                    batch: {records: 500, bytes: 1MiB, window: 250ms}
                    cluster: {bootstrap: ["a:9092", "[::1]:19092"], user: u, password: kafka, mechanism: scram-sha-512, compression: zstd}
                """, environment: ["KAFKA": "hidden"])
        #expect(configuration.forwarders.count == 2)
        #expect(configuration.forwarders[0] == ForwarderDefinition(name: "fleet", from: "fleet", to: "events"))
        let other = configuration.forwarders[1]
        #expect((other.maxRecords, other.maxBytes, other.windowMs) == (500, 1 << 20, 250))
        #expect(other.key == .group)
        #expect(other.cluster?.bootstrap.map(\.description) == ["a:9092", "[::1]:19092"])
        #expect(other.cluster?.login?.user == "u")
        #expect(other.cluster?.login?.mechanism == .scramSHA512)
        #expect(other.cluster?.compression == .zstd)
        #expect(other.cluster?.tls == nil)
        #expect(!"\(other)".contains("hidden"))
    }

    @Test func filesOfTLSAreRead() throws {
        let tls = "{ca: /a.pem, certificate: /c.pem, key: /c.key, server_name: kafka.internal}"
        let configuration = try GatewayConfiguration(
            yaml: "forwarders: {f: {from: q, to: t, cluster: {bootstrap: \"a:9093\", tls: \(tls)}}}\n")
        var expected = ForwardCluster.TLS(authorityFile: "/a.pem")
        (expected.certificateFile, expected.keyFile, expected.serverName) = ("/c.pem", "/c.key", "kafka.internal")
        #expect(configuration.forwarders[0].cluster?.tls == expected)
    }

    @Test(arguments: [
        ("fleet: {to: t}", "must say from"),
        ("fleet: {from: q}", "must say to"),
        ("fleet: {from: q, to: t, batch: {records: 10001}}", "forwarders.fleet.batch.records"),
        ("fleet: {from: q, to: t, batch: {window: 6m}}", "forwarders.fleet.batch.window"),
        ("fleet: {from: q, to: t, btch: {}}", "did you mean batch?"),
        ("fleet: {from: q, to: q.q}", "own queue"),
        ("fleet: {from: q, to: __queue_state}", "only the broker writes"),
        ("fleet: {from: q, to: t, key: nobody}", "message, group or none"),
        ("fleet: {from: q, to: t, cluster: {}}", "must say bootstrap"),
        ("fleet: {from: q, to: t, cluster: {bootstrap: nowhere}}", "no HOST:PORT"),
        ("fleet: {from: q, to: t, cluster: {bootstrap: \"a:1\", user: u}}", "both of user and password"),
        ("fleet: {from: q, to: t, cluster: {bootstrap: \"a:1\", user: u, password: p}}", "no secret of this name"),
        ("fleet: {from: q, to: t, cluster: {bootstrap: \"a:1\", tls: {}}}", "must say ca"),
        ("fleet: {from: q, to: t, cluster: {bootstrap: \"a:1\", tls: {ca: a, key: b}}}", "both of certificate and key"),
        (
            "fleet: {from: q, to: t, cluster: {bootstrap: \"a:1\", tls: {verify: false}}}",
            "forwarders.fleet.cluster.tls"
        ),
    ])
    func whatIsWrongIsTold(_ entry: String, _ reason: String) {
        let found = problems("forwarders:\n  \(entry)\n")
        #expect(found.contains { $0.contains(reason) && $0.contains("line 2") }, "\(found)")
    }

    @Test func forwardersInACircleAreRefused() {
        let chain = "forwarders:\n  a: {from: x, to: q.y}\n  b: {from: y, to: q.z}\n"
        #expect(problems(chain + "  c: {from: z, to: t}\n") == [])
        // To another cluster it is another queue's topic.
        #expect(problems(chain + "  c: {from: z, to: q.x, cluster: {bootstrap: \"a:1\"}}\n") == [])
        let circle = problems(chain + "  c: {from: z, to: q.x}\n")
        #expect(circle.contains { $0.contains("own queue") && $0.contains("line 4") }, "\(circle)")
        // One that leads into a circle of others has an end of its own: only the circle is refused.
        let into = problems("forwarders:\n  a: {from: x, to: q.x}\n  b: {from: y, to: q.x}\n")
        #expect(into.filter { $0.contains("own queue") }.count == 1, "\(into)")
    }

    @Test func aQueueHasOneForwarderAndThereAreNotTooMany() {
        let two = problems("forwarders:\n  a: {from: q, to: t}\n  b: {from: q, to: u}\n")
        #expect(two.contains { $0.contains("a forwards the queue q already") && $0.contains("line 3") }, "\(two)")
        let many = (0...Forwarders.maxForwarders).map { "  f\($0): {from: q\($0), to: t}\n" }.joined()
        #expect(problems("forwarders:\n" + many).contains { $0.contains("more than 32 forwarders") })
    }
}
