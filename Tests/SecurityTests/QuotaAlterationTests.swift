import KafkaModel
import Testing

@testable import Security

/// AlterClientQuotas and DescribeClientQuotas as rules: Kafka's, but for what its page says.
@Suite struct QuotaAlterationTests {
    private typealias Component = QuotaEntity.Component

    private func entry(
        _ components: [(String, String?)], _ operations: [(String, Double?)]
    ) -> QuotaAlteration.Entry {
        QuotaAlteration.Entry(
            components: components.map { Component(type: $0.0, name: $0.1) },
            operations: operations.map { (key: $0.0, value: $0.1) })
    }

    private func refusal(
        _ components: [(String, String?)], _ operations: [(String, Double?)] = [("producer_byte_rate", 1)]
    ) -> String? {
        let alteration = QuotaAlteration([entry(components, operations)], quotas: ClientQuotas())
        #expect(alteration.results.count == 1)
        let refusal = alteration.results[0].refusal
        #expect(refusal == nil || refusal?.error == .invalidRequest)
        #expect((refusal == nil) == (alteration.quotas.count == 1))
        return refusal?.message
    }

    private let user = QuotaTable.Entity(user: .exactly("alice"), client: nil)

    @Test func limitsAreSetAndRemoved() {
        let first = QuotaAlteration(
            [
                entry([("user", "alice")], [("producer_byte_rate", 10), ("request_percentage", 1.5)]),
                entry([("client-id", nil), ("user", nil)], [("consumer_byte_rate", 20)]),
                entry([("ip", "10.0.0.1")], [("connection_creation_rate", 3)]),
                entry([("ip", nil)], [("connection_creation_rate", 4)]),
            ], quotas: ClientQuotas())
        #expect(first.results.allSatisfy { $0.refusal == nil } && first.changed.count == 4 && first.quotas.count == 4)
        #expect(first.quotas.values(of: .clients(user)).map(\.key) == ["producer_byte_rate", "request_percentage"])
        #expect(first.quotas.table.limit(.fetch, user: "x", client: "y")?.value == 20)
        #expect(first.quotas.addresses.limit(for: NetworkAddress("10.0.0.1")!) == 3)
        #expect(first.quotas.addresses.limit(for: NetworkAddress("10.0.0.2")!) == 4)
        let second = QuotaAlteration(
            [
                entry([("user", "alice")], [("producer_byte_rate", nil), ("request_percentage", 1.5)]),
                entry([("ip", nil)], [("connection_creation_rate", nil)]),
                // Not there, and what is the same as before: nothing to write.
                entry([("user", "bob")], [("producer_byte_rate", nil)]),
                entry([("ip", "10.0.0.1")], [("connection_creation_rate", 3)]),
            ], quotas: first.quotas)
        #expect(second.results.allSatisfy { $0.refusal == nil })
        #expect(second.changed == [.clients(user), .address(nil)] && second.quotas.count == 3)
    }

