import BrokerTestKit
import Glibc
import KafkaModel
import Security
import StorageIO
import Testing

@testable import BrokerCore

/// Users, ACLs and quotas: durable before they are acknowledged, all of a request at once, and bounded.
@Suite struct AccessTests {
    private func creation(_ topic: String, _ principal: String = "User:alice") -> AclChanges.Creation {
        AclChanges.Creation(
            resource: 2, name: topic, pattern: 3, principal: principal, host: "*", operation: 3, permission: 3)
    }

    private func upsertion(_ user: String, _ mechanism: ScramMechanism = .sha256) -> ScramAlteration.Upsertion {
        var salted = [UInt8](repeating: 7, count: mechanism.algorithm.byteCount)
        return ScramAlteration.Upsertion(
            user: user, mechanism: mechanism.rawValue, iterations: 4_096, salt: Array("salt".utf8),
            saltedPassword: Secret(wiping: &salted))
    }

    private func quota(_ user: String, _ rate: Double?) -> QuotaAlteration.Entry {
        QuotaAlteration.Entry(
            components: [.init(type: "user", name: user)], operations: [(key: "producer_byte_rate", value: rate)])
    }

    /// All of it as text, to compare.
    private func text(_ access: AccessCatalog) -> [String] {
        let users = access.users.flatMap { user in
            ScramMechanism.allCases.compactMap { mechanism in
                access.scramCredential(of: user, mechanism: mechanism).map { "\(user) \(mechanism) \($0.epoch)" }
            }
        }
        let quotas = access.quotas.entities.map { "\($0.components) \(access.quotas.values(of: $0))" }.sorted()
        return users + access.rules.bindings.map { "\($0)" }.sorted() + quotas
    }

    /// What an exchange looks for besides, so that no look-up shows whether somebody was found.
    @Test func thereIsAUserToFindAndANameThatNobodyHas() throws {
        let node = try SimulatedBroker()
        let broker = node.broker
        #expect(ScramMechanism.allCases.allSatisfy { broker.access.scramTwins(mechanism: $0) == nil })
        // Those that would be taken first, too.
        for name in ["a", "0", "1", "\u{1}0"] {
            _ = broker.alterScramCredentials(deletions: [], upsertions: [upsertion(name)])
            let twins = try #require(broker.access.scramTwins(mechanism: .sha256))
            for number in 0..<200 {
                let beside = twins.beside(ExactString("name-\(number)"))
                #expect(broker.access.scramCredential(of: beside.user, mechanism: .sha256) != nil)
                #expect(broker.access.scramCredential(of: beside.nobody, mechanism: .sha256) == nil)
                #expect(twins.beside(ExactString("name-\(number)")) == beside)
            }
        }
        // Of all that there are: one that is always the same would be nearer at hand than whoever is looked for himself.
        let twins = try #require(broker.access.scramTwins(mechanism: .sha256))
        let found = (0..<200).map { twins.beside(ExactString("name-\($0)")) }
        #expect(Set(found.map(\.user)).count == 4 && Set(found.map(\.nobody)).count > 16)
        #expect(broker.access.scramTwins(mechanism: .sha512) == nil)
        _ = broker.alterScramCredentials(
            deletions: ["a", "0", "1", "\u{1}0"].map { .init(user: $0, mechanism: 1) }, upsertions: [])
        #expect(broker.access.scramTwins(mechanism: .sha256) == nil)
        withExtendedLifetime(node) {}
    }

    /// Whoever has asked for them just then would free them otherwise, perhaps an event loop.
    @Test func oldAclsAreFreedByTheNextChange() throws {
        let node = try SimulatedBroker()
        let broker = node.broker
        _ = broker.createAcls([creation("a")])
        weak var old: AccessRules?
        old = broker.access.rules
        let number = broker.rulesNumber
        #expect(old?.number == number)
        _ = broker.createAcls([creation("b")])
        #expect(old != nil && broker.rulesNumber != number)
        _ = broker.createAcls([creation("c")])
        #expect(old == nil && broker.rulesNumber == broker.access.rules.number)
        withExtendedLifetime(node) {}
    }

