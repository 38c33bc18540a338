import KafkaModel

/// CreateAcls and DeleteAcls as rules over a snapshot: which entry gets which result, and what is to be written. Who
/// may ask is the authorizer's.
public enum AclChanges {
    /// What one request may remove; above it, nothing is removed and every filter is refused, as in Kafka.
    public static let maxDeletions = 10_000
    /// Entries of one CreateAcls: Kafka's bound on what one request writes. Past it, every entry is refused.
    public static let maxCreations = 10_000
    /// Filters times ACLs of one DeleteAcls: each is held against each, 0.2 us or so, on the thread
    /// that changes of topics wait for. Past it, every filter is refused.
    public static let maxComparisons = 1_000_000
    /// ACLs in all the results of one DeleteAcls, those that several filters find counted for each. Past it, every filter
    /// is refused: the reply would take some hundred bytes for each.
    public static let maxResults = 100_000
    /// Bytes of the names, principals and hosts in those results, for an ACL may have 6 KB of them. Past it, every filter is
    /// refused.
    public static let maxResultBytes = 8 << 20
    /// Of a name, a principal and a host. A topic's name has 249 bytes at most, a certificate's 1,024; longer ones are
    /// refused, for each ACL is in memory on every node.
    public static let maxTextBytes = 2_048

    /// One entry of CreateAcls as it came over the wire, numbers not yet looked at.
    public struct Creation: Sendable {
        public let resource: Int8
        public let name: String
        public let pattern: Int8
        public let principal: String
        public let host: String
        public let operation: Int8
        public let permission: Int8

        public init(
            resource: Int8, name: String, pattern: Int8, principal: String, host: String, operation: Int8,
            permission: Int8
        ) {
            self.resource = resource
            self.name = name
            self.pattern = pattern
            self.principal = principal
            self.host = host
            self.operation = operation
            self.permission = permission
        }
    }

    /// Nil where the entry is good: one result each, in order. What exists already, or is named twice, succeeds.
    public static func create(
        _ creations: [Creation], existing: AccessRules, room: AccessRoom? = nil
    ) -> (results: [AccessRefusal?], new: [AclBinding]) {
        guard creations.count <= maxCreations else {
            let refusal = AccessRefusal(
                .invalidRequest, "Cannot create more than \(maxCreations) ACLs in one request")
            return (creations.map { _ in refusal }, [])
        }
        var added: Set<AclBinding> = []
        var new: [AclBinding] = []
        var room = room ?? AccessRoom(entries: AccessRules.maxAcls - existing.count)
        let results = creations.map { creation -> AccessRefusal? in
            switch binding(of: creation) {
            case .failure(let refusal): return refusal
            case .success(let binding):
                guard !existing.contains(binding), !added.contains(binding) else { return nil }
                if let refusal = room.take(binding.textBytes, "ACLs", .invalidRequest) { return refusal }
                added.insert(binding)
                new.append(binding)
                return nil
            }
        }
        return (results, new)
    }

    private enum Outcome {
        case success(AclBinding)
        case failure(AccessRefusal)
    }

    /// Operation and resource need not fit, and a host is not looked at, as in Kafka.
    private static func binding(of creation: Creation) -> Outcome {
        func invalid(_ message: String) -> Outcome { .failure(AccessRefusal(.invalidRequest, message)) }
        guard let resource = ResourceType(rawValue: creation.resource), resource != .any else {
            return invalid("Invalid resource type \(creation.resource)")
        }
        guard let pattern = PatternType(rawValue: creation.pattern), pattern == .literal || pattern == .prefixed else {
            return invalid("Invalid pattern type \(creation.pattern)")
        }
        guard let operation = AclOperation(rawValue: creation.operation), operation != .any else {
            return invalid("Invalid operation \(creation.operation)")
        }
        guard let permission = AclPermission(rawValue: creation.permission), permission != .any else {
            return invalid("Invalid permission type \(creation.permission)")
        }
        guard !creation.name.isEmpty else { return invalid("Invalid empty resource name") }
        guard [creation.name, creation.principal, creation.host].allSatisfy({ $0.utf8.count <= maxTextBytes }) else {
            return invalid("A name, a principal and a host have at most \(maxTextBytes) bytes")
        }
        let name = ExactString(creation.name)
        guard resource != .cluster || name == ResourcePattern.clusterName else {
            return invalid("The only valid name for the CLUSTER resource is \(ResourcePattern.clusterName)")
        }
        guard Principal(parsing: creation.principal) != nil else {
            return invalid(
                "Could not parse principal from `\(creation.principal)` (no colon is present separating the principal "
                    + "type from the principal name)")
        }
        return .success(
            AclBinding(
                ResourcePattern(resource, name, pattern), principal: ExactString(creation.principal),
                host: ExactString(creation.host), operation, permission))
    }

    /// What each filter removes; an ACL that two filters find is in both results. A refusal means that nothing is
    /// removed.
    public static func delete(
        _ filters: [AclFilter], existing: AccessRules
    ) -> (results: [[AclBinding]], refusal: AccessRefusal?) {
        func refused(_ message: String) -> (results: [[AclBinding]], refusal: AccessRefusal?) {
            (filters.map { _ in [] }, AccessRefusal(.invalidRequest, message))
        }
        guard filters.count <= maxComparisons / max(existing.count, 1) else {
            return refused("Cannot look for \(filters.count) filters among \(existing.count) ACLs in one request")
        }
        let all = existing.bindings
        // A filter that was given before finds the same.
        var known: [AclFilter: [AclBinding]] = [:]
        var found: Set<AclBinding> = []
        var results: [[AclBinding]] = []
        var listed = 0
        var listedBytes = 0
        for filter in filters {
            let matching = known[filter] ?? all.filter(filter.matches)
            if known.updateValue(matching, forKey: filter) == nil { found.formUnion(matching) }
            guard found.count <= maxDeletions else {
                return refused("Cannot remove more than \(maxDeletions) ACLs in one request")
            }
            listed += matching.count
            listedBytes += matching.reduce(0) { $0 + $1.textBytes }
            guard listed <= maxResults, listedBytes <= maxResultBytes else {
                return refused(
                    "Cannot list more than \(maxResults) ACLs or \(maxResultBytes) bytes of them in one request")
            }
            results.append(matching)
        }
        return (results, nil)
    }

    /// DescribeAcls: grouped by pattern, both in the order of their texts.
    public static func describe(
        _ filter: AclFilter, existing: AccessRules
    ) -> [(pattern: ResourcePattern, bindings: [AclBinding])] {
        let found = Dictionary(grouping: existing.bindings.filter(filter.matches), by: \.pattern)
        let patterns = found.keys.sorted { one, other in
            (one.resource.rawValue, one.type.rawValue, one.name) < (
                other.resource.rawValue, other.type.rawValue, other.name
            )
        }
        return patterns.map { pattern in
            let bindings = found[pattern]!.sorted { one, other in
                (one.principal, one.host, one.operation.rawValue, one.permission.rawValue)
                    < (other.principal, other.host, other.operation.rawValue, other.permission.rawValue)
            }
            return (pattern, bindings)
        }
    }
}
