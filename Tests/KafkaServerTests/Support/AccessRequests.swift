import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// Requests about who may do what.
enum AccessRequests {
    /// For a producer without a transactional id.
    static var producerID: InitProducerIdRequest {
        var request = InitProducerIdRequest()
        request.transactionalID = nil
        return request
    }

    static func describe(
        resource: Int8 = 1, name: String? = nil, pattern: Int8 = 1, principal: String? = nil, host: String? = nil,
        operation: Int8 = 1, permission: Int8 = 1
    ) -> DescribeAclsRequest {
        var request = DescribeAclsRequest()
        (request.resourceTypeFilter, request.resourceNameFilter, request.patternTypeFilter) = (resource, name, pattern)
        (request.principalFilter, request.hostFilter) = (principal, host)
        (request.operation, request.permissionType) = (operation, permission)
        return request
    }

    static func creation(
        _ name: String, resource: Int8 = 2, pattern: Int8 = 3, principal: String = "User:alice", operation: Int8 = 3,
        permission: Int8 = 3
    ) -> CreateAclsRequest.AclCreation {
        var creation = CreateAclsRequest.AclCreation()
        (creation.resourceType, creation.resourceName, creation.resourcePatternType) = (resource, name, pattern)
        (creation.principal, creation.host) = (principal, "*")
        (creation.operation, creation.permissionType) = (operation, permission)
        return creation
    }

    static func create(_ topics: [String]) -> CreateAclsRequest { create(topics.map { creation($0) }) }

    static func create(_ creations: [CreateAclsRequest.AclCreation]) -> CreateAclsRequest {
        var request = CreateAclsRequest()
        request.creations = creations
        return request
    }

    static func delete(_ names: [String?], operation: Int8 = 1) -> DeleteAclsRequest {
        var request = DeleteAclsRequest()
        request.filters = names.map { name in
            var filter = DeleteAclsRequest.DeleteAclsFilter()
            (filter.resourceTypeFilter, filter.resourceNameFilter, filter.patternTypeFilter) = (1, name, 1)
            (filter.principalFilter, filter.hostFilter) = (nil, nil)
            (filter.operation, filter.permissionType) = (operation, 1)
            return filter
        }
        return request
    }

    static func quotas(
        _ entity: [(type: String, name: String?)], _ limits: [(key: String, value: Double?)]
    ) -> AlterClientQuotasRequest {
        var request = AlterClientQuotasRequest()
        var entry = AlterClientQuotasRequest.EntryData()
        entry.entity = entity.map { type, name in
            var component = AlterClientQuotasRequest.EntityData()
            (component.entityType, component.entityName) = (type, name)
            return component
        }
        entry.ops = limits.map { key, value in
            var operation = AlterClientQuotasRequest.OpData()
            (operation.key, operation.value, operation.remove) = (key, value ?? 0, value == nil)
            return operation
        }
        request.entries = [entry]
        return request
    }

    static func components(_ components: [(type: String, match: Int8, name: String?)]) -> DescribeClientQuotasRequest {
        var request = DescribeClientQuotasRequest()
        request.components = components.map { type, match, name in
            var component = DescribeClientQuotasRequest.ComponentData()
            (component.entityType, component.matchType, component.match) = (type, match, name)
            return component
        }
        return request
    }

    static func users(_ names: [String]?) -> DescribeUserScramCredentialsRequest {
        var request = DescribeUserScramCredentialsRequest()
        request.users = names?.map { name in
            var user = DescribeUserScramCredentialsRequest.UserName()
            user.name = name
            return user
        }
        return request
    }

    /// RFC 7677's password, as a client salts it.
    static func password(
        _ names: String..., mechanism: Int8 = 1, iterations: Int32 = 4_096
    ) -> AlterUserScramCredentialsRequest {
        let salt = Base64.decode("W22ZaJ0SNY7soEsUEjb6gQ==".utf8)!
        let password = Secret(copying: Array("pencil".utf8)[...])
        var request = AlterUserScramCredentialsRequest()
        request.upsertions = names.map { name in
            var upsertion = AlterUserScramCredentialsRequest.ScramCredentialUpsertion()
            (upsertion.name, upsertion.mechanism, upsertion.iterations) = (name, mechanism, iterations)
            upsertion.salt = salt
            upsertion.saltedPassword = HashAlgorithm.sha256.pbkdf2(
                password: password, salt: salt, iterations: Int(iterations))
            return upsertion
        }
        return request
    }

    /// A change of a key: its creation for alice, unless told otherwise.
    static func key(_ key: GatewayKeyText, action: Int8 = 1, owner: String = "User:alice") -> AlterGatewayKeysRequest {
        var change = AlterGatewayKeysRequest.GatewayKeyAlteration()
        (change.id, change.action, change.owner, change.hash) = (key.id.text, action, owner, key.hash)
        (change.signingSecret, change.scopes) = (nil, nil)
        var request = AlterGatewayKeysRequest()
        request.changes = [change]
        return request
    }
}
