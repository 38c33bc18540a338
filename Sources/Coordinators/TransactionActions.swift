public import KafkaModel

/// The settings of transaction coordinators.
public struct TransactionSettings: Sendable {
    /// `transaction.max.timeout.ms`.
    public var maxTimeoutMs: Int32 = 900_000
    /// `transactional.id.expiration.ms`.
    public var idExpirationMs: Int64 = 604_800_000
    /// Memory of all transactional ids of a broker, with the partitions of their transactions. Beyond it a new id, or a
    /// partition more, is refused with POLICY_VIOLATION, which clients take as final: ids come from clients, and Kafka keeps as
    /// many as they invent.
    public var maxMemoryBytes = 64 << 20
    /// Partitions of one transaction, and bytes of its record. Kafka's record names them all, so each request that adds one
    /// writes all of them again: whoever adds one after the other writes the square of their number, 200 MB at this limit.
    /// Beyond either the request is refused with POLICY_VIOLATION, on which clients abort. Of topics whose names have the 249 bytes
    /// that a name may have there is room for a thousand. Kafka's end comes with a record of 1 MiB, and its answer is
    /// UNKNOWN_SERVER_ERROR.
    public var maxPartitions = 10_000
    public var maxRecordBytes = 256 << 10

    /// For who is refused with POLICY_VIOLATION.
    public var limitsInWords: String {
        "a transaction has at most \(maxPartitions) partitions, and \(maxRecordBytes) bytes of their topics' names and their "
            + "numbers; all of this broker take at most \(maxMemoryBytes) bytes of memory"
    }

    public init() {}
}

/// A producer as it names itself in a request.
public struct ProducerIdentity: Hashable, Sendable {
    public var id: Int64
    public var epoch: Int16

    public init(_ id: Int64, _ epoch: Int16) {
        self.id = id
        self.epoch = epoch
    }
}

/// What ends a transaction in its partitions.
public struct TransactionEnd: Equatable, Sendable {
    public var transactionalID: ExactString
    /// Of the markers.
    public var producer: ProducerIdentity
    public var isCommit: Bool
    public var isVersion2: Bool
    public var coordinatorEpoch: Int32
    public var partitions: [ExactString: Set<Int32>]
}

/// What came of one event. The rule: `records` are appended under the lock that protects the shard; the answer may leave, and
/// `ends` may be carried out, once they and everything appended before are on disk.
public struct TransactionOutcome<Answer: Sendable>: Sendable {
    public var answer: Answer
    public var records: [CoordinatorRecord] = []
    /// Transactions that are decided now, or were before and are to be ended still.
    public var ends: [TransactionEnd] = []

    init(_ answer: Answer) { self.answer = answer }
}

extension TransactionOutcome: Equatable where Answer: Equatable {}

/// The answer to InitProducerId and EndTxn: who the producer is from now on.
public enum IdentityAnswer: Equatable, Sendable {
    case identity(ProducerIdentity)
    case refused(ErrorCode)
    /// The event needs a producer id that nobody has, and has changed nothing: to be made again with one.
    case needsProducerID
}
