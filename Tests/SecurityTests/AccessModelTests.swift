import BrokerTestKit
import KafkaModel
import Security
import Testing

/// The authorizer against a loop over all ACLs, which is what Kafka's rules say, word for word.
private struct NaiveRules {
    let bindings: [AclBinding]
    let superUsers: Set<Principal>
    let allowsWithoutAcl: Bool

    func isOn(_ binding: AclBinding, _ resource: ResourceType, _ name: String) -> Bool {
        guard binding.pattern.resource == resource else { return false }
        switch binding.pattern.type {
        case .literal: return binding.pattern.name == ExactString(name) || binding.pattern.name.text == "*"
        case .prefixed: return ExactString(name).hasPrefix(binding.pattern.name)
        default: return false
        }
    }

    func isWho(_ binding: AclBinding, _ subject: AccessSubject) -> Bool {
        let names = ["User:*", subject.principal.description] + subject.groups.map(\.description)
        let hosts = ["*", subject.address.description]
        return names.contains(binding.principal.text) && hosts.contains(binding.host.text)
    }

    func isAllowed(_ operation: AclOperation, _ resource: ResourceType, _ name: String, _ subject: AccessSubject)
        -> Bool
    {
        if ([subject.principal] + subject.groups).contains(where: superUsers.contains) { return true }
        let onIt = bindings.filter { isOn($0, resource, name) }
        let mine = onIt.filter { isWho($0, subject) }
        if mine.contains(where: { $0.permission == .deny && [operation, .all].contains($0.operation) }) {
            return false
        }
        var grants: Set<AclOperation> = [operation, .all]
        if operation == .describe { grants.formUnion([.read, .write, .delete, .alter]) }
        if operation == .describeConfigs { grants.insert(.alterConfigs) }
        if mine.contains(where: { $0.permission == .allow && grants.contains($0.operation) }) { return true }
        return onIt.isEmpty && allowsWithoutAcl
    }

    /// `Authorizer.authorizeByResourceType` of KIP-679.
    func isAllowedOnAny(_ operation: AclOperation, _ resource: ResourceType, _ subject: AccessSubject) -> Bool {
        if isAllowed(operation, resource, "hardcode", subject) { return true }
        let mine = bindings.filter {
            $0.pattern.resource == resource && isWho($0, subject) && [operation, .all].contains($0.operation)
        }
        func names(_ permission: AclPermission, _ type: PatternType) -> Set<ExactString> {
            Set(mine.filter { $0.permission == permission && $0.pattern.type == type }.map(\.pattern.name))
        }
        if names(.deny, .literal).contains("*") { return false }
        if names(.allow, .literal).contains("*") { return true }
        let denied = names(.deny, .prefixed)
        func isDominated(_ name: ExactString) -> Bool { denied.contains { name.hasPrefix($0) } }
        return names(.allow, .literal).contains { !names(.deny, .literal).contains($0) && !isDominated($0) }
            || names(.allow, .prefixed).contains { !isDominated($0) }
    }
}

@Suite struct AccessModelTests {
    private static let names = [
        "a", "ab", "abc", "abd", "b", "b.a", "*", "*x", "\u{e9}", "\u{e9}a", "e\u{301}", "e\u{301}a",
    ]
    private static let principals = ["User:u", "User:v", "User:*", "Group:g", "Group:h"]
    private static let hosts = ["*", "10.0.0.1", "10.0.0.2", "host.example"]

    private func binding(_ random: inout SeededRandom) -> AclBinding {
        let operation = random.pick(AclOperation.allCases.filter { $0 != .any })
        return AclBinding(
            ResourcePattern(
                random.pick([.topic, .group]), ExactString(random.pick(Self.names)), random.pick([.literal, .prefixed])),
            principal: ExactString(random.pick(Self.principals)), host: ExactString(random.pick(Self.hosts)),
            random.chance(0.5) ? random.pick([.read, .write, .describe, .all]) : operation,
            random.chance(0.7) ? .allow : .deny)
    }

    @Test(arguments: testSeeds(150)) func decidesAsALoopOverAllAcls(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var cache = DecisionCache()
        let subjects = [("u", ["g"]), ("v", []), ("w", ["g", "h"])].flatMap { name, groups in
            ["10.0.0.1", "10.0.0.2"].map { host in
                DecisionCache.RegisteredSubject(
                    AccessSubject(.user(name), groups: groups.map(Principal.group), address: NetworkAddress(host)!)!)
            }
        }
        for _ in 1...4 {
            let bindings = (0..<random.below(14)).map { _ in binding(&random) }
            let superUsers: Set<Principal> = random.chance(0.2) ? [.user("v")] : random.chance(0.2) ? [.group("h")] : []
            let naive = NaiveRules(bindings: bindings, superUsers: superUsers, allowsWithoutAcl: random.chance(0.3))
            let rules = AccessRules(
                bindings, superUsers: superUsers, allowsWithoutAcl: naive.allowsWithoutAcl)
            for _ in 0..<300 {
                let registered = random.pick(subjects)
                let operation = random.pick(AclOperation.allCases.filter { $0 != .any && $0 != .all })
                let resource: ResourceType = random.pick([.topic, .group])
                let name = random.pick(Self.names + ["", "abcd", "c", "hardcode"])
                let expected = naive.isAllowed(operation, resource, name, registered.subject)
                let request = AccessRequest(operation, resource, ExactString(name))
                let decision = rules.decide(request, for: registered.subject)
                #expect(decision.isAllowed == expected, "\(request) by \(registered.subject) of \(bindings)")
                let cached = Array(name.utf8).withUnsafeBytes {
                    cache.isAllowed(operation, resource, $0, for: registered, by: rules)
                }
                #expect(cached == expected)
                let filter = AclFilter(
                    resource: random.pick([.any, .topic]), name: random.chance(0.5) ? ExactString(name) : nil,
                    pattern: random.pick([.any, .literal, .prefixed, .match]),
                    principal: random.chance(0.5) ? ExactString("User:" + random.pick(["u", "v", "*"])) : nil)
                let found = rules.bindings.filter(filter.matches).count
                #expect(found <= rules.mostFound(by: filter), "\(filter) of \(bindings)")
                let one = binding(&random)
                #expect(rules.contains(one) == bindings.contains(one), "\(one) in \(bindings)")
                #expect(
                    cache.isAllowedOnAny(operation, resource, for: registered, by: rules)
                        == naive.isAllowedOnAny(operation, resource, registered.subject))
                let onAny = rules.decideOnAny(operation, resource, for: registered.subject)
                #expect(
                    onAny == naive.isAllowedOnAny(operation, resource, registered.subject),
                    "\(operation) on any \(resource) by \(registered.subject) of \(bindings)")
            }
        }
    }

    @Test(arguments: testSeeds(50)) func matchFindsWhatAppliesToAName(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let bindings = Set((0..<30).map { _ in binding(&random) })
        let naive = NaiveRules(bindings: Array(bindings), superUsers: [], allowsWithoutAcl: false)
        let rules = AccessRules(bindings, superUsers: [])
        #expect(Set(rules.bindings) == bindings && rules.count == bindings.count)
        for name in Self.names + ["abcd", ""] {
            let filter = AclFilter(resource: .topic, name: ExactString(name), pattern: .match)
            let found = AclChanges.describe(filter, existing: rules)
            #expect(Set(found.flatMap(\.bindings)) == bindings.filter { naive.isOn($0, .topic, name) })
            #expect(found.allSatisfy { group in group.bindings.allSatisfy { $0.pattern == group.pattern } })
        }
    }
}
