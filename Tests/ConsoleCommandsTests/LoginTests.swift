import BrokerTestKit
import Foundation
import Testing

/// Commands at a listener that asks who somebody is.
@Suite struct LoginTests {
    private let files: TemporaryFolder
    private let harness: CommandHarness

    init() throws {
        files = try TemporaryFolder()
        let first = files.path + "/admin"
        try Data("pencil\n".utf8).write(to: URL(filePath: first))
        harness = try CommandHarness([
            "listeners": "SASL_PLAINTEXT://127.0.0.1:0", "authorizer.enable": "true", "super.users": "User:admin",
            "sasl.first.user": "admin", "sasl.first.user.password.file": first,
        ])
    }

    private func login(_ user: String, _ password: String) throws -> [String: String] {
        let file = files.path + "/of-\(user)"
        try Data(password.utf8).write(to: URL(filePath: file))
        return ["MILLRACE_LOGIN": user, "MILLRACE_LOGIN_FILE": file]
    }

    @Test func theFirstUserMakesAnotherAndSaysWhatHeMay() throws {
        let admin = try login("admin", "pencil")
        let password = files.path + "/new"
        try Data("a, b = c".utf8).write(to: URL(filePath: password))
        try harness.run("user", "create", "alice", "--password-file", password, environment: admin)
        let alice = try login("alice", "a, b = c")
        let refused = try harness.run("topic", "create", "orders", environment: alice, status: 1)
        #expect(refused.errors.contains("TOPIC_AUTHORIZATION_FAILED"))
        try harness.run(
            "acl", "add", "-p", "User:alice", "-o", "create", "-o", "describe", "--topic", "orders", environment: admin)
        try harness.run("topic", "create", "orders", environment: alice)
        #expect(try harness.run("topic", "list", environment: alice).lines.dropFirst().map { $0.prefix(6) } == ["orders"])
    }

    @Test func whoIsWrongIsTold() throws {
        let wrong = try harness.run("topic", "list", environment: try login("admin", "pen"), status: 1)
        #expect(wrong.errors.contains("Authentication failed: invalid credentials"))
        #expect(!wrong.errors.contains("pencil") && !wrong.errors.contains("pen\""))
        let without = try harness.run("topic", "list", environment: ["MILLRACE_LOGIN": "admin"], status: 2)
        #expect(without.errors.contains("MILLRACE_LOGIN_FILE"))
    }

    @Test func aListenerThatAsksNobodySaysSo() throws {
        let plain = try CommandHarness()
        let run = try plain.run("topic", "list", environment: try login("admin", "pencil"), status: 1)
        #expect(run.errors.contains("asks nobody who he is"))
    }
}
