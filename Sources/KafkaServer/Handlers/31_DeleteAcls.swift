import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// DeleteAcls: what each filter finds is removed, all of it at once, and told for each. A filter whose numbers mean nothing
/// stops no other. (Kafka closes the connection for it.) Too many ACLs to remove, or to tell, refuse every filter.
extension KafkaConnection {
    static func deleteAclsPrice(_ asked: DeleteAclsRequest, _ context: AnswerContext) -> Int {
        let access = context.broker.access
        let filters = asked.filters.count
        var price = ReplyPrice()
        price.add(filters, DeleteAclsResponse.DeleteAclsFilterResult.self, text: 96)
        // As if each filter found all; what is beyond these is refused.
        let acls = min(filters.saturatingMultiply(access.rules.count), AclChanges.maxResults)
        price.add(acls, DeleteAclsResponse.DeleteAclsMatchingAcl.self, text: 0)
        price.add(text: min(filters.saturatingMultiply(access.textBytes.acls), AclChanges.maxResultBytes))
        return price.bytes
    }

    static func deleteAcls(_ asked: DeleteAclsRequest, _ context: AnswerContext) -> SlicedPlan<DeleteAclsResponse> {
        .atomic(asked, context) {
            let filters = asked.filters.map { AclFilter($0) }
            let (found, refusal) = context.broker.deleteAcls(filters.compactMap { $0 })
            var next = found.makeIterator()
            return DeleteAclsResponse(
                filters.map { filter in
                    guard filter != nil else { return .failure(.unknownNumbers) }
                    // One for each filter that was asked with.
                    let matching = next.next() ?? []
                    return refusal.map { .failure($0) } ?? .success(matching)
                })
        }
    }
}

extension DeleteAclsRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> DeleteAclsResponse {
        DeleteAclsResponse(filters.map { _ in .failure(refusal) })
    }
}

extension DeleteAclsResponse {
    fileprivate init(_ results: [Result<[AclBinding], AccessRefusal>]) {
        self.init()
        filterResults = results.map { outcome in
            var result = DeleteAclsFilterResult()
            switch outcome {
            case .failure(let refusal):
                (result.errorCode, result.errorMessage) = (refusal.error.rawValue, refusal.message)
            case .success(let bindings):
                result.errorMessage = nil
                result.matchingAcls = bindings.map(DeleteAclsMatchingAcl.init)
            }
            return result
        }
    }
}

extension DeleteAclsResponse.DeleteAclsMatchingAcl {
    fileprivate init(_ binding: AclBinding) {
        self.init()
        errorMessage = nil
        resourceType = binding.pattern.resource.rawValue
        resourceName = binding.pattern.name.text
        patternType = binding.pattern.type.rawValue
        principal = binding.principal.text
        host = binding.host.text
        operation = binding.operation.rawValue
        permissionType = binding.permission.rawValue
    }
}

extension Int {
    /// The product, or the largest number.
    func saturatingMultiply(_ other: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }
}
