import BrokerCore
import ByteBuffers
import Configuration
import Foundation
import IngestGateway
import KafkaModel
import Security
import Telemetry
import Testing

/// Routes whose requests are signed: each sender's form, what is refused, and that nothing is done before the signature is right.
@Suite struct SignedRouteTests {
    private static let environment = [
        "GITHUB": "It's a Secret to Everybody", "OLD": "old", "SHOP": "shpss_1",
        "SLACK": "8f742231b10e8888abcd99yyyzzz85a5",
        "STRIPE": "whsec_stripe", "STANDARD": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "OWN": "own",
    ]
    private static let secrets = """
        auth:
          secrets: {github: {env: GITHUB}, old: {env: OLD}, shop: {env: SHOP}, slack: {env: SLACK}, stripe: {env: STRIPE},
            standard: {env: STANDARD}, own: {env: OWN}}

        """
    private static let routes =
        secrets + """
            routes:
              - path: /github
                formats: [raw]
                to: hooks
                auth: {webhook: {from: github, secrets: [old, github]}}
                idempotency: {signature: false}
              - {path: /stripe, to: hooks, auth: {webhook: {from: stripe, secrets: stripe, tolerance: 2m}}}
              - {path: /shopify, to: hooks, auth: {webhook: {from: shopify, secrets: shop}}}
              - path: /slack
                to: hooks
                reply: {form: shard, echo: {challenge: /challenge}}
                success: 200
                auth: {webhook: {from: slack, secrets: slack}}
              - {path: /standard, to: hooks, auth: {webhook: {from: standard, secrets: standard}}}
              - path: /own
                to: hooks
                auth:
                  webhook:
                    {from: generic, secrets: own, signature: X-Sig, timestamp: X-Time, algorithm: sha512, encoding: base64,
                     prefix: "s=", template: "{method} {path} {ts}.{body}"}
            """

    private func node(
        _ yaml: String = routes, _ options: GatewayOptions = GatewayOptions(),
        authentication: (Broker) throws -> GatewayAuthentication? = { _ in nil }
    ) throws -> GatewayHarness {
        try GatewayHarness(
            options, configuration: GatewayConfiguration(yaml: yaml, environment: Self.environment, options),
            access: { $0.hasAuthorizer = true }, authentication: authentication)
    }

    private static func code(
        _ key: String, _ message: [UInt8], _ algorithm: HashAlgorithm = .sha256
    ) -> [UInt8] { algorithm.hmac(key: Array(key.utf8), message) }

    private static func code(_ key: String, _ message: String) -> [UInt8] { code(key, Array(message.utf8)) }

    private static var seconds: Int64 { WallClock.milliseconds / 1000 }

    private static func github(_ body: [UInt8], key: String = "It's a Secret to Everybody") -> [String] {
        [
            "X-Hub-Signature-256: sha256=\(Hexadecimal.encode(code(key, body)))", "X-GitHub-Delivery: 1",
            "Content-Type: text/plain",
        ]
    }

    private static func stripe(_ body: String, at time: Int64 = seconds) -> [String] {
        ["Stripe-Signature: t=\(time),v1=\(Hexadecimal.encode(code("whsec_stripe", "\(time).\(body)"))),v0=1"]
    }

    private static func standard(_ body: String, at time: Int64 = seconds) throws -> [String] {
        let key = try #require(Base64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".utf8))
        let code = HashAlgorithm.sha256.hmac(key: key, Array("msg_1.\(time).\(body)".utf8))
        return [
            "webhook-id: msg_1", "webhook-timestamp: \(time)", "webhook-signature: v1,AAAA v1,\(Base64.encode(code))",
        ]
    }

    private static func slack(_ body: String) -> [String] {
        let time = seconds
        let code = code("8f742231b10e8888abcd99yyyzzz85a5", "v0:\(time):\(body)")
        return ["X-Slack-Signature: v0=\(Hexadecimal.encode(code))", "X-Slack-Request-Timestamp: \(time)"]
    }

