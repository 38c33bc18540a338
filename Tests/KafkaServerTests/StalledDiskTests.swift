import BrokerCore
import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import KafkaWire
import LogStorage
import StorageIO
import Synchronization
import Testing

@testable import Coordinators

/// A disk that takes its time: whoever needs nothing of it is answered meanwhile, by the same event loop. Where a loop waits,
/// or a lock that it takes is held by someone who does, the clients of these tests run into their timeouts.
@Suite struct StalledDiskTests {
    /// A broker with one loop, a topic whose records are in memory, and a group with a member.
    private final class Rig {
        let disk = StallingFileSystem(SimulatedFileSystem())
        let broker: TestBroker
        let bystander: WireClient
        let member: Member

        init() throws {
            broker = try TestBroker(stalling: disk)
            bystander = try broker.client()
            try bystander.createTopic("seen")
            // The first commit makes the journal's file; from the second on they are quick, and the loop makes them itself.
            for _ in 0..<5 { _ = try bystander.append("seen", count: 1) }
            member = try Member(try broker.client(), group: "readers").joinAlone()
        }

        deinit { disk.release() }

        func waitUntilStalled() throws { try waitUntil { disk.waitingCalls > 0 } }

        /// What needs no disk.
        func expectService() throws {
            for _ in 0..<5 {
                #expect(try bystander.metadata(["seen"]).topics.first?.code == ErrorCode.none)
                #expect(try bystander.listOffset("seen", at: -1).offset >= 5)
                #expect(try bystander.fetch("seen", from: 0).records?.isEmpty == false)
                #expect(try member.heartbeat() == .none)
            }
            #expect(disk.waitingCalls > 0)
        }
    }

    @Test func aCommitHoldsUpNobodyElse() throws {
        let rig = try Rig()
        let producers = try (0..<3).map { _ in try rig.broker.client() }
        let request = WireClient.produceRequest("seen", TestBatch(count: 1).bytes())
        rig.disk.stall([.sync], pathContains: ".journal")
        let first = try producers[0].send(request, version: 9)
        try rig.waitUntilStalled()
        // What comes behind it waits for the next commit, not in the loop.
        let others = try producers.dropFirst().map { try $0.send(request, version: 9) }
        let committer = try rig.broker.client()
        let commit = WireClient.commitRequest("readers", "seen", 3)
        var ofMember = commit
        (ofMember.memberID, ofMember.generationIDOrMemberEpoch) = (rig.member.memberID, rig.member.generationID)
        let committed = try committer.send(ofMember, version: 9)
        try rig.expectService()
        rig.disk.release()
        for (producer, id) in zip(producers, [first] + others) {
            let reply = try producer.receive(ProduceResponse.self, version: 9, correlationID: id)
            #expect(reply.responses.first?.partitionResponses.first?.code == ErrorCode.none)
        }
        let reply = try committer.receive(OffsetCommitResponse.self, version: 9, correlationID: committed)
        #expect(reply.topics.first?.partitions.first?.code == ErrorCode.none)
        #expect(try rig.bystander.listOffset("seen", at: -1).offset == 8)
    }

