import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// ShareAcknowledge: settles records that the session's member has acquired; of one partition all or nothing. The reply waits for the commit.
/// Version 2 lets locks last longer (KIP-1222). Source: KIP-932.
extension KafkaConnection {
    static func shareAcknowledgePrice(_ asked: ShareAcknowledgeRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.topics.count, ShareAcknowledgeResponse.ShareAcknowledgeTopicResponse.self, text: 0)
        let partitions = asked.topics.reduce(0) { $0 + $1.partitions.count }
        price.add(partitions, ShareAcknowledgeResponse.PartitionData.self, text: 96)
        return price.bytes
    }

    static func shareAcknowledge(
        _ asked: ShareAcknowledgeRequest, _ context: AnswerContext
    ) -> Answer<ShareAcknowledgeResponse> {
        var answer = Answer(response: ShareAcknowledgeResponse())
        defer { context.broker.store.kick() }
        func refused(_ refusal: ShareRefusal) -> Answer<ShareAcknowledgeResponse> {
            answer.response.errorCode = refusal.code.rawValue
            answer.response.errorMessage = refusal.message
            return answer
        }
        if let refusal = ShareRequests.refusal(asked.groupID, asked.memberID, context) { return refused(refusal) }
        let group = ExactString(asked.groupID ?? "")
        let shares = context.broker.shares
        let session: ShareSession
        do throws(ShareRefusal) {
            session = try shares.beginAcknowledge(
                of: group, ExactString(asked.memberID ?? ""), epoch: asked.shareSessionEpoch)
        } catch {
            return refused(error)
        }
        let requests = ShareRequests(context: context, group: group, isRenewal: asked.isRenewAck)
        answer.response.acquisitionLockTimeoutMs = requests.lockMs
        for topic in asked.topics {
            var row = ShareAcknowledgeResponse.ShareAcknowledgeTopicResponse()
            row.topicID = topic.topicID
            for partition in topic.partitions {
                let id = TopicPartition(topicID: topic.topicID, partitionIndex: partition.partitionIndex)
                var entry = ShareAcknowledgeResponse.PartitionData()
                entry.partitionIndex = partition.partitionIndex
                (entry.currentLeader.leaderID, entry.currentLeader.leaderEpoch) = (-1, -1)
                if let refusal = requests.acknowledge(
                    partition.acknowledgementBatches, in: id, session, &answer.commits)
                {
                    (entry.errorCode, entry.errorMessage) = (refusal.code.rawValue, refusal.message)
                }
                row.partitions.append(entry)
            }
            answer.response.responses.append(row)
        }
        if asked.shareSessionEpoch < 0 { shares.end(session) }
        return answer
    }
}
