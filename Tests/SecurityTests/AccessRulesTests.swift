import KafkaModel
import KafkaWire
import Security
import Testing

private let here = NetworkAddress("127.0.0.1")!

private func allow(
    _ principal: ExactString, _ operation: AclOperation, _ name: ExactString, _ type: PatternType = .literal,
    _ resource: ResourceType = .topic, host: ExactString = "*", _ permission: AclPermission = .allow
) -> AclBinding {
    AclBinding(ResourcePattern(resource, name, type), principal: principal, host: host, operation, permission)
}

private func deny(
    _ principal: ExactString, _ operation: AclOperation, _ name: ExactString, _ type: PatternType = .literal,
    _ resource: ResourceType = .topic, host: ExactString = "*"
) -> AclBinding { allow(principal, operation, name, type, resource, host: host, .deny) }

@Suite struct AccessRulesTests {
    private let alice = AccessSubject(.user("alice"), address: here)
    private let bob = AccessSubject(.user("bob"), address: here)

    private func rules(_ bindings: AclBinding..., open: Bool = false) -> AccessRules {
        AccessRules(bindings, superUsers: [.user("root")], allowsWithoutAcl: open)
    }

    private func may(
        _ subject: AccessSubject, _ operation: AclOperation, _ name: ExactString, _ rules: AccessRules,
        _ resource: ResourceType = .topic
    ) -> Bool { rules.decide(AccessRequest(operation, resource, name), for: subject).isAllowed }

    @Test func withoutAnAclTheDefaultDecides() {
        #expect(!may(alice, .read, "t", rules()) && may(alice, .read, "t", rules(open: true)))
        // One ACL for alice locks bob out of the topic; one on `*` locks all.
        let some = rules(allow("User:alice", .read, "t"), open: true)
        #expect(may(alice, .read, "t", some) && !may(alice, .write, "t", some) && !may(bob, .read, "t", some))
        #expect(may(bob, .read, "u", some))
        #expect(!may(bob, .read, "u", rules(allow("User:alice", .read, "*"), open: true)))
    }

    @Test func aDenialWins() {
        let some = rules(allow("User:alice", .all, "*"), deny("User:*", .write, "pay", .prefixed))
        #expect(may(alice, .read, "payments", some) && !may(alice, .write, "payments", some))
        #expect(may(AccessSubject(.user("root"), address: here), .write, "payments", some))
    }