    @Test func everythingIsThereAfterACrash() throws {
        let node = try SimulatedBroker()
        let broker = node.broker
        #expect(broker.createAcls([creation("a"), creation("b"), creation("a")]).allSatisfy { $0 == nil })
        #expect(
            broker.alterScramCredentials(deletions: [], upsertions: [upsertion("alice"), upsertion("bob", .sha512)])
                .allSatisfy { $0.refusal == nil })
        #expect(
            broker.alterQuotas([quota("alice", 10), quota("bob", 20)], validateOnly: false)
                .allSatisfy { $0.refusal == nil })
        #expect(broker.deleteAcls([AclFilter(name: "b")]).results.map(\.count) == [1])
        _ = broker.alterScramCredentials(
            deletions: [.init(user: "bob", mechanism: 2)], upsertions: [upsertion("carol")])
        _ = broker.alterQuotas([quota("bob", nil)], validateOnly: false)
        let before = text(broker.access)
        #expect(before.count == 4 && broker.access.users == ["alice", "carol"])
        try node.crash()
        #expect(text(node.broker.access) == before)
        #expect(node.broker.access.textBytes == broker.access.textBytes)
        let credential = try #require(node.broker.access.scramCredential(of: "alice", mechanism: .sha256))
        #expect(credential == broker.access.scramCredential(of: "alice", mechanism: .sha256))
        #expect(
            node.broker.access.rules.decide(
                AccessRequest(.read, .topic, "a"), for: AccessSubject(.user("alice"), address: NetworkAddress(v4: 1))
            ).isAllowed)
    }

    /// What caches and sessions compare.
    @Test func aChangeShowsInItsOwnPartOnly() throws {
        let broker = try SimulatedBroker().broker
        let first = broker.access
        _ = broker.createAcls([creation("a")])
        let second = broker.access
        #expect(second.rules !== first.rules && second.credentialsVersion == first.credentialsVersion)
        _ = broker.alterScramCredentials(deletions: [], upsertions: [upsertion("alice")])
        let third = broker.access
        #expect(third.rules === second.rules && third.credentialsVersion > second.credentialsVersion)
        #expect(third.quotasVersion == first.quotasVersion)
        _ = broker.alterQuotas([quota("alice", 1)], validateOnly: false)
        let fourth = broker.access
        #expect(fourth.rules === third.rules && fourth.credentialsVersion == third.credentialsVersion)
        #expect(fourth.quotasVersion > third.quotasVersion && fourth.version == broker.metadata.revision)
        // What changes nothing leaves everything as it is, and writes nothing.
        _ = broker.createAcls([creation("a")])
        _ = broker.deleteAcls([AclFilter(name: "none")])
        _ = broker.alterScramCredentials(deletions: [.init(user: "nobody", mechanism: 1)], upsertions: [])
        _ = broker.alterQuotas([quota("alice", 1)], validateOnly: false)
        _ = broker.alterQuotas([quota("alice", 2)], validateOnly: true)
        #expect(broker.access === fourth && broker.metadata.revision == fourth.version)
    }

    @Test func aCredentialMadeAnewHasALaterEpoch() throws {
        let node = try SimulatedBroker()
        var epochs: [UInt64] = []
        for round in 0..<4 {
            _ = node.broker.alterScramCredentials(deletions: [], upsertions: [upsertion("alice")])
            epochs.append(try #require(node.broker.access.scramCredential(of: "alice", mechanism: .sha256)).epoch)
            if round == 1 {
                _ = node.broker.alterScramCredentials(deletions: [.init(user: "alice", mechanism: 1)], upsertions: [])
                #expect(node.broker.access.userCount == 0)
            }
            if round == 2 { try node.crash() }
        }
        #expect(epochs == epochs.sorted() && Set(epochs).count == epochs.count)
    }

    /// Two writings of a letter are two names, in the store as well.
    @Test func namesAreKeptByTheirBytes() throws {
        let node = try SimulatedBroker()
        let names = ["caf\u{e9}", "cafe\u{301}"]
        _ = node.broker.alterScramCredentials(deletions: [], upsertions: names.map { upsertion($0) })
        _ = node.broker.createAcls(names.map { creation($0) })
        _ = node.broker.alterQuotas(names.map { quota($0, 5) }, validateOnly: false)
        try node.crash()
        let access = node.broker.access
        #expect(access.userCount == 2 && access.rules.count == 2 && access.quotas.count == 2)
    }

    // MARK: Bounds

    @Test func eachKindHasABound() throws {
        var options = SimulatedBroker.options
        (options.access.maxUsers, options.access.maxAcls, options.access.maxQuotaEntities) = (2, 2, 2)
        let broker = try SimulatedBroker(options: options).broker
        let names = ["a", "b", "c"]
        #expect(
            broker.createAcls(names.map { creation($0) }).map { $0?.error ?? .none } == [.none, .none, .invalidRequest])
        #expect(
            broker.alterScramCredentials(deletions: [], upsertions: names.map { upsertion($0) }).map(\.error)
                == [.none, .none, .policyViolation])
        #expect(
            broker.alterQuotas(names.map { quota($0, 1) }, validateOnly: false).map { $0.refusal?.error ?? .none }
                == [.none, .none, .invalidRequest])
        // A second password, another limit: of those who are there already.
        #expect(
            broker.alterScramCredentials(deletions: [], upsertions: [upsertion("a", .sha512)]).map(\.error) == [.none])
        #expect(broker.alterQuotas([quota("a", 2)], validateOnly: false).allSatisfy { $0.refusal == nil })
        // Room again.
        _ = broker.deleteAcls([AclFilter(name: "a")])
        #expect(broker.createAcls([creation("c")]) == [nil])
    }

    @Test func theNamesOfAllKindsHaveABoundTogether() throws {
        var options = SimulatedBroker.options
        options.access.maxTextBytes = 60
        let broker = try SimulatedBroker(options: options).broker
        #expect(broker.createAcls([creation(String(repeating: "t", count: 20))]) == [nil])
        let textBytes = broker.access.textBytes
        #expect(textBytes == AccessCatalog.TextBytes(users: 0, acls: 31, quotas: 0))
        let long = String(repeating: "u", count: 30)
        #expect(
            broker.alterScramCredentials(deletions: [], upsertions: [upsertion(long)]).map(\.error) == [
                .policyViolation
            ])
        #expect(broker.alterScramCredentials(deletions: [], upsertions: [upsertion("u")]).map(\.error) == [.none])
        #expect(broker.alterQuotas([quota(long, 1)], validateOnly: false)[0].refusal?.error == .invalidRequest)
        #expect(broker.createAcls([creation(long)])[0]?.error == .invalidRequest)
    }

    // MARK: Failures

    @Test func aChangeThatCannotBeWrittenIsNotThere() throws {
        let node = try SimulatedBroker()
        let broker = node.broker
        _ = broker.createAcls([creation("a")])
        let before = broker.access
        node.fileSystem.inject(Fault(.fail(errno: ENOSPC), on: .write, pathContains: "metadata.log", times: .max))
        let bad = AclChanges.Creation(
            resource: 0, name: "x", pattern: 3, principal: "User:a", host: "*", operation: 3, permission: 3)
        #expect(broker.createAcls([creation("b"), bad]).map { $0?.error } == [.kafkaStorageError, .invalidRequest])
        #expect(broker.deleteAcls([AclFilter()]).refusal?.error == .kafkaStorageError)
        #expect(
            broker.alterScramCredentials(deletions: [], upsertions: [upsertion("a"), upsertion("")]).map(\.error)
                == [.kafkaStorageError, .unacceptableCredential])
        #expect(broker.alterQuotas([quota("a", 1)], validateOnly: false)[0].refusal?.error == .kafkaStorageError)
        // Room again.
        node.fileSystem.removeFaults()
        #expect(broker.access === before)
        try node.crash()
        #expect(text(node.broker.access) == text(before))
    }

    /// Change `number` of the crash test, of each kind in turn.
    private func step(_ number: Int, _ broker: Broker) -> Bool {
        let name = "n\(number % 4)"
        switch number % 6 {
        case 0: return broker.createAcls([creation(name), creation(name + "x")]).allSatisfy { $0 == nil }
        case 1:
            return broker.alterScramCredentials(
                deletions: [], upsertions: [upsertion(name), upsertion("other", .sha512)]
            )
            .allSatisfy { $0.refusal == nil }
        case 2:
            return broker.alterQuotas([quota(name, Double(number)), quota("all", Double(number))], validateOnly: false)
                .allSatisfy { $0.refusal == nil }
        case 3: return broker.deleteAcls([AclFilter(name: ExactString(name)), AclFilter(name: "n0")]).refusal == nil
        case 4:
            return broker.alterScramCredentials(
                deletions: [.init(user: "other", mechanism: 2)], upsertions: [upsertion("z")]
            )
            .allSatisfy { $0.error != .kafkaStorageError }
        default: return broker.alterQuotas([quota("all", nil)], validateOnly: false).allSatisfy { $0.refusal == nil }
        }
    }

    /// Whenever the power goes: what was acknowledged is there, and of the change in work all or nothing.
    @Test func acknowledgedChangesSurviveACrashAtAnyCall() throws {
        let count = 12
        var states: [[String]] = []
        let plain = try SimulatedBroker()
        states.append(text(plain.broker.access))
        for number in 0..<count {
            #expect(step(number, plain.broker))
            states.append(text(plain.broker.access))
        }
        var call = 0
        while true {
            let node = try SimulatedBroker(SimulatedFileSystem(seed: UInt64(call % 5 + 1)))
            node.fileSystem.haltAtCall(node.fileSystem.callCount + call)
            var acknowledged = 0
            for number in 0..<count {
                guard step(number, node.broker) else { break }
                acknowledged += 1
            }
            let isHalted = node.fileSystem.isHalted
            try node.crash(keeping: .random, seed: UInt64(call))
            let found = text(node.broker.access)
            let isTrue = found == states[acknowledged] || acknowledged < count && found == states[acknowledged + 1]
            #expect(isTrue, "call \(call): \(acknowledged) acknowledged, found \(found)")
            if !isHalted { break }
            call += 1
        }
        #expect(call > count)
    }
}

