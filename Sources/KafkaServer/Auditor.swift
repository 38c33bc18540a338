import BrokerCore
import KafkaModel
import KafkaWire
import Security
import Telemetry

/// Tells the audit of what one client does, or is refused.
struct Auditor: Sendable {
    let log: AuditLog
    let client: KafkaClientIdentity

    /// A permission that the client does not have, where it is told so.
    func refused(_ operation: AclOperation, _ resource: ResourceType, _ name: String) {
        note(.refusal, "\(operation)", on: "\(resource) \(name)", result: "DENIED")
    }

    func note(_ kind: AuditEntry.Kind, _ what: String, on: String, result: String) {
        let subject = client.subject
        log.note(
            AuditEntry(
                kind, who: subject.principal.description, from: subject.address.description, what: what, on: on,
                result: result))
    }

    /// Single changes of one request that are told; of more, how many there were.
    static let maxChanges = 100

    func changed(_ key: APIKey, _ changes: [AuditedChange]) {
        for change in changes.prefix(Self.maxChanges) {
            note(.change, key.name, on: change.resource, result: change.code.name)
        }
        if changes.count > Self.maxChanges {
            note(.change, key.name, on: "\(changes.count - Self.maxChanges) others of one request", result: "")
        }
    }
}

/// What one entry of a request was to change, and how that went.
struct AuditedChange {
    let resource: String
    let code: ErrorCode

    init(_ resource: String, _ code: Int16) {
        self.resource = resource
        self.code = ErrorCode(rawValue: code)
    }
}

/// A request that changes something of the broker.
protocol AuditedRequest: KafkaRequest {
    func changes(by response: Response) -> [AuditedChange]
    /// Asks only what would come of it: nothing is told of what was not done.
    var isTrial: Bool { get }
    /// Leaves zeros where the request has secrets; called when it has been handled.
    func wipeSecrets()
}

extension AuditedRequest {
    var isTrial: Bool { false }
    func wipeSecrets() {}
}

extension APIKey {
    /// Whether its request is an `AuditedRequest`.
    var isAudited: Bool {
        switch self {
        case .createTopics, .deleteTopics, .createPartitions, .deleteRecords, .deleteGroups, .offsetDelete,
            .alterConfigs, .incrementalAlterConfigs, .createAcls, .deleteAcls, .alterClientQuotas,
            .alterUserScramCredentials,
            .alterGatewayKeys, .writeTxnMarkers, .alterShareGroupOffsets, .deleteShareGroupOffsets:
            true
        default: false
        }
    }
}

extension AnswerContext {
    /// Tells the audit of a request that changes something, once its answer is made.
    func audit<Asked: AuditedRequest>(_ asked: Asked, _ response: Asked.Response) {
        if let auditor, !asked.isTrial { auditor.changed(ticket.key, asked.changes(by: response)) }
    }
}

extension CreateTopicsRequest: AuditedRequest {
    var isTrial: Bool { validateOnly }

    func changes(by response: CreateTopicsResponse) -> [AuditedChange] {
        response.topics.map { AuditedChange($0.name, $0.errorCode) }
    }
}

extension DeleteTopicsRequest: AuditedRequest {
    func changes(by response: DeleteTopicsResponse) -> [AuditedChange] {
        response.responses.map { AuditedChange($0.name ?? $0.topicID.description, $0.errorCode) }
    }
}

extension CreatePartitionsRequest: AuditedRequest {
    var isTrial: Bool { validateOnly }

    func changes(by response: CreatePartitionsResponse) -> [AuditedChange] {
        response.results.map { AuditedChange($0.name, $0.errorCode) }
    }
}

extension DeleteRecordsRequest: AuditedRequest {
    func changes(by response: DeleteRecordsResponse) -> [AuditedChange] {
        response.topics.flatMap { topic in
            topic.partitions.map { AuditedChange("\(topic.name)-\($0.partitionIndex)", $0.errorCode) }
        }
    }
}

extension WriteTxnMarkersRequest: AuditedRequest {
    func changes(by response: WriteTxnMarkersResponse) -> [AuditedChange] {
        response.markers.flatMap { marker in
            marker.topics.flatMap { topic in
                topic.partitions.map { partition in
                    AuditedChange(
                        "producer \(marker.producerID) in \(topic.name)-\(partition.partitionIndex)",
                        partition.errorCode)
                }
            }
        }
    }
}

