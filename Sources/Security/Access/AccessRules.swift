public import KafkaModel

/// All ACLs as of one moment, compiled: immutable, shared by every event loop, replaced as a whole by the next.
///
/// A decision looks at the rules of the name, at those of `*`, and at those of each length of prefix in use: at most as
/// many hash look-ups as there are different lengths, however many ACLs there are.
///
/// Order, Kafka's (`StandardAuthorizer`): a super user may; one matching DENY forbids; one matching ALLOW allows; where
/// no ACL of anybody is on the resource, the default decides; else no.
public final class AccessRules: Sendable {
    /// 24 MB at the bound. CreateAcls past it is refused; Kafka has no bound, and slows down with the number.
    public static let maxAcls = 100_000

    /// Grows with each change: what tells a decision cache that its answers are old.
    public let revision: UInt64
    /// False before the ACLs were read: only super users pass, the others wait.
    public let isLoaded: Bool
    public let allowsWithoutAcl: Bool
    private let superUsers: Set<Principal>
    private let types: [ResourceType: Rules]
    public let count: Int

    /// One ACL without its pattern.
    fileprivate struct Rule: Sendable {
        let binding: AclBinding
        /// Nil when the host is `*`.
        let address: NetworkAddress?
        /// Its host is neither `*` nor an address: matches nobody.
        let isNowhere: Bool

        init(_ binding: AclBinding) {
            self.binding = binding
            let isEverywhere = binding.host == "*"
            address = isEverywhere ? nil : NetworkAddress(binding.host.text)
            isNowhere = !isEverywhere && address == nil
        }

        func isOn(_ subject: AccessSubject) -> Bool {
            !isNowhere && (address == nil || address == subject.address) && subject.isNamed(binding.principal)
        }
    }

    fileprivate struct Rules: Sendable {
        var wildcard: [Rule] = []
        var literal: [ExactString: [Rule]] = [:]
        var prefixed: [ExactString: [Rule]] = [:]
        /// Lengths in bytes of the prefixes, each once, ascending.
        var prefixLengths: [Int] = []

        /// Calls `body` with the rules on each pattern that covers `name`, until it says false.
        func forEach(on name: ExactString, _ body: ([Rule]) -> Bool) {
            if !wildcard.isEmpty, !body(wildcard) { return }
            if let rules = literal[name], !body(rules) { return }
            let bytes = name.text.utf8
            for length in prefixLengths {
                guard length <= bytes.count else { return }
                // A prefix that ends within a scalar equals no name of whole ones.
                guard let prefix = String(bytes.prefix(length)) else { continue }
                if let rules = prefixed[ExactString(prefix)], !body(rules) { return }
            }
        }
    }

    public init(
        _ bindings: some Sequence<AclBinding>, superUsers: Set<Principal>, allowsWithoutAcl: Bool = false,
        isLoaded: Bool = true, revision: UInt64
    ) {
        var types: [ResourceType: Rules] = [:]
        var count = 0
        for binding in Set(bindings) {
            count += 1
            let (pattern, rule) = (binding.pattern, Rule(binding))
            switch (pattern.isWildcard, pattern.type) {
            case (true, _): types[pattern.resource, default: Rules()].wildcard.append(rule)
            case (false, .prefixed):
                types[pattern.resource, default: Rules()].prefixed[pattern.name, default: []].append(rule)
            default: types[pattern.resource, default: Rules()].literal[pattern.name, default: []].append(rule)
            }
        }
        for type in types.keys {
            types[type]!.prefixLengths = Set(types[type]!.prefixed.keys.map(\.text.utf8.count)).sorted()
        }
        self.types = types
        self.count = count
        self.superUsers = superUsers.subtracting([.anonymous])
        self.allowsWithoutAcl = allowsWithoutAcl
        self.isLoaded = isLoaded
        self.revision = revision
    }

    /// Decides, and says why.
    public func decide(_ request: AccessRequest, for subject: AccessSubject) -> AccessDecision {
        let decision = decideUnscoped(request, for: subject)
        if decision.isAllowed, let scopes = subject.scopes {
            let isInScope = scopes.contains { scope in
                scope.operation.allows(request.operation) && scope.pattern.covers(request.resource, request.name)
            }
            if !isInScope { return AccessDecision(isAllowed: false, reason: .outOfScope) }
        }
        return decision
    }

    private func decideUnscoped(_ request: AccessRequest, for subject: AccessSubject) -> AccessDecision {
        if isSuperUser(subject) { return AccessDecision(isAllowed: true, reason: .superUser) }
        guard isLoaded else { return AccessDecision(isAllowed: false, reason: .notLoaded) }
        var isCovered = false
        var denial: AclBinding?
        var permission: AclBinding?
        types[request.resource]?.forEach(on: request.name) { rules in
            isCovered = true
            for rule in rules where rule.isOn(subject) {
                let binding = rule.binding
                if binding.permission == .deny, binding.operation.denies(request.operation) {
                    denial = binding
                    return false
                }
                if binding.permission == .allow, binding.operation.allows(request.operation) { permission = binding }
            }
            return true
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
    /// which counts no implied operations.
    public func decideOnAny(_ operation: AclOperation, _ resource: ResourceType, for subject: AccessSubject) -> Bool {
        // A name that no resource has: super users, ACLs on `*`, the default.
        let onAny = decideUnscoped(AccessRequest(operation, resource, "\u{0}"), for: subject)
        let isAllowed = onAny.isAllowed || (isLoaded && isAllowedSomewhere(operation, resource, for: subject))
        guard isAllowed, let scopes = subject.scopes else { return isAllowed }
        return scopes.contains { $0.pattern.resource == resource && $0.operation.denies(operation) }
    }

    private func isAllowedSomewhere(
        _ operation: AclOperation, _ resource: ResourceType, for subject: AccessSubject
    ) -> Bool {
        guard let rules = types[resource] else { return false }
        func any(_ permission: AclPermission, _ rules: [Rule]) -> Bool {
            rules.contains { rule in
                rule.binding.permission == permission && rule.binding.operation.denies(operation) && rule.isOn(subject)
            }
        }
        if any(.deny, rules.wildcard) { return false }
        if any(.allow, rules.wildcard) { return true }
        func isUnderDeniedPrefix(_ name: ExactString) -> Bool {
            let bytes = name.text.utf8
            return rules.prefixLengths.prefix { $0 <= bytes.count }.contains { length in
                String(bytes.prefix(length)).flatMap { rules.prefixed[ExactString($0)] }.map { any(.deny, $0) } ?? false
            }
        }
        return rules.literal.contains { name, rules in
            any(.allow, rules) && !any(.deny, rules) && !isUnderDeniedPrefix(name)
        } || rules.prefixed.contains { name, rules in any(.allow, rules) && !isUnderDeniedPrefix(name) }
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

    /// `authorizedOperations` of who did not ask for them.
    public static let operationsNotRequested = Int32.min

    /// Every ACL, in no order.
    public var bindings: [AclBinding] {
        types.values.flatMap { rules in
            (rules.wildcard + rules.literal.values.joined() + rules.prefixed.values.joined()).map(\.binding)
        }
    }

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
