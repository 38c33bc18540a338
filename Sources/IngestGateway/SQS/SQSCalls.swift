import BrokerCore
import ByteBuffers
import KafkaModel
import QueueLedger
import Security
import SQSWire

/// Requests of SQS as calls of the service of queues, for one who asks. On a thread that may wait.
///
/// What may be done is asked by the topic of a queue: sending is WRITE, receiving and what follows it READ, looking DESCRIBE, making
/// CREATE, changing ALTER_CONFIGS, and deleting and purging DELETE. A queue that may not be seen is not there.
struct SQSCalls: Sendable {
    let queues: any QueueService
    /// What addresses of queues begin with: `http://HOST:PORT`.
    let base: String
    /// Of resource names.
    let region: String
    /// What messages say of who sent them; nil: nothing.
    let sender: String?
    /// Whose the jobs are that requests begin; nil: nobody was asked.
    let owner: String?
    /// Partitions of a new queue that need not be in one.
    let partitions: Int32
    /// Milliseconds that a receive waits at most, below the time in which a request has to be answered.
    let maxWaitMs: Int64
    let isAllowed: @Sendable (AclOperation, ResourceType, _ name: String) -> Bool

    typealias Answer = QueueOutcome<Result<SQSReply, SQSError>>

    // MARK: What all need

    func topic(of queue: SQSQueueName) -> String { QueueCoordinator.topicPrefix + queue.text.text }

    func allows(_ operation: AclOperation, _ topic: String) -> Bool { isAllowed(operation, .topic, topic) }

    private func denied(_ queue: SQSQueueName) -> SQSError {
        SQSError(.accessDenied, "Access to the resource \(base)/\(queue.text) is denied.")
    }

    /// Who may not make the queue hears so, whether it is there or not: the name is his own.
    func requireCreation(of queue: SQSQueueName) throws(SQSError) {
        guard allows(.create, topic(of: queue)) || isAllowed(.create, .cluster, ResourcePattern.clusterName.text) else {
            throw denied(queue)
        }
    }

    func require(_ operation: AclOperation, _ queue: SQSQueueName) throws(SQSError) {
        let topic = topic(of: queue)
        if allows(operation, topic) { return }
        throw allows(.describe, topic) ? denied(queue) : .noQueue
    }

    /// The queue, which who asks may see and do this with.
    func described(_ queue: SQSQueueName, _ operation: AclOperation) throws(SQSError) -> QueueDescription {
        try require(operation, queue)
        guard let found = queues.queue(named: queue.text.text) else { throw .noQueue }
        return found
    }

    func address(_ queue: SQSQueueName) -> String { queue.address(at: base) }

    /// Does what may wait for the metadata's disk, or for nothing.
    func perform(_ request: SQSRequest) -> Answer {
        do throws(SQSError) {
            switch request {
            case .sendMessage(let queue, let message): return try send(message, to: queue)
            case .sendMessageBatch(let queue, let entries): return try send(entries, to: queue)
            case .deleteMessage(let queue, let receipt): return try delete(receipt, in: queue)
            case .deleteMessageBatch(let queue, let entries): return try delete(entries, in: queue)
            case .changeMessageVisibility(let queue, let change): return try changeVisibility(change, in: queue)
            case .changeMessageVisibilityBatch(let queue, let entries):
                return try changeVisibility(entries, in: queue)
            case .purgeQueue(let queue): return try purge(queue)
            case .getQueueAttributes(let queue, let selection): return try attributes(of: queue, selection)
            case .startMessageMoveTask(let source, let destination, let rate):
                return try startMove(from: source, to: destination, rate)
            case .receiveMessage: preconditionFailure("a receive answers later")
            default: return QueueOutcome(.success(try ofQueues(request)))
            }
        } catch {
            return QueueOutcome(.failure(error))
        }
    }

    static func error(_ refusal: QueueRefusal) -> SQSError {
        switch refusal.kind {
        case .notFound: .noQueue
        case .exists: SQSError(.queueNameExists, "A queue already exists with the same name and other attributes.")
        case .invalidName, .invalid, .tooLarge: SQSError(.invalidParameterValue, "\(refusal.message).")
        case .limit: SQSError(.overLimit, "\(refusal.message).")
        case .inUse: SQSError(.unsupportedOperation, "\(refusal.message).")
        // SDKs send it again, each after a while.
        case .diskFull, .unavailable: SQSError(.requestThrottled, "\(refusal.message).")
        }
    }

    /// Whether a request changes what the metadata keeps, or may make a topic, which is the broker's own thread's to do.
    static func isOfAdmin(_ request: SQSRequest) -> Bool {
        switch request {
        case .createQueue, .deleteQueue, .setQueueAttributes, .tagQueue, .untagQueue, .addPermission,
            .removePermission, .startMessageMoveTask:
            true
        default: false
        }
    }
}
