import BrokerCore
import ByteBuffers
import Coordinators
import KafkaWire

/// DescribeGroups: state and members. Versions: 3 authorized operations; 4 instance ids; 6 GROUP_ID_NOT_FOUND (KIP-1043).
extension KafkaConnection {
    func describeGroups(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(DescribeGroupsRequest.self)
        let version = request.version
        var commit: UInt64 = 0
        var response = DescribeGroupsResponse()
        for groupID in asked.groups {
            var (described, ticket) = broker.groups.read(group: groupID) {
                $0.describeGroup(groupID, apiVersion: version)
            }
            commit = max(commit, ticket)
            if asked.includeAuthorizedOperations { described.authorizedOperations = Self.groupOperations }
            response.groups.append(described)
        }
        reply(response, to: request.ticket, commit: commit)
    }
}
