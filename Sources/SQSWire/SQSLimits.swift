/// What one request, queue or message may have at most. Where the service names a limit, it is that one.
public enum SQSLimits {
    /// Of a request's body. Twelve bytes of JSON can stand for two of UTF-16, six for one of UTF-8: what is larger holds more than
    /// ``maxBatchBytes`` in messages, or is blanks. A longer one is answered 413.
    public static let maxRequestBytes = 6 * maxBatchBytes + (256 << 10)
    /// Of the messages of one request together: their bodies and attributes.
    public static let maxBatchBytes = 1 << 20
    /// Of one message: its body and its attributes with their names and types. A queue may have a smaller one.
    public static let maxMessageBytes = 1 << 20
    /// What a queue's own limit of message bytes is at least.
    public static let minMessageBytes = 1 << 10
    /// Entries of one batch; one more is TooManyEntriesInBatchRequest.
    public static let maxEntries = 10
    /// Of an entry's id in a batch.
    public static let maxEntryIDBytes = 80
    /// Messages of one receive.
    public static let maxMessages = 10
    /// Of one message.
    public static let maxMessageAttributes = 10
    /// Of a message attribute's name, and of its type.
    public static let maxAttributeNameBytes = 256
    /// Names of attributes that one receive asks for: each is compared with each attribute of each message.
    public static let maxAskedNames = 256
    /// Of a group's id, a de-duplication id, and the id of an attempt to receive.
    public static let maxIDBytes = 128
    /// Of a receipt handle. Ours are shorter by far.
    public static let maxReceiptBytes = 1_024
    /// Of a queue's name, its suffix `.fifo` included.
    public static let maxQueueNameBytes = 80
    /// Of the address of a queue, or its resource name.
    public static let maxAddressBytes = 2_048
    /// Of the trace header, which is kept with a message and counts for none of its bytes.
    public static let maxTraceHeaderBytes = 1_024
    /// Seconds that a message can be delayed.
    public static let maxDelaySeconds = 900
    /// Seconds that a receiver can wait.
    public static let maxWaitSeconds = 20
    /// Seconds that a message can be invisible: twelve hours.
    public static let maxVisibilitySeconds = 43_200
    /// Seconds that a queue keeps messages: a minute, and 14 days.
    public static let minRetentionSeconds = 60
    public static let maxRetentionSeconds = 1_209_600
    /// Deliveries before a message is a dead letter.
    public static let maxReceiveCount = 1_000
    /// Attributes that a request sets, those that are set twice included.
    public static let maxSetAttributes = 64
    /// Of a queue's policy, and of each other attribute.
    public static let maxAttributeBytes = 20_480
    /// Queues that one redrive permission names.
    public static let maxSourceQueues = 10
    /// Tags of a queue, and of a request.
    public static let maxTags = 50
    public static let maxTagKeyBytes = 128
    public static let maxTagValueBytes = 256
    /// Queues of one page of a list.
    public static let maxListed = 1_000
    /// Move tasks of one list.
    public static let maxListedTasks = 10
    /// Messages a second that a move task may be held to.
    public static let maxMoveRate = 500
    /// Of a page's token, and of a move task's handle.
    public static let maxTokenBytes = 1_024
    /// Accounts, and actions, that one permission names.
    public static let maxPermissionItems = 50
    /// Of values within each other that no operation knows: they are gone over.
    static let maxDepth = 32
    /// Bytes of a value that an error shows of it.
    static let maxQuotedBytes = 128
}
