public import KafkaModel
import Synchronization

/// All ACLs as of one moment, compiled: immutable, shared by every event loop, replaced as a whole by the next.
///
/// A decision looks at the patterns that cover the name: its own, `*`, and one for each length of prefix in use. In each it
/// finds the rules of the subject's names by binary search, so that neither the ACLs of other names nor those of others
/// on the same name cost it anything.
///
/// Order, Kafka's (`StandardAuthorizer`): a super user may; one matching DENY forbids; one matching ALLOW allows; where
/// no ACL of anybody is on the resource, the default decides; else no.
public final class AccessRules: Sendable {
    /// 24 MB at the bound, names of ten characters. CreateAcls past it is refused; Kafka has no bound, and slows down with
    /// the number. Compiling so many takes longer than a loop may stand still: never on one.
    public static let maxAcls = 100_000

    private static let numbers = Atomic<UInt64>(0)

    /// No other rules of this process have it, so what was decided by these is known by it, without holding them: who
    /// held many and old ones would free them one day, which takes longer than a loop may stand still.
    public let number = AccessRules.numbers.add(1, ordering: .relaxed).newValue
    /// False before the ACLs were read: only super users pass, the others wait.
    public let isLoaded: Bool
    public let allowsWithoutAcl: Bool
    private let superUsers: Set<Principal>
    /// In the order of their principals.
    private let rules: [Rule]
    private let types: [ResourceType: Patterns]

    fileprivate struct Rule: Sendable {
        let binding: AclBinding
        /// Nil when the host is `*`.
        let address: NetworkAddress?
        let isNowhere: Bool

        init(_ binding: AclBinding) {
            self.binding = binding
            address = binding.host == "*" ? nil : binding.address
            isNowhere = binding.host != "*" && address == nil
        }

        func isFrom(_ host: NetworkAddress) -> Bool { !isNowhere && (address == nil || address == host) }
    }

    /// Places in `rules`, ascending: so in the order of the principals as well.
    private typealias Places = [Int32]

    private struct Patterns: Sendable {
        var wildcard: Places = []
        var literal: [ExactString: Places] = [:]
        var prefixed: [ExactString: Places] = [:]
        /// Lengths in bytes of the prefixes, each once, ascending.
        var prefixLengths: [Int] = []

        func places(of pattern: ResourcePattern) -> Places {
            if pattern.isWildcard { return wildcard }
            return (pattern.type == .prefixed ? prefixed[pattern.name] : literal[pattern.name]) ?? []
        }

        /// Calls `body` with the rules on each pattern that covers `name`, until it says false.
        func forEach(on name: ExactString, _ body: (Places) -> Bool) {
            if !wildcard.isEmpty, !body(wildcard) { return }
            if let places = literal[name], !body(places) { return }
            let bytes = name.text.utf8
            for length in prefixLengths {
                guard length <= bytes.count else { return }
                // A prefix that ends within a scalar equals no name of whole ones.
                guard let prefix = String(bytes.prefix(length)) else { continue }
                if let places = prefixed[ExactString(prefix)], !body(places) { return }
            }
        }
    }

    public init(
        _ bindings: some Sequence<AclBinding>, superUsers: Set<Principal>, allowsWithoutAcl: Bool = false,
        isLoaded: Bool = true
    ) {
        rules = Set(bindings).map(Rule.init).sorted { $0.binding.principal < $1.binding.principal }
        var types: [ResourceType: Patterns] = [:]
        for (place, rule) in rules.enumerated() {
            let (pattern, place) = (rule.binding.pattern, Int32(place))
            switch (pattern.isWildcard, pattern.type) {
            case (true, _): types[pattern.resource, default: Patterns()].wildcard.append(place)
            case (false, .prefixed):
                types[pattern.resource, default: Patterns()].prefixed[pattern.name, default: []].append(place)
            default: types[pattern.resource, default: Patterns()].literal[pattern.name, default: []].append(place)
            }
        }
        for type in types.keys {
            types[type]!.prefixLengths = Set(types[type]!.prefixed.keys.map(\.text.utf8.count)).sorted()
        }
        self.types = types
        self.superUsers = superUsers.subtracting([.anonymous])
        self.allowsWithoutAcl = allowsWithoutAcl
        self.isLoaded = isLoaded
    }

