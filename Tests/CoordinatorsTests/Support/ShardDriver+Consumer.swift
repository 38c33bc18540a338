import BrokerTestKit
import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// Topics as a test wants them.
struct FakeTopics: GroupTopics {
    private(set) var version: Int64 = 0
    private var topics: [String: GroupTopic] = [:]
    private var created: UInt64 = 0

    init(_ sizes: [String: Int32] = [:]) {
        for (name, size) in sizes.sorted(by: { $0.key < $1.key }) { self[name] = size }
    }

    /// A topic's partitions. One that was gone comes back with another id.
    subscript(name: String) -> Int32? {
        get { topics[name]?.partitionCount }
        set {
            version += 1
            guard let newValue else {
                topics[name] = nil
                return
            }
            created += 1
            let id = topics[name]?.id ?? TopicID(high: 7, low: created)
            topics[name] = GroupTopic(id: id, name: name, partitionCount: newValue)
        }
    }

    func topic(named name: String) -> GroupTopic? { topics[name] }
    func topic(id: TopicID) -> GroupTopic? { topics.values.first { $0.id == id } }
    var names: [String] { Array(topics.keys) }
    func id(_ name: String) -> TopicID { topics[name]!.id }
}

/// What a member reads, by topic name.
typealias Reading = [String: Set<Int32>]

extension ShardDriver {
    /// Sends a heartbeat as it is.
    @discardableResult
    func beat(
        _ memberID: String, _ epoch: Int32, group: String = "g", version: Int16 = 1, clientID: String = "client",
        _ change: (inout ConsumerGroupHeartbeatRequest) -> Void = { _ in }
    ) -> ConsumerGroupHeartbeatResponse {
        var request = ConsumerGroupHeartbeatRequest()
        request.groupID = group
        request.memberID = memberID
        request.memberEpoch = epoch
        change(&request)
        let waiter = newWaiter()
        let context = RequestContext(clientID: clientID, clientHost: "/127.0.0.1", apiVersion: version)
        run { $0.consumerGroupHeartbeat(request, context: context, waiter: waiter, now: $1) }
        guard case .consumerHeartbeat(let response) = replies[waiter] else {
            return ConsumerGroupHeartbeatResponse()
        }
        return response
    }

    /// Joins, with all that a first heartbeat says.
    @discardableResult
    func joinConsumer(
        _ memberID: String, topics names: [String]? = ["t"], pattern: String? = nil, instance: String? = nil,
        group: String = "g", rebalanceMs: Int32 = 60_000, assignor: String? = nil, rack: String? = nil
    ) -> ConsumerGroupHeartbeatResponse {
        beat(memberID, 0, group: group) {
            $0.subscribedTopicNames = names
            $0.subscribedTopicRegex = pattern
            $0.instanceID = instance
            $0.rackID = rack
            $0.rebalanceTimeoutMs = rebalanceMs
            $0.serverAssignor = assignor
            $0.topicPartitions = []
        }
    }

    func owned(_ reading: Reading) -> [ConsumerGroupHeartbeatRequest.TopicPartitions] {
        reading.sorted { $0.key < $1.key }.compactMap { name, partitions in
            guard topics.topic(named: name) != nil, !partitions.isEmpty else { return nil }
            var part = ConsumerGroupHeartbeatRequest.TopicPartitions()
            (part.topicID, part.partitions) = (topics.id(name), partitions.sorted())
            return part
        }
    }

    func reading(_ response: ConsumerGroupHeartbeatResponse) -> Reading? {
        response.assignment.map { assignment in
            var reading: Reading = [:]
            for part in assignment.topicPartitions {
                let name = topics.topic(id: part.topicID)?.name ?? part.topicID.description
                reading[name, default: []].formUnion(part.partitions)
            }
            return reading
        }
    }

    func describe(_ group: String = "g") -> GroupShard.DescribedConsumerGroup { shard.describeConsumerGroup(group) }

    func consumerState(_ group: String = "g") -> String { describe(group).groupState }
}

extension ConsumerGroupHeartbeatResponse {
    var code: ErrorCode { ErrorCode(rawValue: errorCode) }
}

