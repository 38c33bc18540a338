import KafkaModel

/// Why a reply of records cannot go on: a problem as long as nothing is written, the last word of a stream otherwise.
enum ReplyEnd {
    case outOfRange(Offset, _ first: Offset, _ last: Offset)
    case notLeader
    case unreadable(from: Offset)
    /// The server stops, or the connection is as old as it may become.
    case stopping
    /// The topic, or its place on this broker.
    case topicIsGone
    /// The topic has so many partitions, and they cannot be read at once.
    case tooManyPartitions(Int)
    /// There is no memory for it, or no worker.
    case overloaded(Problem)
    /// Who asks may not read it any more, or his credential has ended.
    case notAllowed

    var problem: Problem {
        switch self {
        case .outOfRange(let offset, let first, let last):
            Problem(
                .offsetOutOfRange,
                "Offset \(offset.rawValue) is not in \(first.rawValue) to \(last.rawValue); offset=earliest and offset=latest are "
                    + "always there.")
        case .notLeader: Problem(.storageUnavailable, "This broker does not lead the partition.", retryAfter: 5)
        case .unreadable(let offset):
            Problem(.storageUnavailable, "The records from offset \(offset.rawValue) on could not be read.")
        case .stopping: Problem(.overloaded, "The server stops.", retryAfter: 1)
        case .topicIsGone: Problem(.topicNotFound, "There is no such topic.")
        case .tooManyPartitions(let count):
            Problem(
                .invalidParameter,
                "The topic has \(count) partitions, and \(RecordsReply.maxPartitions) at most are read at once: name one by partition.",
                limit: RecordsReply.maxPartitions)
        case .overloaded(let problem): problem
        case .notAllowed: Problem(.forbidden, "You may not do this with the topic.")
        }
    }

    /// For the last word of a stream.
    var name: StaticString {
        switch self {
        case .outOfRange: "offset_out_of_range"
        case .notLeader: "not_leader"
        case .unreadable: "unreadable"
        case .stopping: "stopping"
        case .topicIsGone: "topic_not_found"
        case .tooManyPartitions: "invalid_parameter"
        case .overloaded: "overloaded"
        case .notAllowed: "forbidden"
        }
    }
}
