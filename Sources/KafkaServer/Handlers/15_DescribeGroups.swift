import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// DescribeGroups: state and members. A group named several times is described once; groups that make the reply too long
/// get INVALID_REQUEST. Versions: 3 authorized operations; 4 instance ids; 6 GROUP_ID_NOT_FOUND (KIP-1043).
extension KafkaConnection {
    /// Groups for which there is no room are answered without.
    static func describeGroupsPrice(_ asked: DescribeGroupsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let groups = Set(asked.groups.lazy.map { ExactString($0) })
        price.add(groups.count, DescribeGroupsResponse.DescribedGroup.self, text: 96)
        let members = groups.reduce(0) { sum, groupID in
            sum + context.broker.groups.read(group: groupID.text) { $0.mostDescriptionBytes(of: groupID.text) }.answer
        }
        price.add(bytes: min(members, ReplyRoom.bytes))
        return price.bytes
    }

    /// Returns whether the reply describes members, which may be thousands.
    static func describesMembers(_ asked: DescribeGroupsRequest) -> Bool { !asked.groups.isEmpty }

    static func describeGroups(
        _ asked: DescribeGroupsRequest, _ context: AnswerContext
    ) -> Answer<DescribeGroupsResponse> {
        let version = context.version
        var commits = CommitSpan()
        var response = DescribeGroupsResponse()
        var room = ReplyRoom()
        var answered: Set<ExactString> = []
        for groupID in asked.groups where answered.insert(ExactString(groupID)).inserted {
            guard context.permissions.allows(.describe, group: groupID) else {
                var refused = DescribeGroupsResponse.DescribedGroup()
                (refused.groupID, refused.errorCode) = (groupID, ErrorCode.groupAuthorizationFailed.rawValue)
                response.groups.append(refused)
                continue
            }
            // Described outside of the shard's lock, which heartbeats of other groups take.
            let (shard, ticket) = context.broker.groups.read(group: groupID) { $0.view(of: groupID) }
            commits.add(ticket)
            var described = DescribeGroupsResponse.DescribedGroup()
            if room.take(shard.descriptionBytes(of: groupID)) {
                described = shard.describeGroup(groupID, apiVersion: version)
            } else {
                described.groupID = groupID
                described.errorCode = ErrorCode.invalidRequest.rawValue
                described.errorMessage = ReplyRoom.refusal
            }
            if asked.includeAuthorizedOperations {
                described.authorizedOperations = context.permissions.operations(on: .group, groupID)
            }
            response.groups.append(described)
        }
        return Answer(response: response, commits: commits)
    }
}