    /// Replies stay in their order; what a heartbeat says counts when it comes. So nobody is taken for gone whose heartbeat
    /// stands behind a commit. A long commit is made on a worker, and so is its reply.
    @Test(arguments: [1, 20_000])
    func aHeartbeatBehindACommitCountsWhenItComes(partitions: Int) throws {
        let rig = try Rig()
        let (member, client) = (rig.member, rig.member.client)
        let session = {
            rig.broker.broker.groups.read(group: "readers") { shard in
                shard.groups["readers"]?.members[member.memberID]?.session.at ?? 0
            }.answer
        }
        rig.disk.stall([.sync], pathContains: ".journal")
        var commit = WireClient.commitRequest("readers", "seen", 3)
        (commit.memberID, commit.generationIDOrMemberEpoch) = (member.memberID, member.generationID)
        for index in 1..<Int32(partitions) {
            var unknown = commit.topics[0].partitions[0]
            unknown.partitionIndex = index
            commit.topics[0].partitions.append(unknown)
        }
        let committed = try client.send(commit, version: 9)
        try rig.waitUntilStalled()
        let before = session()
        // Deadlines are in milliseconds.
        usleep(2_000)
        let beaten = try client.send(member.heartbeatRequest())
        try waitUntil { session() > before }
        #expect(rig.disk.waitingCalls > 0)
        rig.disk.release()
        let reply = try client.receive(OffsetCommitResponse.self, version: 9, correlationID: committed)
        #expect(reply.topics.flatMap(\.partitions).filter { $0.code == .none }.count == 1)
        let version = HeartbeatRequest.versions.upperBound
        #expect(
            try client.receive(HeartbeatResponse.self, version: version, correlationID: beaten).code == .none)
    }

    @Test(arguments: [
        (StorageError.Operation.open, "/partitions/"), (.write, "/partitions/"), (.sync, "/partitions/"),
        (.syncDirectory, "/partitions"), (.write, "/checkpoint"), (.sync, "/checkpoint"),
        (.rename, "/checkpoint"),
    ])
    func aCheckpointHoldsUpNobody(operation: StorageError.Operation, path: String) throws {
        let rig = try Rig()
        // Something that no checkpoint and no writing behind has seen yet.
        try rig.bystander.createTopic("fresh")
        rig.disk.stall([operation], pathContains: path)
        _ = try rig.bystander.append("fresh", count: 1)
        let store = rig.broker.broker.store
        let thread = Thread(name: "checkpoint") { try? store.checkpoint() }
        defer {
            rig.disk.release()
            thread.join()
        }
        try rig.waitUntilStalled()
        try rig.expectService()
        // Small commits need the journal alone.
        for _ in 0..<3 { _ = try rig.bystander.append("seen", count: 1) }
    }

    @Test func aChangeOfTheCatalogHoldsUpNobodyElse() throws {
        let rig = try Rig()
        rig.disk.stall([.sync], pathContains: "metadata")
        let (creator, idempotent) = (try rig.broker.client(), try rig.broker.client())
        var topic = CreateTopicsRequest.CreatableTopic()
        (topic.name, topic.numPartitions, topic.replicationFactor) = ("new", 1, 1)
        var create = CreateTopicsRequest()
        create.topics = [topic]
        let created = try creator.send(create, version: 7)
        try rig.waitUntilStalled()
        // The first producer id claims a block of them, which is stored in the same file.
        var request = InitProducerIdRequest()
        request.transactionalID = nil
        let asked = try idempotent.send(request, version: 4)
        try rig.expectService()
        _ = try rig.bystander.append("seen", count: 1)
        rig.disk.release()
        let reply = try creator.receive(CreateTopicsResponse.self, version: 7, correlationID: created)
        #expect(reply.topics.first?.errorCode == 0)
        let id = try idempotent.receive(InitProducerIdResponse.self, version: 4, correlationID: asked)
        #expect(id.errorCode == 0 && id.producerID >= 0)
    }

    @Test func aDeletionHoldsUpNobodyElse() throws {
        let rig = try Rig()
        try rig.bystander.createTopic("old")
        _ = try rig.bystander.append("old", count: 1)
        try rig.broker.broker.store.checkpoint()
        rig.disk.stall([.remove], pathContains: "/partitions/old")
        let client = try rig.broker.client()
        var state = DeleteTopicsRequest.DeleteTopicState()
        state.name = "old"
        var delete = DeleteTopicsRequest()
        delete.topics = [state]
        let deleted = try client.send(delete, version: 6)
        try rig.waitUntilStalled()
        try rig.expectService()
        _ = try rig.bystander.append("seen", count: 1)
        rig.disk.release()
        let reply = try client.receive(DeleteTopicsResponse.self, version: 6, correlationID: deleted)
        #expect(reply.responses.first?.errorCode == 0)
    }

    @Test func aReadOfTheDiskHoldsUpNobodyElse() throws {
        let rig = try Rig()
        try rig.bystander.createTopic("old")
        for _ in 0..<3 { _ = try rig.bystander.append("old", count: 1) }
        // Nobody follows it, so what is in its segment leaves memory.
        try rig.broker.broker.store.checkpoint()
        rig.disk.stall([.read], pathContains: "/partitions/old")
        let reader = try rig.broker.client()
        let wanted = WireClient.Wanted(topic: "old")
        let fetched = try reader.send(WireClient.fetchRequest([wanted]), version: 12)
        // Behind it on the same connection: answered in its turn.
        let behind = try reader.send(ApiVersionsRequest(), version: 0)
        try rig.waitUntilStalled()
        try rig.expectService()
        _ = try rig.bystander.append("seen", count: 1)
        rig.disk.release()
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: fetched)
        #expect(reply.responses.first?.partitions.first?.records?.isEmpty == false)
        #expect(try reader.receive(ApiVersionsResponse.self, version: 0, correlationID: behind).errorCode == 0)
    }

    @Test func aLookAtTheDisksSpaceHoldsUpNobodyElse() throws {
        let rig = try Rig()
        rig.disk.stall([.freeBytes])
        let client = try rig.broker.client()
        var request = DescribeLogDirsRequest()
        request.topics = nil
        let asked = try client.send(request, version: 4)
        try rig.waitUntilStalled()
        try rig.expectService()
        rig.disk.release()
        let reply = try client.receive(DescribeLogDirsResponse.self, version: 4, correlationID: asked)
        #expect(reply.results.first?.totalBytes ?? 0 > 0)
    }
}
