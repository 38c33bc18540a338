import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// DescribeGatewayKeys: which API keys there are, whose, until when and for what; never a secret, nor its hash. Without ids, all
/// keys; an id that is none's is left out. An API of our own.
extension KafkaConnection {
    private typealias Response = DescribeGatewayKeysResponse

    static func describeKeysPrice(_ asked: DescribeGatewayKeysRequest, _ context: AnswerContext) -> Int {
        let access = context.broker.access
        var price = ReplyPrice()
        let count = asked.ids?.count ?? access.keys.count
        price.add(count, Response.GatewayKeyDescription.self, text: 32)
        price.add(bytes: 2 * count * GatewayKeyRecord.maxSecrets * MemoryLayout<Int64>.size)
        price.add(access.keyScopes, Response.GatewayKeyScope.self, text: 0)
        price.add(text: access.textBytes.keys)
        return price.bytes
    }

    static func describeKeys(
        _ asked: DescribeGatewayKeysRequest, _ context: AnswerContext
    ) -> Answer<DescribeGatewayKeysResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        let keys = context.broker.access.keys
        let ids = asked.ids.map { Set($0.map { ExactString($0) }).sorted() } ?? keys.keys.sorted()
        var response = Response()
        response.keys = ids.compactMap { keys[$0].map(Response.GatewayKeyDescription.init) }
        return Answer(response: response)
    }
}

extension DescribeGatewayKeysRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> DescribeGatewayKeysResponse {
        var response = DescribeGatewayKeysResponse()
        (response.errorCode, response.errorMessage) = (refusal.error.rawValue, refusal.message)
        return response
    }
}

extension DescribeGatewayKeysResponse.GatewayKeyDescription {
    fileprivate init(_ record: GatewayKeyRecord) {
        self.init()
        (id, owner) = (record.id.text, record.owner.description)
        createdMs = record.created.milliseconds
        expiryMs = record.expiry?.milliseconds ?? -1
        lastUseMs = record.lastUse?.milliseconds ?? -1
        (isDisabled, isPublishable) = (record.isDisabled, record.isPublishable)
        signs = record.signingSecret != nil
        secretEndsMs = record.secrets.map { $0.end?.milliseconds ?? -1 }
        scopes = record.ownScopes?.map { scope in
            var written = DescribeGatewayKeysResponse.GatewayKeyScope()
            written.resourceType = scope.pattern.resource.rawValue
            written.resourceName = scope.pattern.name.text
            written.patternType = scope.pattern.type.rawValue
            written.operation = scope.operation.rawValue
            return written
        }
    }
}
