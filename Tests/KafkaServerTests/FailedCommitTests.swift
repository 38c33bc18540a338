import BrokerCore
import BrokerTestKit
import Glibc
import KafkaModel
import KafkaWire
import LogStorage
import StorageIO
import Testing

/// The data folder fails under produces that wait for their commit.
@Suite struct FailedCommitTests {
    private func failSyncs(_ broker: TestBroker) {
        broker.fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, pathContains: ".journal", times: .max))
    }

    @Test(arguments: [Int16(3), 7, 8, 9, 12]) func waitingProducesAreAnsweredInOrder(version: Int16) throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        #expect(try client.append("orders", count: 1) == 0)
        failSyncs(broker)
        let request = WireClient.produceRequest("orders", TestBatch(count: 1).bytes())
        let ids = try (0..<5).map { _ in try client.send(request, version: version) }
        let last = try client.send(ApiVersionsRequest(), version: 0)
        for id in ids {
            let reply = try client.receive(ProduceResponse.self, version: version, correlationID: id)
            let partition = try #require(reply.responses.first?.partitionResponses.first)
            #expect(reply.responses.first?.name == "orders")
            #expect(partition.code == .kafkaStorageError)
            #expect(partition.baseOffset == -1)
        }
        #expect(try client.receive(ApiVersionsResponse.self, version: 0, correlationID: last).errorCode == 0)
        #expect(broker.broker.store.isOffline)
        // Nothing is taken any more, and what was on disk is read.
        #expect(try client.produce("orders", TestBatch(count: 1).bytes()).code == .kafkaStorageError)
        #expect(try client.listOffset("orders", at: -1).offset == 1)
        // The acknowledged record is there after a restart, and nothing that was refused was acknowledged.
        let after = try broker.crashed().client()
        #expect(try after.listOffset("orders", at: -1).offset >= 1)
    }

    /// The files of a partition of `__consumer_offsets` take nothing: its groups are told to try again, on connections that
    /// go on, and are served as soon as the files are.
    @Test func anOffsetCommitThatTheLogRefusesIsToBeTriedAgain() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        try client.commit("readers", "orders", 1)
        let index = Int(broker.broker.groups.partitionIndex(of: "readers"))
        let log = try #require(broker.broker.catalog.topic(named: Topic.offsetsTopicName)).partitions[index]
        broker.fileSystem.inject(Fault(.fail(errno: EPERM), on: .write, pathContains: log.folderName, times: .max))
        let commit = { (offset: Int64) -> ErrorCode? in
            try client.call(WireClient.commitRequest("readers", "orders", offset), version: 9)
                .topics.first?.partitions.first?.code
        }
        var offset: Int64 = 1
        try waitUntil {
            let code = try commit(offset + 1)
            #expect(code == ErrorCode.none || code == .coordinatorNotAvailable)
            if code == ErrorCode.none { offset += 1 }
            return code == .coordinatorNotAvailable
        }
        #expect(try client.committed("readers", "orders").committedOffset == offset)
        broker.fileSystem.removeFaults()
        try waitUntil { try commit(offset + 1) == ErrorCode.none }
        #expect(try client.committed("readers", "orders").committedOffset == offset + 1)
    }

    // MARK: A commit that fails for one partition alone

    /// A broker whose topic `orders` has a first partition that takes no batch longer than a frame of the journal.
    private func brokerWithAFailingPartition() throws -> (TestBroker, WireClient, TopicID) {
        let broker = try TestBroker {
            $0.broker.store.journalFrameBytes = 64 << 10
            $0.broker.store.writeThroughRunBytes = 32 << 10
        }
        let client = try broker.client()
        let id = try client.createTopic("orders", partitions: 2)
        let log = try #require(broker.broker.catalog.topic(named: "orders")?.partition(0))
        broker.fileSystem.inject(
            Fault(.fail(errno: EACCES), on: .createDirectory, pathContains: log.folderName, times: .max))
        return (broker, client, id)
    }

    private static let tooLong = TestBatch(count: 1, valueSize: 100_000).bytes()

    @Test(arguments: [Int16(3), 7, 8, 12, 13]) func onlyWhatIsNotStoredIsRefused(version: Int16) throws {
        let (broker, client, id) = try brokerWithAFailingPartition()
        var request = WireClient.produceRequest("orders", Self.tooLong)
        request.topicData[0].partitionData +=
            WireClient.produceRequest("orders", TestBatch(count: 2).bytes(), partition: 1).topicData[0].partitionData
        if version >= 13 { (request.topicData[0].name, request.topicData[0].topicID) = ("", id) }
        let results = try #require(try client.call(request, version: version).responses.first).partitionResponses
        #expect(results.map(\.code) == [.kafkaStorageError, .none])
        #expect(results.map(\.baseOffset) == [-1, 0])
        if version >= 8 {
            #expect(results[0].errorMessage == "the partition's files failed before the record batch was on disk")
            #expect(results[1].errorMessage == nil)
        }
        #expect(!broker.broker.store.isOffline)
        #expect(try client.listOffset("orders", at: -1, partition: 1).offset == 2)
        let after = try broker.crashed().client()
        #expect(try after.listOffset("orders", at: -1, partition: 1).offset == 2)
        #expect(try after.listOffset("orders", at: -1).offset == 0)
    }

    /// A request of two partitions whose appends come into two commits, of which the first leaves its part out: the second
    /// commit is on disk, and says nothing of that.
    @Test func aRequestThatRestsOnTwoCommitsIsJudgedByBoth() throws {
        let (broker, client, _) = try brokerWithAFailingPartition()
        try client.createTopic("kept", configs: ["cleanup.policy": "compact"])
        var request = WireClient.produceRequest("orders", Self.tooLong)
        // Its keys are looked at by a worker.
        let keyed = TestBatch((0..<100).map { TestRecord(key: "k\($0)", String(repeating: "v", count: 2000)) }).bytes()
        request.topicData += WireClient.produceRequest("kept", keyed).topicData
        let log = try #require(broker.broker.catalog.topic(named: "orders")?.partition(0))
        let workers = BusyWorkers(broker.broker.workers.threadCount) { broker.broker.workers.submit($0) }
        defer { workers.release() }
        let id = try client.send(request, version: 9)
        try waitUntil { log.hasLeftOutAppends }
        workers.release()
        let reply = try client.receive(ProduceResponse.self, version: 9, correlationID: id)
        let results = reply.responses.flatMap(\.partitionResponses)
        #expect(results.map(\.code) == [.kafkaStorageError, .none])
        #expect(results.map(\.baseOffset) == [-1, 0])
        let after = try broker.crashed().client()
        #expect(try after.listOffset("orders", at: -1).offset == 0)
        #expect(try after.listOffset("kept", at: -1).offset == 100)
    }

    /// What is behind a refused produce on its connection waits for its own commit.
    @Test func whatIsPipelinedBehindARefusalIsNotRefused() throws {
        let simulated = SimulatedFileSystem()
        let disk = StallingFileSystem(simulated)
        let broker = try TestBroker(stalling: disk) {
            $0.broker.store.journalFrameBytes = 64 << 10
            $0.broker.store.writeThroughRunBytes = 32 << 10
        }
        defer { disk.release() }
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        let logs = try #require(broker.broker.catalog.topic(named: "orders")).partitions
        simulated.inject(
            Fault(.fail(errno: EACCES), on: .createDirectory, pathContains: logs[0].folderName, times: .max))
        // Its journal file is there from now on.
        try client.append("orders", count: 1, partition: 1)
        disk.stall([.createDirectory], pathContains: logs[0].folderName)
        let refused = try client.send(WireClient.produceRequest("orders", Self.tooLong), version: 9)
        try waitUntil { disk.waitingCalls > 0 }
        let stored = try client.send(
            WireClient.produceRequest("orders", TestBatch(count: 1).bytes(), partition: 1), version: 9)
        try waitUntil { logs[1].logEndOffset == Offset(2) }
        // The first commit goes on, and fails; the second one does not come to its end.
        disk.stall([.sync], pathContains: ".journal")
        let first = try client.receive(ProduceResponse.self, version: 9, correlationID: refused)
        #expect(first.responses[0].partitionResponses[0].code == .kafkaStorageError)
        #expect(!client.hasInput)
        disk.release()
        let second = try client.receive(ProduceResponse.self, version: 9, correlationID: stored)
        #expect(second.responses[0].partitionResponses[0].code == ErrorCode.none)
        #expect(second.responses[0].partitionResponses[0].baseOffset == 1)
    }

    @Test func fetchesOfOtherPartitionsWaitOn() throws {
        let (broker, client, _) = try brokerWithAFailingPartition()
        let reader = try broker.client()
        let id = try reader.send(
            WireClient.fetchRequest([.init(topic: "orders", partition: 1)], maxWaitMs: 600_000), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        #expect(try client.produce("orders", Self.tooLong).code == .kafkaStorageError)
        #expect(broker.parkedFetches == 1)
        try client.append("orders", count: 1, partition: 1)
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        #expect(try FetchTests.batches(reply.responses[0].partitions[0].records) == [0...0])
    }

    @Test func everyConnectionIsAnswered() throws {
        let broker = try TestBroker { $0.loops = 2 }
        let clients = try (0..<6).map { _ in try broker.client() }
        try clients[0].createTopic("orders", partitions: 3)
        failSyncs(broker)
        let ids = try clients.enumerated().map { index, client in
            try client.send(
                WireClient.produceRequest("orders", TestBatch(count: 1).bytes(), partition: Int32(index % 3)),
                version: 9)
        }
        for (client, id) in zip(clients, ids) {
            let reply = try client.receive(ProduceResponse.self, version: 9, correlationID: id)
            #expect(reply.responses[0].partitionResponses[0].code == .kafkaStorageError)
        }
    }
}
