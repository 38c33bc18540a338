import BrokerCore
import BrokerTestKit
import Configuration
import Foundation
import KafkaModel
import Security
import Testing

@testable import Server

/// `sasl.first.user`: made once in a data folder's life, from a file that is read at that start alone.
@Suite struct FirstUserTests {
    private func settings(_ file: String, user: String = "admin") -> [String: String] {
        [
            "sasl.first.user": user, "sasl.first.user.password.file": file,
            "listeners": "SASL_PLAINTEXT://127.0.0.1:0", "authorizer.enable": "false",
        ]
    }

    @Test func heIsMadeOnceAndNeverAgain() throws {
        let (data, files) = (try TemporaryFolder(), try TemporaryFolder())
        let file = files.path + "/password"
        try Data("pencil\n".utf8).write(to: URL(filePath: file))
        let first = try Node.start(folder: data.path, settings(file))
        #expect(first.broker.access.users == ["admin"])
        for mechanism in ScramMechanism.allCases {
            let credential = try #require(first.broker.access.scramCredential(of: "admin", mechanism: mechanism))
            #expect(credential.isMade(from: Secret(copying: Array("pencil".utf8)[...]), mechanism: mechanism))
        }
        try first.stop()

        // What is in the file means nothing any more, nor that there is none.
        try FileManager.default.removeItem(atPath: file)
        let second = try Node.start(folder: data.path, settings(file))
        #expect(second.broker.access.users == ["admin"])
        let deletions = ScramMechanism.allCases.map {
            ScramAlteration.Deletion(user: "admin", mechanism: $0.rawValue)
        }
        for deletion in deletions { _ = second.broker.alterScramCredentials(deletions: [deletion], upsertions: []) }
        #expect(second.broker.access.users.isEmpty)
        try second.stop()

        try Data("pencil\n".utf8).write(to: URL(filePath: file))
        let third = try Node.start(folder: data.path, settings(file))
        #expect(third.broker.access.users.isEmpty)
        try third.stop()
    }

    @Test(arguments: ["", "\n", "two\nlines\n", String(repeating: "x", count: 1_025)])
    func aPasswordIsOneLine(_ text: String) throws {
        let (data, files) = (try TemporaryFolder(), try TemporaryFolder())
        let file = files.path + "/password"
        try Data(text.utf8).write(to: URL(filePath: file))
        let error = #expect(throws: ConfigurationError.self) { try Node.start(folder: data.path, settings(file)) }
        #expect(error?.description.contains("sasl.first.user.password.file") == true)
        #expect(text.isEmpty || error?.description.contains("lines") == false)
    }

    @Test func aNameAndAPasswordBelongTogether() throws {
        let data = try TemporaryFolder()
        for key in ["sasl.first.user", "sasl.first.user.password.file"] {
            #expect(throws: ConfigurationError.self) { try Node.start(folder: data.path, [key: "x"]) }
        }
    }
}
