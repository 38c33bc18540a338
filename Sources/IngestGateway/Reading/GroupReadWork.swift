import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import Transport

/// What a read for a consumer group needs before it begins: what the request acknowledges is committed, or, where it does not say where to
/// begin, the group's offsets are looked up. Both wait for the disk.
final class GroupReadWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: `question` and `refusal` are with one thread at a time: with that which does the work until it calls `done`, then with
    // the loop.

    /// Bytes of a group's id, inclusive.
    static let maxIDBytes = 255

    private let broker: Broker
    private let group: String
    private let topic: Topic
    private let partitions: [PartitionLog]
    private let acknowledged: [Int32: Offset]
    private let seat: StreamSeat?
    private var question: RecordsReply.Question
    private var refusal: Problem?

    /// - Parameter acknowledged: what is committed; the offsets of the group are looked up where it is empty and `question` says so.
    init(
        _ broker: Broker, group: String, _ topic: Topic, _ partitions: [PartitionLog],
        _ question: RecordsReply.Question,
        acknowledged: [Int32: Offset], seat: StreamSeat?
    ) {
        self.broker = broker
        self.group = group
        self.topic = topic
        self.partitions = partitions
        self.question = question
        self.acknowledged = acknowledged
        self.seat = seat
    }

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        broker.workers.submit { [self] in
            run()
            done()
        }
    }

    private func run() {
        if !acknowledged.isEmpty, let refused = broker.groups.commit(acknowledged, of: topic, group: group) {
            return refusal = Problem(refused)
        }
        guard case .committed = question.start else { return }
        let indexes = partitions.map(\.partitionIndex)
        switch broker.groups.committedOffsets(of: topic, partitions: indexes, group: group) {
        case .success(let offsets): question.start = .position(ReadPosition(offsets))
        case .failure(let refused): refusal = Problem(refused)
        }
    }

    func refuse() { refusal = .noWorker }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        if let refusal {
            loop.answer(refusal, instance: loop.head.path)
            return .answered
        }
        return loop.read(topic, partitions, question, seat)
    }

    var lateProblem: Problem {
        Problem(
            .commitTimeout,
            "The group's offsets were not on disk in time; what the request acknowledges may be committed all the same.",
            retryAfter: 5)
    }
}

extension Problem {
    /// What a group's refusal is by HTTP.
    fileprivate convenience init(_ refusal: OffsetsRefusal) {
        switch refusal.code {
        case .unknownMemberID, .illegalGeneration, .staleMemberEpoch, .rebalanceInProgress, .fencedInstanceID:
            self.init(.groupInUse, "The group has members, which commit its offsets themselves.")
        case .invalidGroupID: self.init(.invalidParameter, "This cannot be the id of a group.")
        case .unstableOffsetCommit:
            self.init(.overloaded, "A transaction is about to commit offsets of the group.", retryAfter: 1)
        default:
            self.init(
                .storageUnavailable,
                "The group's coordinator does not answer just now (error \(refusal.code.rawValue)).",
                retryAfter: 1)
        }
    }
}
