import BrokerTestKit
import Coordinators
import KafkaModel
import KafkaWire

extension ShardDriver {
    struct Commit {
        var topic = "t"
        var topicID = TopicID.zero
        var partition: Int32 = 0
        var offset: Int64
        var epoch: Int32 = -1
        var metadata: String?

        init(_ topic: String = "t", _ partition: Int32 = 0, offset: Int64, metadata: String? = nil) {
            self.topic = topic
            self.partition = partition
            self.offset = offset
            self.metadata = metadata
        }
    }

    /// The outcome of each partition.
    @discardableResult
    func commit(
        _ commits: [Commit], group: String = "g", member: String = "", generation: Int32 = -1,
        instance: String? = nil, version: Int16 = 8, retention: Int64 = -1
    ) -> [ErrorCode] {
        var request = OffsetCommitRequest()
        request.groupID = group
        request.generationIDOrMemberEpoch = generation
        request.memberID = member
        request.groupInstanceID = instance
        request.retentionTimeMs = retention
        request.topics = commits.map { commit in
            var partition = OffsetCommitRequest.OffsetCommitRequestPartition()
            partition.partitionIndex = commit.partition
            partition.committedOffset = commit.offset
            partition.committedLeaderEpoch = commit.epoch
            partition.committedMetadata = commit.metadata
            var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
            topic.name = commit.topic
            topic.topicID = commit.topicID
            topic.partitions = [partition]
            return topic
        }
        let waiter = newWaiter()
        let context = RequestContext(clientID: "client", clientHost: "/127.0.0.1", apiVersion: version)
        run { $0.offsetCommit(request, context: context, waiter: waiter, now: $1) }
        guard case .offsetCommit(let response) = replies[waiter] else { return [] }
        return response.topics.flatMap { $0.partitions.map { ErrorCode(rawValue: $0.errorCode) } }
    }

    @discardableResult
    func commitInTransaction(
        _ producerID: Int64, _ commits: [Commit], group: String = "g", member: String = "", generation: Int32 = -1
    ) -> [ErrorCode] {
        var request = TransactionalCommit(
            producer: TransactionalProducer(id: ProducerID(producerID), epoch: ProducerEpoch(0)), groupID: group)
        request.memberID = member
        request.generationID = generation
        request.partitions = commits.map {
            TransactionalCommit.Partition(topicName: $0.topic, partitionIndex: $0.partition, offset: $0.offset)
        }
        let waiter = newWaiter()
        run { $0.txnOffsetCommit(request, waiter: waiter, now: $1) }
        guard case .txnOffsetCommit(let outcomes) = replies[waiter] else { return [] }
        return outcomes
    }

    func fetch(
        _ topic: String = "t", _ partition: Int32 = 0, group: String = "g", topicID: TopicID = .zero,
        requireStable: Bool = false
    ) -> OffsetFetchResponse.OffsetFetchResponsePartitions {
        var topicRequest = OffsetFetchRequest.OffsetFetchRequestTopics()
        topicRequest.name = topic
        topicRequest.topicID = topicID
        topicRequest.partitionIndexes = [partition]
        var request = OffsetFetchRequest.OffsetFetchRequestGroup()
        request.groupID = group
        request.topics = [topicRequest]
        return shard.offsetFetch(request, requireStable: requireStable).topics[0].partitions[0]
    }

    func fetchAll(group: String = "g") -> OffsetFetchResponse.OffsetFetchResponseGroup {
        var request = OffsetFetchRequest.OffsetFetchRequestGroup()
        request.groupID = group
        request.topics = nil
        return shard.offsetFetch(request, requireStable: false)
    }

    func deleteOffsets(_ topic: String, _ partitions: [Int32], group: String = "g") -> OffsetDeleteResponse {
        let request = OffsetDeleteRequest(group: group, topic: topic, partitions: partitions)
        let waiter = newWaiter()
        run { $0.offsetDelete(request, waiter: waiter, now: $1) }
        guard case .offsetDelete(let response) = replies[waiter] else { return OffsetDeleteResponse() }
        return response
    }

    func deleteGroups(_ groups: [String]) -> [ErrorCode] {
        let waiter = newWaiter()
        run { $0.deleteGroups(groups, waiter: waiter, now: $1) }
        guard case .deleteGroups(let results) = replies[waiter] else { return [] }
        return results.map { ErrorCode(rawValue: $0.errorCode) }
    }

    func expireOffsets() { walk(.offsets) { $0.expireOffsets(&$1, now: $2) } }

    func topicDeleted(_ name: String, id: TopicID = .zero) {
        walk(.topic(ExactString(name))) { $0.topicsDeleted([ExactString(name): id], &$1, now: $2) }
    }

    /// Takes a walk to its end, and returns the entries that each step has looked at.
    @discardableResult
    func walk(
        _ scope: ShardWalk.Scope, _ step: (inout GroupShard, inout ShardWalk, CoordinatorTime) -> GroupActions
    ) -> [Int] {
        var walk = ShardWalk(scope)
        var looked: [Int] = []
        while !walk.isComplete {
            let before = walk.entries
            run { step(&$0, &walk, $1) }
            looked.append(walk.entries - before)
        }
        return looked
    }

    /// All groups that are listed.
    func listGroups(
        states: [String] = [], types: [String] = []
    ) -> (error: ErrorCode, groups: [ListGroupsResponse.ListedGroup]) {
        var walk = ShardWalk(.groups)
        let listed = GroupState.listed(states: states, types: types)
        let consumer = ConsumerGroupState.listed(states: states, types: types)
        var all: (error: ErrorCode, groups: [ListGroupsResponse.ListedGroup]) = (.none, [])
        while !walk.isComplete {
            let (error, groups) = shard.listGroups(in: listed, consumer: consumer, &walk)
            if error != .none { all.error = error }
            all.groups += groups
        }
        return all
    }

    /// All records that are alive, of a walk without anything between its steps; nil when it cannot be taken.
    func liveRecords(maxBytes: Int = 300) -> [CoordinatorRecord]? {
        var walk = ShardWalk(.offsets)
        var records: [CoordinatorRecord] = []
        while !walk.isComplete {
            guard let step = shard.liveRecords(&walk, maxBytes: maxBytes) else { return nil }
            records += step
        }
        return records
    }
}
