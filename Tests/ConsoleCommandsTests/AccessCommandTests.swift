import BrokerTestKit
import Foundation
import KafkaModel
import Security
import Testing

/// Users, ACLs and quotas by the commands, against a broker of this process.
@Suite struct AccessCommandTests {
    private let harness: CommandHarness
    private let folder: TemporaryFolder

    init() throws {
        harness = try CommandHarness(["authorizer.enable": "true", "allow.everyone.if.no.acl.found": "true"])
        folder = try TemporaryFolder()
    }

    private func file(_ content: String) throws -> String {
        let path = folder("password")
        try content.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    // MARK: Users

    @Test func usersFromCreationToDeletion() throws {
        let password = try file("pencil\n")
        let made = try harness.run("user", "create", "alice", "--password-file", password)
        #expect(made.output == "created user alice, SCRAM-SHA-256\n")
        #expect(
            try harness.run("user", "create", "alice", "--password-file", password, status: 1).errors.contains(
                "already"))
        let second = try harness.run(
            "user", "create", "alice", "-m", "SCRAM-SHA-512", "--iterations", "8192", "--password-file", "-", "--json",
            text: "pen")
        #expect(second.output == #"{"name":"alice","mechanism":"SCRAM-SHA-512","iterations":8192}"# + "\n")
        let bob = try harness.run("user", "alter", "bob", "--password-file", password, status: 1)
        #expect(bob.errors.contains("user bob: there is no such user"))
        try harness.run("user", "alter", "alice", "--password-file", password)
        let listed = try harness.run("user", "ls").lines
        #expect(listed.count == 3 && listed[1].hasPrefix("alice") && listed[2].contains("8192"))
        let json = try JSON(harness.run("user", "list", "--json").output)
        #expect(json[0]["name"].text == "alice" && json[0]["credentials"][1]["iterations"].integer == 8_192)
        try harness.run("user", "delete", "alice", "-m", "SCRAM-SHA-512")
        #expect(
            try harness.run("user", "delete", "alice", "bob", "--if-exists", "--json").output
                == #"[{"name":"alice","deleted":true},{"name":"bob","deleted":false}]"# + "\n")
        #expect(try harness.run("user", "delete", "alice", status: 1).errors.contains("there is no such user"))
        #expect(try harness.run("user", "list").errors == "no users\n")
    }

