public import KafkaModel

/// Which ACLs DescribeAcls shows and DeleteAcls removes. Nil and the `any` cases stand for everything; a name, a
/// principal and a host are exact: `User:*` finds only the ACLs of `User:*`.
public struct AclFilter: Hashable, Sendable {
    public let resource: ResourceType
    public let name: ExactString?
    /// With a name: `literal` and `prefixed` mean that pattern of that name, `any` both, `match` every ACL that applies
    /// to a resource of the name.
    public let pattern: PatternType
    public let principal: ExactString?
    public let host: ExactString?
    public let operation: AclOperation
    public let permission: AclPermission

    public init(
        resource: ResourceType = .any, name: ExactString? = nil, pattern: PatternType = .any,
        principal: ExactString? = nil, host: ExactString? = nil, operation: AclOperation = .any,
        permission: AclPermission = .any
    ) {
        self.resource = resource
        self.name = name
        self.pattern = pattern
        self.principal = principal
        self.host = host
        self.operation = operation
        self.permission = permission
    }

    public func matches(_ binding: AclBinding) -> Bool {
        (resource == .any || resource == binding.pattern.resource) && matches(binding.pattern)
            && (principal.map { $0 == binding.principal } ?? true) && (host.map { $0 == binding.host } ?? true)
            && (operation == .any || operation == binding.operation)
            && (permission == .any || permission == binding.permission)
    }

    private func matches(_ found: ResourcePattern) -> Bool {
        switch pattern {
        case .literal, .prefixed: found.type == pattern && (name.map { $0 == found.name } ?? true)
        case .any: name.map { $0 == found.name } ?? true
        case .match: name.map { found.covers(found.resource, $0) } ?? true
        }
    }
}