    public var count: Int { rules.count }

    public func contains(_ binding: AclBinding) -> Bool {
        let places = types[binding.pattern.resource]?.places(of: binding.pattern) ?? []
        let same = places[begin(of: binding.principal, in: places)...].prefix {
            rules[Int($0)].binding.principal == binding.principal
        }
        return same.contains { rules[Int($0)].binding == binding }
    }

    /// As many as a filter can find, or more; without looking at them.
    public func mostFound(by filter: AclFilter) -> Int {
        var most = rules.count
        if let principal = filter.principal {
            let all = Int32(0)..<Int32(rules.count)
            let first = begin(of: principal, in: all)
            most = rules[Int(first)...].prefix { $0.binding.principal == principal }.count
        }
        // MATCH finds other names as well.
        guard let name = filter.name, filter.pattern != .match else { return most }
        let named = types.values.reduce(0) { sum, patterns in
            [PatternType.literal, .prefixed].reduce(sum) {
                $0 + patterns.places(of: ResourcePattern(.topic, name, $1)).count
            }
        }
        return min(most, named)
    }

    /// Where in `places` the rules about `principal` begin, if there are any.
    private func begin<Some: RandomAccessCollection<Int32>>(of principal: ExactString, in places: Some) -> Some.Index {
        var (low, high) = (places.startIndex, places.endIndex)
        while low < high {
            let middle = places.index(low, offsetBy: places.distance(from: low, to: high) / 2)
            if rules[Int(places[middle])].binding.principal < principal {
                low = places.index(after: middle)
            } else {
                high = middle
            }
        }
        return low
    }

    /// Those of `places` that are about one of the subject's names and its address, until `body` says false.
    private func forEach(
        of subject: AccessSubject, in places: some RandomAccessCollection<Int32>, _ body: (AclBinding) -> Bool
    ) -> Bool {
        for name in subject.names {
            for place in places[begin(of: name, in: places)...] {
                let rule = rules[Int(place)]
                guard rule.binding.principal == name else { break }
                if rule.isFrom(subject.address), !body(rule.binding) { return false }
            }
        }
        return true
    }

    /// Decides, and says why.
    public func decide(_ request: AccessRequest, for subject: AccessSubject) -> AccessDecision {
        let decision = decideUnscoped(request, for: subject)
        if decision.isAllowed, !subject.reaches(request) {
            return AccessDecision(isAllowed: false, reason: .outOfScope)
        }
        return decision
    }

    private func decideUnscoped(_ request: AccessRequest, for subject: AccessSubject) -> AccessDecision {
        if isSuperUser(subject) { return AccessDecision(isAllowed: true, reason: .superUser) }
        guard isLoaded else { return AccessDecision(isAllowed: false, reason: .notLoaded) }
        var isCovered = false
        var denial: AclBinding?
        var permission: AclBinding?
        types[request.resource]?.forEach(on: request.name) { places in
            isCovered = true
            return forEach(of: subject, in: places) { binding in
                if binding.permission == .deny, binding.operation.denies(request.operation) {
                    denial = binding
                    return false
                }
                if binding.permission == .allow, binding.operation.allows(request.operation) { permission = binding }
                return true
            }
        }
        if let denial { return AccessDecision(isAllowed: false, reason: .acl(denial)) }
        if let permission { return AccessDecision(isAllowed: true, reason: .acl(permission)) }
        if !isCovered { return AccessDecision(isAllowed: allowsWithoutAcl, reason: .noAcl) }
        return AccessDecision(isAllowed: false, reason: .notAllowed)
    }