    @Test func operationsAreImpliedByAllowOnly() {
        for operation in [AclOperation.read, .write, .delete, .alter] {
            #expect(may(alice, .describe, "t", rules(allow("User:alice", operation, "t"))))
            #expect(
                may(
                    alice, .describe, "t",
                    rules(allow("User:alice", .describe, "t"), deny("User:alice", operation, "t"))))
        }
        #expect(!may(alice, .describe, "t", rules(allow("User:alice", .create, "t"))))
        #expect(may(alice, .describeConfigs, "t", rules(allow("User:alice", .alterConfigs, "t"))))
        #expect(!may(alice, .describe, "t", rules(allow("User:alice", .alterConfigs, "t"))))
        #expect(may(alice, .describe, "t", rules(allow("User:alice", .all, "t"))))
        #expect(!may(alice, .describe, "t", rules(allow("User:alice", .read, "t"), deny("User:alice", .all, "t"))))
    }

    @Test func prefixedStarIsNoWildcard() {
        let some = rules(allow("User:alice", .read, "*", .prefixed))
        #expect(may(alice, .read, "*x", some) && !may(alice, .read, "x", some))
    }

    @Test func principalsAreExactAndStarMeansAllTypes() {
        let token = AccessSubject(Principal(type: "Token", name: "alice"), address: here)
        #expect(!may(token, .read, "t", rules(allow("User:alice", .read, "t"))))
        #expect(may(token, .read, "t", rules(allow("User:*", .read, "t"))))
        #expect(!may(token, .read, "t", rules(allow("Token:*", .read, "t"))))
        let named = AccessSubject(.user("CN=a:b,O=c"), address: here)
        #expect(may(named, .read, "t", rules(allow("User:CN=a:b,O=c", .read, "t"))))
        #expect(!may(alice, .read, "t", rules(allow("User:Alice", .read, "t"))))
        // The same letters, written as other scalars.
        let accent = AccessSubject(.user("zo\u{eb}"), address: here)
        #expect(!may(accent, .read, "t", rules(allow("User:zoe\u{308}", .read, "t"))))
        #expect(!may(alice, .read, "caf\u{e9}", rules(allow("User:alice", .read, "cafe\u{301}"))))
        #expect(!may(alice, .read, "cafe\u{301}", rules(allow("User:alice", .read, "caf\u{e9}", .prefixed))))
    }

    @Test func groupsAreAsGoodAsTheUser() {
        let member = AccessSubject(.user("alice"), groups: [.group("ops")], address: here)!
        let some = rules(
            allow("Group:ops", .read, "t"), deny("Group:ops", .read, "secret"), allow("User:alice", .read, "secret"))
        #expect(may(member, .read, "t", some) && !may(alice, .read, "t", some))
        #expect(!may(member, .read, "secret", some) && may(alice, .read, "secret", some))
    }

    @Test func hostsAreComparedAsAddresses() {
        func at(_ address: String) -> AccessSubject { AccessSubject(.user("alice"), address: NetworkAddress(address)!) }
        for (host, address, isAllowed) in [
            ("*", "::1", true), ("10.0.0.1", "10.0.0.1", true), ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true), ("0:0:0:0:0:0:0:1", "::1", true), ("::1", "::1", true),
            ("2001:DB8::1", "2001:db8:0:0:0:0:0:1", true), ("localhost", "127.0.0.1", false),
            ("10.0.0.0/8", "10.0.0.1", false),
            ("", "127.0.0.1", false),
        ] {
            let some = rules(allow("User:alice", .read, "t", host: ExactString(host)))
            #expect(may(at(address), .read, "t", some) == isAllowed, "\(host) and \(address)")
        }
        // An ACL from elsewhere is on the resource all the same.
        #expect(!may(at("10.0.0.2"), .read, "t", rules(allow("User:alice", .read, "t", host: "10.0.0.1"), open: true)))
    }

    @Test func superUsersAreReadBetweenSemicolons() throws {
        let users = try AccessRules.superUsers(parsing: " User:alice ;User:CN=a,O=b;; Group:ops")
        #expect(users == [.user("alice"), .user("CN=a,O=b"), .group("ops")])
        #expect(try AccessRules.superUsers(parsing: "").isEmpty)
        #expect(throws: SecurityConfigurationError.self) { try AccessRules.superUsers(parsing: "User:a;bob") }
        let some = AccessRules([], superUsers: users.union([.anonymous]))
        #expect(some.isSuperUser(AccessSubject(.user("bob"), groups: [.group("ops")], address: here)!))
        // Nobody who was not asked who he is.
        #expect(!some.isSuperUser(AccessSubject(.anonymous, address: here)))
    }

    @Test func beforeTheAclsAreReadOnlySuperUsersPass() {
        let empty = AccessRules([], superUsers: [.user("root")], allowsWithoutAcl: true, isLoaded: false)
        let request = AccessRequest(.read, .topic, "t")
        #expect(empty.decide(request, for: alice).reason == .notLoaded)
        #expect(empty.decide(request, for: AccessSubject(.user("root"), address: here)).isAllowed)
        #expect(!empty.decideOnAny(.write, .topic, for: alice))
        var cache = DecisionCache()
        let (registered, root) = (
            DecisionCache.RegisteredSubject(alice),
            DecisionCache.RegisteredSubject(AccessSubject(.user("root"), address: here))
        )
        #expect(cache.isAllowed(.read, .topic, "t", registered, empty) == nil)
        #expect(cache.isAllowed(.read, .topic, "t", root, empty) == true)
        #expect(cache.isAllowed(.read, .topic, "t", registered, AccessRules([], superUsers: [])) == false)
    }

    @Test func scopesNarrowAndNeverGrant() {
        func scoped(_ name: String, _ scopes: [AccessScope]) -> AccessSubject {
            AccessSubject(.user(name), address: here, scopes: scopes)
        }
        let onlyEvents = [AccessScope(ResourcePattern(.topic, "events.", .prefixed), .write)]
        let some = rules(allow("User:alice", .all, "*"))
        #expect(may(scoped("alice", onlyEvents), .write, "events.a", some))
        #expect(may(scoped("alice", onlyEvents), .describe, "events.a", some))
        #expect(!may(scoped("alice", onlyEvents), .read, "events.a", some))
        #expect(!may(scoped("alice", onlyEvents), .write, "other", some))
        #expect(!may(scoped("bob", onlyEvents), .write, "events.a", some))
        #expect(!may(scoped("root", onlyEvents), .write, "other", some))
        #expect(!may(scoped("alice", []), .write, "events.a", some))
        #expect(some.decideOnAny(.write, .topic, for: scoped("alice", onlyEvents)))
        #expect(!some.decideOnAny(.read, .topic, for: scoped("alice", onlyEvents)))
        // The one may write here, the other there: together nowhere.
        func writes(_ name: ExactString, _ type: PatternType) -> Bool {
            rules(allow("User:alice", .write, name, type)).decideOnAny(.write, .topic, for: scoped("alice", onlyEvents))
        }
        #expect(!writes("orders", .literal) && !writes("event", .literal) && !writes("orders.", .prefixed))
        #expect(writes("events.a", .literal) && writes("events.a", .prefixed) && writes("e", .prefixed))
    }

    @Test func writingOnAnyTopicIsKafkasRule() {
        func any(_ bindings: AclBinding..., open: Bool = false) -> Bool {
            AccessRules(bindings, superUsers: [], allowsWithoutAcl: open)
                .decideOnAny(.write, .topic, for: alice)
        }
        #expect(!any() && any(open: true))
        #expect(any(allow("User:alice", .write, "t")) && any(allow("User:*", .all, "t", .prefixed)))
        #expect(!any(allow("User:alice", .read, "t")) && !any(allow("User:bob", .write, "t")))
        #expect(!any(allow("User:alice", .write, "t", .literal, .group)))
        #expect(!any(allow("User:alice", .write, "t"), deny("User:*", .write, "*")))
        #expect(any(allow("User:alice", .write, "*"), deny("User:alice", .write, "t")))
        #expect(!any(allow("User:alice", .write, "t"), deny("User:alice", .all, "t")))
        #expect(!any(allow("User:alice", .write, "topic"), deny("User:alice", .write, "top", .prefixed)))
        #expect(any(allow("User:alice", .write, "t", .prefixed), deny("User:alice", .write, "t")))
        #expect(any(allow("User:alice", .write, "to"), deny("User:alice", .write, "top", .prefixed)))
        #expect(!any(allow("User:alice", .write, "t", .prefixed), deny("User:alice", .write, "t", .prefixed)))
    }

    @Test func bitfieldsAreThoseOfKafka() {
        let root = AccessSubject(.user("root"), address: here)
        let expected: [(ResourceType, Int32)] = [
            (.topic, 3576), (.group, 3400), (.cluster, 8096), (.transactionalID, 33040), (.delegationToken, 256),
            (.user, 24576),
        ]
        for (resource, bits) in expected {
            #expect(rules().authorizedOperations(resource, "x", for: root) == bits)
            #expect(rules().authorizedOperations(resource, "x", for: alice) == 0)
        }
        #expect(expected.map(\.0) == ResourceType.allCases.filter { $0 != .any })
        #expect(rules(allow("User:alice", .read, "x")).authorizedOperations(.topic, "x", for: alice) == 1 << 3 | 1 << 8)
    }

    @Test func aDecisionNamesItsRule() {
        let (permission, denial) = (allow("User:alice", .read, "t"), deny("User:alice", .write, "t"))
        let some = rules(permission, denial)
        func reason(_ subject: AccessSubject, _ operation: AclOperation, _ name: ExactString) -> AccessDecision.Reason {
            some.decide(AccessRequest(operation, .topic, name), for: subject).reason
        }
        #expect(reason(alice, .read, "t") == .acl(permission) && reason(alice, .write, "t") == .acl(denial))
        #expect(reason(alice, .delete, "t") == .notAllowed && reason(alice, .read, "u") == .noAcl)
        #expect(reason(AccessSubject(.user("root"), address: here), .read, "t") == .superUser)
        #expect(reason(AccessSubject(.user("alice"), address: here, scopes: []), .read, "t") == .outOfScope)
    }

    // MARK: The cache

    @Test func aChangeActsOnTheNextRequest() {
        var cache = DecisionCache()
        let registered = DecisionCache.RegisteredSubject(alice)
        let first = rules(allow("User:alice", .read, "t"))
        for _ in 0..<10 { #expect(cache.isAllowed(.read, .topic, "t", registered, first) == true) }
        #expect(cache.misses == 1)
        let second = AccessRules([], superUsers: [])
        #expect(cache.isAllowed(.read, .topic, "t", registered, second) == false)
        #expect(cache.misses == 2)
    }

    /// A credential that is known to two loops, or a connection that moves from one to the other.
    @Test func aSubjectIsTheSameInEveryCache() {
        var one = DecisionCache()
        let some = rules(allow("User:alice", .write, "t"))
        let registered = DecisionCache.RegisteredSubject(alice)
        #expect(one.isAllowed(.write, .topic, "t", registered, some) == true)
        // Each the first that its own loop sees.
        let mallory = DecisionCache.RegisteredSubject(AccessSubject(.user("mallory"), address: here))
        #expect(one.isAllowed(.write, .topic, "t", mallory, some) == false)
        var two = DecisionCache()
        #expect(two.isAllowed(.write, .topic, "t", mallory, some) == false)
        #expect(two.isAllowed(.write, .topic, "t", registered, some) == true)
    }

    @Test func whatIsAllowedSomewhereIsDecidedOnce() {
        var cache = DecisionCache()
        let (one, two) = (DecisionCache.RegisteredSubject(alice), DecisionCache.RegisteredSubject(bob))
        let first = rules(allow("User:alice", .write, "t"))
        for _ in 0..<3 {
            #expect(cache.isAllowedOnAny(.write, .topic, for: one, by: first) == true)
            #expect(cache.isAllowedOnAny(.write, .topic, for: two, by: first) == false)
            // A resource without a name is another question.
            #expect(cache.isAllowed(.write, .topic, "", one, first) == false)
        }
        #expect(cache.misses == 3)
        #expect(cache.isAllowedOnAny(.write, .topic, for: one, by: rules()) == false)
        let unread = AccessRules([], superUsers: [], isLoaded: false)
        #expect(cache.isAllowedOnAny(.write, .topic, for: one, by: unread) == nil)
    }

    /// Who held many and old ones would be the one to free them, on an event loop.
    @Test func theCacheHoldsNoRules() {
        var cache = DecisionCache()
        weak var old: AccessRules?
        do {
            let some = rules(allow("User:alice", .read, "t"))
            old = some
            #expect(cache.isAllowed(.read, .topic, "t", DecisionCache.RegisteredSubject(alice), some) == true)
        }
        #expect(old == nil && cache.misses == 1)
    }

    @Test func aSubjectHasSoManyGroupsAndNoMore() {
        func subject(_ count: Int) -> AccessSubject? {
            AccessSubject(.user("a"), groups: (0..<count).map { .group("g\($0)") }, address: here)
        }
        #expect(subject(AccessSubject.maxGroups) != nil && subject(AccessSubject.maxGroups + 1) == nil)
    }

    @Test func aDenialFromNowhereIsTold() {
        for (host, isNobody) in [
            ("*", false), ("10.0.0.1", false), ("::1", false), ("fe80:0:0:0:0:0:0:1%eth0", false),
            ("10.0.0.0/8", true), ("localhost", true), ("10.0.0.1%eth0", true), ("", true),
        ] {
            #expect(deny("User:a", .read, "t", host: ExactString(host)).matchesNobody == isNobody, "\(host)")
        }
        // As Kafka prints the address of a client on the same link.
        let neighbour = AccessSubject(.user("alice"), address: NetworkAddress("fe80::1")!)
        let some = rules(
            allow("User:alice", .read, "t"), deny("User:alice", .read, "t", host: "fe80:0:0:0:0:0:0:1%eth0"))
        #expect(!may(neighbour, .read, "t", some) && may(alice, .read, "t", some))
    }

    @Test func theCacheTellsSubjectsOperationsTypesAndNamesApart() {
        var cache = DecisionCache()
        let (one, two) = (DecisionCache.RegisteredSubject(alice), DecisionCache.RegisteredSubject(bob))
        let some = rules(allow("User:alice", .read, "t"), allow("User:bob", .write, "t", .literal, .group))
        for _ in 0..<2 {
            #expect(cache.isAllowed(.read, .topic, "t", one, some) == true)
            #expect(cache.isAllowed(.read, .topic, "t", two, some) == false)
            #expect(cache.isAllowed(.write, .topic, "t", one, some) == false)
            #expect(cache.isAllowed(.write, .group, "t", two, some) == true)
            #expect(cache.isAllowed(.write, .topic, "t", two, some) == false)
            #expect(cache.isAllowed(.read, .topic, "tt", one, some) == false)
        }
        #expect(cache.misses == 6)
        // A subject that comes again is another one to the cache: its number is never given away.
        _ = cache.isAllowed(.read, .topic, "t", DecisionCache.RegisteredSubject(alice), some)
        #expect(cache.misses == 7)
    }

    @Test func moreNamesThanTheCacheHoldsAreDecidedAnew() {
        var cache = DecisionCache()
        let registered = DecisionCache.RegisteredSubject(alice)
        let some = rules(allow("User:alice", .read, "even", .prefixed))
        for round in 0..<2 {
            for index in 0..<DecisionCache.maxEntries * 2 {
                let name = (index % 2 == 0 ? "even" : "odd") + String(index)
                #expect(cache.isAllowed(.read, .topic, name, registered, some) == (index % 2 == 0), "\(round) \(name)")
            }
        }
    }

    @Test func bytesThatAreNoTextAreNeverAllowed() {
        var cache = DecisionCache()
        let registered = DecisionCache.RegisteredSubject(AccessSubject(.user("root"), address: here))
        let some = rules()
        let answer = [UInt8(0xff)].withUnsafeBytes { cache.isAllowed(.read, .topic, $0, for: registered, by: some) }
        #expect(answer == false)
    }

    // MARK: The three APIs

    private func creation(
        resource: Int8 = 2, name: String = "t", pattern: Int8 = 3, principal: String = "User:a", operation: Int8 = 3,
        permission: Int8 = 3
    ) -> AclChanges.Creation {
        AclChanges.Creation(
            resource: resource, name: name, pattern: pattern, principal: principal, host: "anything",
            operation: operation,
            permission: permission)
    }

    @Test func badEntriesStopNoOthers() {
        let bad = [
            creation(resource: 4), creation(resource: 0), creation(resource: 1), creation(resource: 8),
            creation(name: ""),
            creation(pattern: 0), creation(pattern: 1), creation(pattern: 2), creation(pattern: 5),
            creation(principal: "alice"), creation(operation: 0), creation(operation: 1), creation(operation: 16),
            creation(permission: 0), creation(permission: 1), creation(permission: 4), creation(resource: 4, name: "*"),
            creation(name: String(repeating: "n", count: 2_049)),
            creation(principal: "User:" + String(repeating: "n", count: 2_048)),
        ]
        let good = [
            creation(resource: 4, name: "kafka-cluster"), creation(name: String(repeating: "n", count: 2_048)),
            creation(resource: 3, operation: 12), creation(), creation(),
        ]
        let found = AclChanges.create(bad + good, existing: rules())
        #expect(found.results.prefix(bad.count).allSatisfy { $0?.error == .invalidRequest })
        #expect(found.results.suffix(good.count).allSatisfy { $0 == nil })
        #expect(found.new.count == 4)
        #expect(
            AclChanges.create([creation()], existing: AccessRules(found.new, superUsers: [])).new.isEmpty)
    }

    @Test func filtersAreExactButForMatch() {
        let all = [
            allow("User:alice", .read, "ab"), allow("User:*", .read, "*"), allow("User:alice", .write, "a", .prefixed),
            deny("User:bob", .read, "ab", .literal, .group, host: "10.0.0.1"),
            allow("User:alice", .read, "ab", .prefixed),
        ]
        func found(_ filter: AclFilter) -> [Int] { all.indices.filter { filter.matches(all[$0]) } }
        #expect(found(AclFilter()) == [0, 1, 2, 3, 4])
        #expect(found(AclFilter(principal: "User:*")) == [1])
        #expect(found(AclFilter(resource: .topic, name: "ab", pattern: .literal)) == [0])
        #expect(found(AclFilter(resource: .topic, name: "ab", pattern: .prefixed)) == [4])
        #expect(found(AclFilter(name: "ab", pattern: .any)) == [0, 3, 4])
        #expect(found(AclFilter(name: "ab", pattern: .match)) == [0, 1, 2, 3, 4])
        #expect(found(AclFilter(name: "b", pattern: .match)) == [1])
        #expect(found(AclFilter(pattern: .prefixed)) == [2, 4])
        #expect(found(AclFilter(host: "10.0.0.1")) == [3] && found(AclFilter(host: "*")) == [0, 1, 2, 4])
        #expect(found(AclFilter(operation: .write)) == [2] && found(AclFilter(permission: .deny)) == [3])
        #expect(found(AclFilter(operation: .all)) == [])
    }

    @Test func requestsHaveABoundOnTheirWork() {
        let many = (0..<10_000).map { allow("User:a", .read, ExactString("t\($0)")) }
        let full = AccessRules(many, superUsers: [])
        let filters = (0...100).map { AclFilter(name: ExactString("t\($0)")) }
        #expect(AclChanges.delete(filters, existing: full).refusal?.error == .invalidRequest)
        #expect(AclChanges.delete(Array(filters.dropLast()), existing: full).refusal == nil)
        let creations = (0...AclChanges.maxCreations).map { creation(name: "u\($0)") }
        let refused = AclChanges.create(creations, existing: rules())
        #expect(refused.new.isEmpty && refused.results.allSatisfy { $0?.error == .invalidRequest })
        #expect(AclChanges.create(Array(creations.dropLast()), existing: rules()).new.count == AclChanges.maxCreations)
    }

    /// A short request for a long reply: the same filter many times.
    @Test func theResultsOfADeletionHaveABound() {
        let some = AccessRules((0..<100).map { allow("User:a", .read, ExactString("t\($0)")) }, superUsers: [])
        let most = AclChanges.maxResults / 100
        #expect(AclChanges.delete(Array(repeating: AclFilter(), count: most), existing: some).refusal == nil)
        let refused = AclChanges.delete(Array(repeating: AclFilter(), count: most + 1), existing: some)
        #expect(refused.refusal?.error == .invalidRequest && refused.results.allSatisfy(\.isEmpty))
    }

    @Test func aDeletionHasABound() {
        let many = (0...AclChanges.maxDeletions).map { allow("User:a", .read, ExactString("t\($0)")) }
        let full = AccessRules(many, superUsers: [])
        let refused = AclChanges.delete([AclFilter(name: "t1"), AclFilter()], existing: full)
        #expect(refused.refusal?.error == .invalidRequest && refused.results == [[], []])
        let some = AclChanges.delete(
            [AclFilter(name: "t1"), AclFilter(name: "none"), AclFilter(name: "t1")], existing: full)
        #expect(some.refusal == nil && some.results == [[many[1]], [], [many[1]]])
    }
}

