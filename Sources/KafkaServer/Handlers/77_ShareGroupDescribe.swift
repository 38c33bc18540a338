import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// ShareGroupDescribe: state, epochs and members of share groups (KIP-932). A group named several times is described once; groups that make the
/// reply too long get INVALID_REQUEST. A group that reads a topic which the client may not describe is TOPIC_AUTHORIZATION_FAILED without
/// anything of it.
extension KafkaConnection {
    /// Groups for which there is no room are answered without.
    static func shareGroupDescribePrice(_ asked: ShareGroupDescribeRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let groups = Set(asked.groupIDs.lazy.map { ExactString($0) })
        price.add(groups.count, ShareGroupDescribeResponse.DescribedGroup.self, text: 128)
        let members = groups.reduce(0) { sum, groupID in
            sum
                + context.broker.groups.read(group: groupID.text) { $0.mostShareDescriptionBytes(of: groupID.text) }
                .answer
        }
        price.add(bytes: min(members, ReplyRoom.bytes))
        return price.bytes
    }

    static func shareGroupDescribe(
        _ asked: ShareGroupDescribeRequest, _ context: AnswerContext
    ) -> Answer<ShareGroupDescribeResponse> {
        var answer = Answer(response: ShareGroupDescribeResponse())
        var room = ReplyRoom()
        for groupID in distinct(asked.groupIDs, by: { ExactString($0) }).entries {
            guard context.permissions.allows(.describe, group: groupID) else {
                answer.response.groups.append(refused(groupID, .groupAuthorizationFailed, nil))
                continue
            }
            // Described outside of the shard's lock, which heartbeats of other groups take.
            var (shard, ticket) = context.broker.groups.read(group: groupID) { $0.view(of: groupID) }
            shard.topics = context.broker.groups.topics
            answer.commits.add(ticket)
            guard room.take(shard.mostShareDescriptionBytes(of: groupID)) else {
                answer.response.groups.append(refused(groupID, .invalidRequest, ReplyRoom.refusal))
                continue
            }
            var described = shard.describeShareGroup(groupID)
            let names = Set(
                described.members.lazy.flatMap(\.assignment.topicPartitions).map { ExactString($0.topicName) })
            if !names.allSatisfy({ context.permissions.allows(.describe, topic: $0.text) }) {
                described = refused(
                    groupID, .topicAuthorizationFailed, "The group reads topics that the client may not describe.")
            }
            if asked.includeAuthorizedOperations {
                described.authorizedOperations = context.permissions.operations(on: .group, groupID)
            }
            answer.response.groups.append(described)
        }
        return answer
    }

    private static func refused(
        _ groupID: String, _ code: ErrorCode, _ message: String?
    ) -> ShareGroupDescribeResponse.DescribedGroup {
        var refused = ShareGroupDescribeResponse.DescribedGroup()
        (refused.groupID, refused.errorCode, refused.errorMessage) = (groupID, code.rawValue, message)
        return refused
    }
}