    @Test func entitiesAreThoseOfKafka() {
        #expect(refusal([]) == "Invalid empty client quota entity")
        #expect(refusal([("user", "")]) == "Empty user not supported")
        #expect(refusal([("User", "a")]) == "Unhandled client quota entity type: User")
        #expect(refusal([("user", String(repeating: "u", count: 1_025))])?.contains("1024 bytes") == true)
        #expect(
            refusal([("user", "a"), ("ip", "10.0.0.1")], [("connection_creation_rate", 1)])?.contains("IP") == true)
        #expect(refusal([("ip", "localhost")], [("connection_creation_rate", 1)])?.contains("not a valid IP") == true)
        #expect(refusal([("user", "a"), ("client-id", "c")]) == nil)
        // Of a type that is named twice the last one counts.
        let twice = QuotaAlteration(
            [entry([("user", "a"), ("user", "b")], [("producer_byte_rate", 1)])], quotas: ClientQuotas())
        #expect(twice.changed == [.clients(QuotaTable.Entity(user: .exactly("b"), client: nil))])
    }

    @Test func valuesAreThoseOfKafka() {
        for bad in [0, -1, .nan, .infinity] as [Double] {
            #expect(refusal([("user", "a")], [("producer_byte_rate", bad)])?.contains("greater than 0") == true)
        }
        #expect(refusal([("user", "a")], [("producer_byte_rate", 1.5)])?.contains("fractional") == true)
        #expect(refusal([("user", "a")], [("producer_byte_rate", 1e300)])?.contains("too large") == true)
        #expect(refusal([("ip", nil)], [("connection_creation_rate", 3e9)])?.contains("too large") == true)
        #expect(refusal([("user", "a")], [("request_percentage", 0.5)]) == nil)
        // But for a millionth, as in Kafka.
        #expect(refusal([("user", "a")], [("producer_byte_rate", 5.000_000_1)]) == nil)
        #expect(
            refusal([("user", "a")], [("connection_creation_rate", 1)])?.contains("Invalid configuration key") == true)
        #expect(refusal([("ip", nil)], [("producer_byte_rate", 1)])?.contains("Invalid configuration key") == true)
        let twice = refusal([("user", "a")], [("producer_byte_rate", 1), ("producer_byte_rate", 2)])
        #expect(twice?.contains("Duplicate quota key") == true)
    }

    /// All or nothing of an entity, and a refused one stops no other.
    @Test func aRefusedEntityIsLeftAsItWas() {
        let alteration = QuotaAlteration(
            [
                entry([("user", "a")], [("producer_byte_rate", 1), ("consumer_byte_rate", -1)]),
                entry([("user", "b")], [("producer_byte_rate", 1)]),
                entry([("user", "c")], [("producer_byte_rate", 1)]),
                entry([("user", "b")], [("producer_byte_rate", 2)]),
            ], quotas: ClientQuotas())
        #expect(alteration.results.map { $0.entity[0].name } == ["a", "b", "c"])
        #expect(alteration.results.map { $0.refusal == nil } == [false, false, true])
        #expect(alteration.changed.count == 1 && alteration.quotas.count == 1)
    }

    @Test func onlyNewEntitiesNeedRoom() {
        let full = QuotaAlteration([entry([("user", "alice")], [("producer_byte_rate", 1)])], quotas: ClientQuotas())
        let entries = [
            entry([("user", "alice")], [("producer_byte_rate", 2)]),
            entry([("user", "bob")], [("producer_byte_rate", 2)]),
            entry([("user", "carol")], [("producer_byte_rate", 2)]),
            entry([("user", "d")], [("producer_byte_rate", nil)]),
        ]
        for room in [AccessRoom(entries: 1), AccessRoom(entries: 9, bytes: 7)] {
            let alteration = QuotaAlteration(entries, quotas: full.quotas, room: room)
            #expect(alteration.results.map { $0.refusal?.error ?? .none } == [.none, .none, .invalidRequest, .none])
        }
    }

    /// Each of many is looked at once, however many there are.
    @Test func manyEntitiesTakeNoLongerThanTheyAre() {
        let entries = (0..<10_000).map { entry([("user", "u\($0)")], [("producer_byte_rate", 1)]) }
        let alteration = QuotaAlteration(entries, quotas: ClientQuotas())
        #expect(alteration.quotas.count == entries.count)
        let removal = QuotaAlteration(
            (0..<10_000).map { entry([("user", "u\($0)")], [("producer_byte_rate", nil)]) }, quotas: alteration.quotas)
        #expect(removal.quotas.count == 0 && removal.changed.count == entries.count)
    }
}

@Suite struct QuotaFilterTests {
    private let quotas = QuotaAlteration(
        [
            [("user", "alice")], [("user", "alice"), ("client-id", "app")], [("user", nil)], [("client-id", "app")],
            [("ip", "::1")], [("ip", nil)],
        ].map { (components: [(String, String?)]) in
            QuotaAlteration.Entry(
                components: components.map { QuotaEntity.Component(type: $0.0, name: $0.1) },
                operations: [(components[0].0 == "ip" ? "connection_creation_rate" : "producer_byte_rate", 1)])
        }, quotas: ClientQuotas()
    ).quotas