    public func isSuperUser(_ subject: AccessSubject) -> Bool {
        superUsers.contains(subject.principal) || subject.groups.contains(where: superUsers.contains)
    }

    /// Whether the subject may do `operation` on one resource of the type at least: what a producer without a
    /// transactional id has to have (WRITE on any topic). Source: `Authorizer.authorizeByResourceType` of KIP-679,
    /// which counts no implied operations. Of a narrowed credential, one of its scopes has to meet one of the patterns
    /// that its owner is allowed.
    public func decideOnAny(_ operation: AclOperation, _ resource: ResourceType, for subject: AccessSubject) -> Bool {
        let scopes = subject.scopes?.filter { $0.pattern.resource == resource && $0.operation.denies(operation) }
        if let scopes, scopes.isEmpty { return false }
        // A name that no resource has: super users, ACLs on `*`, the default.
        if decideUnscoped(AccessRequest(operation, resource, "\u{0}"), for: subject).isAllowed { return true }
        guard isLoaded, let patterns = types[resource] else { return false }
        if has(.deny, operation, for: subject, in: patterns.wildcard) { return false }
        if has(.allow, operation, for: subject, in: patterns.wildcard) { return true }
        // Only the subject's own ACLs can allow it.
        return !forEach(of: subject, in: Int32(0)..<Int32(rules.count)) { binding in
            let isCandidate =
                binding.pattern.resource == resource && binding.permission == .allow
                && binding.operation.denies(operation)
                && scopes?.contains { $0.pattern.meets(binding.pattern) } ?? true
            return !isCandidate || isDenied(operation, binding.pattern, for: subject, patterns)
        }
    }

    /// Whether a DENY takes all of an allowed pattern away: one of the same name, or of a prefix of it.
    private func isDenied(
        _ operation: AclOperation, _ allowed: ResourcePattern, for subject: AccessSubject, _ patterns: Patterns
    ) -> Bool {
        if allowed.type == .literal, let places = patterns.literal[allowed.name],
            has(.deny, operation, for: subject, in: places)
        {
            return true
        }
        let bytes = allowed.name.text.utf8
        return patterns.prefixLengths.prefix { $0 <= bytes.count }.contains { length in
            String(bytes.prefix(length)).flatMap { patterns.prefixed[ExactString($0)] }
                .map { has(.deny, operation, for: subject, in: $0) } ?? false
        }
    }

    private func has(
        _ permission: AclPermission, _ operation: AclOperation, for subject: AccessSubject, in places: Places
    ) -> Bool {
        !forEach(of: subject, in: places) { $0.permission != permission || !$0.operation.denies(operation) }
    }

    /// The sum of `1 << code` over the operations that the subject may do on the resource: `authorizedOperations` of
    /// Metadata, DescribeGroups and DescribeCluster. Source: KIP-430.
    public func authorizedOperations(
        _ resource: ResourceType, _ name: ExactString, for subject: AccessSubject
    ) -> Int32 {
        resource.operations.reduce(0) { sum, operation in
            decide(AccessRequest(operation, resource, name), for: subject).isAllowed
                ? sum | 1 << Int32(operation.rawValue) : sum
        }
    }

    /// Every ACL, in the order of the principals.
    public var bindings: [AclBinding] { rules.map(\.binding) }

    /// Reads `super.users`: principals between semicolons (distinguished names hold commas), blanks trimmed. Throws on
    /// one without a type.
    public static func superUsers(parsing text: String) throws(SecurityConfigurationError) -> Set<Principal> {
        var users: Set<Principal> = []
        for part in text.split(separator: ";") {
            let name = part.trimmingBlanks
            if name.isEmpty { continue }
            guard let principal = Principal(parsing: name) else {
                throw SecurityConfigurationError(
                    key: "super.users", value: name, expected: "Type:name, e.g. User:alice;User:CN=bob,O=Example")
            }
            users.insert(principal)
        }
        return users
    }
}