extension DeleteGroupsRequest: AuditedRequest {
    func changes(by response: DeleteGroupsResponse) -> [AuditedChange] {
        response.results.map { AuditedChange($0.groupID, $0.errorCode) }
    }
}

extension OffsetDeleteRequest: AuditedRequest {
    func changes(by response: OffsetDeleteResponse) -> [AuditedChange] {
        if response.errorCode != 0 { return [AuditedChange("group \(groupID)", response.errorCode)] }
        return response.topics.flatMap { topic in
            topic.partitions.map {
                AuditedChange("\(topic.name)-\($0.partitionIndex) of group \(groupID)", $0.errorCode)
            }
        }
    }
}

/// The names of settings alone: a value may be a secret.
extension AlterConfigsRequest: AuditedRequest {
    var isTrial: Bool { validateOnly }

    func changes(by response: AlterConfigsResponse) -> [AuditedChange] {
        response.responses.map { AuditedChange($0.resourceName, $0.errorCode) }
    }
}

extension IncrementalAlterConfigsRequest: AuditedRequest {
    var isTrial: Bool { validateOnly }

    func changes(by response: IncrementalAlterConfigsResponse) -> [AuditedChange] {
        response.responses.map { AuditedChange($0.resourceName, $0.errorCode) }
    }
}

extension CreateAclsRequest: AuditedRequest {
    func changes(by response: CreateAclsResponse) -> [AuditedChange] {
        zip(creations, response.results).map { creation, result in
            let operation = AclOperation(rawValue: creation.operation).map { "\($0)" } ?? "\(creation.operation)"
            let permission = AclPermission(rawValue: creation.permissionType).map { "\($0)" } ?? ""
            return AuditedChange(
                "\(permission) \(operation) \(creation.resourceName) to \(creation.principal)", result.errorCode)
        }
    }
}

extension DeleteAclsRequest: AuditedRequest {
    func changes(by response: DeleteAclsResponse) -> [AuditedChange] {
        zip(filters, response.filterResults).map { filter, result in
            let (name, principal) = (filter.resourceNameFilter ?? "any", filter.principalFilter ?? "anybody")
            return AuditedChange("\(result.matchingAcls.count) on \(name) for \(principal)", result.errorCode)
        }
    }
}

extension AlterClientQuotasRequest: AuditedRequest {
    var isTrial: Bool { validateOnly }

    func changes(by response: AlterClientQuotasResponse) -> [AuditedChange] {
        response.entries.map { entry in
            let names = entry.entity.map { "\($0.entityType) \($0.entityName ?? "by default")" }
            return AuditedChange(names.joined(separator: ", "), entry.errorCode)
        }
    }
}

extension AlterGatewayKeysRequest: AuditedRequest {
    func changes(by response: AlterGatewayKeysResponse) -> [AuditedChange] {
        response.results.map { AuditedChange("API key \($0.id)", $0.errorCode) }
    }

    func wipeSecrets() { for change in changes { if let bytes = change.signingSecret { Secret.wipe(shared: bytes) } } }
}

extension AlterUserScramCredentialsRequest: AuditedRequest {
    func changes(by response: AlterUserScramCredentialsResponse) -> [AuditedChange] {
        response.results.map { AuditedChange($0.user, $0.errorCode) }
    }

    func wipeSecrets() { for upsertion in upsertions { Secret.wipe(shared: upsertion.saltedPassword) } }
}

extension AlterShareGroupOffsetsRequest: AuditedRequest {
    func changes(by response: AlterShareGroupOffsetsResponse) -> [AuditedChange] {
        if response.errorCode != 0 { return [AuditedChange("group \(groupID)", response.errorCode)] }
        return response.responses.flatMap { topic in
            topic.partitions.map {
                AuditedChange("\(topic.topicName)-\($0.partitionIndex) of group \(groupID)", $0.errorCode)
            }
        }
    }
}

extension DeleteShareGroupOffsetsRequest: AuditedRequest {
    func changes(by response: DeleteShareGroupOffsetsResponse) -> [AuditedChange] {
        if response.errorCode != 0 { return [AuditedChange("group \(groupID)", response.errorCode)] }
        return response.responses.map { AuditedChange("\($0.topicName) of group \(groupID)", $0.errorCode) }
    }
}