    // MARK: Senders

    @Test func eachSendersSignatureIsTaken() throws {
        let node = try node()
        let body = #"{"id":"evt_1"}"#
        var expected: [String] = []
        func post(_ path: String, _ fields: [String], _ text: String = body) throws {
            let reply = try node.call("POST", path, text, fields: fields)
            #expect(reply.status == (path == "/slack" ? 200 : 201), "\(path): \(reply.text)")
            expected.append(text)
            // Another body under the same signature.
            let other = try node.call("POST", path, text.replacing("{", with: "{ "), fields: fields)
            #expect(other.status == 401 && other.string("code") == "signature_invalid", "\(path): \(other.text)")
            #expect(other.fields["www-authenticate"] == #"Webhook-Signature realm="millrace""#)
        }
        try post("/stripe", Self.stripe(body))
        let shop = Base64.encode(Self.code("shpss_1", body))
        try post("/shopify", ["X-Shopify-Hmac-Sha256: \(shop)", "X-Shopify-Webhook-Id: 1"])
        try post("/slack", Self.slack(body))
        try post("/standard", try Self.standard(body))
        let time = Self.seconds
        let own = Self.code("own", Array("POST /own \(time).\(body)".utf8), .sha512)
        try post("/own", ["X-Sig: s=\(Base64.encode(own))", "X-Time: \(time)"])
        try post("/github", Self.github(Array(body.utf8)))
        #expect(try node.values("hooks") == expected)
        #expect(node.metric("millrace_http_signature_refusals_total{reason=\"wrongSignature\"}") == 6)
    }

    /// The example of GitHub's documentation, as it stands there.
    @Test func githubsOwnExampleIsTaken() throws {
        let node = try node()
        let reply = try node.call(
            "POST", "/github", "Hello, World!",
            fields: [
                "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
                "X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958", "Content-Type: text/plain",
                "X-Hub-Signature: sha1=0000000000000000000000000000000000000000",
            ])
        #expect(reply.status == 201, "\(reply.text)")
    }

    /// Slack asks once, signed, whether the address is meant.
    @Test func slacksChallengeIsRepeated() throws {
        let node = try node()
        let body = #"{"type":"url_verification","challenge":"3eZbrw1aB"}"#
        let reply = try node.call("POST", "/slack", body, fields: Self.slack(body))
        #expect(reply.status == 200 && reply.string("challenge") == "3eZbrw1aB")
    }

