import Configuration
import Testing

/// `listener.name.NAME.KEY`: what is set for one listener by itself.
@Suite struct ListenerKeysTests {
    private static let two = [
        ("listeners", "INTERNAL://127.0.0.1:9092,EXTERNAL://127.0.0.1:9093"),
        ("listener.security.protocol.map", "INTERNAL:SASL_SSL,EXTERNAL:SASL_SSL"), ("authorizer.enable", "true"),
    ]

    private func load(
        file: String? = nil, environment: [String: String] = [:], _ flags: (String, String)...
    ) throws -> Configuration {
        let file = file.map(TemporaryFile.init)
        return try Configuration.load(
            file: file?.path, environment: environment, flags: (Self.two + flags).map { ($0.0, $0.1, "--set") })
    }

    private func problems(_ flags: (String, String)...) -> [ConfigurationError.Problem] {
        do throws(ConfigurationError) {
            _ = try Configuration.load(
                file: nil, environment: [:], flags: (Self.two + flags).map { ($0.0, $0.1, "--set") })
            return []
        } catch {
            return error.problems
        }
    }

    @Test func theyHoldForThatListenerAlone() throws {
        let configuration = try load(
            ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
            ("listener.name.external.sasl.enabled.mechanisms", "SCRAM-SHA-256,PLAIN"),
            ("listener.name.External.connections.max.reauth.ms", "60000"))
        #expect(configuration.saslMechanisms == ["SCRAM-SHA-512"])
        #expect(configuration.of(listener: "INTERNAL") == configuration)
        let external = configuration.of(listener: "EXTERNAL")
        #expect(external.saslMechanisms == ["SCRAM-SHA-256", "PLAIN"] && external.maxSaslSessionMs == 60_000)
        #expect(external.authenticationFailureDelayMs == configuration.authenticationFailureDelayMs)
    }

    @Test func whatIsSetForOneIsToldFromWhatAllHave() throws {
        let configuration = try load(
            environment: ["MILLRACE_LISTENER_NAME_INTERNAL_MAX_CONNECTIONS_PER_IP": "3"],
            ("listener.name.external.max.connections", "7"), ("max.connections", "9"))
        func own(_ key: String, _ name: String) -> Int? { configuration.integer(key, ofListener: name) }
        #expect(own("max.connections", "EXTERNAL") == 7 && own("max.connections", "INTERNAL") == nil)
        #expect(own("max.connections.per.ip", "INTERNAL") == 3 && own("max.connections.per.ip", "EXTERNAL") == nil)
        #expect(configuration.maxConnections == 9)
    }

    @Test func flagGoesBeforeEnvironmentBeforeFile() throws {
        let key = "listener.name.external.connections.max.reauth.ms"
        let (file, variable) = ("\(key): 1000", ["MILLRACE_LISTENER_NAME_EXTERNAL_CONNECTIONS_MAX_REAUTH_MS": "2000"])
        func value(_ configuration: Configuration) -> Int64 { configuration.of(listener: "EXTERNAL").maxSaslSessionMs }
        #expect(value(try load(file: file)) == 1_000)
        #expect(value(try load(file: file, environment: variable)) == 2_000)
        #expect(value(try load(file: file, environment: variable, (key, "3000"), (key, "4000"))) == 4_000)
        // Even where the key itself comes from higher up.
        #expect(value(try load(file: file, ("connections.max.reauth.ms", "9000"))) == 1_000)
        let nested = "listener:\n  name:\n    external:\n      connections.max.reauth.ms: 5s\n"
        #expect(value(try load(file: nested)) == 5_000)
    }

    @Test func aListenerAsksForCertificatesByItself() throws {
        let open = ("listeners", "SSL://0.0.0.0:9093,OTHER://0.0.0.0:9094")
        let map = ("listener.security.protocol.map", "SSL:SSL,OTHER:SSL")
        let names = { (found: [ConfigurationError.Problem]) in found.map(\.reason) }
        #expect(
            names(problems(open, map, ("listener.name.ssl.ssl.client.auth", "required"))).contains {
                $0.hasPrefix("OTHER://")
            })
        #expect(
            problems(
                open, map, ("listener.name.ssl.ssl.client.auth", "required"),
                ("listener.name.other.ssl.client.auth", "required")
            ).isEmpty)
        let weaker = problems(
            open, map, ("ssl.client.auth", "required"), ("listener.name.ssl.ssl.client.auth", "requested"))
        #expect(names(weaker).contains { $0.hasPrefix("SSL://") })
    }

    /// Passwords as they are, over the network.
    @Test func aMechanismOfOneListenerIsItsOwnDanger() {
        let plain = [("listener.security.protocol.map", "INTERNAL:SASL_PLAINTEXT,EXTERNAL:SASL_SSL")]
        let listeners = ("listeners", "INTERNAL://0.0.0.0:9092,EXTERNAL://0.0.0.0:9093")
        #expect(problems(listeners, plain[0], ("listener.name.external.sasl.enabled.mechanisms", "PLAIN")).isEmpty)
        #expect(problems(listeners, plain[0], ("listener.name.internal.sasl.enabled.mechanisms", "PLAIN")).count == 1)
    }

    @Test func whatCannotBeMeantIsTold() {
        let missing = problems(("listener.name.internet.ssl.client.auth", "required"))
        #expect(missing.map(\.key) == ["listener.name.internet.ssl.client.auth"])
        #expect(
            missing[0].reason.contains("INTERNET is not the name") && missing[0].remedy.contains("internal, external"))
        for key in [
            "listener.name.external.num.partitions", "listener.name.external", "listener.name.",
            "listener.name.ex!.ssl.client.auth",
            "listener.name.external.http.ssl.client.auth", "listener.name.external.authorizer.enable",
        ] {
            let found = problems((key, "required"))
            #expect(
                found.map(\.key) == [key] && found[0].value == nil && found[0].remedy.contains("ssl.client.auth"),
                "\(key)")
        }
        let wrong = problems(("listener.name.external.ssl.client.auth", "perhaps"))
        #expect(wrong[0].value == "perhaps" && wrong[0].reason.contains("one of none, requested, required"))
        let secret = problems(("listener.name.external.ssl.keystore.key", "no PEM"))
        #expect(secret[0].key == "listener.name.external.ssl.keystore.key" && secret[0].value == nil)
        #expect(throws: ConfigurationError.self) {
            try load(
                file: "listener.name.external.ssl.client.auth: none\nlistener.name.EXTERNAL.ssl.client.auth: none\n")
        }
    }

    @Test func theyAreShownButForSecrets() throws {
        let configuration = try load(
            ("listener.name.external.ssl.client.auth", "requested"),
            ("listener.name.external.ssl.key.password", "canary"))
        let shown = configuration.described().suffix(2)
        #expect(
            shown.map(\.name) == ["listener.name.external.ssl.client.auth", "listener.name.external.ssl.key.password"])
        #expect(shown.map(\.value) == ["requested", nil] && shown.last?.isSensitive == true)
        #expect(configuration.described("listener.name.EXTERNAL.ssl.client.auth")?.value == "requested")
        #expect(configuration.described("listener.name.internal.ssl.client.auth") == nil)
        #expect(configuration.keysThatDiffer(from: try load()) == shown.map(\.name))
        #expect(configuration.keysThatDiffer(from: configuration) == [])
    }
}
