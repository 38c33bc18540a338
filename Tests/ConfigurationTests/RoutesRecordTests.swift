import Configuration
import Foundation
import Testing

@Suite struct RoutesRecordTests {
    private func values(_ yaml: String) throws -> [String: String] {
        let path = FileManager.default.temporaryDirectory.appending(path: "millrace-\(UUID().uuidString).yaml").path
        try yaml.write(toFile: path, atomically: false, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return RoutesRecord.values(of: try Configuration.load(file: path, environment: [:], flags: []))
    }

    /// Else `millrace gateway apply` would find nothing to change.
    @Test func aChangeInAnySectionIsSeen() throws {
        for name in Configuration.sectionNames {
            #expect(try values("\(name): {a: {b: 1}}\n") != values("\(name): {a: {b: 2}}\n"), "\(name)")
        }
    }

    @Test func whatMayBeASecretOfAnAddressIsAFingerprint() throws {
        func texts(_ secret: String) throws -> [String] {
            let values = try values(
                """
                subscriptions: {s: {from: q, to: "https://a.b/path?token=\(secret)"}, t: {from: r, to: "https://a.b/path"}}
                alarms: {x: {webhook: {url: "https://hooks.b/\(secret)"}}}
                """)
            return try ["subscriptions.s.to", "subscriptions.t.to", "alarms.x.webhook.url"].map {
                try #require(values[$0], "\(values)")
            }
        }
        let (one, other) = (try texts("canary1"), try texts("canary2"))
        #expect(one[0].contains("https://a.b/path…") && one[1].contains("https://a.b/path"))
        #expect(one[2].contains("https://hooks.b…"))
        #expect(one[0] != other[0] && one[2] != other[2])
        #expect(!(one + other).joined().contains("canary"))
    }
}
