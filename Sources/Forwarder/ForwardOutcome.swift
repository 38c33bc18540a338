public import KafkaModel

/// What a destination said of one batch. The texts are names of errors, for people and for the counters.
public enum ForwardOutcome: Equatable, Sendable {
    /// All of it is there, and as durable as the destination makes it; also where it was there before.
    case accepted
    /// Not there, and never will be as it is: it has too many bytes.
    case tooLarge(String)
    /// Not there, and never will be as it is: a record of it is none that the topic takes.
    case invalid(String)
    /// Not there now, or nobody knows: to be sent again, unchanged.
    case failed(String)
    /// Not there, and the destination does not go on with this producer: to be sent by another.
    case producerLost(String)

    /// By the code of a produce response. Source: the protocol guide's table of error codes; KIP-98; KIP-360.
    public init(_ code: ErrorCode) {
        switch code {
        // A duplicate that is older than the batches which the destination remembers is there all the same.
        case .none, .duplicateSequenceNumber: self = .accepted
        case .messageTooLarge, .recordListTooLarge: self = .tooLarge(code.name)
        case .invalidRecord, .invalidTimestamp: self = .invalid(code.name)
        case .outOfOrderSequenceNumber, .unknownProducerID, .invalidProducerEpoch, .producerFenced,
            .invalidProducerIDMapping:
            self = .producerLost(code.name)
        // What Kafka calls retriable, and also what somebody has to mend: a topic that is missing, rights. Nothing is lost by waiting.
        default: self = .failed(code.name)
        }
    }
}
