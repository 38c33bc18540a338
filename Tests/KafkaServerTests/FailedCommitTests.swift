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
