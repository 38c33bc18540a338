import ByteBuffers
import Coordinators
public import KafkaModel
import LogStorage

/// Groups of readers that are no members: of the gateway, which reads for them.
extension GroupCoordinator {
    /// Commits offsets of partitions of a topic, each the next to be read, and waits until they are on disk. Refused while the
    /// group has members. On a thread that may wait.
    public func commit(_ offsets: [Int32: Offset], of topic: Topic, group groupID: String) -> OffsetsRefusal? {
        let (reply, ticket) = ask(group: groupID, as: Self.reader) { shard, now in
            shard.commitOffsets(
                offsets, of: topic.name, topic.id, groupID: groupID, waiter: Self.reader, now: now)
        }
        guard let reply else { return OffsetsRefusal(code: .coordinatorNotAvailable) }
        if let code = reply.commitError { return OffsetsRefusal(code: code) }
        broker.store.kick()
        return broker.queues.areDurable(CommitSpan(ticket)) ? nil : OffsetsRefusal(code: .coordinatorNotAvailable)
    }

    /// The committed offsets of partitions of a topic, those that have one, once all of them are on disk. On a thread that may wait.
    public func committedOffsets(
        of topic: Topic, partitions: [Int32], group groupID: String
    ) -> Result<[Int32: Offset], OffsetsRefusal> {
        let (found, ticket) = read(group: groupID) {
            $0.committedOffsets(of: topic.name, topic.id, partitions: partitions, groupID: groupID)
        }
        guard broker.queues.areDurable(CommitSpan(ticket)) else {
            return .failure(OffsetsRefusal(code: .coordinatorNotAvailable))
        }
        return found.error == .none ? .success(found.offsets) : .failure(OffsetsRefusal(code: found.error))
    }

    /// The waiter of an event whose reply comes with it; no loop gives this number.
    private static let reader = WaiterID(UInt64.max)
}

/// Why a group does not do what a reader that is no member asks for.
public struct OffsetsRefusal: Error, Equatable {
    public let code: ErrorCode
}
