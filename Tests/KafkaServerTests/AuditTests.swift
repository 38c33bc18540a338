import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Security
import Telemetry
import Testing

@testable import KafkaServer

/// What the audit is told of the Kafka edge: sign-ins, changes, refusals; and what it is not.
@Suite struct AuditTests {
    private final class Told: Sendable {
        private let bytes = Lock<[UInt8]>([])

        func log() -> AuditLog {
            AuditLog(metrics: MetricsRegistry()) { [self] lines in
                bytes.withLock { $0 += lines }
                return true
            }
        }

        /// All of it, once the log is stopped: without the time.
        var lines: [String] {
            String(decoding: bytes.withLock { $0 }, as: UTF8.self).split(separator: "\n").map { line in
                String(line.drop { $0 != "," }.dropFirst())
            }
        }
    }

    private func broker(_ told: Told, _ configure: (inout TestBroker.Options) -> Void = { _ in }) throws -> TestBroker {
        try TestBroker { options in
            options.server.audit = told.log()
            configure(&options)
        }
    }

    private func allow(_ operation: AclOperation, _ topic: String, on broker: TestBroker) {
        let results = broker.broker.createAcls([
            .init(
                resource: 2, name: topic, pattern: 3, principal: "User:ANONYMOUS", host: "*",
                operation: operation.rawValue, permission: 3)
        ])
        #expect(results == [nil])
    }

    @Test func signInsAreToldAndNoPasswordIs() throws {
        let told = Told()
        let broker = try broker(told) { options in
            options.sasl = SaslSettings(mechanisms: [.plain, .scramSHA256], failureDelay: .zero, parting: .zero)
        }
        var salted = HashAlgorithm.sha256.pbkdf2(
            password: Secret(copying: Array("canary".utf8)[...]), salt: [1], iterations: 4_096)
        _ = broker.broker.alterScramCredentials(
            deletions: [],
            upsertions: [
                .init(
                    user: "alice", mechanism: 1, iterations: 4_096, salt: [1], saltedPassword: Secret(wiping: &salted))
            ])
        #expect(try broker.client().logIn(plain: "alice", "canary").errorCode == 0)
        #expect(try broker.client().logIn(.sha256, "alice", "canary-wrong").errorCode != 0)
        #expect(try broker.client().logIn(plain: "bob\n\"", "canary").errorCode != 0)
        broker.server.options.audit?.stop()
        func line(_ who: String, _ what: String, _ result: String) -> String {
            #""kind":"authentication","who":"\#(who)","from":"127.0.0.1","what":"\#(what)","result":"\#(result)"}"#
        }
        #expect(
            told.lines == [
                line("User:alice", "PLAIN", "accepted"), line("User:alice", "SCRAM-SHA-256", "refused"),
                line(#"User:bob\n\""#, "PLAIN", "refused"),
            ])
        #expect(!told.lines.joined().contains("canary"))
    }

