import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import StorageIO
import Telemetry
import Testing

@testable import Server

/// The file of the audit: bounded, and never in anybody's way.
@Suite struct AuditFileTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func itBeginsAnewAtItsSizeAndKeepsTheOneBefore() throws {
        let folder = try TemporaryFolder()
        let path = folder("audit.log")
        let file = AuditFile(PosixFileSystem(), path: path, maxBytes: 10)
        for line in ["first\n", "2\n", "third\n", "4\n"] { #expect(file.append(bytes(line))) }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "third\n4\n")
        #expect(try String(contentsOfFile: path + ".1", encoding: .utf8) == "first\n2\n")
        // What was there before a start stays.
        #expect(AuditFile(PosixFileSystem(), path: path, maxBytes: 100).append(bytes("5\n")))
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "third\n4\n5\n")
    }

    @Test func whereItCannotBeWrittenNothingElseFails() throws {
        let folder = try TemporaryFolder()
        let file = AuditFile(PosixFileSystem(), path: folder("missing/audit.log"), maxBytes: 100)
        #expect(!file.append(bytes("first\n")))
        try FileManager.default.createDirectory(atPath: folder("missing"), withIntermediateDirectories: false)
        #expect(file.append(bytes("second\n")))
        #expect(try String(contentsOfFile: folder("missing/audit.log"), encoding: .utf8) == "second\n")
    }

    @Test func aNodeTellsOfItsFirstUserAndNotOfHisPassword() throws {
        let (data, files) = (try TemporaryFolder(), try TemporaryFolder())
        let password = files("password")
        try Data("canary-4711\n".utf8).write(to: URL(filePath: password))
        let settings = [
            "sasl.first.user": "admin", "sasl.first.user.password.file": password, "authorizer.enable": "true",
            "listeners": "SASL_PLAINTEXT://127.0.0.1:0",
        ]
        try Node.start(folder: data.path, settings).stop()
        let told = try String(contentsOfFile: data("audit.log"), encoding: .utf8)
        #expect(told.contains(#""kind":"change","who":"the configuration","from":"","what":"first user","on":"admin""#))
        #expect(!told.contains("canary"))
        try FileManager.default.removeItem(atPath: data("audit.log"))
        try Node.start(folder: data.path, settings.merging(["audit.log": "off"]) { $1 }).stop()
        #expect(!FileManager.default.fileExists(atPath: data("audit.log")))
    }
}
