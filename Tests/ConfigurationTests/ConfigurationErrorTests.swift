import Configuration
import Testing

@Suite struct ConfigurationErrorTests {
    /// Of open listeners only where `isOpen` is off.
    private func problems(
        file: String? = nil, environment: [String: String] = [:], flags: [(String, String)] = [], isOpen: Bool = true
    ) -> [String] {
        let temporary = file.map(TemporaryFile.init)
        let flags = isOpen ? [("security.allow.open", "true")] + flags : flags
        do {
            _ = try Configuration.load(
                file: temporary?.path, environment: environment, flags: flags.map { ($0.0, $0.1, "--set") })
            return []
        } catch {
            // The name of the temporary file differs from run to run.
            return error.problems.map { replace(temporary?.path, in: $0.description) }
        }
    }

    private func replace(_ path: String?, in text: String) -> String {
        guard let path else { return text }
        var rest = Substring(text)
        var result = ""
        while !rest.isEmpty {
            if rest.hasPrefix(path) {
                result += "FILE"
                rest = rest.dropFirst(path.count)
            } else {
                result.append(rest.removeFirst())
            }
        }
        return result
    }

    @Test func aValueOutOfRangeNamesKeyValueSourceRangeAndRemedy() {
        #expect(
            problems(flags: [("num.partitions", "0")]) == [
                "num.partitions=0 (from --set): must be a whole number from 1 to 100000. "
                    + "Correct the value, or leave the key out for the default, 1."
            ])
    }

    @Test func aMistypedKeyIsAnsweredWithTheNearest() {
        #expect(
            problems(file: "num.partition: 3\n") == [
                "num.partition (from FILE, line 1): there is no such key; did you mean num.partitions? "
                    + "Write num.partitions, or remove the key."
            ])
    }

    @Test func aKeyLikeNoOtherPointsAtTheList() {
        #expect(
            problems(flags: [("zzz", "1")]) == [
                "zzz (from --set): there is no such key. Remove it; `millrace config keys` lists every key."
            ])
    }

    @Test func aMistypedVariableIsAnsweredWithTheNearest() {
        let found = problems(environment: ["MILLRACE_NUM_PARTITION": "3"])
        #expect(found.count == 1)
        #expect(found[0].contains("did you mean MILLRACE_NUM_PARTITIONS?"))
    }

    @Test func allProblemsAreToldAtOnce() {
        let found = problems(
            file: "log.segment.bytes: small\nauto.create.topics.enable: maybe\n",
            environment: ["MILLRACE_LISTENERS": "nowhere"], flags: [("log.cleanup.policy", "shred")])
        #expect(found.count == 4)
        #expect(found[0].hasPrefix("log.segment.bytes=small (from FILE, line 1): must be a whole number from 1048576"))
        #expect(found[1].contains("true or false"))
        #expect(found[2].contains("HOST:PORT"))
        #expect(found[3].contains("a comma-separated list of compact, delete."))
    }

    @Test(arguments: [
        ("log.segment.bytes", "9223372036854775807TiB"), ("log.segment.bytes", "1.5MiB"), ("log.segment.bytes", ""),
        ("num.partitions", "+3"), ("num.partitions", "3 partitions"), ("num.partitions", "0x10"),
        ("log.retention.hours", "90m"), ("offsets.retention.minutes", "30s"), ("listeners", "::1:9092"),
        ("listeners", "localhost"), ("listeners", "S L://localhost:9092"), ("listeners", "localhost:70000"),
        ("log.dirs", "a\nb"), ("compression.type", "brotli"), ("log.cleanup.policy", ""),
    ])
    func unusableValuesAreRefused(key: String, value: String) {
        #expect(problems(flags: [(key, value)]).count == 1)
    }

    @Test func oneKeyTwiceInAFileIsRefused() {
        let found = problems(file: "num.partitions: 1\nnum:\n  partitions: 2\n")
        #expect(found.count == 1)
        #expect(found[0].contains("line 3"))
        #expect(found[0].contains("the same key is set in line 1"))
    }

    @Test(arguments: [
        ("a: [1\n", "line 2"), ("a: &x 1\nb: *x\n", "an anchor"), ("- a\n", "a list where a key belongs"),
        ("just text\n", "without a key"), ("a: 1\n---\nb: 2\n", "a second document"),
        ("num.partitions:\n", "no value for num.partitions"), ("a: [[1]]\n", "a list inside a list"),
        ("a: [{b: 1}]\n", "a mapping inside a list"), ("route: [{b: 1}]\n", "did you mean routes?"),
        ("routes: [{path: /a/{b}, to: c}]\n", "in quotes, such as"), ("a:\n\tb: 1\n", "line 2"),
        (String(repeating: "{a: ", count: 40), "more than 32 levels"),
    ])
    func brokenYAMLIsRefusedWithItsLine(text: String, expected: String) {
        let found = problems(file: text)
        #expect(found.count == 1)
        #expect(found.first?.contains(expected) == true, "\(found)")
    }

    @Test func anUnreadableFileIsNamed() {
        do {
            _ = try Configuration.load(file: "/nonexistent/millrace.yaml", environment: [:], flags: [])
            Issue.record("loaded")
        } catch {
            #expect(error.description.contains("/nonexistent/millrace.yaml: No such file or directory"))
        }
    }

    @Test func contradictionsBetweenKeysAreRefused() {
        #expect(
            problems(flags: [("group.min.session.timeout.ms", "60000"), ("group.max.session.timeout.ms", "30000")])
                == [
                    "group.min.session.timeout.ms=60000 (from --set): must not be more than "
                        + "group.max.session.timeout.ms, which is 30000. Lower it, or raise group.max.session.timeout.ms."
                ])
        #expect(
            problems(flags: [("group.consumer.heartbeat.interval.ms", "45s")]) == [
                "group.consumer.heartbeat.interval.ms=45000 (from --set): must be less than "
                    + "group.consumer.session.timeout.ms, which is 45000. Lower it, or raise "
                    + "group.consumer.session.timeout.ms."
            ])
        #expect(problems(flags: [("group.consumer.session.timeout.ms", "5s")]).count == 1)
        #expect(problems(flags: [("group.consumer.heartbeat.interval.ms", "44999")]).isEmpty)
        #expect(problems(flags: [("message.max.bytes", "200MiB")]).count == 1)
        // The longest request must fit into the memory of all.
        #expect(problems(flags: [("queued.max.request.bytes", "64MiB")]).count == 1)
        #expect(
            problems(flags: [("queued.max.request.bytes", "64MiB"), ("socket.request.max.bytes", "64MiB")]).isEmpty)
        // What HTTP receives counts in the memory of all requests, and a body in its peer's share.
        #expect(
            problems(flags: [("http.max.inflight.bytes", "256MiB")]) == [
                "http.max.inflight.bytes=268435456 (from --set): must not be more than queued.max.request.bytes, which is "
                    + "109051904. Lower it, or raise queued.max.request.bytes."
            ])
        #expect(problems(flags: [("http.max.inflight.bytes", "256MiB"), ("http.enable", "false")]).isEmpty)
        #expect(problems(flags: [("http.max.inflight.bytes.per.ip", "65MiB")]).count == 1)
        #expect(problems(flags: [("http.max.request.bytes", "33MiB")]).count == 1)
        #expect(
            problems(flags: [("http.max.request.bytes", "33MiB"), ("http.max.inflight.bytes.per.ip", "40MiB")])
                .isEmpty)
        #expect(problems(flags: [("http.listener", ":9092")]).count == 1)
        #expect(problems(flags: [("http.listener", ":9092"), ("http.enable", "false")]).isEmpty)
        #expect(problems(flags: [("listeners", "127.0.0.1:0"), ("http.listener", "127.0.0.1:0")]).isEmpty)
        #expect(problems(flags: [("advertised.listeners", ":9092")]).count == 1)
        #expect(problems(flags: [("advertised.listeners", "SSL://kafka.example:9092")]).count == 1)
    }

    @Test func listenersAreNamedAndApart() {
        #expect(problems(flags: [("listeners", "PLAINTEXT://:9092,SSL://:9093")]).isEmpty)
        #expect(problems(flags: [("listeners", "PLAINTEXT://:9092,SSL://127.0.0.1:9092")]).count == 1)
        #expect(problems(flags: [("listeners", "SSL://:9092,ssl://:9093")]).count == 1)
        for (one, other, count) in [
            ("0.0.0.0", "[::1]", 0), ("0.0.0.0", "[::]", 1), ("127.0.0.1", "LocalHost", 1), ("[::1]", "localhost", 1),
            ("[::1]", "[0:0:0:0:0:0:0:1]", 1), ("10.0.0.1", "[::1]", 0), ("a.example", "A.example", 1),
            ("a.example", "b.example", 0), ("", "a.example", 0),
        ] {
            let found = problems(flags: [("listeners", "PLAINTEXT://\(one):9092,SSL://\(other):9092")])
            #expect(found.count == count, "\(one) and \(other)")
        }
        #expect(problems(flags: [("advertised.listeners", "[0:0:0:0:0:0:0:0]:9092")]).count == 1)
        let unknown = problems(flags: [("listeners", "CLIENTS://:9092")])
        #expect(unknown.count == 1 && unknown[0].contains("Add CLIENTS:SSL or CLIENTS:PLAINTEXT"))
        let map = ("listener.security.protocol.map", "clients:ssl")
        #expect(problems(flags: [("listeners", "CLIENTS://:9092"), map]).isEmpty)
        #expect(problems(flags: [("http.listener", "http://:8080,https://:8443")]).isEmpty)
        #expect(problems(flags: [("http.listener", "http://:8080,https://:8080")]).count == 1)
        #expect(problems(flags: [("http.listener", "SSL://:8080")]).count == 1)
    }

    /// Each would serve plain text, or say nothing of itself.
    @Test(arguments: [
        "INTERNAL:PLAINTEXT,INTERNAL:SSL", "internal:SSL,INTERNAL:SSL", "INTERNAL:SSL,OTHER=SSL", "INTERNAL:SSL,A:B:C",
        "INTERNAL:SSL,A:SLL", "INTERNAL:SSL,:SSL",
    ]) func anItemOfTheProtocolMapIsNotOverlooked(map: String) {
        let found = problems(flags: [("listeners", "INTERNAL://:9092"), ("listener.security.protocol.map", map)])
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("listener.security.protocol.map=") == true)
        #expect(found.first?.contains("is not one protocol for one name") == true)
    }

    @Test func passwordsDoNotGoOverTheNetworkAsTheyAre() {
        let plain = ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256")
        for (listener, isGood) in [
            ("SASL_PLAINTEXT://:9092", false), ("SASL_PLAINTEXT://10.0.0.1:9092", false),
            ("SASL_PLAINTEXT://127.evil.example:9092", false), ("SASL_PLAINTEXT://127.0.0.1:9092", true),
            ("SASL_PLAINTEXT://[::1]:9092", true), ("SASL_PLAINTEXT://localhost:9092", true),
            ("SASL_SSL://:9092", true),
        ] {
            let choice = ("authorizer.enable", "false")
            let found = problems(flags: [("listeners", listener), choice, plain])
            #expect(found.isEmpty == isGood, "\(listener)")
            #expect(problems(flags: [("listeners", listener), choice]).isEmpty, "\(listener)")
            if !isGood { #expect(found.count == 1 && found[0].contains("let SASL_PLAINTEXT speak SASL_SSL")) }
        }
    }

    /// Bind by authentication by what was said to be meant.
    @Test(
        arguments: [
            ("", []), ("listeners=127.0.0.1:1", []), ("listeners=localhost:1", []), ("listeners=[::1]:1", []),
            ("listeners=:1", ["listeners"]), ("listeners=0.0.0.0:1", ["listeners"]),
            ("listeners=10.0.0.1:1", ["listeners"]),
            ("listeners=host.example:1", ["listeners"]), ("listeners=SSL://:1", ["listeners"]),
            ("listeners=SSL://:1 ssl.client.auth=requested", ["listeners"]),
            ("listeners=SSL://:1 ssl.client.auth=required", []),
            ("listeners=SASL_SSL://:1 authorizer.enable=true", []),
            ("listeners=SASL_SSL://:1 authorizer.enable=false", []),
            ("listeners=SASL_SSL://127.0.0.1:1", ["authorizer.enable"]),
            ("listeners=SASL_PLAINTEXT://:1,PLAINTEXT://:2 authorizer.enable=true", ["listeners"]),
            ("http.listener=:1", ["http.listener"]), ("http.listener=:1 http.enable=false", []),
            ("http.listener=https://:1", ["http.listener"]),
            ("http.listener=https://:1 http.ssl.client.auth=required", []),
            ("http.listener=:1 authorizer.enable=true", ["http.listener", "http.listener"]),
            ("listeners=:1 http.listener=:2", ["listeners", "http.listener"]),
            ("listeners=:1 http.listener=:2 security.allow.open=true", []),
            ("http.listener=:2 authorizer.enable=true security.allow.open=true", ["http.listener"]),
            ("http.listener=127.0.0.1:2 authorizer.enable=true", []),
            ("listeners=SASL_SSL://:1 security.allow.open=true", ["authorizer.enable"]),
            ("admin.listener=127.0.0.1:1", []), ("admin.listener=:1", ["admin.listener"]),
            ("admin.listener=:1 http.auth=required", []), ("admin.listener=:1 http.auth=optional", ["admin.listener"]),
            ("admin.listener=https://:1 http.ssl.client.auth=required", []),
            ("admin.listener=:1 security.allow.open=true", []),
            ("admin.listener=127.0.0.1:1 http.enable=false", ["admin.listener"]),
            ("listeners=:1 http.listener=:2 admin.listener=:3", ["listeners", "http.listener", "admin.listener"]),
            ("http.listener=127.0.0.1:2 admin.listener=127.0.0.1:2", ["admin.listener"]),
            ("admin.listener=127.0.0.1:9092", ["admin.listener"]),
            ("http.proxy.protocol=http", ["http.proxy.protocol"]),
            ("http.proxy.protocol=http http.trusted.proxies=10.0.0.0/8", []),
            ("http.proxy.protocol=https http.trusted.proxies=10.0.0.0/8", ["http.proxy.protocol"]),
        ] as [(String, [String])])
    func whatIsOpenToAllIsRefusedUntilItIsMeant(_ settings: String, _ keys: [String]) {
        let flags = settings.split(separator: " ").map { setting in
            let parts = setting.split(separator: "=", maxSplits: 1).map(String.init)
            return (parts[0], parts[1])
        }
        let found = problems(flags: flags, isOpen: false)
        #expect(found.map { $0.prefix { $0 != "=" } } == keys.map { $0[...] }, "\(settings): \(found)")
        for text in found where text.contains("asks nobody") {
            // The three ways on.
            #expect(
                text.contains("ssl.client.auth=required") && text.contains("127.0.0.1") && text.contains("--insecure"))
        }
    }

    @Test func aFailureIsAnsweredBeforeItsConnectionIsIdle() {
        let delay = ("connection.failed.authentication.delay.ms", "5000")
        #expect(problems(flags: [delay]).isEmpty)
        #expect(problems(flags: [delay, ("connections.max.idle.ms", "5000")]).count == 1)
    }

    @Test func secretsAreNotTold() {
        let canary = "canary-4711"
        for key in [
            "ssl.key.password", "ssl.keystore.key", "ssl.keystore.certificate.chain", "ssl.truststore.certificates",
            "ssl.key.pasword", "sasl.jaas.config",
        ] {
            for found in [
                problems(flags: [(key, canary + "\n\u{1}")]),
                problems(file: "\(key): \(canary)\n\(key): \(canary)\n"),
                problems(environment: [
                    "MILLRACE_" + key.uppercased().map { $0 == "." ? "_" : "\($0)" }.joined(): canary + "\u{1}"
                ]),
            ] {
                #expect(!found.isEmpty, "\(key)")
                #expect(!found.contains { $0.contains(canary) }, "\(found)")
            }
        }
    }
}
