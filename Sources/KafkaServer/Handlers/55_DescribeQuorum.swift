import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// DescribeQuorum: this node alone keeps the metadata; its log's end is the revision of the `MetadataStore`. Versions: 1 times of
/// fetches (KIP-836); 2 addresses (KIP-853).
extension KafkaConnection {
    /// The log that Kafka's clients ask about.
    private static let metadataTopic = "__cluster_metadata"

    static func describeQuorumPrice(_ asked: DescribeQuorumRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        for topic in asked.topics {
            price.add(1, DescribeQuorumResponse.TopicData.self, text: 0)
            price.add(topic.partitions.count, DescribeQuorumResponse.PartitionData.self, text: 128)
        }
        price.add(1, DescribeQuorumResponse.ReplicaState.self, text: 0)
        price.add(1, DescribeQuorumResponse.Node.self, text: 512)
        return price.bytes
    }

    static func describeQuorum(
        _ asked: DescribeQuorumRequest, _ context: AnswerContext
    ) -> Answer<DescribeQuorumResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        var response = DescribeQuorumResponse()
        response.errorMessage = nil
        let isOfMetadata =
            asked.topics.count == 1 && asked.topics[0].topicName == metadataTopic
            && asked.topics[0].partitions.map(\.partitionIndex) == [0]
        guard isOfMetadata else {
            response.topics = asked.topics.map { topic in
                var result = DescribeQuorumResponse.TopicData()
                result.topicName = topic.topicName
                result.partitions = topic.partitions.map { asked in
                    var partition = DescribeQuorumResponse.PartitionData()
                    partition.partitionIndex = asked.partitionIndex
                    partition.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
                    partition.errorMessage = "This server does not host this topic-partition."
                    return partition
                }
                return result
            }
            return Answer(response: response)
        }
        var topic = DescribeQuorumResponse.TopicData()
        topic.topicName = metadataTopic
        topic.partitions = [quorum(context)]
        response.topics = [topic]
        if context.version >= 2 { response.nodes = [DescribeQuorumResponse.Node(context.node)] }
        return Answer(response: response)
    }

    private static func quorum(_ context: AnswerContext) -> DescribeQuorumResponse.PartitionData {
        var partition = DescribeQuorumResponse.PartitionData()
        partition.errorMessage = nil
        partition.leaderID = context.node.id
        partition.highWatermark = context.broker.metadata.revision
        var voter = DescribeQuorumResponse.ReplicaState()
        voter.replicaID = context.node.id
        voter.logEndOffset = partition.highWatermark
        // A leader has all of its own log.
        voter.lastFetchTimestamp = BrokerClock.wallMs()
        voter.lastCaughtUpTimestamp = voter.lastFetchTimestamp
        partition.currentVoters = [voter]
        return partition
    }
}

extension DescribeQuorumRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> DescribeQuorumResponse {
        var response = DescribeQuorumResponse()
        (response.errorCode, response.errorMessage) = (refusal.error.rawValue, refusal.message)
        return response
    }
}

extension DescribeQuorumResponse.Node {
    fileprivate init(_ node: BrokerNode) {
        self.init()
        nodeID = node.id
        var listener = DescribeQuorumResponse.Listener()
        (listener.name, listener.host, listener.port) = ("CONTROLLER", node.host, UInt16(clamping: node.port))
        listeners = [listener]
    }
}