@Suite struct DecisionMemoryTests {
    /// A client may ask for any name; what is no topic's is not kept.
    @Test func aLongNameIsNotKept() {
        let rules = AccessRules([], superUsers: [.user("a")])
        let subject = DecisionCache.RegisteredSubject(AccessSubject(.user("a"), address: NetworkAddress("10.0.0.1")!))
        var cache = DecisionCache()
        for (length, misses) in [(DecisionCache.maxNameBytes, 1), (DecisionCache.maxNameBytes + 1, 3)] {
            for _ in 0..<2 {
                #expect(cache.isAllowed(.read, .topic, String(repeating: "t", count: length), subject, rules) == true)
            }
            #expect(cache.misses == misses)
        }
    }
}

extension DecisionCache {
    mutating func isAllowed(
        _ operation: AclOperation, _ resource: ResourceType, _ name: String, _ subject: RegisteredSubject,
        _ rules: AccessRules
    ) -> Bool? {
        Array(name.utf8).withUnsafeBytes { isAllowed(operation, resource, $0, for: subject, by: rules) }
    }

    mutating func isAllowed(
        _ operation: AclOperation, _ resource: ResourceType, _ name: UnsafeRawBufferPointer,
        for subject: RegisteredSubject, by rules: AccessRules
    ) -> Bool? {
        isAllowed(operation, resource, name, for: subject, asOf: rules.number) { rules }
    }

