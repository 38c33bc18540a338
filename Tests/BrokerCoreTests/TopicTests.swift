import BrokerTestKit
import Glibc
import KafkaModel
import LogStorage
import StorageIO
import Testing

@testable import BrokerCore

/// Topics from their creation to what a restart finds of them.
@Suite struct TopicTests {
    private func create(
        _ node: SimulatedBroker, _ name: String, partitions: Int32 = 1, replicas: Int16 = -1,
        settings: [String: String] = [:], validateOnly: Bool = false
    ) throws -> Topic {
        try node.broker.createTopic(
            name, partitions: partitions, replicationFactor: replicas, settings: settings, validateOnly: validateOnly
        ).get()
    }

    private func refusal(_ body: () throws -> Void) -> TopicRefusal? {
        do {
            try body()
            return nil
        } catch {
            return error as? TopicRefusal
        }
    }

    @Test func aTopicIsThereAfterACrash() throws {
        let node = try SimulatedBroker()
        let made = try create(node, "orders", partitions: 3, settings: ["retention.ms": "1000"])
        try node.append(made.partitions[2], count: 4)
        node.broker.store.commitPending()
        try node.crash()
        let found = try #require(node.broker.catalog.topic(named: "orders"))
        #expect(found.id == made.id)
        #expect(found.partitions.map(\.highWatermark) == [Offset(0), Offset(0), Offset(4)])
        #expect(found.settings.overrides == ["retention.ms": "1000"])
        #expect(found.partitions[0].settings.retentionMs == 1000)
        #expect(node.broker.catalog.topic(id: made.id) === found)
        #expect(!found.isInternal)
    }

