import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// AlterGatewayKeys: creates, rotates and revokes API keys, one result for each change; a refused one stops no other, and all others
/// are durable together. A key's text does not come here, only its hash. An API of our own.
extension KafkaConnection {
    static func alterKeysPrice(_ asked: AlterGatewayKeysRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.changes.count, AlterGatewayKeysResponse.GatewayKeyResult.self, text: 96)
        return price.bytes
    }

    static func alterKeys(
        _ asked: AlterGatewayKeysRequest, _ context: AnswerContext
    ) -> SlicedPlan<AlterGatewayKeysResponse> {
        .atomic(asked, context) {
            guard asked.changes.count <= ChangeLimits.maxRecords else { return asked.refused(by: .tooMany) }
            let refusals = context.broker.alterKeys(asked.changes.map(GatewayKeyChange.init))
            return AlterGatewayKeysResponse(zip(asked.changes, refusals).map { ($0.id, $1) })
        }
    }
}

extension AlterGatewayKeysRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> AlterGatewayKeysResponse {
        AlterGatewayKeysResponse(changes.map { ($0.id, refusal) })
    }
}

extension AlterGatewayKeysResponse {
    fileprivate init(_ keys: [(id: String, refusal: AccessRefusal?)]) {
        self.init()
        results = keys.map { id, refusal in
            var result = GatewayKeyResult()
            result.id = id
            (result.errorCode, result.errorMessage) = (refusal?.error.rawValue ?? 0, refusal?.message)
            return result
        }
    }
}

extension GatewayKeyChange {
    fileprivate init(_ asked: AlterGatewayKeysRequest.GatewayKeyAlteration) {
        self.init(id: asked.id, action: asked.action)
        (owner, hash, isPublishable) = (asked.owner, asked.hash, asked.isPublishable)
        signingSecret = asked.signingSecret.map { Secret(copying: $0[...]) }
        expiry = asked.expiryMs < 0 ? nil : UnixTime(milliseconds: asked.expiryMs)
        previousEnds = UnixTime(milliseconds: asked.previousEndsMs)
        scopes = asked.scopes?.map { scope in
            Scope(
                resource: scope.resourceType, name: scope.resourceName, pattern: scope.patternType,
                operation: scope.operation)
        }
    }
}
