import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// ConsumerGroupDescribe: state, epochs and members of consumer groups (KIP-848). A group named several times is described once;
/// groups that make the reply too long get INVALID_REQUEST. A group that reads a topic which the client may not describe is
/// TOPIC_AUTHORIZATION_FAILED without anything of it. Versions: 1 the type of each member.
extension KafkaConnection {
    /// Groups for which there is no room are answered without.
    static func consumerGroupDescribePrice(_ asked: ConsumerGroupDescribeRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let groups = Set(asked.groupIDs.lazy.map { ExactString($0) })
        price.add(groups.count, ConsumerGroupDescribeResponse.DescribedGroup.self, text: 128)
        let members = groups.reduce(0) { sum, groupID in
            sum
                + context.broker.groups.read(group: groupID.text) {
                    $0.mostConsumerDescriptionBytes(of: groupID.text)
                }.answer
        }
        price.add(bytes: min(members, ReplyRoom.bytes))
        return price.bytes
    }

    static func consumerGroupDescribe(
        _ asked: ConsumerGroupDescribeRequest, _ context: AnswerContext
    ) -> Answer<ConsumerGroupDescribeResponse> {
        var commits = CommitSpan()
        var response = ConsumerGroupDescribeResponse()
        var room = ReplyRoom()
        var answered: Set<ExactString> = []
        for groupID in asked.groupIDs where answered.insert(ExactString(groupID)).inserted {
            guard context.permissions.allows(.describe, group: groupID) else {
                response.groups.append(refused(groupID, .groupAuthorizationFailed, nil))
                continue
            }
            // Described outside of the shard's lock, which heartbeats of other groups take.
            var (shard, ticket) = context.broker.groups.read(group: groupID) { $0.view(of: groupID) }
            shard.topics = context.broker.groups.topics
            commits.add(ticket)
            guard room.take(shard.mostConsumerDescriptionBytes(of: groupID)) else {
                response.groups.append(refused(groupID, .invalidRequest, ReplyRoom.refusal))
                continue
            }
            var described = shard.describeConsumerGroup(groupID)
            if !mayDescribeTopics(of: described, context) {
                described = refused(
                    groupID, .topicAuthorizationFailed, "The group reads topics that the client may not describe.")
            }
            if asked.includeAuthorizedOperations {
                described.authorizedOperations = context.permissions.operations(on: .group, groupID)
            }
            response.groups.append(described)
        }
        return Answer(response: response, commits: commits)
    }

    private static func mayDescribeTopics(
        of group: ConsumerGroupDescribeResponse.DescribedGroup, _ context: AnswerContext
    ) -> Bool {
        if context.permissions.isUnlimited { return true }
        var names: Set<ExactString> = []
        for member in group.members {
            for assignment in [member.assignment, member.targetAssignment] {
                names.formUnion(assignment.topicPartitions.lazy.map { ExactString($0.topicName) })
            }
        }
        return names.allSatisfy { context.permissions.allows(.describe, topic: $0.text) }
    }

    private static func refused(
        _ groupID: String, _ code: ErrorCode, _ message: String?
    ) -> ConsumerGroupDescribeResponse.DescribedGroup {
        var refused = ConsumerGroupDescribeResponse.DescribedGroup()
        (refused.groupID, refused.errorCode, refused.errorMessage) = (groupID, code.rawValue, message)
        return refused
    }
}