    @Test func changesAreToldWithHowTheyWent() throws {
        let told = Told()
        let broker = try broker(told)
        let client = try broker.client()
        try client.createTopic("orders", partitions: 1, configs: ["retention.ms": "4711"])
        var deletion = DeleteTopicsRequest()
        deletion.topics = ["orders", "missing"].map { name in
            var state = DeleteTopicsRequest.DeleteTopicState()
            state.name = name
            return state
        }
        _ = try client.call(deletion)
        _ = try client.call(DescribeClusterRequest())
        broker.server.options.audit?.stop()
        func line(_ what: String, _ on: String, _ result: String) -> String {
            #""kind":"change","who":"User:ANONYMOUS","from":"127.0.0.1","what":"\#(what)","on":"\#(on)","result":"\#(result)"}"#
        }
        #expect(
            told.lines.sorted() == [
                line("CreateTopics", "orders", "NONE"), line("DeleteTopics", "missing", "UNKNOWN_TOPIC_OR_PARTITION"),
                line("DeleteTopics", "orders", "NONE"),
            ])
    }

    @Test func offsetsThatAreDeletedAreToldWithTheirGroup() throws {
        let told = Told()
        let broker = try broker(told)
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        try client.commit("readers", "orders", 5)
        func delete(_ group: String, partitions: [Int32]) throws -> OffsetDeleteResponse {
            var topic = OffsetDeleteRequest.OffsetDeleteRequestTopic()
            topic.name = "orders"
            topic.partitions = partitions.map { index in
                var partition = OffsetDeleteRequest.OffsetDeleteRequestPartition()
                partition.partitionIndex = index
                return partition
            }
            var request = OffsetDeleteRequest()
            (request.groupID, request.topics) = (group, [topic])
            return try client.call(request)
        }
        #expect(try delete("readers", partitions: [0]).errorCode == 0)
        #expect(try delete("nobody", partitions: [0]).errorCode == ErrorCode.groupIDNotFound.rawValue)
        try client.commit("readers", "orders", 5)
        // A long one is a worker's.
        #expect(try delete("readers", partitions: Array(0..<5_000)).errorCode == 0)
        broker.server.options.audit?.stop()
        let lines = told.lines.filter { $0.contains("OffsetDelete") }
        #expect(
            lines.first
                == #""kind":"change","who":"User:ANONYMOUS","from":"127.0.0.1","what":"OffsetDelete","on":"orders-0 of group readers","result":"NONE"}"#
        )
        #expect(lines.contains { $0.contains(#""on":"group nobody","result":"GROUP_ID_NOT_FOUND""#) })
        #expect(lines.contains { $0.contains(#""on":"4900 others of one request""#) })
    }

    @Test func whatIsOnlyTriedIsNotTold() throws {
        let told = Told()
        let broker = try broker(told)
        let client = try broker.client()
        var creation = CreateTopicsRequest()
        var topic = CreateTopicsRequest.CreatableTopic()
        (topic.name, topic.numPartitions, topic.replicationFactor) = ("tried", 1, 1)
        (creation.topics, creation.validateOnly) = ([topic], true)
        #expect(try client.call(creation).topics.map(\.errorCode) == [0])
        var quotas = AlterClientQuotasRequest()
        var entry = AlterClientQuotasRequest.EntryData()
        var entity = AlterClientQuotasRequest.EntityData()
        (entity.entityType, entity.entityName) = ("user", "alice")
        var operation = AlterClientQuotasRequest.OpData()
        (operation.key, operation.value) = ("producer_byte_rate", 1_000)
        (entry.entity, entry.ops) = ([entity], [operation])
        (quotas.entries, quotas.validateOnly) = ([entry], true)
        #expect(try client.call(quotas).entries.map(\.errorCode) == [0])
        broker.server.options.audit?.stop()
        #expect(told.lines == [])
    }

    @Test func topicsThatMetadataMakesAreTold() throws {
        let told = Told()
        let broker = try broker(told)
        _ = try broker.client().metadata(["made"], mayCreate: true)
        broker.server.options.audit?.stop()
        #expect(told.lines.map { $0.contains(#""what":"Metadata","on":"made","result":"NONE""#) } == [true])
    }

    @Test func ofManyChangesTheFirstAreToldOneByOne() throws {
        let told = Told()
        let log = told.log()
        let client = KafkaClientIdentity(AccessSubject(.anonymous, address: NetworkAddress(v4: 1)))
        Auditor(log: log, client: client).changed(.createTopics, (0..<150).map { AuditedChange("\($0)", 0) })
        log.stop()
        #expect(told.lines.count == Auditor.maxChanges + 1)
        #expect(told.lines.contains { $0.contains("50 others of one request") })
    }

    /// Each API that changes something is in both places.
    @Test func whatIsAuditedIsWhatChanges() {
        let changing: Set<APIKey> = [
            .createTopics, .deleteTopics, .createPartitions, .deleteRecords, .deleteGroups, .offsetDelete,
            .alterConfigs, .incrementalAlterConfigs, .createAcls, .deleteAcls, .alterClientQuotas,
            .alterUserScramCredentials,
            .alterGatewayKeys, .writeTxnMarkers, .alterShareGroupOffsets, .deleteShareGroupOffsets,
        ]
        #expect(Set(APITable.all.map(\.key).filter(\.isAudited)) == changing)
    }

    @Test func refusalsAreToldAndWhatIsLeftOutIsNot() throws {
        let told = Told()
        let broker = try broker(told) { $0.broker.access.hasAuthorizer = true }
        _ = try broker.broker.createTopic(
            "orders", partitions: 1, replicationFactor: 1, settings: [:], validateOnly: false
        ).get()
        allow(.describe, "shown", on: broker)
        let client = try broker.client()
        // Lists leave out what may not be seen.
        #expect(try client.metadata(nil).topics.isEmpty)
        for _ in 0..<3 {
            #expect(
                try client.produce("orders", TestBatch(count: 1, valueSize: 8).bytes()).code
                    == .topicAuthorizationFailed)
        }
        #expect(try client.fetch("orders", from: 0).errorCode == 29)
        #expect(try client.call(AccessRequests.producerID).errorCode == 31)
        #expect(try client.call(DescribeAclsRequest()).errorCode == 31)
        broker.server.options.audit?.stop()
        func line(_ what: String, _ on: String, more: Int = 0) -> String {
            let end = more > 0 ? #","more":\#(more)}"# : "}"
            return
                #""kind":"refusal","who":"User:ANONYMOUS","from":"127.0.0.1","what":"\#(what)","on":"\#(on)","result":"DENIED""#
                + end
        }
        #expect(
            told.lines.sorted()
                == [
                    line("describe", "cluster kafka-cluster"), line("read", "topic orders"), line("write", "topic any"),
                    line("write", "topic orders"), line("write", "topic orders", more: 2),
                ].sorted())
    }
}
