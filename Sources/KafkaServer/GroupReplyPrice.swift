import ByteBuffers
import KafkaModel
import KafkaWire
import Transport

/// Group replies come from their group, to any connection and at any time: what they take is looked at when they are
/// there, and what takes long is encoded by a worker.
extension KafkaConnection {
    /// Writes a reply that takes `bytes` of memory in all its forms. It leaves once `commits` are on disk.
    func reply<Response: KafkaResponse>(
        _ response: Response, priced bytes: Int, to ticket: ReplyTicket, commits: CommitSpan
    ) {
        reply(priced: bytes, to: ticket, commits: commits) { response }
    }

    /// Does the same for a reply that is still to be made.
    func reply<Response: KafkaResponse>(
        priced bytes: Int, to ticket: ReplyTicket, commits: CommitSpan, _ make: @escaping @Sendable () -> Response
    ) {
        if bytes <= RequestLimits.inlineReplyBytes { return reply(make(), to: ticket, commits: commits) }
        let pool = loop.eventLoop.pool
        workElsewhere(charging: min(bytes, RequestLimits.replyBytes), to: ticket) { done in
            let answer = Answer(response: make(), commits: commits)
            done(PreparedReply(answer, ticket, expected: bytes / 2, pool: pool))
        }
    }

    static func price(of topics: [OffsetCommitResponse.OffsetCommitResponseTopic]) -> Int {
        var price = ReplyPrice()
        price.add(topics.count, OffsetCommitResponse.OffsetCommitResponseTopic.self, text: 0)
        price.add(text: topics.reduce(0) { $0 + $1.name.utf8.count })
        let partitions = topics.reduce(0) { $0 + $1.partitions.count }
        price.add(partitions, OffsetCommitResponse.OffsetCommitResponsePartition.self, text: 0)
        return price.bytes
    }
}

extension JoinGroupResponse {
    /// Bytes of memory in all forms; the metadata is the group's own until it is encoded.
    var price: Int {
        if members.isEmpty { return 0 }
        var price = ReplyPrice()
        price.add(members.count, JoinGroupResponseMember.self, text: 0)
        price.add(
            text: members.reduce(0) {
                $0 + $1.memberID.utf8.count + ($1.groupInstanceID?.utf8.count ?? 0) + $1.metadata.count
            })
        return price.bytes
    }
}

extension SyncGroupResponse {
    var price: Int {
        var price = ReplyPrice()
        price.add(text: assignment.count)
        return price.bytes
    }
}

extension ConsumerGroupHeartbeatResponse {
    var price: Int {
        guard let assignment else { return 0 }
        var price = ReplyPrice()
        price.add(assignment.topicPartitions.count, TopicPartitions.self, text: 0)
        price.add(bytes: 3 * 4 * assignment.topicPartitions.reduce(0) { $0 + $1.partitions.count })
        return price.bytes
    }
}

extension ShareGroupHeartbeatResponse {
    var price: Int {
        guard let assignment else { return 0 }
        var price = ReplyPrice()
        price.add(assignment.topicPartitions.count, TopicPartitions.self, text: 0)
        price.add(bytes: 3 * 4 * assignment.topicPartitions.reduce(0) { $0 + $1.partitions.count })
        return price.bytes
    }
}

extension LeaveGroupResponse {
    var price: Int {
        var price = ReplyPrice()
        price.add(members.count, MemberResponse.self, text: 0)
        price.add(text: members.reduce(0) { $0 + $1.memberID.utf8.count + ($1.groupInstanceID?.utf8.count ?? 0) })
        return price.bytes
    }
}

extension OffsetCommitResponse {
    var price: Int { KafkaConnection.price(of: topics) }
}

extension OffsetDeleteResponse {
    var price: Int {
        var price = ReplyPrice()
        price.add(topics.count, OffsetDeleteResponseTopic.self, text: 0)
        price.add(text: topics.reduce(0) { $0 + $1.name.utf8.count })
        let partitions = topics.reduce(0) { $0 + $1.partitions.count }
        price.add(partitions, OffsetDeleteResponsePartition.self, text: 0)
        return price.bytes
    }
}