    @Test func refusalsAreKafkas() throws {
        let node = try SimulatedBroker()
        _ = try create(node, "a.b")
        #expect(refusal { _ = try create(node, "a.b") }?.code == .topicAlreadyExists)
        #expect(refusal { _ = try create(node, "a.b") }?.message == "Topic 'a.b' already exists.")
        #expect(
            refusal { _ = try create(node, "a_b") }
                == TopicRefusal(.invalidTopicException, "Topic 'a_b' collides with existing topics: a.b"))
        for name in ["", ".", "..", "a/b", "a b", "ä", String(repeating: "x", count: 250)] {
            #expect(refusal { _ = try create(node, name) }?.code == .invalidTopicException, "\(name)")
        }
        for count: Int32 in [0, -2, .min] {
            #expect(
                refusal { _ = try create(node, "n", partitions: count) }
                    == TopicRefusal(
                        .invalidPartitions, "Number of partitions was set to an invalid non-positive value."))
        }
        #expect(refusal { _ = try create(node, "n", partitions: .max) }?.code == .policyViolation)
        for replicas: Int16 in [0, -2, 2] {
            #expect(refusal { _ = try create(node, "n", replicas: replicas) }?.code == .invalidReplicationFactor)
        }
        #expect(
            refusal { _ = try create(node, "n", settings: ["no.such.key": "1"]) }
                == TopicRefusal(.invalidConfig, "Unknown topic config name: no.such.key"))
        #expect(refusal { _ = try create(node, "n", settings: ["retention.ms": "x"]) }?.code == .invalidConfig)
        #expect(node.broker.catalog.topics.map(\.name).sorted() == [Topic.offsetsTopicName, "a.b"])
    }

    @Test func validationAloneChangesNothing() throws {
        let node = try SimulatedBroker()
        let revision = node.broker.metadata.revision
        let planned = try create(node, "t", settings: ["retention.ms": "5"], validateOnly: true)
        #expect(planned.settings.value("retention.ms") == "5")
        let topic = try create(node, "u")
        #expect(node.broker.metadata.revision == revision + 1)
        #expect(node.broker.createPartitions(topic, count: 2, validateOnly: true) == nil)
        #expect(node.broker.alterSettings(topic, ["retention.ms": "5"], validateOnly: true) == nil)
        #expect(node.broker.metadata.revision == revision + 1)
        #expect(node.broker.catalog.topic(named: "t") == nil)
        #expect(node.broker.catalog.topic(named: "u") === topic)
    }

    @Test func theDefaultNumberOfPartitionsIsTheBrokers() throws {
        var options = SimulatedBroker.options
        options.defaultPartitions = 4
        let node = try SimulatedBroker(options: options)
        #expect(try create(node, "t", partitions: -1).partitions.count == 4)
        #expect(try node.broker.topicCreatingIfAllowed("u").get().partitions.count == 4)
        options.autoCreateTopics = false
        let strict = try SimulatedBroker(options: options)
        #expect(
            refusal { _ = try strict.broker.topicCreatingIfAllowed("u").get() }?.code == .unknownTopicOrPartition)
    }

    @Test func aRecreatedTopicHasANewIDAndAnEmptyLog() throws {
        let node = try SimulatedBroker()
        let first = try create(node, "t")
        try node.append(first.partitions[0], count: 5)
        node.broker.store.commitPending()
        try node.broker.store.checkpoint()
        #expect(node.broker.deleteTopic(first) == nil)
        #expect(node.broker.catalog.topic(named: "t") == nil)
        #expect(node.broker.deleteTopic(first)?.code == .unknownTopicOrPartition)
        let second = try create(node, "t")
        #expect(second.id != first.id)
        #expect(second.partitions[0].logEndOffset == Offset(0))
        try node.append(second.partitions[0], count: 2)
        node.broker.store.commitPending()
        try node.crash()
        let found = try #require(node.broker.catalog.topic(named: "t"))
        #expect(found.id == second.id)
        #expect(found.partitions[0].highWatermark == Offset(2))
        #expect(node.broker.catalog.topic(id: first.id) == nil)
    }

    @Test func appendsToADeletedTopicAreRefused() throws {
        let node = try SimulatedBroker()
        let topic = try create(node, "t")
        #expect(node.broker.deleteTopic(topic) == nil)
        let refused = #expect(throws: AppendRefusal.self) { try node.append(topic.partitions[0]) }
        #expect(refused?.code == .unknownTopicOrPartition)
    }

    @Test func deletionTakesTheTopicsOffsetsAlong() throws {
        let node = try SimulatedBroker()
        let topic = try create(node, "t")
        node.commit(group: "g", topic: "t", offset: 3)
        node.commit(group: "g", topic: "u", offset: 4)
        #expect(node.broker.deleteTopic(topic) == nil)
        node.broker.store.commitPending()
        #expect(node.offsets(group: "g") == ["u-0": 4])
        try node.crash()
        #expect(node.offsets(group: "g") == ["u-0": 4])
    }

    @Test func theInternalTopicStays() throws {
        let node = try SimulatedBroker()
        let topic = try #require(node.broker.catalog.topic(named: Topic.offsetsTopicName))
        #expect(topic.isInternal)
        #expect(node.broker.deleteTopic(topic)?.code == .invalidRequest)
        #expect(node.broker.createPartitions(topic, count: 100, validateOnly: false)?.code == .invalidRequest)
    }

    @Test func deletionCanBeForbidden() throws {
        var options = SimulatedBroker.options
        options.deleteTopics = false
        let node = try SimulatedBroker(options: options)
        let topic = try create(node, "t")
        #expect(node.broker.deleteTopic(topic)?.code == .topicDeletionDisabled)
        #expect(node.broker.catalog.topic(named: "t") === topic)
    }

    @Test func leftoversOfAnInterruptedDeletionAreRemoved() throws {
        let node = try SimulatedBroker()
        let topic = try create(node, "t", partitions: 2)
        let kept = try create(node, "kept")
        for log in topic.partitions + kept.partitions { try node.append(log) }
        try node.broker.store.checkpoint()
        node.fileSystem.inject(Fault(.fail(errno: EIO), on: .remove, pathContains: "/t-", times: 1))
        // It is gone for clients all the same, and so is its other partition.
        #expect(node.broker.deleteTopic(topic) == nil)
        #expect(node.broker.catalog.topic(named: "t") == nil)
        let folders = { try node.fileSystem.list("/data/partitions").sorted() }
        #expect(try folders().count { $0.hasPrefix("t-") } == 1)
        node.fileSystem.removeFaults()
        try node.crash()
        #expect(try folders().filter { !$0.hasPrefix(Topic.offsetsTopicName) } == [kept.partitions[0].folderName])
        #expect(node.broker.catalog.topic(named: "kept")?.partitions[0].highWatermark == Offset(1))
    }

    @Test func partitionsAreAddedBehindTheOthers() throws {
        let node = try SimulatedBroker()
        let topic = try create(node, "t", partitions: 2, settings: ["retention.ms": "7"])
        try node.append(topic.partitions[1])
        #expect(
            node.broker.createPartitions(topic, count: 2, validateOnly: false)
                == TopicRefusal(.invalidPartitions, "Topic already has 2 partition(s)."))
        #expect(
            node.broker.createPartitions(topic, count: 1, validateOnly: false)
                == TopicRefusal(
                    .invalidPartitions,
                    "The topic t currently has 2 partition(s); 1 would not be an increase."))
        #expect(node.broker.createPartitions(topic, count: .max, validateOnly: false)?.code == .policyViolation)
        #expect(node.broker.createPartitions(topic, count: 4, validateOnly: false) == nil)
        let grown = try #require(node.broker.catalog.topic(named: "t"))
        #expect(grown.partitions.count == 4)
        #expect(grown.partitions[1] === topic.partitions[1])
        #expect(grown.partitions[3].settings.retentionMs == 7)
        try node.append(grown.partitions[3], count: 3)
        node.broker.store.commitPending()
        try node.crash()
        let found = try #require(node.broker.catalog.topic(named: "t"))
        #expect(found.partitions.map(\.highWatermark.rawValue) == [0, 1, 0, 3])
        #expect(found.id == topic.id)
    }

    @Test func alteredSettingsSurviveARestart() throws {
        let node = try SimulatedBroker()
        let topic = try create(node, "t", settings: ["retention.ms": "7", "segment.bytes": "1048576"])
        #expect(node.broker.alterSettings(topic, ["max.message.bytes": "500"], validateOnly: false) == nil)
        #expect(node.broker.alterSettings(topic, ["segment.bytes": "3"], validateOnly: false)?.code == .invalidConfig)
        for _ in 0..<2 {
            let found = try #require(node.broker.catalog.topic(named: "t"))
            #expect(found.settings.overrides == ["max.message.bytes": "500"])
            #expect(found.partitions[0].settings.maxBatchBytes == 500)
            #expect(found.partitions[0].settings.retentionMs == LogSettings().retentionMs)
            try node.restart()
        }
    }

    @Test func theOffsetsTopicIsShownAsCompacted() throws {
        let node = try SimulatedBroker()
        for _ in 0..<2 {
            let topic = try #require(node.broker.catalog.topic(named: Topic.offsetsTopicName))
            #expect(topic.settings.value("cleanup.policy") == "compact")
            #expect(topic.settings.value("segment.bytes") == "104857600")
            #expect(topic.partitions[0].settings.isCompacted)
            try node.restart()
        }
        // Made before there was a policy to choose.
        let record = TopicRecord(
            name: Topic.offsetsTopicName, id: .random(), partitionCount: 1, settings: ["retention.ms": "-1"])
        let old = Broker.topic(record, store: node.broker.store, defaults: [:])
        #expect(old.settings.log.isCompacted && !old.settings.log.deletesByRetention)
    }

    @Test func aChangeMadeWithAnOlderTopicKeepsTheNewerOne() throws {
        let node = try SimulatedBroker()
        let old = try create(node, "t")
        #expect(node.broker.createPartitions(old, count: 3, validateOnly: false) == nil)
        #expect(node.broker.alterSettings(old, ["retention.ms": "7"], validateOnly: false) == nil)
        #expect(node.broker.createPartitions(old, count: 4, validateOnly: false) == nil)
        for _ in 0..<2 {
            let found = try #require(node.broker.catalog.topic(named: "t"))
            #expect(found.partitions.count == 4)
            #expect(found.settings.overrides == ["retention.ms": "7"])
            try node.restart()
        }
    }

    @Test func aChangeDoesNotBringADeletedTopicBack() throws {
        let node = try SimulatedBroker()
        let topic = try create(node, "t")
        #expect(node.broker.deleteTopic(topic) == nil)
        #expect(
            node.broker.alterSettings(topic, ["retention.ms": "7"], validateOnly: false)?.code
                == .unknownTopicOrPartition)
        #expect(
            node.broker.createPartitions(topic, count: 3, validateOnly: false)?.code == .unknownTopicOrPartition)
        let second = try create(node, "t")
        #expect(
            node.broker.alterSettings(topic, ["retention.ms": "7"], validateOnly: false)?.code
                == .unknownTopicOrPartition)
        #expect(node.broker.catalog.topic(named: "t") === second)
    }

    @Test func aCreationThatTheDiskRefusesLeavesNothing() throws {
        let node = try SimulatedBroker()
        node.fileSystem.inject(Fault(.fail(errno: ENOSPC), on: .write, pathContains: "metadata.log", times: 1))
        #expect(refusal { _ = try create(node, "t") }?.code == .kafkaStorageError)
        #expect(node.broker.catalog.topic(named: "t") == nil)
        #expect(try create(node, "t").partitions.count == 1)
    }

    @Test func aSecondBrokerIsKeptOutOfTheFolder() throws {
        let node = try SimulatedBroker()
        let error = storageError { _ = try SimulatedBroker(node.fileSystem) }
        #expect(error?.isLockedByAnother == true)
    }

    @Test func theClusterKeepsItsID() throws {
        let node = try SimulatedBroker()
        let id = node.broker.clusterID
        #expect(id.count == 22)
        try node.crash()
        #expect(node.broker.clusterID == id)
    }
}
