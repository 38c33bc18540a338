import BrokerCore
import BrokerTestKit
import ByteBuffers
import IngestGateway
import KafkaModel
import Security
import Testing
import Transport

/// Who asks over HTTP, and whether he may.
@Suite struct GatewayAccessTests {
    private func harness(
        _ mode: GatewayAuthentication.Mode = .required, acls: Bool = true, tokens: (any TokenAuthority)? = nil,
        bareTokens: Bool = false, certificate: Principal? = nil, yaml: String? = nil,
        finishedTimeout: Duration? = nil, _ options: GatewayOptions = GatewayOptions()
    ) throws -> GatewayHarness {
        let configuration = try yaml.map { try GatewayConfiguration(yaml: $0, options) } ?? GatewayConfiguration()
        return try GatewayHarness(
            options, configuration: configuration,
            listening: {
                var options = $0.listenerOptions(host: "127.0.0.1", port: 0, certificateOwner: { _ in certificate })
                if let finishedTimeout { options.limits.finishedTimeout = finishedTimeout }
                return options
            },
            access: acls ? { $0.hasAuthorizer = true } : { _ in }
        ) { broker in
            GatewayAuthentication(
                mode, passwords: try Authentication(broker), tokens: tokens, takesBareTokens: bareTokens)
        }
    }

    private func permit(
        _ operation: AclOperation, _ topic: String, to principal: String = "User:alice", on harness: GatewayHarness,
        resource: ResourceType = .topic
    ) {
        let results = harness.broker.createAcls([
            .init(
                resource: resource.rawValue, name: topic, pattern: 3, principal: principal, host: "*",
                operation: operation.rawValue, permission: 3)
        ])
        #expect(results == [nil])
    }

    private func key(
        on harness: GatewayHarness, _ set: (inout GatewayKeyChange) -> Void = { _ in }
    ) -> (id: String, text: String, field: String) {
        let (key, text) = GatewayKeyText.make()
        var change = GatewayKeyChange(id: key.id.text, action: 1)
        (change.owner, change.hash) = ("User:alice", key.hash)
        set(&change)
        #expect(harness.broker.alterKeys([change]) == [nil])
        let shown = text.withBytes { String(decoding: $0, as: UTF8.self) }
        return (key.id.text, shown, "Authorization: Bearer \(shown)")
    }

    private func user(_ name: String, _ password: String, on harness: GatewayHarness) {
        let salt = ScramDecoys.newSalt()
        var salted = ScramMechanism.sha256.algorithm.pbkdf2(
            password: Secret(copying: Array(password.utf8)[...]), salt: salt, iterations: 4_096)
        let results = harness.broker.alterScramCredentials(
            deletions: [],
            upsertions: [
                .init(
                    user: name, mechanism: ScramMechanism.sha256.rawValue, iterations: 4_096, salt: salt,
                    saltedPassword: Secret(wiping: &salted))
            ])
        #expect(results.allSatisfy { $0.refusal == nil })
    }

    private static func basic(_ user: String, _ password: String) -> String {
        "Authorization: Basic " + Base64.encode("\(user):\(password)".utf8)
    }

    @Test func groupsAreReadByWhoMayReadThem() throws {
        let harness = try harness()
        permit(.read, "t", on: harness)
        permit(.read, "mine", on: harness, resource: .group)
        _ = try harness.broker.topicCreatingIfAllowed("t").get()
        let field = key(on: harness).field
        for path in ["/v1/topics/t/records?from=p0:0&group=", "/v1/topics/t/records?group="] {
            #expect(try harness.call("GET", path + "mine", fields: [field]).status == 200)
            #expect(try harness.call("GET", path + "theirs", fields: [field]).status == 403)
        }
        #expect(try harness.call("GET", "/v1/topics/t/stream?group=theirs", fields: [field]).status == 403)
        let stream = try StreamReader(harness, "/v1/topics/t/stream?group=mine", fields: [field])
        #expect(stream.head.status == 200)
    }

