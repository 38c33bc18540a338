internal import ByteBuffers
public import KafkaModel
public import KafkaWire

/// Why the client did not get what it asked for.
public enum ClientError: Error, Equatable, Sendable {
    /// No connection to this broker could be made, or it was lost.
    case unreachable(BrokerAddress, reason: String)
    /// No answer within the time given.
    case timedOut(String)
    /// The broker sent something that is not the protocol.
    case invalidAnswer(String)
    /// There is no topic of this name, and no leave to create it.
    case noSuchTopic(String)
    /// The broker does not serve this API in any version that we know.
    case unsupported(APIKey)
    /// The broker's own word: an error code, what it is about, and the broker's explanation if it gave one.
    case refused(ErrorCode, String, message: String?)
    /// `ClientOptions.isCancelled` said so.
    case cancelled

    init(_ error: DecodeError, _ what: String) { self = .invalidAnswer("\(what): \(error)") }

    /// The broker's error code, when it refused.
    public var code: ErrorCode? {
        guard case .refused(let code, _, _) = self else { return nil }
        return code
    }

    /// Whether the same request may succeed a little later, perhaps elsewhere.
    public var isTransient: Bool {
        switch self {
        case .unreachable: true
        case .refused(let code, _, _): code.isTransient
        case .timedOut, .invalidAnswer, .noSuchTopic, .unsupported, .cancelled: false
        }
    }
}

extension ClientError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreachable(let address, let reason): "cannot reach \(address): \(reason)"
        case .timedOut(let what): "no answer in time: \(what)"
        case .invalidAnswer(let what): "not a Kafka broker's answer: \(what)"
        case .noSuchTopic(let name): "topic \(name): there is no such topic"
        case .unsupported(let key): "the broker does not support \(key) in a version that this program knows"
        case .refused(let code, let what, let message):
            "\(what): \(code)" + (message.map { $0.isEmpty ? "" : " (\($0))" } ?? "")
        case .cancelled: "cancelled"
        }
    }
}

extension ErrorCode {
    /// Of an answer to Produce: the batch may be in the log nevertheless. It was appended before too few replicas took it in
    /// time, or before its commit failed; or the broker does not know itself.
    var mayHaveStored: Bool {
        switch self {
        case .requestTimedOut, .notEnoughReplicasAfterAppend, .kafkaStorageError, .networkException,
            .unknownServerError:
            true
        default: false
        }
    }

    /// Errors that pass: a leader or coordinator that moves or loads, too few replicas for the moment.
    public var isTransient: Bool {
        switch self {
        case .leaderNotAvailable, .notLeaderOrFollower, .requestTimedOut, .brokerNotAvailable, .replicaNotAvailable,
            .networkException, .coordinatorLoadInProgress, .coordinatorNotAvailable, .notCoordinator,
            .notEnoughReplicas, .notEnoughReplicasAfterAppend, .unknownTopicOrPartition, .kafkaStorageError,
            .fencedLeaderEpoch, .unknownLeaderEpoch, .offsetNotAvailable, .unknownTopicID, .inconsistentTopicID,
            .unstableOffsetCommit:
            true
        default: false
        }
    }
}
