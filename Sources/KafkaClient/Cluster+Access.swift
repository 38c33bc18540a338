internal import KafkaModel
internal import KafkaWire
public import Security

/// Users, ACLs and quotas.
extension Cluster {
    // MARK: Users

    public struct ScramUser: Sendable {
        public var name: String
        public var credentials: [(mechanism: ScramMechanism, iterations: Int32)]
    }

    /// Returns all users that have credentials, in the order of their names.
    public func scramUsers() throws(ClientError) -> [ScramUser] {
        var request = DescribeUserScramCredentialsRequest()
        request.users = nil
        let response = try call(request)
        try Self.check(response.errorCode, "users", response.errorMessage)
        return response.results.map(ScramUser.init).sorted { ExactString($0.name) < ExactString($1.name) }
    }

    /// Returns a user's credentials; none when he has none.
    public func scramUser(_ name: String) throws(ClientError) -> ScramUser {
        var asked = DescribeUserScramCredentialsRequest.UserName()
        asked.name = name
        var request = DescribeUserScramCredentialsRequest()
        request.users = [asked]
        let response = try call(request)
        try Self.check(response.errorCode, "user \(name)", response.errorMessage)
        guard let result = response.results.first else {
            throw .invalidAnswer("DescribeUserScramCredentials says nothing of \(name)")
        }
        if ErrorCode(rawValue: result.errorCode) == .resourceNotFound { return ScramUser(name: name, credentials: []) }
        try Self.check(result.errorCode, "user \(name)", result.errorMessage)
        return ScramUser(result)
    }

    /// Gives a user a password for one mechanism. What is sent is the salted password, never the password itself.
    public func setPassword(
        of name: String, _ mechanism: ScramMechanism, to password: Secret, iterations: Int
    ) throws(ClientError) {
        var upsertion = AlterUserScramCredentialsRequest.ScramCredentialUpsertion()
        (upsertion.name, upsertion.mechanism) = (name, mechanism.rawValue)
        upsertion.iterations = Int32(iterations)
        upsertion.salt = ScramDecoys.newSalt()
        upsertion.saltedPassword = mechanism.algorithm.pbkdf2(
            password: password, salt: upsertion.salt, iterations: iterations)
        defer { Secret.wipe(&upsertion.saltedPassword) }
        var request = AlterUserScramCredentialsRequest()
        request.upsertions = [upsertion]
        try alter(request, name)
    }

    public func removePassword(of name: String, _ mechanism: ScramMechanism) throws(ClientError) {
        var deletion = AlterUserScramCredentialsRequest.ScramCredentialDeletion()
        (deletion.name, deletion.mechanism) = (name, mechanism.rawValue)
        var request = AlterUserScramCredentialsRequest()
        request.deletions = [deletion]
        try alter(request, name)
    }

    private func alter(_ request: AlterUserScramCredentialsRequest, _ name: String) throws(ClientError) {
        let response = try callController(request)
        guard let result = response.results.first else {
            throw .invalidAnswer("AlterUserScramCredentials says nothing of \(name)")
        }
        try Self.check(result.errorCode, "user \(name)", result.errorMessage)
    }

    // MARK: ACLs

    /// Returns the ACLs that the filter finds.
    public func acls(_ filter: AclFilter) throws(ClientError) -> [AclBinding] {
        var request = DescribeAclsRequest()
        request.resourceTypeFilter = filter.resource.rawValue
        request.resourceNameFilter = filter.name?.text
        request.patternTypeFilter = filter.pattern.rawValue
        request.principalFilter = filter.principal?.text
        request.hostFilter = filter.host?.text
        (request.operation, request.permissionType) = (filter.operation.rawValue, filter.permission.rawValue)
        let response = try call(request)
        try Self.check(response.errorCode, "ACLs", response.errorMessage)
        var bindings: [AclBinding] = []
        for resource in response.resources {
            for acl in resource.acls {
                bindings.append(
                    try Self.binding(
                        (resource.resourceType, resource.patternType, acl.operation, acl.permissionType),
                        resource.resourceName, principal: acl.principal, host: acl.host))
            }
        }
        return bindings
    }

    /// Adds ACLs; those that are there already stay. The first that the broker refuses is thrown, when all were looked at.
    public func create(_ acls: [AclBinding]) throws(ClientError) {
        var request = CreateAclsRequest()
        request.creations = acls.map { acl in
            var creation = CreateAclsRequest.AclCreation()
            creation.resourceType = acl.pattern.resource.rawValue
            creation.resourceName = acl.pattern.name.text
            creation.resourcePatternType = acl.pattern.type.rawValue
            (creation.principal, creation.host) = (acl.principal.text, acl.host.text)
            (creation.operation, creation.permissionType) = (acl.operation.rawValue, acl.permission.rawValue)
            return creation
        }
        let response = try callController(request)
        guard response.results.count == acls.count else {
            throw .invalidAnswer("CreateAcls answers \(response.results.count) of \(acls.count) ACLs")
        }
        for (result, acl) in zip(response.results, acls) {
            try Self.check(result.errorCode, "ACL of \(acl.principal) on \(acl.pattern.name)", result.errorMessage)
        }
    }