    @Test func aFileGoesWhereItsSenderMayWriteAndItsJobIsHis() throws {
        let harness = try harness()
        for name in ["t", "other"] { _ = try harness.broker.topicCreatingIfAllowed(name).get() }
        permit(.write, "t", on: harness)
        permit(.describe, "kafka-cluster", to: "User:olga", on: harness, resource: .cluster)
        let csv = "Content-Type: text/csv"
        let alice = key(on: harness).field
        let (bob, olga) = (
            key(on: harness) { $0.owner = "User:bob" }.field, key(on: harness) { $0.owner = "User:olga" }.field
        )
        #expect(try harness.call("POST", "/v1/files?topic=other", "a\n1", fields: [csv, alice]).status == 404)
        #expect(try harness.call("POST", "/v1/files?topic=t", "a\n1", fields: [csv, bob]).status == 404)
        #expect(try harness.call("POST", "/v1/files?topic=t", "a\n1", fields: [csv]).status == 401)
        // Bad rows are kept by who may not write to their topic.
        let reply = try harness.call("POST", "/v1/files?topic=t", "a\n1\n1,2", fields: [csv, alice])
        #expect(reply.status == 201 && reply.number("rejected") == 1, "\(reply.text)")
        let path = "/v1/jobs/\(try #require(reply.string("job_id")))"
        // Of the owner's keys those that reach as far as the job's topic.
        let (reaching, narrow) = (
            key(on: harness) { $0.scopes = [.init(resource: 2, name: "t", pattern: 3, operation: 4)] }.field,
            key(on: harness) { $0.scopes = [.init(resource: 2, name: "other", pattern: 3, operation: 4)] }.field
        )
        for (field, sees) in [(alice, true), (reaching, true), (narrow, false), (bob, false), (olga, true)] {
            #expect(try harness.call("GET", path, fields: [field]).status == (sees ? 200 : 404))
            let list = try harness.call("GET", "/v1/jobs", fields: [field]).json["jobs"] as? [[String: Any]]
            #expect(list?.count == (sees ? 1 : 0))
        }
        #expect(try harness.call("GET", path, fields: [alice]).string("owner") == "alice")
        // It has ended: who may end it is told so, and who may only see it that he may not.
        for (field, status) in [(alice, 409), (reaching, 409), (narrow, 404), (bob, 404), (olga, 403)] {
            #expect(try harness.call("POST", path + ":cancel", "{}", fields: [field]).status == status)
        }
    }

    @Test func aStreamEndsWithItsCredentialAndItsPermission() throws {
        var options = GatewayOptions()
        options.heartbeatSeconds = 1
        let harness = try harness(.required, options)
        permit(.read, "t", on: harness)
        permit(.read, "u", on: harness)
        _ = try harness.broker.topicCreatingIfAllowed("t").get()
        _ = try harness.broker.topicCreatingIfAllowed("u").get()
        let (kept, revoked) = (key(on: harness), key(on: harness))
        let stays = try StreamReader(harness, "/v1/topics/t/stream", fields: [kept.field])
        let ends = try StreamReader(harness, "/v1/topics/t/stream", fields: [revoked.field])
        let loses = try StreamReader(harness, "/v1/topics/u/stream", fields: [kept.field])
        for reader in [stays, ends, loses] { try reader.readID() }
        #expect(harness.broker.alterKeys([GatewayKeyChange(id: revoked.id, action: 4)]) == [nil])
        #expect(try ends.readEnd() == "forbidden")
        let rest = AclFilter(resource: .topic, name: ExactString("u"))
        #expect(harness.broker.deleteAcls([rest]).refusal == nil)
        #expect(try loses.readEnd() == "forbidden")
        try stays.readHeartbeat()
        #expect(harness.metric("millrace_http_streams") == 1)
    }

    // MARK: Who

