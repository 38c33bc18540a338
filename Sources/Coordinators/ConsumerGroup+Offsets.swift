import KafkaModel

/// Who of a consumer group may commit and fetch offsets. Sources: KIP-848, KIP-1251.
extension ConsumerGroup {
    /// Checks who commits. An epoch below the member's is no refusal of the whole: `commitRefusal(of:_:_:_:)` decides by partition.
    func commitRefusal(
        memberID: String, instanceID: String?, epoch: Int32, isTransactional: Bool, version: Int16
    ) -> ErrorCode {
        // A tool's, while nobody reads.
        if epoch < 0, members.isEmpty { return .none }
        // A producer that knows nothing of groups' members (before KIP-447).
        if isTransactional, epoch < 0, memberID.isEmpty, instanceID == nil { return .none }
        guard let member = members[memberID] else { return .unknownMemberID }
        if member.classic != nil { return epoch == member.epoch ? .none : .illegalGeneration }
        if !isTransactional, version < 9 { return .unsupportedVersion }
        return epoch < 0 || epoch > member.epoch ? .staleMemberEpoch : .none
    }

    /// Checks a partition: a member whose epoch has risen meanwhile may commit what it had at the epoch it names, and has still or is
    /// giving up.
    func commitRefusal(of topic: TopicID?, _ partition: Int32, _ memberID: String, _ epoch: Int32) -> ErrorCode {
        guard epoch >= 0, let member = members[memberID], epoch != member.epoch else { return .none }
        guard let topic,
            let since = member.assigned[topic]?[partition] ?? member.pendingRevocation[topic]?[partition],
            since <= epoch
        else { return .staleMemberEpoch }
        return .none
    }

    /// Checks who fetches: whoever names no member may.
    func fetchRefusal(memberID: String?, epoch: Int32) -> ErrorCode {
        if memberID?.isEmpty != false, epoch < 0 { return .none }
        guard let member = memberID.flatMap({ members[$0] }) else { return .unknownMemberID }
        if epoch == member.epoch { return .none }
        return member.classic == nil ? .staleMemberEpoch : .illegalGeneration
    }
}
