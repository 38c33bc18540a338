import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import Security
import Testing

/// Who signs requests as SDKs of AWS do, by another road than the verifier's.
struct AWSSigner {
    let name: String
    let secret: Secret
    /// What is shown as `Bearer`.
    let text: String

    init(name: String, secret: Secret, text: String) {
        (self.name, self.secret, self.text) = (name, secret, text)
    }

    /// Makes a key that signs.
    init(on harness: GatewayHarness, _ owner: String = "User:alice", scopes: [GatewayKeyChange.Scope]? = nil) {
        let (key, text) = GatewayKeyText.make()
        let signing = SigningKey.make(for: key.id)
        var change = GatewayKeyChange(id: key.id.text, action: 1)
        (change.owner, change.hash, change.signingSecret) = (owner, key.hash, signing.secret)
        change.scopes = scopes
        #expect(harness.broker.alterKeys([change]) == [nil])
        self.init(
            name: signing.name, secret: signing.secret, text: text.withBytes { String(decoding: $0, as: UTF8.self) })
    }

    /// The fields that sign a request with this body, beside its target and its type.
    func fields(
        _ service: String, _ target: String, _ type: String, _ body: String, at moment: UnixTime? = nil,
        path: String = "/", host: String = "localhost"
    ) -> [String] {
        let date = BasicDate.text(moment ?? UnixTime(milliseconds: BrokerClock.wallMs()))
        let scope = "\(date.prefix(8))/us-east-1/\(service)/aws4_request"
        let names = "content-type;host;x-amz-date;x-amz-target"
        let canonical = [
            "POST", path, "", "content-type:\(type)", "host:\(host)", "x-amz-date:\(date)", "x-amz-target:\(target)",
            "", names, Hexadecimal.encode(HashAlgorithm.sha256.hash(body.utf8)),
        ].joined(separator: "\n")
        let toSign =
            "AWS4-HMAC-SHA256\n\(date)\n\(scope)\n\(Hexadecimal.encode(HashAlgorithm.sha256.hash(canonical.utf8)))"
        var signing = secret.withBytes { Array("AWS4".utf8) + $0 }
        for part in scope.split(separator: "/") { signing = HashAlgorithm.sha256.hmac(key: signing, part.utf8) }
        let signature = Hexadecimal.encode(HashAlgorithm.sha256.hmac(key: signing, toSign.utf8))
        return [
            "X-Amz-Date: \(date)",
            "Authorization: AWS4-HMAC-SHA256 Credential=\(name)/\(scope), SignedHeaders=\(names), Signature=\(signature)",
        ]
    }
}

extension GatewayHarness {
    func permit(_ operation: AclOperation, _ topic: String) {
        let results = broker.createAcls([
            .init(
                resource: ResourceType.topic.rawValue, name: topic, pattern: 3, principal: "User:alice", host: "*",
                operation: operation.rawValue, permission: 3)
        ])
        #expect(results == [nil])
    }
}