    @Test func whoShowsNothingIsAskedForACredential() throws {
        let harness = try harness()
        for (method, path) in [
            ("POST", "/v1/topics/t/events"), ("GET", "/v1/topics/t/records"), ("POST", "/events"), ("POST", "/ingest"),
            ("GET", "/metrics"), ("GET", "/stats"),
        ] {
            let reply = try harness.call(method, path, method == "POST" ? "{}" : nil)
            #expect(reply.status == 401, "\(path)")
            #expect(reply.fields["www-authenticate"]?.contains("Bearer realm=\"millrace\"") == true)
            #expect(reply.json["code"] as? String == "unauthorized")
        }
        for path in ["/healthz", "/readyz"] { #expect(try harness.call("GET", path).status == 200) }
        #expect(try harness.call("OPTIONS", "/v1/topics/t/events").status == 204)
        #expect(try harness.call("GET", "/nothing").status == 404)
        #expect(harness.broker.catalog.topic(named: "t") == nil)
    }

    @Test func aKeyOpensWhatItsOwnerMay() throws {
        let harness = try harness()
        permit(.write, "mine", on: harness)
        permit(.create, "mine", on: harness)
        permit(.read, "mine", on: harness)
        let key = key(on: harness)
        #expect(try harness.post("mine", "{}", fields: [key.field]).status == 201)
        #expect(try harness.post("mine", "{}", fields: ["X-API-Key: \(key.text)"]).status == 201)
        #expect(try harness.post("mine", "{}", fields: ["authorization: bearer  \(key.text) "]).status == 201)
        #expect(try harness.call("GET", "/v1/topics/mine/records", fields: [key.field]).status == 200)
        #expect(try harness.call("GET", "/metrics", fields: [key.field]).status == 403)
        permit(.describe, "kafka-cluster", on: harness, resource: .cluster)
        #expect(try harness.call("GET", "/metrics", fields: [key.field]).status == 200)
        #expect(try harness.stored("mine").records.count == 3)
    }

    @Test func allWrongCredentialsGetOneAnswer() throws {
        let harness = try harness()
        permit(.all, "*", on: harness)
        let good = key(on: harness)
        let other = GatewayKeyText.make().text.withBytes { String(decoding: $0, as: UTF8.self) }
        let revoked = key(on: harness)
        #expect(harness.broker.alterKeys([GatewayKeyChange(id: revoked.id, action: 4)]) == [nil])
        var bodies: Set<String> = []
        for field in [
            "Authorization: Bearer \(other)", revoked.field, String(good.field.dropLast()) + "x",
            "Authorization: Bearer x.y.z",
            "Authorization: Bearer", "Authorization: x", "Authorization: Basic !", Self.basic("nobody", "pencil"),
            "X-API-Key: \(other)", "X-API-Key: x", "Authorization: x.y.z", "Authorization: \(good.text)",
        ] as [String] {
            let reply = try harness.post("t", "{}", fields: [field, "X-Request-Id: same"])
            #expect(reply.status == 401, "\(field)")
            #expect(reply.fields["www-authenticate"]?.contains("error=\"invalid_token\"") == true)
            bodies.insert(reply.text)
        }
        #expect(bodies.count == 1)
        #expect(harness.broker.catalog.topic(named: "t") == nil)
    }

    @Test func twoCredentialsAreNone() throws {
        let harness = try harness()
        let key = key(on: harness)
        #expect(try harness.post("t", "{}", fields: [key.field, "X-API-Key: \(key.text)"]).status == 400)
        #expect(try harness.post("t", "{}", fields: [key.field, key.field]).status == 400)
    }

    @Test func anEventIsFoundInWhatMayBeReadAlone() throws {
        let harness = try harness()
        for operation in [AclOperation.write, .create] { permit(operation, "open", on: harness) }
        for operation in [AclOperation.write, .create] { permit(operation, "closed", on: harness) }
        permit(.read, "open", on: harness)
        let key = key(on: harness)
        for (topic, status) in [("open", 200), ("closed", 404)] {
            let stored = try harness.post(topic, "[1]", fields: [key.field])
            let result = try #require((stored.json["results"] as? [[String: Any]])?.first, "\(stored.text)")
            let path = "/v1/events/\(try #require(result["event_id"] as? String))"
            #expect(try harness.call("GET", path, fields: [key.field]).status == status)
            // To who may write there and not read it is there.
            let named = try harness.call("GET", path + "?topic=\(topic)", fields: [key.field])
            #expect(named.status == (status == 200 ? 200 : 403))
            #expect(try harness.call("GET", path).status == 401)
        }
    }

    // MARK: Changes

    /// On one connection: what was right a request ago is looked at again when keys have changed.
    @Test func aRevokedKeyOpensNothingFromTheNextRequestOn() throws {
        let harness = try harness()
        permit(.all, "t", on: harness)
        permit(.create, "kafka-cluster", on: harness, resource: .cluster)
        let (one, two) = (key(on: harness), key(on: harness))
        let client = try harness.connect()
        func post(_ key: (id: String, text: String, field: String)) throws -> Int {
            try client.send(HTTPClient.request("POST", "/v1/topics/t/events", Array("{}".utf8), fields: [key.field]))
            return try client.receive().status
        }
        #expect(try post(one) == 201)
        #expect(try post(one) == 201)
        #expect(try post(two) == 201)
        #expect(harness.broker.alterKeys([GatewayKeyChange(id: one.id, action: 4)]) == [nil])
        #expect(try post(one) == 401)
        #expect(try post(two) == 201)
        let deletion = harness.broker.deleteAcls([AclFilter(resource: .topic, name: "t")])
        #expect(deletion.results.map(\.count) == [1])
        #expect(try post(two) == 404)
    }

    @Test func theLastUseIsWrittenOnce() throws {
        let harness = try harness(acls: false)
        let key = key(on: harness)
        for _ in 0..<3 { #expect(try harness.post("t", "{}", fields: [key.field]).status == 201) }
        // Behind what the requests have queued.
        let done = Signal()
        harness.broker.admin.submit { done.raise() }
        done.wait()
        let record = try #require(harness.broker.access.keys[ExactString(key.id)])
        let version = harness.broker.access.keysVersion
        #expect(record.lastUse != nil)
        #expect(try harness.post("t", "{}", fields: [key.field]).status == 201)
        harness.broker.admin.submit { done.raise() }
        done.wait()
        #expect(harness.broker.access.keysVersion == version)
    }

    // MARK: What

    @Test func whatMayNotBeSeenIsNotThere() throws {
        let harness = try harness()
        for topic in ["hidden", "seen", "mine"] {
            _ = try harness.broker.createTopic(
                topic, partitions: 1, replicationFactor: 1, settings: [:], validateOnly: false
            ).get()
        }
        permit(.describe, "seen", on: harness)
        permit(.write, "mine", on: harness)
        permit(.write, "new", on: harness)
        let key = key(on: harness)
        func status(_ topic: String) throws -> [Int] {
            [
                try harness.post(topic, "{}", fields: [key.field]).status,
                try harness.call("GET", "/v1/topics/\(topic)/records", fields: [key.field]).status,
            ]
        }
        #expect(try status("hidden") == [404, 404] && status("missing") == [404, 404])
        let hidden = try harness.post("hidden", "{}", fields: [key.field, "X-Request-Id: same"])
        let missing = try harness.post("missing", "{}", fields: [key.field, "X-Request-Id: same"])
        #expect(hidden.text.replacing("hidden", with: "") == missing.text.replacing("missing", with: ""))
        #expect(try status("seen") == [403, 403])
        #expect(try status("mine") == [201, 403])
        #expect(try status("%6dine") == [404, 404])
        // WRITE makes no topic.
        #expect(try status("new") == [404, 403])
        #expect(harness.broker.catalog.topic(named: "new") == nil)
        permit(.create, "new", on: harness)
        #expect(try status("new") == [201, 403])
    }

    /// Without ACLs a key reaches as far as its scopes, and no further.
    @Test(arguments: [true, false]) func scopesNarrow(_ acls: Bool) throws {
        let harness = try harness(acls: acls)
        if acls { permit(.all, "*", on: harness) }
        if acls { permit(.create, "kafka-cluster", on: harness, resource: .cluster) }
        let narrow = key(on: harness) {
            $0.scopes = [
                .init(resource: 2, name: "orders", pattern: 3, operation: 4),
                .init(resource: 2, name: "orders", pattern: 3, operation: 5),
            ]
        }
        let publishable = key(on: harness) { $0.isPublishable = true }
        let all = key(on: harness)
        #expect(try harness.post("orders", "{}", fields: [narrow.field]).status == 201)
        #expect(try harness.post("others", "{}", fields: [narrow.field]).status == 404)
        #expect(try harness.call("GET", "/v1/topics/orders/records", fields: [narrow.field]).status == 403)
        #expect(try harness.post("orders", "{}", fields: [publishable.field]).status == 201)
        #expect(try harness.call("GET", "/v1/topics/orders/records", fields: [publishable.field]).status == 403)
        #expect(try harness.call("GET", "/v1/topics/orders/records", fields: [all.field]).status == 200)
    }

    @Test func withoutACredentialOneIsAnonymousWhereThatIsAllowed() throws {
        let harness = try harness(.optional)
        #expect(try harness.post("open", "{}").status == 404)
        permit(.all, "open", to: "User:ANONYMOUS", on: harness)
        #expect(try harness.post("open", "{}").status == 201)
        // Who shows a wrong one is not let in as nobody.
        #expect(try harness.post("open", "{}", fields: ["Authorization: Bearer x"]).status == 401)
        let key = key(on: harness)
        #expect(try harness.post("open", "{}", fields: [key.field]).status == 404)
    }

    // MARK: Certificates

    @Test func whoShowsACertificateIsItsOwner() throws {
        for mode in [GatewayAuthentication.Mode.required, .optional] {
            let harness = try harness(mode, certificate: .user("alice"))
            #expect(try harness.post("t", "{}").status == 404)
            permit(.all, "t", on: harness)
            #expect(try harness.post("t", "{}").status == 201)
            // What the request itself shows goes before it.
            let key = key(on: harness) { $0.owner = "User:bob" }
            #expect(try harness.post("t", "{}", fields: [key.field]).status == 404)
            #expect(try harness.post("t", "{}", fields: ["X-API-Key: gk_wrong"]).status == 401)
        }
    }

    @Test func aRouteMayTakeCertificatesAlone() throws {
        let yaml = "routes: [{path: /a, to: t, auth: {certificate: required}}, {path: /b, to: t}]"
        func statuses(_ harness: GatewayHarness, _ fields: [String] = []) throws -> [Int] {
            try ["/a", "/b"].map { try harness.call("POST", $0, "{}", fields: fields).status }
        }
        let without = try harness(yaml: yaml)
        permit(.all, "t", on: without)
        let known = key(on: without)
        #expect(try statuses(without) == [403, 401])
        #expect(try statuses(without, [known.field]) == [403, 201])
        #expect(try without.call("POST", "/a", "{}").string("code") == "certificate_required")
        let with = try harness(certificate: .user("alice"), yaml: yaml)
        #expect(try statuses(with) == [404, 404])
        permit(.all, "t", on: with)
        #expect(try statuses(with) == [201, 201])
        let other = key(on: with)
        #expect(try statuses(with, [other.field]) == [400, 201])
        // Nobody is asked who he is, and the route takes certificates alone all the same.
        let open = try GatewayHarness(configuration: try GatewayConfiguration(yaml: yaml))
        #expect(try statuses(open) == [403, 201])
    }

    // MARK: Passwords and tokens

    @Test func usersOfScramShowTheirPasswords() throws {
        let harness = try harness()
        permit(.all, "t", on: harness)
        permit(.create, "t", on: harness)
        user("alice", "pencil", on: harness)
        let client = try harness.connect()
        func post(_ user: String, _ password: String) throws -> Int {
            try client.send(
                HTTPClient.request(
                    "POST", "/v1/topics/t/events", Array("{}".utf8), fields: [Self.basic(user, password)]))
            return try client.receive().status
        }
        for _ in 0..<3 { #expect(try post("alice", "pencil") == 201) }
        #expect(try post("alice", "pen") == 401)
        #expect(try post("nobody", "pencil") == 401)
        #expect(try post("alice", "pencil") == 201)
        user("alice", "pen", on: harness)
        #expect(try post("alice", "pencil") == 401)
        #expect(try post("alice", "pen") == 201)
    }

    /// Requests that were sent behind the first wait with it, and are answered in order.
    @Test func aTokenIsCheckedElsewhereOnce() throws {
        let desk = TokenDesk()
        let harness = try harness(tokens: desk, bareTokens: true)
        permit(.all, "t", to: "Group:ops", on: harness)
        permit(.create, "t", to: "Group:ops", on: harness)
        let client = try harness.connect()
        func request(_ field: String) -> [UInt8] {
            HTTPClient.request("POST", "/v1/topics/t/events", Array("{}".utf8), fields: [field])
        }
        let good = request("Authorization: Bearer good")
        try client.send(good + good + request("Authorization: Bearer bad") + good)
        #expect(try (0..<4).map { _ in try client.receive().status } == [201, 201, 401, 201])
        #expect(desk.checks.withLock { $0 } == 3)
        #expect(try harness.call("POST", "/v1/topics/t/events", "{}", fields: ["Authorization: a.b.c"]).status == 201)
        for word in ["unknown", "busy"] {
            let reply = try harness.post("t", "{}", fields: ["Authorization: Bearer \(word)"])
            #expect(reply.status == 503 && reply.fields["retry-after"] == "1")
        }
        // Other keys: what was good is asked for again.
        try client.send(good)
        #expect(try client.receive().status == 201)
        let before = desk.checks.withLock { $0 }
        desk.changes.withLock { $0 += 1 }
        try client.send(good)
        #expect(try client.receive().status == 201)
        #expect(desk.checks.withLock { $0 } == before + 1)
    }

    /// Whoever sends tokens and closes leaves no work behind.
    @Test func aCheckIsGivenUpWithItsConnection() throws {
        let desk = TokenDesk()
        let harness = try harness(tokens: desk, finishedTimeout: .milliseconds(20))
        for _ in 0..<3 {
            // Closed as soon as it is sent.
            try harness.connect().send(
                HTTPClient.request("GET", "/stats", nil, fields: ["Authorization: Bearer never"]))
        }
        #expect(eventually { desk.waiting.withLock { $0.count == 3 && $0.allSatisfy(\.isGivenUp) } })
        // Of one that stays it is not.
        let client = try harness.connect()
        try client.send(HTTPClient.request("GET", "/stats", nil, fields: ["Authorization: Bearer never"]))
        #expect(eventually { desk.waiting.withLock { $0.count == 4 } })
        #expect(desk.waiting.withLock { !$0[3].isGivenUp })
        withExtendedLifetime(client) {}
    }

    private static let rejected = "millrace_http_authentications_total{result=\"rejected\"}"

    /// Behind a proxy a connection of HTTP/2 is many clients': each request's verdict is its own.
    @Test func aVerdictIsItsRequestsThoughAnotherClientsCameBetween() throws {
        let desk = TokenDesk()
        let harness = try harness(tokens: desk, yaml: "http.trusted.proxies: 127.0.0.1")
        let client = try HTTP2Client(port: harness.port)
        let asked = ["bad", "good"].map { word in
            client.request(
                "GET", "/stats", nil, [("x-forwarded-for", "192.0.2.1"), ("authorization", "Bearer later-\(word)")])
        }
        #expect(eventually { desk.later.withLock { $0.count == 2 } })
        #expect(try client.call("GET", "/stats", nil, [("x-forwarded-for", "192.0.2.2")]).status == 401)
        #expect(harness.metric(Self.rejected) == 0)
        desk.decide()
        #expect(try client.reply(asked[0]).status == 401)
        // He is known, and may not see this.
        #expect(try client.reply(asked[1]).status == 403)
        #expect(desk.checks.withLock { $0 } == 2)
        #expect(harness.metric(Self.rejected) == 1)
    }

    /// His place was another's by the time of the verdict: he is told so, not whether he has guessed right, and what came of his body is
    /// given back as his.
    @Test func whoIsTurnedAwayMeanwhileHasGuessedAllTheSame() throws {
        let desk = TokenDesk()
        var options = GatewayOptions()
        options.maxConnectionsPerIP = 1
        let harness = try harness(tokens: desk, yaml: "http.trusted.proxies: 127.0.0.1", options)
        let client = try HTTP2Client(port: harness.port)
        let first = [("x-forwarded-for", "192.0.2.1")]
        let asked = ["bad", "good"].map { word in
            client.request(
                "POST", "/v1/topics/t/events", [UInt8](repeating: 32, count: 5_000),
                first + [("content-type", "application/json"), ("authorization", "Bearer later-\(word)")])
        }
        #expect(eventually { desk.later.withLock { $0.count == 2 } })
        #expect(eventually { (harness.metric("millrace_http_inflight_bytes") ?? 0) > 10_000 })
        #expect(try client.call("GET", "/stats", nil, [("x-forwarded-for", "192.0.2.2")]).status == 401)
        let other = try HTTP2Client(port: harness.port)
        #expect(try other.call("GET", "/stats", nil, first).status == 401)
        desk.decide()
        for stream in asked {
            let reply = try client.reply(stream)
            #expect(reply.status == 503 && reply.string("code") == "overloaded", "\(reply.text)")
        }
        #expect(harness.metric(Self.rejected) == 1)
        #expect(try client.call("GET", "/healthz").status == 200)
        #expect(eventually { harness.metric("millrace_http_inflight_bytes") == 0 })
    }

    /// Others of his address have guessed too often meanwhile: he is told that, has guessed all the same, and leaves nothing to the request
    /// behind his.
    @Test func aVerdictThatNobodyAsksForIsCounted() throws {
        let desk = TokenDesk()
        let harness = try harness(tokens: desk)
        harness.forgivesNoGuess()
        let client = try harness.connect()
        let guess = HTTPClient.request("GET", "/stats", nil, fields: ["Authorization: Bearer later-bad"])
        try client.send(guess)
        #expect(eventually { desk.later.withLock { $0.count == 1 } })
        let other = try harness.connect()
        var status = 401
        while status == 401 {
            try other.send(HTTPClient.request("GET", "/stats", nil, fields: ["Authorization: Bearer gk_1"]))
            status = try other.receive().status
        }
        #expect(status == 429)
        let counted = try #require(harness.metric(Self.rejected))
        desk.decide()
        #expect(try client.receive().status == 429)
        #expect(harness.metric(Self.rejected) == counted + 1)
        try client.send(guess)
        #expect(try client.receive().status == 429)
        #expect(harness.metric(Self.rejected) == counted + 1)
    }

    @Test func whoGuessesIsStopped() throws {
        let harness = try harness()
        harness.forgivesNoGuess()
        let client = try harness.connect()
        var statuses: [Int: Int] = [:]
        for guess in 0..<80 {
            try client.send(
                HTTPClient.request("GET", "/stats", nil, fields: ["Authorization: Bearer gk_\(guess)"]))
            let reply = try client.receive()
            statuses[reply.status, default: 0] += 1
            if reply.status == 429 { #expect(reply.fields["retry-after"] != nil) }
        }
        #expect(statuses == [401: 50, 429: 30])
    }
}

/// Knows tokens by what they say: "good" and "a.b.c", "bad", "unknown" (nobody can tell), "busy" (too many wait), "never" (no
/// verdict comes), and "later-" before one of those (it comes when `decide` is called, and at once from then on).
private final class TokenDesk: TokenAuthority {
    let checks = Lock(0)
    /// Those that wait for ever.
    let waiting = Lock<[PendingCheck]>([])
    let changes = Lock(0)
    /// What is decided later.
    let later = Lock<[@Sendable () -> Void]>([])
    private let isDecided = Lock(false)

    func decide() {
        isDecided.withLock { $0 = true }
        let waiting = later.withLock { $0 }
        _ = Thread(name: "verdicts") { for verdict in waiting { verdict() } }
    }

    var generation: Int { changes.withLock { $0 } }

    func remembered(_ token: Secret) -> TokenIdentity? { nil }

    func check(
        _ token: Secret, from address: NetworkAddress?, _ done: @escaping @Sendable (TokenVerdict) -> Void
    ) -> PendingCheck? {
        let shown = token.withBytes { String(decoding: $0, as: UTF8.self) }
        let word = shown.replacing("later-", with: "")
        if word == "busy" { return nil }
        checks.withLock { $0 += 1 }
        if word == "never" {
            let pending = PendingCheck()
            waiting.withLock { $0.append(pending) }
            return pending
        }
        let verdict: TokenVerdict =
            switch word {
            case "good", "a.b.c":
                .accepted(
                    TokenIdentity(
                        issuer: "issuer", subject: "alice", principal: .user("alice"), groups: [.group("ops")],
                        expiry: UnixTime(milliseconds: WallClock.milliseconds + 100_000)))
            case "bad": .rejected(.wrongSignature)
            default: .unavailable
            }
        if shown != word, !isDecided.withLock({ $0 }) {
            later.withLock { $0.append { done(verdict) } }
            return PendingCheck()
        }
        // From another thread, as promised.
        _ = Thread(name: "verdict") { done(verdict) }
        return PendingCheck()
    }
}
