import BrokerTestKit
import Glibc
import KafkaModel
import Security
import StorageIO
import Testing

@testable import BrokerCore

/// API keys: durable before they are acknowledged, and bounded.
@Suite struct GatewayKeyStoreTests {
    private func creation(_ key: GatewayKeyText, _ set: (inout GatewayKeyChange) -> Void = { _ in }) -> GatewayKeyChange
    {
        var change = GatewayKeyChange(id: key.id.text, action: 1)
        (change.owner, change.hash) = ("User:alice", key.hash)
        set(&change)
        return change
    }

    @Test func everythingOfAKeyIsThereAfterACrash() throws {
        let node = try SimulatedBroker()
        let (plain, full) = (GatewayKeyText.make().key, GatewayKeyText.make().key)
        let signing = SigningKey.make(for: full.id)
        let results = node.broker.alterKeys([
            creation(plain),
            creation(full) {
                $0.owner = "Service:billing: nightly"
                $0.expiry = UnixTime(milliseconds: 99_000_000_000_000)
                $0.isPublishable = true
                $0.scopes = [
                    .init(resource: 2, name: "orders", pattern: 3, operation: 4),
                    .init(resource: 3, name: "g", pattern: 4, operation: 3),
                ]
                $0.signingSecret = signing.secret
            },
        ])
        #expect(results == [nil, nil])
        let second = try #require(GatewayKeyText.make(id: plain.id)).key
        var rotation = GatewayKeyChange(id: plain.id.text, action: 2)
        (rotation.hash, rotation.previousEnds) = (second.hash, UnixTime(milliseconds: 99_000_000_000_000))
        #expect(node.broker.alterKeys([rotation]) == [nil])
        node.broker.noteUse(of: [full.id, "nobody's key"])
        let before = node.broker.access
        #expect(before.keys.count == 2 && before.keyScopes == 2 && before.keys[full.id]?.lastUse != nil)
        #expect(before.keys[plain.id]?.secrets.map(\.hash) == [second.hash, plain.hash])
        try node.crash()
        let after = node.broker.access
        #expect(after.keys == before.keys && after.textBytes == before.textBytes)
        let record = try #require(after.keys[full.id])
        #expect(node.broker.signingSecret(of: record) == signing.secret)
        #expect(node.broker.signingSecret(of: try #require(after.keys[plain.id])) == nil)
        // Noted a second time within the interval, nothing is written.
        node.broker.noteUse(of: [full.id])
        #expect(node.broker.access === after)
    }

    /// Neither a key's text nor a signing secret is on the disk.
    @Test func whatOpensIsNowhere() throws {
        let node = try SimulatedBroker()
        let (key, text) = GatewayKeyText.make()
        let signing = SigningKey.make(for: key.id)
        #expect(node.broker.alterKeys([creation(key) { $0.signingSecret = signing.secret }]) == [nil])
        for file in ["metadata.log", "metadata.copy"] {
            let bytes = try #require(node.fileSystem.contents("/data/\(file)"))
            #expect(bytes.contains(key.hash))
            for secret in [text, signing.secret] { #expect(!secret.withBytes { bytes.contains(Array($0)) }) }
        }
    }

    @Test func eachChangeGetsItsResultAndLaterOnesSeeEarlierOnes() throws {
        let node = try SimulatedBroker()
        let key = GatewayKeyText.make().key
        let revocation = GatewayKeyChange(id: key.id.text, action: 4)
        let results = node.broker.alterKeys([
            revocation, creation(key), creation(key), GatewayKeyChange(id: "none", action: 4), revocation,
            creation(key),
        ])
        #expect(
            results.map { $0?.error } == [
                .resourceNotFound, nil, .duplicateResource, .unacceptableCredential, nil, nil,
            ])
        #expect(node.broker.access.keys.count == 1)
        #expect(node.broker.alterKeys([revocation]) == [nil])
        #expect(node.broker.access.keys.isEmpty && node.broker.access.textBytes.keys == 0)
        try node.restart()
        #expect(node.broker.access.keys.isEmpty)
    }

    @Test func thereAreNoMoreThanThereMayBe() throws {
        var options = SimulatedBroker.options
        options.access.maxKeys = 2
        let node = try SimulatedBroker(options: options)
        let results = node.broker.alterKeys((0..<3).map { _ in creation(GatewayKeyText.make().key) })
        #expect(results.map { $0?.error } == [nil, nil, .policyViolation])
        #expect(node.broker.access.keys.count == 2)
    }

    @Test func aChangeThatCannotBeWrittenIsNone() throws {
        let node = try SimulatedBroker()
        let key = GatewayKeyText.make().key
        #expect(node.broker.alterKeys([creation(key)]) == [nil])
        node.fileSystem.inject(Fault(.fail(errno: ENOSPC), on: .write, pathContains: "metadata.log", times: .max))
        let other = GatewayKeyText.make().key
        let results = node.broker.alterKeys([creation(other), GatewayKeyChange(id: key.id.text, action: 4)])
        #expect(results.map { $0?.error } == [.kafkaStorageError, .kafkaStorageError])
        #expect(node.broker.access.keys.keys.sorted() == [key.id])
    }
}