    private func found(_ components: [(String, Int8, String?)], strict: Bool = false) throws -> Set<String> {
        let filter = try QuotaFilter(
            components.map { .init(type: $0.0, matchType: $0.1, match: $0.2) }, strict: strict)
        return Set(
            quotas.entities.filter(filter.matches).map { entity in
                entity.components.map { "\($0.type)=\($0.name?.text ?? "-")" }.joined(separator: ",")
            })
    }

    @Test func componentsMatchByNameDefaultOrType() throws {
        #expect(try found([]).count == 6)
        #expect(try found([("user", 0, "alice")]) == ["user=alice", "user=alice,client-id=app"])
        #expect(try found([("user", 0, "alice")], strict: true) == ["user=alice"])
        #expect(try found([("user", 1, nil)]) == ["user=-"])
        #expect(try found([("user", 2, nil)]) == ["user=alice", "user=alice,client-id=app", "user=-"])
        #expect(try found([("user", 2, nil), ("client-id", 0, "app")]) == ["user=alice,client-id=app"])
        #expect(try found([("client-id", 0, "app")], strict: true) == ["client-id=app"])
        #expect(try found([("ip", 0, "0:0:0:0:0:0:0:1")]) == ["ip=0:0:0:0:0:0:0:1"])
        #expect(try found([("ip", 2, nil)]).count == 2)
        #expect(try found([("user", 0, "nobody")]).isEmpty && found([], strict: true).isEmpty)
    }

    @Test func badFiltersAreRefused() {
        func error(_ components: [(String, Int8, String?)]) -> ErrorCode? {
            do {
                _ = try found(components)
                return nil
            } catch {
                return (error as? AccessRefusal)?.error
            }
        }
        #expect(error([("", 2, nil)]) == .invalidRequest)
        #expect(error([("user", 2, nil), ("user", 1, nil)]) == .invalidRequest)
        #expect(error([("group", 2, nil)]) == .unsupportedVersion)
        #expect(error([("user", 0, nil)]) == .invalidRequest && error([("user", 1, "a")]) == .invalidRequest)
        #expect(error([("user", 2, "a")]) == .invalidRequest && error([("user", 3, nil)]) == .invalidRequest)
        #expect(error([("ip", 2, nil), ("user", 2, nil)]) == .invalidRequest)
    }
}

@Suite struct AccessRoomTests {
    @Test func aclsThatHaveNoRoomAreRefused() {
        let creations = ["a", "bb", "ccc"].map {
            AclChanges.Creation(
                resource: 2, name: $0, pattern: 3, principal: "User:a", host: "*", operation: 3, permission: 3)
        }
        let none = AccessRules([], superUsers: [])
        for room in [AccessRoom(entries: 2), AccessRoom(entries: 3, bytes: 19)] {
            let (results, new) = AclChanges.create(creations, existing: none, room: room)
            #expect(results.map { $0?.error ?? .none } == [.none, .none, .invalidRequest] && new.count == 2)
        }
        // What is there already needs none.
        let (_, all) = AclChanges.create(creations, existing: none)
        let again = AclChanges.create(
            creations, existing: AccessRules(all, superUsers: []), room: AccessRoom(entries: 0))
        #expect(again.results.allSatisfy { $0 == nil })
    }

    /// A few long names make a reply as long as many short ones.
    @Test func theTextOfADeletionsResultsHasABound() {
        let long = String(repeating: "n", count: 2_000)
        let some = AccessRules(
            (0..<100).map {
                AclBinding(
                    ResourcePattern(.topic, ExactString("\(long)\($0)")), principal: "User:a", .read, .allow)
            }, superUsers: [])
        let most = AclChanges.maxResultBytes / (some.bindings.reduce(0) { $0 + $1.textBytes })
        let filters = [AclFilter](repeating: AclFilter(), count: most)
        #expect(AclChanges.delete(filters, existing: some).refusal == nil)
        #expect(AclChanges.delete(filters + [AclFilter()], existing: some).refusal?.error == .invalidRequest)
    }
}