/// The bytes of what is kept.
@Suite struct AccessRecordTests {
    private func credential(_ mechanism: ScramMechanism) -> ScramCredential {
        let bytes = [UInt8](0..<UInt8(mechanism.algorithm.byteCount))
        return ScramCredential(
            salt: [1, 2, 3], iterations: 8_192, storedKey: bytes, serverKey: bytes.reversed(), mechanism: mechanism,
            epoch: 1 << 40)!
    }

    private var all: [AccessRecord] {
        let name = ExactString("é\u{0}\u{1f600}")
        let clients: [(QuotaTable.Name?, QuotaTable.Name?)] = [
            (.exactly(name), nil), (.byDefault, nil), (nil, .exactly(name)), (nil, .byDefault),
            (.exactly(name), .byDefault), (.byDefault, .exactly(name)),
        ]
        let limits = [
            AccessRecord.Limit(key: "consumer_byte_rate", value: 7), .init(key: "request_percentage", value: 0.1),
        ]
        let rate = [AccessRecord.Limit(key: "connection_creation_rate", value: 2)]
        return ScramMechanism.allCases.map { .scram(user: name, $0, credential($0)) }
            + clients.map { .quotas(.clients(QuotaTable.Entity(user: $0.0, client: $0.1)), limits) }
            + [.quotas(.address(nil), rate), .quotas(.address(NetworkAddress("fe80::1")), rate)]
            + ResourceType.allCases.filter { $0 != .any }.flatMap { resource in
                [PatternType.literal, .prefixed].map { pattern in
                    .acl(
                        AclBinding(
                            ResourcePattern(resource, name, pattern), principal: "User:é", host: "10.0.0.1", .alter,
                            .deny))
                }
            }
    }

