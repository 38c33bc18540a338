import BrokerCore
import BrokerTestKit
import ByteBuffers
import IngestGateway
import KafkaModel
import Security
import Telemetry
import Testing
import Transport

/// What the audit is told of HTTP, and that no credential is in it.
@Suite struct GatewayAuditTests {
    @Test func whoWasLetInAndWhoWasNotIsTold() throws {
        let told = Lock<[UInt8]>([])
        let audit = AuditLog(metrics: MetricsRegistry()) { lines in
            told.withLock { $0 += lines }
            return true
        }
        let yaml = """
            auth: {secrets: {gh: {env: GH}}}
            http.trusted.proxies: 127.0.0.1
            routes: [{id: gh, path: /gh, formats: [raw], to: hooks, auth: {webhook: {from: github, secrets: gh}}}]
            """
        let harness = try GatewayHarness(
            configuration: GatewayConfiguration(yaml: yaml, environment: ["GH": "canary-4711"]), audit: audit,
            access: { $0.hasAuthorizer = true }
        ) { try GatewayAuthentication(.required, passwords: Authentication($0)) }
        for (topic, operation) in [("mine", AclOperation.write), ("mine", .create), ("new", .write)] {
            #expect(
                harness.broker.createAcls([
                    .init(
                        resource: ResourceType.topic.rawValue, name: topic, pattern: 3, principal: "User:alice",
                        host: "*",
                        operation: operation.rawValue, permission: 3)
                ]) == [nil])
        }
        let (key, text) = GatewayKeyText.make()
        var change = GatewayKeyChange(id: key.id.text, action: 1)
        (change.owner, change.hash) = ("User:alice", key.hash)
        #expect(harness.broker.alterKeys([change]) == [nil])
        let shown = text.withBytes { String(decoding: $0, as: UTF8.self) }
        let fields = ["X-API-Key: \(shown)", "X-Forwarded-For: 192.0.2.1"]
        #expect(try harness.post("mine", "{}", fields: fields).status == 201)
        #expect(try harness.post("others", "{}", fields: fields).status == 404)
        #expect(try harness.post("new", "{}", fields: fields).status == 404)
        #expect(try harness.call("GET", "/metrics", fields: fields).status == 403)
        #expect(try harness.post("mine", "{}", fields: ["Authorization: Bearer canary-4711"]).status == 401)
        let code = Hexadecimal.encode(HashAlgorithm.sha256.hmac(key: Array("canary-4711".utf8), "a".utf8))
        let signature = ["X-Hub-Signature-256: sha256=\(code)", "X-GitHub-Delivery: 1"]
        #expect(try harness.call("POST", "/gh", "b", fields: signature).status == 401)
        #expect(try harness.call("POST", "/gh", "a", fields: signature).status == 404)
        audit.stop()
        let whole = told.withLock { String(decoding: $0, as: UTF8.self) }
        func entry(_ kind: String, _ who: String, _ from: String, _ what: String, _ result: String, on: String = "")
            -> String
        {
            "\"kind\":\"\(kind)\",\"who\":\"\(who)\",\"from\":\"\(from)\",\"what\":\"\(what)\","
                + (on.isEmpty ? "" : "\"on\":\"\(on)\",") + "\"result\":\"\(result)\""
        }
        for expected in [
            entry("authentication", "User:alice", "192.0.2.1", "API key \(key.id.text)", "accepted"),
            entry("refusal", "User:alice", "192.0.2.1", "write", "DENIED", on: "topic others"),
            entry("refusal", "User:alice", "192.0.2.1", "create", "DENIED", on: "topic new"),
            entry("refusal", "User:alice", "192.0.2.1", "describe", "DENIED", on: "cluster"),
            entry("authentication", "", "127.0.0.1", "HTTP", "refused"),
            entry("authentication", "Webhook:gh", "127.0.0.1", "signature", "refused: wrongSignature"),
            entry("authentication", "Webhook:gh", "127.0.0.1", "signature", "accepted"),
            entry("refusal", "Webhook:gh", "127.0.0.1", "write", "DENIED", on: "topic hooks"),
        ] {
            #expect(whole.contains(expected), "\(expected) is not in \(whole)")
        }
        let secret = try #require(shown.split(separator: "_").last)
        #expect(!whole.contains("canary") && !whole.contains(secret) && !whole.contains(code))
    }

    /// Who has asked has changed something, whether he waits for the answer or not.
    @Test func aReloadIsToldThoughItsAskerHasGone() throws {
        let told = Lock<[UInt8]>([])
        let audit = AuditLog(metrics: MetricsRegistry()) { lines in
            told.withLock { $0 += lines }
            return true
        }
        let node = try GatewayHarness(separatesOperators: true, audit: audit)
        let reader = HeldReader()
        node.gateway.readConfiguration(by: reader)
        let port = try node.listen { gateway in
            var options = gateway.listenerOptions(host: "127.0.0.1", port: 0, isForOperators: true)
            options.limits.finishedTimeout = .milliseconds(20)
            return options
        }
        do {
            let client = try HTTPClient(port: port)
            try client.send(
                HTTPClient.request(
                    "POST", "/v1/configuration:reload", Array("{}".utf8), fields: ["Content-Type: application/json"]))
            #expect(eventually { reader.isAsked.withLock { $0 } })
        }
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
        reader.isHeld.withLock { $0 = false }
        let entry = "\"what\":\"RELOAD\",\"on\":\"/etc/millrace.yaml\",\"result\":\"DONE\""
        #expect(eventually { told.withLock { String(decoding: $0, as: UTF8.self) }.contains(entry) })
        audit.stop()
    }

    /// Reads when it is let.
    private final class HeldReader: ConfigurationReader {
        let isAsked = Lock(false)
        let isHeld = Lock(true)

        func reload(isTrial: Bool) -> ReloadOutcome? {
            isAsked.withLock { $0 = true }
            let pause = Signal()
            while isHeld.withLock({ $0 }) { pause.wait(timeoutMs: 1) }
            return ReloadOutcome(file: "/etc/millrace.yaml")
        }
    }
}
