internal import KafkaModel
internal import KafkaWire

/// Choosing the one protocol (assignor) that all members can follow.
extension ClassicGroup {
    /// Whether a member with these protocols can be in the group beside the present members. Without members, any may.
    func supports(type: String, protocols: [JoinGroupRequest.JoinGroupRequestProtocol]) -> Bool {
        if members.isEmpty { return !type.isEmpty && !protocols.isEmpty }
        return protocolType?.isExactly(type) == true && protocols.contains { protocolSupport[$0.name] == members.count }
    }

    mutating func countSupport(of member: GroupMember, by amount: Int) {
        // A peer may name a protocol twice; it still is one member that supports it.
        for name in Set(member.protocols.lazy.map { ExactString($0.name) }) {
            let count = protocolSupport[name, default: 0] + amount
            protocolSupport[name] = count == 0 ? nil : count
        }
    }

    /// Chooses the protocol: each member votes for the first of its protocols that all support; most votes win, the
    /// earliest voted among equals.
    ///
    /// There is always a candidate: a member is let in, and a member's change accepted, only with a protocol that all
    /// others support too.
    func selectProtocol() -> String {
        var votes: [(name: String, count: Int)] = []
        for member in orderedMembers {
            guard let vote = member.protocols.first(where: { protocolSupport[$0.name] == members.count }) else {
                continue
            }
            if let index = votes.firstIndex(where: { $0.name.isExactly(vote.name) }) {
                votes[index].count += 1
            } else {
                votes.append((vote.name, 1))
            }
        }
        let most = votes.lazy.map(\.count).max()
        guard let winner = votes.first(where: { $0.count == most }) else {
            preconditionFailure("group \(groupID): \(members.count) members without a common protocol")
        }
        return winner.name
    }

    /// Reads the topics out of the members' subscriptions. A consumer group without members subscribes to none; topics
    /// are unknown (`nil`) for other protocol types, when a subscription cannot be read, and when they are too many.
    mutating func refreshSubscribedTopics() {
        setSubscribed(nil)
        guard usesConsumerProtocol else { return }
        var topics: Set<ExactString> = []
        for member in members.values {
            guard let own = ConsumerProtocol.subscribedTopics(member.metadata(of: protocolName)) else { return }
            topics.formUnion(own.lazy.map { ExactString($0) })
            if topics.count > Self.maxSubscribedTopics { return }
        }
        setSubscribed(topics)
    }

    /// Returns whether the group subscribes to a topic. When its topics are not known, a consumer group is taken to
    /// subscribe to all, so that nothing of it is deleted.
    func isSubscribed(to topic: String) -> Bool {
        if let consumer { return consumer.isSubscribed(to: topic) }
        return subscribedTopics?.contains(ExactString(topic)) ?? usesConsumerProtocol
    }
}

extension GroupMember {
    /// Returns whether a member asks for the same protocols in the same order with the same metadata: then its joining
    /// again changes nothing for the others.
    func matches(_ others: [JoinGroupRequest.JoinGroupRequestProtocol]) -> Bool {
        protocols.elementsEqual(others) { $0.name.isExactly($1.name) && $0.metadata == $1.metadata }
    }
}