/// A client of the consumer protocol, as real ones behave: it tells of what it owns when that has changed, and joins again when it is
/// fenced.
final class FakeConsumer {
    let driver: ShardDriver
    let memberID: String
    let group: String
    var instanceID: String?
    var topics: [String]
    var pattern: String?
    private(set) var epoch: Int32 = 0
    /// What it reads; given up what it was told to.
    private(set) var reading: Reading = [:]
    /// What it was told to read, and may not have done yet.
    private var wanted: Reading?
    private var mustTell = true
    /// The last answer was lost.
    private var isUnsure = false
    /// Rejoins because it was fenced.
    private(set) var fencings = 0
    var heard: [Int32] = []

    init(
        _ driver: ShardDriver, _ memberID: String, topics: [String] = ["t"], pattern: String? = nil,
        instance: String? = nil, group: String = "g"
    ) {
        self.driver = driver
        self.memberID = memberID
        self.topics = topics
        self.pattern = pattern
        self.group = group
        instanceID = instance
    }

    /// The same client, after the broker has started anew.
    init(continuing other: FakeConsumer, on driver: ShardDriver) {
        self.driver = driver
        (memberID, group, instanceID) = (other.memberID, other.group, other.instanceID)
        (topics, pattern) = (other.topics, other.pattern)
        (epoch, reading, wanted, mustTell) = (other.epoch, other.reading, other.wanted, other.mustTell)
        (isUnsure, fencings, heard) = (other.isUnsure, other.fencings, other.heard)
    }

    /// Sends the next heartbeat, and does what the answer says. `acts`: false, it does not give up what it is told to.
    @discardableResult
    func step(acts: Bool = true, loses: Bool = false) -> ErrorCode {
        let response = driver.beat(memberID, epoch, group: group) { request in
            request.instanceID = instanceID
            if epoch == 0 || isUnsure {
                // All of it, as after any failure.
                request.rebalanceTimeoutMs = 60_000
                request.subscribedTopicNames = topics
                request.subscribedTopicRegex = pattern
                request.topicPartitions = driver.owned(mayRead)
            } else if mustTell {
                request.topicPartitions = driver.owned(mayRead)
            }
        }
        isUnsure = loses
        if loses { return response.code }
        mustTell = false
        switch response.code {
        case .none:
            if epoch != response.memberEpoch { heard.append(response.memberEpoch) }
            epoch = response.memberEpoch
            if let told = driver.reading(response) { wanted = told }
        case .fencedMemberEpoch, .unknownMemberID:
            fencings += 1
            (epoch, reading, wanted, mustTell) = (0, [:], nil, true)
        default: break
        }
        if acts { act() }
        return response.code
    }

    /// What it reads, and what it was told to and is about to: what it says of itself must not leave that out.
    private var mayRead: Reading { reading.merging(wanted ?? [:]) { $0.union($1) } }

    /// Gives up and takes up partitions, as it was told.
    func act() {
        guard let wanted else { return }
        // Also where nothing changes: it is the answer that the broker waits for.
        mustTell = true
        reading = wanted.filter { !$0.value.isEmpty }
        self.wanted = nil
    }

    /// The topic is gone, and the client has heard of it.
    func forget(_ topic: String) {
        reading[topic] = nil
        wanted?[topic] = nil
    }

    func subscribe(to topics: [String], pattern: String? = nil) {
        self.topics = topics
        if let pattern { self.pattern = pattern.isEmpty ? nil : pattern }
        let response = driver.beat(memberID, epoch, group: group) {
            $0.instanceID = instanceID
            $0.subscribedTopicNames = topics
            $0.subscribedTopicRegex = pattern
        }
        if response.code == .none {
            epoch = response.memberEpoch
            if let told = driver.reading(response) { wanted = told }
        }
    }

    func leave(forAWhile: Bool = false) {
        driver.beat(memberID, forAWhile ? -2 : -1, group: group) { $0.instanceID = instanceID }
        (epoch, reading, wanted, mustTell) = (0, [:], nil, true)
    }
}
