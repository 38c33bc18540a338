public import KafkaModel
import KafkaWire

extension GroupReply {
    /// Returns the same reply for when nothing of what it says came about, and `error` says why.
    public func refused(_ error: ErrorCode) -> GroupReply {
        switch self {
        case .join(let response):
            var refusal = JoinGroupResponse(refusing: error, memberID: response.memberID)
            // Versions before 7 have no null for it, and got none.
            if response.protocolName != nil { refusal.protocolName = "" }
            return .join(refusal)
        case .sync: return .sync(SyncGroupResponse(refusing: error))
        case .heartbeat(var response):
            response.errorCode = error.rawValue
            return .heartbeat(response)
        case .consumerHeartbeat:
            var response = ConsumerGroupHeartbeatResponse()
            response.errorCode = error.rawValue
            return .consumerHeartbeat(response)
        case .shareHeartbeat:
            var response = ShareGroupHeartbeatResponse()
            response.errorCode = error.rawValue
            return .shareHeartbeat(response)
        case .shareGroupMade: return .shareGroupMade(error)
        case .leave:
            var response = LeaveGroupResponse()
            response.errorCode = error.rawValue
            return .leave(response)
        case .offsetCommit(var response):
            for topic in response.topics.indices {
                for partition in response.topics[topic].partitions.indices {
                    response.topics[topic].partitions[partition].errorCode = error.rawValue
                }
            }
            return .offsetCommit(response)
        case .txnOffsetCommit(let codes): return .txnOffsetCommit(codes.map { _ in error })
        case .offsetDelete:
            var response = OffsetDeleteResponse()
            response.errorCode = error.rawValue
            return .offsetDelete(response)
        case .deleteGroups(var results):
            for index in results.indices { results[index].errorCode = error.rawValue }
            return .deleteGroups(results)
        case .transactionCompleted: return self
        }
    }
}