    @Test func timesThatAreTooFarAreRefused() throws {
        let node = try node()
        for (away, status) in [(-60, 201), (60, 201), (-180, 401), (180, 401)] as [(Int64, Int)] {
            let reply = try node.call("POST", "/stripe", "{}", fields: Self.stripe("{}", at: Self.seconds + away))
            #expect(reply.status == status, "\(away): \(reply.text)")
        }
        #expect(
            try node.call("POST", "/standard", "{}", fields: Self.standard("{}", at: Self.seconds - 290)).status == 201)
        #expect(
            try node.call("POST", "/standard", "{}", fields: Self.standard("{}", at: Self.seconds - 310)).status == 401)
        #expect(node.metric("millrace_http_signature_refusals_total{reason=\"tooOld\"}") == 2)
        #expect(node.metric("millrace_http_signature_refusals_total{reason=\"inTheFuture\"}") == 1)
    }

    // MARK: Repeats

    private static let repeated =
        secrets + """
            routes:
              - {path: /github, to: hooks, auth: {webhook: {from: github, secrets: [old, github]}}}
              - {path: /stripe, to: hooks, auth: {webhook: {from: stripe, secrets: [stripe, old]}}}
              - path: /by-id
                to: hooks
                auth: {webhook: {from: stripe, secrets: stripe}}
                idempotency: {pointers: [/id], required: true}
              - path: /again
                to: hooks
                auth: {webhook: {from: github, secrets: github}}
                idempotency: {signature: false}
            """

    /// Whoever has seen a request can send it once more, and write another id of the sender, for that is not signed.
    @Test func aRepeatOfWhatIsSignedIsStoredOnce() throws {
        let node = try node(Self.repeated)
        let body = #"{"action":"opened"}"#
        var fields = Self.github(Array(body.utf8))
        fields[2] = "Content-Type: application/json"
        let first = try node.call("POST", "/github", body, fields: fields)
        #expect(first.status == 201 && first.fields["idempotent-replayed"] == nil, "\(first.text)")
        fields[1] = "X-GitHub-Delivery: 2"
        let repeated = try node.call("POST", "/github", body, fields: fields)
        #expect(repeated.status == 201 && repeated.fields["idempotent-replayed"] == "true")
        #expect(repeated.text == first.text)
        // However it comes.
        let chunked = try node.connect()
        try chunked.send(
            "POST /github HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\(fields.map { $0 + "\r\n" }.joined())\r\n")
        for byte in body.utf8 { try chunked.send(Array("1\r\n".utf8) + [byte] + Array("\r\n".utf8)) }
        try chunked.send("0\r\n\r\n")
        #expect(try chunked.receive().text == first.text)
        // A route has its own.
        for _ in 0..<2 { #expect(try node.call("POST", "/again", body, fields: fields).fields["idempotent-replayed"] == nil) }
        #expect(try node.values("hooks") == [body, body, body])
    }

    /// A sender that tries again signs the time of the try.
    @Test func aTimeThatIsSignedMakesAnotherRequestOfIt() throws {
        let node = try node(Self.repeated)
        let (body, time) = (#"{"id":"evt_1"}"#, Self.seconds)
        func post(_ path: String, _ fields: [String]) throws -> Bool {
            let reply = try node.call("POST", path, body, fields: fields)
            #expect(reply.status == 201, "\(reply.text)")
            return reply.fields["idempotent-replayed"] == "true"
        }
        let both = ["whsec_stripe", "old"].map { Hexadecimal.encode(Self.code($0, "\(time).\(body)")) }
        let header = "Stripe-Signature: t=\(time)"
        #expect(try !post("/stripe", [header + ",v1=\(both[0]),v1=\(both[1])"]))
        // Each of its signatures is enough, and makes no other request of it.
        #expect(try post("/stripe", [header + ",v1=\(both[0])"]) && post("/stripe", [header + ",v1=\(both[1])"]))
        #expect(try !post("/stripe", Self.stripe(body, at: time - 1)))
        // What is in the event tells that it is the same one.
        #expect(try !post("/by-id", Self.stripe(body)) && post("/by-id", Self.stripe(body, at: time - 2)))
        #expect(try node.values("hooks") == [body, body, body])
        let keyed = try node.call("POST", "/stripe", body, fields: Self.stripe(body) + ["Idempotency-Key: a"])
        #expect(keyed.status == 400 && keyed.text.contains("takes a request's key from elsewhere"))
    }

    /// Nothing is remembered of what was refused.
    @Test func whatWasRefusedMayComeAgain() throws {
        let node = try node(Self.repeated)
        let body = "{\"a\":"
        var fields = Self.github(Array(body.utf8))
        fields[2] = "Content-Type: application/json"
        for _ in 0..<2 {
            let reply = try node.call("POST", "/github", body, fields: fields)
            #expect(reply.status == 400 && reply.fields["idempotent-replayed"] == nil)
        }
    }

    // MARK: What is refused

    @Test func headersAreRefusedByNameBeforeTheBody() throws {
        let node = try node()
        let good = Self.github(Array("{}".utf8))
        let cases: [([String], String)] = [
            ([], "has to be signed: each of x-hub-signature-256, x-github-delivery is required"),
            (Array(good.dropFirst()), "has to be signed"), ([good[0]], "has to be signed"),
            (good + [good[0]], "stands twice"), (good + [good[1].uppercased()], "stands twice"),
            ([good[0].replacing("sha256=", with: "sha1="), good[1]], "cannot be read"),
            (["X-Hub-Signature-256: sha256=xyz", good[1]], "cannot be read"),
        ]
        for (fields, words) in cases {
            let client = try node.connect()
            // The body is announced, and never sent.
            try client.send(
                "POST /github HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n"
                    + fields.map { $0 + "\r\n" }.joined() + "\r\n")
            let reply = try client.receive()
            #expect(reply.status == 401 && reply.string("code") == "signature_required", "\(reply.text)")
            #expect(reply.string("detail")?.contains(words) == true, "\(words): \(reply.text)")
        }
        let short = try node.call(
            "POST", "/github", "{}", fields: ["X-Hub-Signature-256: sha256=00", "X-GitHub-Delivery: 1"])
        #expect(short.status == 401 && short.string("code") == "signature_invalid")
        let coded = try node.call("POST", "/github", "{}", fields: good + ["Content-Encoding: gzip"])
        #expect(coded.status == 415 && coded.fields["accept-encoding"] == "identity")
        let both = try node.call("POST", "/github", "{}", fields: good + ["X-API-Key: gk_a_b"])
        #expect(both.status == 400 && both.string("code") == "invalid_header")
        #expect(try node.values("hooks") == [])
    }

    /// However the body comes: by length in pieces, by chunks, in one read with the next request.
    @Test(arguments: [100, 300_000, 3_000_000]) func bodiesAreHeldAgainstTheirSignatureAsTheyCome(_ size: Int) throws {
        var options = GatewayOptions()
        options.maxEventBytes = 4 << 20
        let node = try node(Self.routes, options)
        var settings = ["max.message.bytes": "8000000"]
        settings["retention.ms"] = "-1"
        _ = try node.broker.createTopic(
            "hooks", partitions: 1, replicationFactor: 1, settings: settings, validateOnly: false
        ).get()
        let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 251) }
        var changed = body
        changed[size - 1] ^= 1
        var statuses: [Int] = []
        for sent in [body, changed] {
            for isChunked in [false, true] {
                let client = try node.connect()
                let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(size)"
                let fields = Self.github(body).map { $0 + "\r\n" }.joined()
                try client.send("POST /github HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\(fields)\r\n")
                let step = max(1, size / 7)
                for start in stride(from: 0, to: size, by: step) {
                    let piece = Array(sent[start..<min(start + step, size)])
                    if isChunked { try client.send(String(piece.count, radix: 16) + "\r\n") }
                    try client.send(piece)
                    if isChunked { try client.send("\r\n") }
                }
                if isChunked { try client.send("0\r\n\r\n") }
                let reply = try client.receive()
                statuses.append(reply.status)
                if reply.status == 401 { #expect(reply.string("code") == "signature_invalid") }
            }
        }
        #expect(statuses == [201, 201, 401, 401])
        let client = try node.connect()
        let request = HTTPClient.request("POST", "/github", Array("a".utf8), fields: Self.github(Array("a".utf8)))
        let wrong = HTTPClient.request("POST", "/github", Array("b".utf8), fields: Self.github(Array("a".utf8)))
        try client.send(request + wrong + request)
        #expect(try (0..<3).map { _ in try client.receive().status } == [201, 401, 201])
        #expect(try node.stored("hooks").records.count == 4)
    }

    /// Ed25519 is about the whole body at once, on an event loop: a long one is refused before it comes.
    @Test func bodiesUnderEd25519AreShort() throws {
        let yaml = """
            routes:
              - path: /ed
                to: hooks
                auth: {webhook: {from: standard, public_keys: "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}}
            """
        let node = try node(yaml)
        let fields = [
            "Content-Type: application/json", "webhook-id: m1", "webhook-timestamp: \(Self.seconds)",
            "webhook-signature: v1a,\(Base64.encode([UInt8](repeating: 1, count: 64)))",
        ].map { $0 + "\r\n" }.joined()
        let most = WebhookVerification.maxEdBodyBytes
        // One byte more is announced, and never sent.
        let announced = try node.connect()
        try announced.send("POST /ed HTTP/1.1\r\nHost: a\r\nContent-Length: \(most + 1)\r\n\(fields)\r\n")
        let refused = try announced.receive()
        #expect(refused.status == 413 && refused.string("detail")?.contains("\(most)") == true, "\(refused.text)")
        for (size, status) in [(most, 401), (most + 1, 413)] {
            let chunked = try node.connect()
            let body = [UInt8](repeating: 0x20, count: size)
            try chunked.send("POST /ed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\(fields)\r\n")
            try chunked.send(Array("\(String(size, radix: 16))\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8))
            #expect(try chunked.receive().status == status)
        }
        #expect(node.metric("millrace_http_signature_refusals_total{reason=\"wrongSignature\"}") == 1)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func whoGuessesSignaturesIsStopped() throws {
        let node = try node()
        node.forgivesNoGuess()
        let client = try node.connect()
        var statuses: Set<Int> = []
        for _ in 0..<80 {
            try client.send(
                HTTPClient.request("POST", "/github", Array("{}".utf8), fields: Self.github(Array("{ }".utf8))))
            statuses.insert(try client.receive().status)
        }
        #expect(statuses == [401, 429])
    }

    // MARK: Who it is

    @Test func whoSignsIsAPrincipalOfHisOwn() throws {
        let yaml =
            Self.secrets + """
                routes:
                  - {id: gh, path: /a, formats: [raw], to: a, auth: {webhook: {from: github, secrets: github}}}
                  - path: /b
                    formats: [raw]
                    to: b
                    auth: {webhook: {from: github, secrets: github, principal: "User:hooks"}}
                """
        let node = try node(yaml) { try GatewayAuthentication(.required, passwords: Authentication($0)) }
        func post(_ path: String) throws -> Int {
            try node.call("POST", path, "{}", fields: Self.github(Array("{}".utf8))).status
        }
        // Not asked for before the signature is right.
        #expect(try node.call("POST", "/a", "{ }", fields: Self.github(Array("{}".utf8))).status == 401)
        #expect(try [post("/a"), post("/b")] == [404, 404])
        for (topic, principal) in [("a", "Webhook:gh"), ("b", "User:hooks")] {
            for operation in [AclOperation.write, .create] {
                #expect(
                    node.broker.createAcls([
                        .init(
                            resource: ResourceType.topic.rawValue, name: topic, pattern: 3, principal: principal,
                            host: "*",
                            operation: operation.rawValue, permission: 3)
                    ]) == [nil])
            }
        }
        #expect(try [post("/a"), post("/b")] == [201, 201])
        #expect(try [node.values("a"), node.values("b")] == [["{}"], ["{}"]])
    }

    @Test func secretsAreExchangedWithTheRoutes() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "millrace-secret-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "first\n".write(toFile: path, atomically: false, encoding: .utf8)
        let yaml = """
            auth: {secrets: {one: {file: \(path)}}}
            routes:
              - {path: /github, formats: [raw], to: hooks, auth: {webhook: {from: github, secrets: one}}}
            """
        let node = try node(yaml)
        func post(_ key: String) throws -> Int {
            try node.call("POST", "/github", "{}", fields: Self.github(Array("{}".utf8), key: key)).status
        }
        #expect(try [post("first"), post("second")] == [201, 401])
        try "second\r\n".write(toFile: path, atomically: false, encoding: .utf8)
        node.gateway.replaceRoutes(try GatewayConfiguration(yaml: yaml))
        #expect(try [post("first"), post("second")] == [401, 201])
        for bad in ["", "\n", "a\nb\n", String(repeating: "a", count: 1025)] {
            try bad.write(toFile: path, atomically: false, encoding: .utf8)
            #expect(throws: ConfigurationError.self) { try GatewayConfiguration(yaml: yaml) }
        }
    }

    @Test func whatIsWrongIsToldAndNoSecretIsShown() throws {
        func problem(_ auth: String, secrets: String = "{a: {env: GITHUB}, b: {env: OLD}, c: {env: STRIPE}}") -> String
        {
            let yaml = """
                auth: {secrets: \(secrets)}
                routes:
                  - {path: /a, to: a, auth: \(auth)}
                """
            do {
                _ = try GatewayConfiguration(yaml: yaml, environment: Self.environment)
                return "nothing"
            } catch {
                return "\(error)"
            }
        }
        #expect(problem("{webhook: {from: github, secrets: [a, b]}}") == "nothing")
        for (auth, words) in [
            ("{}", "one of webhook and certificate"), ("{certificate: maybe}", "must be required"),
            ("{certificate: required, webhook: {from: github, secrets: a}}", "one of webhook and certificate"),
            ("{webhook: {secrets: a}}", "nothing says who signs"),
            ("{webhook: {from: gitlab, secrets: a}}", "must be github, stripe"),
            ("{webhook: {from: github}}", "a secret or a public key"),
            ("{webhook: {from: github, secrets: [a, b, c]}}", "at most 2 secrets"),
            ("{webhook: {from: github, secrets: z}}", "there is no such secret"),
            ("{webhook: {from: github, secrets: a, tolerance: 60s}}", "signs no time"),
            ("{webhook: {from: stripe, secrets: a, tolerance: 0s}}", "whole number from 1"),
            ("{webhook: {from: standard, secrets: a}}", "is not whsec_"),
            ("{webhook: {from: standard, public_keys: whpk_AAAA}}", "is not whpk_"),
            ("{webhook: {from: github, secrets: a, public_keys: whpk_AAAA}}", "signs with a secret"),
            ("{webhook: {from: github, secrets: a, signature: X-A}}", "for from: generic alone"),
            ("{webhook: {from: github, secrets: a, principal: me}}", "TYPE:NAME"),
            ("{webhook: {from: generic, secrets: a}}", "names no header"),
            ("{webhook: {from: generic, secrets: a, signature: 'X A', template: '{body}'}}", "name of a header field"),
            ("{webhook: {from: generic, secrets: a, signature: X-A, template: '{body}'}}", "a timestamp or an id"),
        ] {
            let found = problem(auth)
            #expect(found.contains(words), "\(auth): \(found)")
        }
        func rule(_ rule: String, _ auth: String, ttl: Duration = .seconds(86_400)) -> String {
            var options = GatewayOptions()
            options.idempotencyTTL = ttl
            let yaml = """
                auth: {secrets: {a: {env: GITHUB}}}
                routes:
                  - {path: /a, to: a, auth: \(auth), idempotency: \(rule)}
                """
            do {
                _ = try GatewayConfiguration(yaml: yaml, environment: Self.environment, options)
                return "nothing"
            } catch {
                return "\(error)"
            }
        }
        let signed = "{webhook: {from: slack, secrets: a}}"
        #expect(rule("{signature: true}", "{certificate: required}").contains("are not signed"))
        #expect(rule("{signature: true, header: A}", signed).contains("from several places"))
        #expect(rule("{signature: true}", signed, ttl: .seconds(599)).contains("less than twice the tolerance"))
        #expect(rule("{signature: true}", signed, ttl: .seconds(600)) == "nothing")
        #expect(rule("{pointers: [/id]}", signed, ttl: .seconds(599)) == "nothing")
        for (secrets, words) in [
            ("{a: hunter2}", "does not stand in this file"), ("{a: {env: NOWHERE}}", "no environment variable"),
            ("{a: {file: /nowhere}}", "is not one line"), ("{a: {env: GITHUB, file: /x}}", "one of file and env"),
            ("{a: {value: hunter2}}", "no such key"),
        ] {
            let found = problem("{webhook: {from: github, secrets: a}}", secrets: secrets)
            #expect(found.contains(words), "\(secrets): \(found)")
            #expect(!found.contains("hunter2"), "\(found)")
            #expect(!found.contains("Everybody"))
        }
    }
}