    @Test func aPasswordIsOneLineThatIsNowhereElse() throws {
        #expect(try harness.run("user", "create", "a", status: 2).errors.contains("--password-file"))
        for (content, complaint) in [
            ("", "no password"), ("\n", "no password"), ("one\ntwo\n", "several lines"),
            (String(repeating: "x", count: 1_025), "longer than 1024 bytes"),
        ] {
            let run = try harness.run("user", "create", "a", "--password-file", try file(content), status: 1)
            #expect(run.errors.contains(complaint))
        }
        #expect(
            try harness.run("user", "create", "a", "--password-file", folder("none"), status: 1).errors.contains("none")
        )
        let secret = "kestrel-over-the-weir"
        let made = try harness.run("user", "create", "a", "--password-file", try file(secret + "\r\n"), "--json")
        #expect(!made.output.contains(secret) && !made.errors.contains(secret))
        try harness.stop()
        for name in ["metadata.log", "metadata.copy"] {
            let bytes = try Data(contentsOf: URL(filePath: harness.folder(name)))
            #expect(bytes.range(of: Data(secret.utf8)) == nil && bytes.count > 100)
        }
    }

    // MARK: API keys

    @Test func keysFromCreationToRevocation() throws {
        let made = try harness.run(
            "key", "create", "alice", "--expires", "90d", "-o", "write", "-o", "read", "--topic", "orders", "--prefixed"
        )
        let text = String(made.output.dropLast())
        let key = try #require(GatewayKeyText(text.utf8))
        #expect(made.errors == "created key \(key.id) for User:alice\n")
        let second = try JSON(harness.run("key", "create", "Service:x", "--publishable", "--aws", "--json").output)
        let secondText = try #require(second["key"].text)
        let secondKey = try #require(GatewayKeyText(secondText.utf8))
        let signing = try #require(second["awsSecretAccessKey"].text)
        #expect(second["id"].text == secondKey.id.text && signing.utf8.count == 40)
        #expect(second["awsAccessKeyId"].text.flatMap { SigningKey.id(ofName: $0) } == secondKey.id)

        let listed = try harness.run("key", "ls").lines
        #expect(listed.count == 3 && listed[1...].contains { $0.hasPrefix(key.id.text) && $0.contains("User:alice") })
        #expect(listed.contains { $0.contains("write topic orders*, read topic orders*") })
        #expect(listed.contains { $0.contains("publishable, signs, all of its owner's") })
        let json = try JSON(harness.run("key", "list", "--json").output)
        let first = json[0]["id"].text == key.id.text ? json[0] : json[1]
        #expect(first["owner"].text == "User:alice" && first["scopes"][1]["operation"].text == "read")
        #expect(first["scopes"][0]["pattern"].text == "prefixed")

        let rotated = try harness.run("key", "rotate", key.id.text, "--overlap", "1h")
        let other = try #require(GatewayKeyText(rotated.output.dropLast().utf8))
        #expect(other.id == key.id && other.hash != key.hash && rotated.errors.contains("the secret before ends at"))
        #expect(try harness.run("key", "rotate", key.id.text, status: 1).errors.contains("Two secrets are in use"))
        try harness.run("key", "revoke", key.id.text, "--previous")
        try harness.run("key", "rotate", key.id.text)
        #expect(try harness.run("key", "rotate", "abc", status: 1).errors.contains("no id of a key"))
        let revoked = try harness.run("key", "revoke", key.id.text, secondKey.id.text, "--json")
        #expect(
            revoked.output
                == #"[{"name":"\#(key.id)","deleted":true},{"name":"\#(secondKey.id)","deleted":true}]"# + "\n")
        #expect(try harness.run("key", "revoke", key.id.text, status: 1).errors.contains("There is no such key"))
        #expect(try harness.run("key", "list").errors == "no keys\n")
        try harness.stop()
        for name in ["metadata.log", "metadata.copy"] {
            let bytes = try Data(contentsOf: URL(filePath: harness.folder(name)))
            for secret in [text, secondText, signing] {
                #expect(bytes.range(of: Data(secret.utf8)) == nil)
            }
        }
    }

    @Test func aScopeIsAnOperationOnSomething() throws {
        for (option, value) in [("--operation", "read"), ("--topic", "orders")] {
            #expect(try harness.run("key", "create", "alice", option, value, status: 2).errors.contains("a scope is"))
        }
    }

    // MARK: ACLs

    @Test func aclsFromAdditionToDeletion() throws {
        let added = try harness.run(
            "acl", "add", "-p", "User:alice", "-p", "User:bob", "-o", "read", "-o", "describe", "--topic", "orders",
            "--group",
            "billing")
        #expect(added.lines.count == 8)
        #expect(added.lines[0] == "added allow User:alice read on topic orders from *")
        try harness.run(
            "acl", "add", "-p", "User:*", "-o", "all", "--topic", "or", "--prefixed", "--deny", "--host", "10.0.0.1")
        // The first ACL on the cluster locks out everybody else, this client as well.
        try harness.run("acl", "add", "-p", "User:ANONYMOUS", "-o", "all", "--cluster")
        #expect(try harness.run("acl", "list").lines.count == 11)
        #expect(try harness.run("acl", "list", "--topic", "orders").lines.count == 5)
        #expect(try harness.run("acl", "list", "--topic", "orders", "--pattern", "match").lines.count == 6)
        #expect(try harness.run("acl", "list", "--principal", "User:alice", "-o", "read").lines.count == 3)
        let denied = try JSON(harness.run("acl", "list", "--host", "10.0.0.1", "--json").output)
        #expect(denied.count == 1 && denied[0]["permission"].text == "deny" && denied[0]["pattern"].text == "prefixed")
        #expect(
            denied[0]["resource"].text == "topic" && denied[0]["name"].text == "or"
                && denied[0]["operation"].text == "all")
        let dry = try harness.run("acl", "delete", "--principal", "User:bob", "--dry-run")
        #expect(dry.lines.count == 4 && dry.lines[0].hasPrefix("would be deleted: allow User:bob"))
        #expect(try harness.run("acl", "delete", "--principal", "User:bob").lines.count == 4)
        #expect(try harness.run("acl", "delete", "--principal", "User:bob").errors == "no ACLs to delete\n")
        try harness.run("acl", "delete", "--all")
        #expect(try harness.run("acl", "list").errors == "no ACLs\n")
    }

    @Test func whatMeansNothingIsSaid() throws {
        for words in [
            ["-o", "read", "--topic", "t"], ["-p", "User:a", "--topic", "t"], ["-p", "User:a", "-o", "read"],
            ["-p", "alice", "-o", "read", "--topic", "t"], ["-p", "User:a", "-o", "fly", "--topic", "t"],
        ] {
            let run = try CommandRun.of(["acl", "add"] + words, environment: harness.environment)
            #expect(run.status == 2, "\(words)")
        }
        #expect(try harness.run("acl", "delete", status: 2).errors.contains("--all"))
        #expect(try harness.run("acl", "list", "--topic", "t", "--cluster", status: 2).errors.contains("exclude"))
        let nobody = try harness.run("acl", "add", "-p", "User:a", "-o", "read", "--topic", "t", "--host", "localhost")
        #expect(nobody.errors.contains("localhost is no address"))
    }

    @Test func withoutAnAuthorizerThereAreNoAcls() throws {
        let plain = try CommandHarness()
        #expect(try plain.run("acl", "list", status: 1).errors.contains("No Authorizer"))
    }

    // MARK: Quotas

    @Test func quotasFromSettingToDeletion() throws {
        let set = try harness.run(
            "quota", "set", "--user", "alice", "-l", "producer_byte_rate=10MiB", "-l", "request_percentage=12.5")
        #expect(
            set.lines == [
                "set producer_byte_rate of user alice to 10485760", "set request_percentage of user alice to 12.5",
            ])
        try harness.run("quota", "set", "--user", "alice", "--client-id-default", "-l", "consumer_byte_rate=1")
        try harness.run("quota", "set", "--ip-default", "-l", "connection_creation_rate=7")
        #expect(try harness.run("quota", "list").lines.count == 5)
        #expect(try harness.run("quota", "list", "--user", "alice").lines.count == 4)
        let json = try JSON(harness.run("quota", "list", "--client-id-default", "--json").output)
        #expect(json.count == 1 && json[0]["entity"].count == 2 && json[0]["limits"]["consumer_byte_rate"].integer == 1)
        let one = try harness.run("quota", "delete", "--user", "alice", "-l", "request_percentage")
        #expect(one.output == "deleted request_percentage of user alice\n")
        try harness.run("quota", "delete", "--user", "alice")
        let again = try harness.run("quota", "delete", "--user", "alice", status: 1)
        #expect(again.errors.contains("user alice: there is no such quota"))
        #expect(try harness.run("quota", "list", "--user", "alice").lines.count == 2)
    }

    @Test func badQuotasAreRefused() throws {
        #expect(try harness.run("quota", "set", "-l", "producer_byte_rate=1", status: 2).errors.contains("say whose"))
        #expect(try harness.run("quota", "set", "--user", "a", status: 2).errors.contains("--limit"))
        #expect(
            try harness.run("quota", "set", "--user", "a", "-l", "producer_byte_rate=none", status: 2).errors.contains(
                "number"))
        let both = try harness.run(
            "quota", "set", "--user", "a", "--ip", "::1", "-l", "connection_creation_rate=1", status: 2)
        #expect(both.errors.contains("by itself"))
        #expect(try harness.run("quota", "set", "--user", "a", "-l", "no_rate=1", status: 1).errors.contains("no_rate"))
    }
}
