public import KafkaModel

/// Who asks, from where, and how far his credential reaches. Made once for each authenticated connection or credential.
public struct AccessSubject: Hashable, Sendable {
    /// Each is one more name to look up in each decision.
    public static let maxGroups = 64

    public let principal: Principal
    public let groups: [Principal]
    public let address: NetworkAddress
    /// What a narrowed credential may do at most; nil for all that its owner may. Never grants anything by itself.
    public let scopes: [AccessScope]?
    /// What an ACL may call this subject, written once: rules are found by them.
    let names: [ExactString]

    public init(_ principal: Principal, address: NetworkAddress, scopes: [AccessScope]? = nil) {
        self.init(principal, checked: [], address, scopes)
    }

    /// Nil with too many groups, wherever they came from: who asks is refused.
    public init?(
        _ principal: Principal, groups: [Principal], address: NetworkAddress, scopes: [AccessScope]? = nil
    ) {
        guard groups.count <= Self.maxGroups else { return nil }
        self.init(principal, checked: groups, address, scopes)
    }

    private init(
        _ principal: Principal, checked groups: [Principal], _ address: NetworkAddress, _ scopes: [AccessScope]?
    ) {
        self.principal = principal
        self.groups = groups
        self.address = address
        self.scopes = scopes
        names = [Self.everybody] + ([principal] + groups).map { ExactString($0.description) }
    }

    /// Whether a narrowed credential reaches that far; all others do. It grants nothing.
    public func reaches(_ request: AccessRequest) -> Bool {
        scopes?.contains { $0.operation.allows(request.operation) && $0.pattern.covers(request.resource, request.name) }
            ?? true
    }

    /// Matches every principal, of whatever type.
    private static let everybody: ExactString = "User:*"
}

/// One thing that a narrowed credential may do.
public struct AccessScope: Hashable, Sendable {
    public let pattern: ResourcePattern
    public let operation: AclOperation

    public init(_ pattern: ResourcePattern, _ operation: AclOperation) {
        self.pattern = pattern
        self.operation = operation
    }
}

/// One question.
public struct AccessRequest: Hashable, Sendable {
    public let operation: AclOperation
    public let resource: ResourceType
    public let name: ExactString

    public init(_ operation: AclOperation, _ resource: ResourceType, _ name: ExactString) {
        self.operation = operation
        self.resource = resource
        self.name = name
    }

    public static func cluster(_ operation: AclOperation) -> AccessRequest {
        AccessRequest(operation, .cluster, ResourcePattern.clusterName)
    }
}

/// The answer, with what it rests on, for the audit.
public struct AccessDecision: Hashable, Sendable {
    public enum Reason: Hashable, Sendable {
        case superUser
        case acl(AclBinding)
        /// No ACL of anybody is on the resource: `allow.everyone.if.no.acl.found` decides.
        case noAcl
        /// There are ACLs on the resource, none of which allows this.
        case notAllowed
        /// The credential's scopes do not reach so far, whatever its owner may do.
        case outOfScope
        /// The ACLs have not been read yet. Not to be told to the client: the request waits.
        case notLoaded
    }

    public let isAllowed: Bool
    public let reason: Reason
}
