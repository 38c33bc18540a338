/// What can be asked for. The raw value is its name, as it stands in `X-Amz-Target: AmazonSQS.NAME` and in `Action=NAME`.
public enum SQSOperation: String, Sendable, CaseIterable {
    case addPermission = "AddPermission"
    case cancelMessageMoveTask = "CancelMessageMoveTask"
    case changeMessageVisibility = "ChangeMessageVisibility"
    case changeMessageVisibilityBatch = "ChangeMessageVisibilityBatch"
    case createQueue = "CreateQueue"
    case deleteMessage = "DeleteMessage"
    case deleteMessageBatch = "DeleteMessageBatch"
    case deleteQueue = "DeleteQueue"
    case getQueueAttributes = "GetQueueAttributes"
    case getQueueURL = "GetQueueUrl"
    case listDeadLetterSourceQueues = "ListDeadLetterSourceQueues"
    case listMessageMoveTasks = "ListMessageMoveTasks"
    case listQueueTags = "ListQueueTags"
    case listQueues = "ListQueues"
    case purgeQueue = "PurgeQueue"
    case receiveMessage = "ReceiveMessage"
    case removePermission = "RemovePermission"
    case sendMessage = "SendMessage"
    case sendMessageBatch = "SendMessageBatch"
    case setQueueAttributes = "SetQueueAttributes"
    case startMessageMoveTask = "StartMessageMoveTask"
    case tagQueue = "TagQueue"
    case untagQueue = "UntagQueue"

    /// What `X-Amz-Target` has before the operation's name.
    public static let targetPrefix: StaticString = "AmazonSQS."

    /// The operation of a field `X-Amz-Target`. Nil: another service's, or none of these.
    public init?(target: UnsafeRawBufferPointer) {
        let prefix = Self.targetPrefix
        guard target.count > prefix.utf8CodeUnitCount, target.count < 64,
            target.starts(with: UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount))
        else { return nil }
        self.init(rawValue: String(decoding: target.dropFirst(prefix.utf8CodeUnitCount), as: UTF8.self))
    }
}
