import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import QueueLedger
import Security

/// One range of records that a share consumer settles, as ShareFetch and ShareAcknowledge have it.
protocol AcknowledgedBatch {
    var firstOffset: Int64 { get }
    var lastOffset: Int64 { get }
    var acknowledgeTypes: [Int8] { get }
}

extension ShareFetchRequest.AcknowledgementBatch: AcknowledgedBatch {}
extension ShareAcknowledgeRequest.AcknowledgementBatch: AcknowledgedBatch {}

/// What ShareFetch and ShareAcknowledge have in common. Source: KIP-932, KIP-1222.
struct ShareRequests {
    let context: AnswerContext
    let group: ExactString
    /// It lets locks last longer.
    let isRenewal: Bool

    private static let maxMemberLength = 36
    /// Far above any offset of a log, and far below where sums overflow.
    private static let offsetLimit: Int64 = 1 << 60

    /// Returns why a request is refused by its group and member alone.
    static func refusal(_ group: String?, _ member: String?, _ context: AnswerContext) -> ShareRefusal? {
        guard let group, !group.isEmpty else { return ShareRefusal(.invalidRequest, "GroupId can't be empty.") }
        guard context.permissions.allows(.read, group: group) else {
            return ShareRefusal(.groupAuthorizationFailed, "Group authorization failed.")
        }
        guard let member, !member.isEmpty, member.utf16.count <= maxMemberLength else {
            return ShareRefusal(
                .invalidRequest, "MemberId is empty or has more than \(maxMemberLength) characters.")
        }
        return nil
    }

    /// Returns the partition's log, or why it may not be read.
    func log(of id: TopicPartition) -> Result<PartitionLog, ShareRefusal> {
        func refused(_ code: ErrorCode, _ message: String) -> Result<PartitionLog, ShareRefusal> {
            .failure(ShareRefusal(code, message))
        }
        guard let topic = context.broker.catalog.topic(id: id.topicID) else {
            return refused(.unknownTopicID, "There is no topic of this id.")
        }
        guard context.permissions.allows(.read, topic: topic.name) else {
            return refused(.topicAuthorizationFailed, "Topic authorization failed.")
        }
        guard let log = topic.partition(id.partitionIndex) else {
            return refused(.unknownTopicOrPartition, "The topic has no such partition.")
        }
        return log.leadership.isLeader ? .success(log) : refused(.notLeaderOrFollower, "Another node leads it.")
    }

    /// Settles records of one partition, all or nothing.
    func acknowledge(
        _ asked: [some AcknowledgedBatch], in id: TopicPartition, _ session: ShareSession, _ commits: inout CommitSpan
    ) -> ShareRefusal? {
        switch log(of: id) {
        case .failure(let refusal): return refusal
        case .success(let log):
            guard let batches = batches(asked) else {
                return ShareRefusal(.invalidRequest, "An acknowledgement batch is not valid.")
            }
            let renews = batches.contains { $0.types.contains(.renew) }
            if renews, !context.broker.groups.settings(of: group).sharesRenewals {
                return ShareRefusal(.invalidRecordState, "The group does not let locks last longer.")
            }
            let (refusal, ticket) = context.broker.shares.acknowledge(batches, of: session, log)
            commits.add(ticket)
            return refusal
        }
    }

    /// Nil: one of them is not valid by itself.
    private func batches(_ asked: [some AcknowledgedBatch]) -> [ShareBatch]? {
        var batches: [ShareBatch] = []
        batches.reserveCapacity(asked.count)
        for batch in asked {
            guard batch.firstOffset >= 0, batch.firstOffset <= batch.lastOffset, batch.lastOffset < Self.offsetLimit,
                !batch.acknowledgeTypes.isEmpty
            else { return nil }
            var types: [ShareAcknowledgement] = []
            types.reserveCapacity(batch.acknowledgeTypes.count)
            for number in batch.acknowledgeTypes {
                guard let type = ShareAcknowledgement(rawValue: number), type != .renew || isRenewal else { return nil }
                types.append(type)
            }
            batches.append(
                ShareBatch(OffsetRange(Offset(batch.firstOffset), Offset(batch.lastOffset)), types))
        }
        return batches
    }

    /// What replies tell of how long locks last.
    var lockMs: Int32 { context.broker.groups.settings(of: group).shareLockDurationMs }
}
