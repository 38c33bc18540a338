import BrokerCore
import KafkaModel
import KafkaWire
import Security

/// DescribeAcls: the ACLs that a filter finds, grouped by their pattern. Where they would make the reply too long, and for
/// numbers that mean nothing, INVALID_REQUEST. (Kafka closes the connection for the latter.)
extension KafkaConnection {
    /// As if the filter found all that are about its name, or its principal: the estimate looks at no more. A filter without both
    /// may find all there are.
    static func describeAclsPrice(_ asked: DescribeAclsRequest, _ context: AnswerContext) -> Int {
        let access = context.broker.access
        let most = AclFilter(asked).map { access.rules.mostFound(by: $0) } ?? 0
        let text = min(access.textBytes.acls, most * 3 * AclChanges.maxTextBytes)
        return min(aclsPrice(most, patterns: most, text: text), RequestLimits.listBytes)
    }

    private static func aclsPrice(_ acls: Int, patterns: Int, text: Int) -> Int {
        var price = ReplyPrice()
        price.add(patterns, DescribeAclsResponse.DescribeAclsResource.self, text: 0)
        price.add(acls, DescribeAclsResponse.AclDescription.self, text: 0)
        price.add(text: text)
        return price.bytes
    }

    static func describeAcls(_ asked: DescribeAclsRequest, _ context: AnswerContext) -> Answer<DescribeAclsResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        guard let filter = AclFilter(asked) else { return Answer(response: asked.refused(by: .unknownNumbers)) }
        let found = AclChanges.describe(filter, existing: context.broker.access.rules)
        let price = aclsPrice(
            found.reduce(0) { $0 + $1.bindings.count }, patterns: found.count,
            text: found.reduce(0) { sum, group in group.bindings.reduce(sum) { $0 + $1.textBytes } })
        if let refusal = AccessRefusal(ifTooLong: price) { return Answer(response: asked.refused(by: refusal)) }
        var response = DescribeAclsResponse()
        response.resources = found.map { pattern, bindings in
            var resource = DescribeAclsResponse.DescribeAclsResource()
            resource.resourceType = pattern.resource.rawValue
            resource.resourceName = pattern.name.text
            resource.patternType = pattern.type.rawValue
            resource.acls = bindings.map { binding in
                var acl = DescribeAclsResponse.AclDescription()
                (acl.principal, acl.host) = (binding.principal.text, binding.host.text)
                (acl.operation, acl.permissionType) = (binding.operation.rawValue, binding.permission.rawValue)
                return acl
            }
            return resource
        }
        return Answer(response: response)
    }
}

extension DescribeAclsRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> DescribeAclsResponse {
        var response = DescribeAclsResponse()
        (response.errorCode, response.errorMessage) = (refusal.error.rawValue, refusal.message)
        return response
    }
}

/// A filter on the wire, as two APIs have it.
protocol WireAclFilter {
    var resourceTypeFilter: Int8 { get }
    var resourceNameFilter: String? { get }
    var patternTypeFilter: Int8 { get }
    var principalFilter: String? { get }
    var hostFilter: String? { get }
    var operation: Int8 { get }
    var permissionType: Int8 { get }
}

extension DescribeAclsRequest: WireAclFilter {}
extension DeleteAclsRequest.DeleteAclsFilter: WireAclFilter {}

extension AclFilter {
    /// Nil where a number means nothing.
    init?(_ filter: some WireAclFilter) {
        guard let resource = ResourceType(rawValue: filter.resourceTypeFilter),
            let pattern = PatternType(rawValue: filter.patternTypeFilter),
            let operation = AclOperation(rawValue: filter.operation),
            let permission = AclPermission(rawValue: filter.permissionType)
        else { return nil }
        self.init(
            resource: resource, name: filter.resourceNameFilter.map { ExactString($0) }, pattern: pattern,
            principal: filter.principalFilter.map { ExactString($0) }, host: filter.hostFilter.map { ExactString($0) },
            operation: operation, permission: permission)
    }
}

extension AccessRefusal {
    static let unknownNumbers = AccessRefusal(.invalidRequest, "The filter contains UNKNOWN elements.")

    /// Of a list whose reply takes so much.
    init?(ifTooLong bytes: Int) {
        guard bytes > RequestLimits.listBytes else { return nil }
        self.init(.invalidRequest, ReplyRoom.refusal)
    }
}
