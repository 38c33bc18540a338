import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// CreateAcls: one result each, in order; a bad entry stops no other, and all others are durable together. What is there
/// already succeeds.
extension KafkaConnection {
    static func createAclsPrice(_ asked: CreateAclsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.creations.count, CreateAclsResponse.AclCreationResult.self, text: 96)
        return price.bytes
    }

    static func createAcls(_ asked: CreateAclsRequest, _ context: AnswerContext) -> SlicedPlan<CreateAclsResponse> {
        .atomic(asked, context) {
            let results = context.broker.createAcls(
                asked.creations.map { creation in
                    AclChanges.Creation(
                        resource: creation.resourceType, name: creation.resourceName,
                        pattern: creation.resourcePatternType, principal: creation.principal, host: creation.host,
                        operation: creation.operation, permission: creation.permissionType)
                })
            return CreateAclsResponse(results)
        }
    }
}

extension CreateAclsRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> CreateAclsResponse { CreateAclsResponse(creations.map { _ in refusal }) }
}

extension CreateAclsResponse {
    fileprivate init(_ refusals: [AccessRefusal?]) {
        self.init()
        results = refusals.map { refusal in
            var result = AclCreationResult()
            if let refusal { (result.errorCode, result.errorMessage) = (refusal.error.rawValue, refusal.message) }
            return result
        }
    }
}