    @Test func eachKindComesBackAsItWas() throws {
        #expect(Set(all.map(\.key)).count == all.count)
        for record in all + [Self.key] {
            #expect(try AccessRecord(record.encoded, key: record.key, folder: "/data") == record)
        }
    }

    /// The layout of version 1, byte by byte: later programs have to read it.
    @Test func theBytesAreThoseOfVersionOne() {
        let acl = AccessRecord.acl(
            AclBinding(ResourcePattern(.topic, "ab", .prefixed), principal: "User:c", host: "*", .write, .allow))
        #expect(
            acl.encoded == [2, 1, 2, 4, 4, 3, 0, 2] + Array("ab".utf8) + [0, 6] + Array("User:c".utf8) + [0, 1, 0x2a])
        let quotas = AccessRecord.quotas(
            .clients(QuotaTable.Entity(user: .exactly("u"), client: .byDefault)), [.init(key: "k", value: 1)])
        #expect(
            quotas.encoded
                == [3, 1, 2, 1, 0, 0, 1, 0x75, 2, 1, 0, 0, 1, 0, 1, 0x6b, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0])
        let scram = AccessRecord.scram(user: "u", .sha256, credential(.sha256)).encoded
        #expect(
            Array(scram.prefix(25))
                == [1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 1, 0x75, 0, 3, 1, 2, 3, 0, 32])
        #expect(scram.count == 25 + 32 + 2 + 32)
        #expect(acl.key.hasPrefix("access/2/") && acl.key.utf8.count == 9 + 64)
    }

    private static let key = AccessRecord.gatewayKey(
        GatewayKeyRecord(
            GatewayKeyText(id: "abcdefghijkl", hash: [UInt8](repeating: 9, count: 32))!, owner: .user("a"),
            created: UnixTime(milliseconds: 1), scopes: [AccessScope(ResourcePattern(.topic, "t"), .read)],
            isPublishable: true))

    @Test func theBytesOfAKeyAreThoseOfVersionOne() {
        let (one, never) = ([0, 0, 0, 0, 0, 0, 0, 1] as [UInt8], [UInt8](repeating: 255, count: 8))
        var expected: [UInt8] = [4, 1, 0, 12] + Array("abcdefghijkl".utf8) + [0, 6] + Array("User:a".utf8) + one
        expected += [6] + never + never
        expected += [1] + [UInt8](repeating: 9, count: 32) + one + never
        expected += [0, 0, 0, 1, 2, 3, 3, 0, 1, 0x74]
        #expect(Self.key.encoded == expected && Self.key.key.hasPrefix("access/4/"))
    }

    @Test func whatIsDamagedOrOfAnotherKeyIsRefused() {
        for record in all + [Self.key] {
            for length in 0..<record.encoded.count {
                #expect(throws: StorageError.self) {
                    try AccessRecord(Array(record.encoded[..<length]), key: record.key, folder: "/data")
                }
            }
            #expect(throws: StorageError.self) {
                try AccessRecord(record.encoded + [0], key: record.key, folder: "/data")
            }
            #expect(throws: StorageError.self) {
                try AccessRecord(record.encoded, key: record.key + "0", folder: "/data")
            }
        }
    }

    @Test func aRecordOfALaterProgramRefusesTheStart() throws {
        for bytes in [[5, 1, 0], [2, 2, 0], [255, 255], []] as [[UInt8]] {
            let node = try SimulatedBroker()
            var transaction = MetadataTransaction()
            transaction.changes = [(key: "access/5/00", value: bytes)]
            #expect(try node.broker.metadata.transact(transaction))
            let error = storageError { try node.crash() }
            #expect(error?.description.contains("Start it with the release that wrote it, or a later one") == true)
            #expect(error?.description.contains("kind \(bytes.first ?? 0)") == true)
        }
    }
}