    /// Removes the ACLs that the filter finds, and returns them.
    public func deleteAcls(_ filter: AclFilter) throws(ClientError) -> [AclBinding] {
        var wanted = DeleteAclsRequest.DeleteAclsFilter()
        wanted.resourceTypeFilter = filter.resource.rawValue
        wanted.resourceNameFilter = filter.name?.text
        wanted.patternTypeFilter = filter.pattern.rawValue
        wanted.principalFilter = filter.principal?.text
        wanted.hostFilter = filter.host?.text
        (wanted.operation, wanted.permissionType) = (filter.operation.rawValue, filter.permission.rawValue)
        var request = DeleteAclsRequest()
        request.filters = [wanted]
        let response = try callController(request)
        guard let result = response.filterResults.first else { throw .invalidAnswer("DeleteAcls says nothing") }
        try Self.check(result.errorCode, "ACLs", result.errorMessage)
        var bindings: [AclBinding] = []
        for acl in result.matchingAcls {
            try Self.check(acl.errorCode, "ACL of \(acl.principal) on \(acl.resourceName)", acl.errorMessage)
            bindings.append(
                try Self.binding(
                    (acl.resourceType, acl.patternType, acl.operation, acl.permissionType), acl.resourceName,
                    principal: acl.principal, host: acl.host))
        }
        return bindings
    }

    private static func binding(
        _ numbers: (resource: Int8, pattern: Int8, operation: Int8, permission: Int8), _ name: String,
        principal: String, host: String
    ) throws(ClientError) -> AclBinding {
        guard let resource = ResourceType(rawValue: numbers.resource),
            let pattern = PatternType(rawValue: numbers.pattern),
            let operation = AclOperation(rawValue: numbers.operation),
            let permission = AclPermission(rawValue: numbers.permission)
        else { throw .invalidAnswer("an ACL on \(name) of a kind that this program does not know") }
        return AclBinding(
            ResourcePattern(resource, ExactString(name), pattern), principal: ExactString(principal),
            host: ExactString(host), operation, permission)
    }

    // MARK: Quotas

    /// What one entity has.
    public struct EntityQuotas: Sendable {
        public var entity: [QuotaEntity.Component]
        public var limits: [(key: String, value: Double)]

        public init(entity: [QuotaEntity.Component], limits: [(key: String, value: Double)]) {
            self.entity = entity
            self.limits = limits
        }
    }

    /// Returns the quotas of every entity that has all these components, and perhaps others.
    public func quotas(of components: [QuotaEntity.Component]) throws(ClientError) -> [EntityQuotas] {
        var request = DescribeClientQuotasRequest()
        request.components = components.map { component in
            var part = DescribeClientQuotasRequest.ComponentData()
            part.entityType = component.type.text
            (part.matchType, part.match) = (component.name == nil ? 1 : 0, component.name?.text)
            return part
        }
        let response = try call(request)
        try Self.check(response.errorCode, "quotas", response.errorMessage)
        return (response.entries ?? []).map { entry in
            EntityQuotas(
                entity: entry.entity.map { .init(type: $0.entityType, name: $0.entityName) },
                limits: entry.values.map { ($0.key, $0.value) })
        }
    }

    /// Sets limits of an entity, and removes those whose value is nil.
    public func alterQuotas(
        of components: [QuotaEntity.Component], _ limits: [(key: String, value: Double?)]
    ) throws(ClientError) {
        var entry = AlterClientQuotasRequest.EntryData()
        entry.entity = components.map { component in
            var part = AlterClientQuotasRequest.EntityData()
            (part.entityType, part.entityName) = (component.type.text, component.name?.text)
            return part
        }
        entry.ops = limits.map { key, value in
            var operation = AlterClientQuotasRequest.OpData()
            (operation.key, operation.value, operation.remove) = (key, value ?? 0, value == nil)
            return operation
        }
        var request = AlterClientQuotasRequest()
        request.entries = [entry]
        let response = try callController(request)
        guard let result = response.entries.first else { throw .invalidAnswer("AlterClientQuotas says nothing") }
        try Self.check(result.errorCode, "quotas", result.errorMessage)
    }
}

extension Cluster.ScramUser {
    /// Mechanisms that are not known here are passed over.
    init(_ result: DescribeUserScramCredentialsResponse.DescribeUserScramCredentialsResult) {
        self.init(
            name: result.user,
            credentials: result.credentialInfos.compactMap { info in
                ScramMechanism(rawValue: info.mechanism).map { ($0, info.iterations) }
            })
    }
}
