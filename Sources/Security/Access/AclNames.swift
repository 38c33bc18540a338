public import KafkaModel

/// What an ACL is about. The numbers are those of the wire.
public enum ResourceType: Int8, Sendable, CaseIterable {
    case any = 1
    case topic = 2
    case group = 3
    case cluster = 4
    case transactionalID = 5
    case delegationToken = 6
    case user = 7

    /// The operations that mean something for this type, in the order of their numbers: what `authorizedOperations`
    /// tells. Source: `AclEntry.supportedOperations` of Kafka 4.3.
    public var operations: [AclOperation] {
        switch self {
        case .any: []
        case .topic: [.read, .write, .create, .delete, .alter, .describe, .describeConfigs, .alterConfigs]
        case .group: [.read, .delete, .describe, .describeConfigs, .alterConfigs]
        case .cluster:
            [.create, .alter, .describe, .clusterAction, .describeConfigs, .alterConfigs, .idempotentWrite]
        case .transactionalID: [.write, .describe, .twoPhaseCommit]
        case .delegationToken: [.describe]
        case .user: [.createTokens, .describeTokens]
        }
    }
}

/// What somebody wants to do. The numbers are those of the wire.
public enum AclOperation: Int8, Sendable, CaseIterable {
    case any = 1
    case all = 2
    case read = 3
    case write = 4
    case create = 5
    case delete = 6
    case alter = 7
    case describe = 8
    case clusterAction = 9
    case describeConfigs = 10
    case alterConfigs = 11
    case idempotentWrite = 12
    case createTokens = 13
    case describeTokens = 14
    case twoPhaseCommit = 15

    /// The operations that an ALLOW of this one grants. A DENY forbids no more than it names.
    var implied: [AclOperation] {
        switch self {
        case .read, .write, .delete, .alter: [.describe]
        case .alterConfigs: [.describeConfigs]
        default: []
        }
    }

    /// Whether an ALLOW of `self` is one of `asked`.
    func allows(_ asked: AclOperation) -> Bool { self == asked || self == .all || implied.contains(asked) }

    /// Whether a DENY of `self` is one of `asked`.
    func denies(_ asked: AclOperation) -> Bool { self == asked || self == .all }
}

/// How an ACL's name is meant. `any` and `match` are for filters.
public enum PatternType: Int8, Sendable, CaseIterable {
    case any = 1
    case match = 2
    case literal = 3
    case prefixed = 4
}

public enum AclPermission: Int8, Sendable, CaseIterable {
    case any = 1
    case deny = 2
    case allow = 3
}

/// Which resources an ACL is on: one by name, all of a type (`*`, literal), or those whose names begin alike.
public struct ResourcePattern: Hashable, Sendable {
    /// The cluster's only name.
    public static let clusterName: ExactString = "kafka-cluster"
    public static let wildcard: ExactString = "*"

    public let resource: ResourceType
    public let name: ExactString
    public let type: PatternType

    public init(_ resource: ResourceType, _ name: ExactString, _ type: PatternType = .literal) {
        self.resource = resource
        self.name = name
        self.type = type
    }

    /// Prefixed `*` is the prefix "*", and no wildcard.
    public var isWildcard: Bool { type == .literal && name == Self.wildcard }

    public func covers(_ resource: ResourceType, _ name: ExactString) -> Bool {
        guard resource == self.resource else { return false }
        return isWildcard || (type == .prefixed ? name.hasPrefix(self.name) : self.name == name)
    }

    /// Whether there can be a name that both are on; of patterns of one type of resource.
    func meets(_ other: ResourcePattern) -> Bool {
        if isWildcard || other.isWildcard { return true }
        switch (type, other.type) {
        case (.prefixed, .prefixed): return name.hasPrefix(other.name) || other.name.hasPrefix(name)
        case (.prefixed, _): return other.name.hasPrefix(name)
        case (_, .prefixed): return name.hasPrefix(other.name)
        default: return name == other.name
        }
    }
}

/// One ACL: who, from where, may or may not, do what, on what.
public struct AclBinding: Hashable, Sendable {
    public let pattern: ResourcePattern
    /// `Type:name`, or `User:*` for everybody of whatever type.
    public let principal: ExactString
    /// `*` or an address.
    public let host: ExactString
    public let operation: AclOperation
    public let permission: AclPermission

    public init(
        _ pattern: ResourcePattern, principal: ExactString, host: ExactString = "*", _ operation: AclOperation,
        _ permission: AclPermission
    ) {
        self.pattern = pattern
        self.principal = principal
        self.host = host
        self.operation = operation
        self.permission = permission
    }

    /// What is as long as somebody made it.
    public var textBytes: Int { pattern.name.text.utf8.count + principal.text.utf8.count + host.text.utf8.count }

    /// Nil for `*`, and for what is no address. Java prints an IPv6 address of one link with its zone
    /// (`fe80:0:0:0:0:0:0:1%eth0`), which is no part of the address here.
    var address: NetworkAddress? {
        let text = host.text.utf8
        let isZoned = text.contains(UInt8(ascii: ":"))
        let end = isZoned ? text.firstIndex(of: UInt8(ascii: "%")) ?? text.endIndex : text.endIndex
        return NetworkAddress(String(host.text[..<end]))
    }

    /// Its host is neither `*` nor an address: it matches no request, as in Kafka. Of a DENY that is worth a warning
    /// where it is made and listed, for it forbids nothing.
    public var matchesNobody: Bool { host != "*" && address == nil }
}