    mutating func isAllowedOnAny(
        _ operation: AclOperation, _ resource: ResourceType, for subject: RegisteredSubject, by rules: AccessRules
    ) -> Bool? {
        isAllowedOnAny(operation, resource, for: subject, asOf: rules.number) { rules }
    }
}

@Suite struct AccessTableTests {
    @Test func everyAPIIsInTheTableOnce() {
        for api in APIKey.allCases {
            let places = [
                AccessTable.open.contains(api), AccessTable.unserved.contains(api), !AccessTable.rows(of: api).isEmpty,
            ]
            #expect(places.count { $0 } == 1, "\(api)")
        }
        for api in APIKey.allCases {
            let kinds = AccessTable.rows(of: api).map(\.kind)
            #expect(Set(kinds).count == kinds.count && (kinds.count == 1 || !kinds.dropFirst().contains("")), "\(api)")
        }
    }

    @Test func errorsFitTheirResourcesAndPlaces() {
        for row in AccessTable.rows {
            for step in row.steps {
                #expect(!step.needs.isEmpty)
                if step.place == .leftOut { #expect(step.error == .none, "\(row.api) \(row.kind)") }
                if step.error == .groupAuthorizationFailed { #expect(step.needs.allSatisfy { $0.resource == .group }) }
                for need in step.needs {
                    let isMeaningful = need.resource.operations.contains(need.operation)
                    // Creating by the cluster's right is CREATE on it; DELETE on the cluster is Kafka's own odd one.
                    let isOddOne = row.api == .deleteTopics && need.resource == .cluster
                    #expect(isMeaningful || isOddOne, "\(row.api) needs \(need)")
                }
            }
        }
    }

    @Test func rowsThatOthersForgot() {
        func steps(_ api: APIKey, _ kind: String = "") -> [(String, ErrorCode, AccessStep.Place)] {
            AccessTable.rows(of: api).first { $0.kind == kind }!.steps.map { step in
                let needs = step.needs.map { "\($0.operation) \($0.onAny ? "any " : "")\($0.resource)" }
                return (needs.joined(separator: " or "), step.error, step.place)
            }
        }
        func expect(
            _ found: [(String, ErrorCode, AccessStep.Place)], _ expected: (String, ErrorCode, AccessStep.Place)...,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(found.map { "\($0)" } == expected.map { "\($0)" }, sourceLocation: sourceLocation)
        }
        expect(
            steps(.produce, "a transactional batch"),
            ("write transactionalID", .transactionalIDAuthorizationFailed, .everyItem),
            ("write topic", .topicAuthorizationFailed, .item))
        expect(
            steps(.initProducerID, "without a transactional id"),
            ("idempotentWrite cluster or write any topic", .clusterAuthorizationFailed, .topLevel))
        // Who may DELETE on the cluster alone deletes any topic there: DeleteTopics of Kafka 4.3.1.
        expect(
            steps(.deleteTopics, "by name"), ("delete cluster or describe topic", .topicAuthorizationFailed, .item),
            ("delete cluster or delete topic", .topicAuthorizationFailed, .item))
        expect(
            steps(.txnOffsetCommit), ("write transactionalID", .transactionalIDAuthorizationFailed, .everyItem),
            ("read group", .groupAuthorizationFailed, .everyItem), ("read topic", .topicAuthorizationFailed, .item))
        expect(steps(.listGroups), ("describe cluster or describe group", .none, .leftOut))
        expect(steps(.fetch, "a follower"), ("clusterAction cluster", .topicAuthorizationFailed, .everyItem))
        expect(steps(.listPartitionReassignments), ("describe cluster", .clusterAuthorizationFailed, .topLevel))
    }
}

@Suite struct NetworkAddressTests {
    @Test func addressesPrintAsJavaPrintsThem() {
        for (text, printed) in [
            ("127.0.0.1", "127.0.0.1"), ("::1", "0:0:0:0:0:0:0:1"), ("::", "0:0:0:0:0:0:0:0"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("2001:DB8::a:0:1", "2001:db8:0:0:0:a:0:1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("1::", "1:0:0:0:0:0:0:0"),
            ("fe80::1:2.3.4.5", "fe80:0:0:0:0:1:203:405"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ] { #expect(NetworkAddress(text)?.description == printed, "\(text)") }
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.", "1..2.3", "+1.2.3.4", "a", "1:2:3",
        "1:2:3:4:5:6:7:8:9",
        "::1::", ":::", ":1", "1:", "12345::", "::g", "::1.2.3", "1.2.3.4::", "fe80::1%eth0", "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "[::1]", " 1.2.3.4", "::1 ", "1:2:3:4:5:6:7:1.2.3.4", "::+1",
    ])
    func whatIsNoAddressIsNone(_ text: String) { #expect(NetworkAddress(text) == nil) }

    @Test func rangesHoldTheirAddresses() {
        func holds(_ range: String, _ address: String) -> Bool {
            NetworkRange(range)!.contains(NetworkAddress(address)!)
        }
        #expect(holds("10.0.0.0/8", "10.255.1.2") && !holds("10.0.0.0/8", "11.0.0.0") && holds("0.0.0.0/0", "1.2.3.4"))
        #expect(!holds("0.0.0.0/0", "::1") && !holds("::/0", "1.2.3.4") && holds("::/0", "::1"))
        #expect(holds("10.0.0.1", "::ffff:10.0.0.1") && !holds("10.0.0.1", "10.0.0.2") && holds("fd00::/8", "fdff::1"))
        #expect(holds("2001:db8::/33", "2001:db8:7fff::1") && !holds("2001:db8::/33", "2001:db8:8000::1"))
        #expect(holds("2001:db8::/65", "2001:db8::7fff:0:0:1") && !holds("2001:db8::/65", "2001:db8::8000:0:0:1"))
        for bad in [
            "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "x/8", "::/129", "1.2.3.4/32/1",
        ] {
            #expect(NetworkRange(bad) == nil, "\(bad)")
        }
        #expect(NetworkAddress("2001:db8:1:2:3::1")!.limitKey == NetworkAddress("2001:db8:1:2::9")!.limitKey)
        #expect(NetworkAddress("10.0.0.1")!.limitKey != NetworkAddress("10.0.0.2")!.limitKey)
    }
}
