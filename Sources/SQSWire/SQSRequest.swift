/// A request, read and checked as far as it can be without knowing its queue.
///
/// What depends on the queue (its own size limit, whether it is FIFO) is `SQSSentMessage.check(for:)`'s, and the service's.
public enum SQSRequest: Sendable {
    case addPermission(SQSQueueName, label: String, accounts: [String], actions: [String])
    case cancelMessageMoveTask(handle: String)
    case changeMessageVisibility(SQSQueueName, SQSVisibilityChange)
    case changeMessageVisibilityBatch(SQSQueueName, [SQSEntry<SQSVisibilityChange>])
    case createQueue(SQSQueueName, SQSQueueAttributes, tags: [SQSPair])
    case deleteMessage(SQSQueueName, receipt: String)
    case deleteMessageBatch(SQSQueueName, [SQSEntry<String>])
    case deleteQueue(SQSQueueName)
    case getQueueAttributes(SQSQueueName, SQSAttributeSelection)
    case getQueueURL(SQSQueueName)
    case listDeadLetterSourceQueues(SQSQueueName, SQSPage)
    /// `limit` tasks at most, the newest first.
    case listMessageMoveTasks(source: SQSQueueName, limit: Int)
    case listQueueTags(SQSQueueName)
    case listQueues(prefix: String, SQSPage)
    case purgeQueue(SQSQueueName)
    case receiveMessage(SQSQueueName, SQSReceive)
    case removePermission(SQSQueueName, label: String)
    case sendMessage(SQSQueueName, SQSSentMessage)
    case sendMessageBatch(SQSQueueName, [SQSEntry<SQSSentMessage>])
    case setQueueAttributes(SQSQueueName, SQSQueueAttributes)
    /// `rate` in messages a second; nil: as fast as it goes. Without a destination each message goes back to where it came from.
    case startMessageMoveTask(source: SQSQueueName, destination: SQSQueueName?, rate: Int?)
    case tagQueue(SQSQueueName, [SQSPair])
    case untagQueue(SQSQueueName, [String])
}

/// An entry of a batch, in its order: what it asks for, or why it is refused while others are not.
public struct SQSEntry<Content: Sendable>: Sendable {
    public let id: String
    public let content: Result<Content, SQSError>
}

/// A receipt, and how long its message stays invisible from now on, in seconds.
public struct SQSVisibilityChange: Hashable, Sendable {
    public let receipt: String
    public let seconds: Int
}

/// Which part of a list is wanted.
public struct SQSPage: Hashable, Sendable {
    /// Items behind this one; nil: from the front.
    public let after: String?
    public let limit: Int
    /// Whether the limit was asked for: a list whose limit was not has no next page.
    public let isPaged: Bool
}

/// What a receive asks for.
public struct SQSReceive: Hashable, Sendable {
    public let maxMessages: Int
    /// Seconds; nil: the queue's own.
    public let visibilitySeconds: Int?
    /// Seconds; nil: the queue's own.
    public let waitSeconds: Int?
    public let attemptID: String?
    public let systemAttributes: SQSSystemAttributes
    public let messageAttributes: SQSNamePatterns
}
