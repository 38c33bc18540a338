import HTTPWire

/// One row of the table of errors: what a status and its machine-readable code mean.
struct ProblemKind {
    let status: Int
    let code: StaticString
    let title: StaticString
    /// The number that clients of Kafka's REST proxies look at: the status and two digits.
    let number: Int
    /// Whether the same request may succeed later.
    let isRetryable: Bool

    init(_ status: Int, _ digits: Int, _ code: StaticString, _ title: StaticString, retryable: Bool = false) {
        self.status = status
        self.code = code
        self.title = title
        number = status * 100 + digits
        isRetryable = retryable
    }

    static let bodyRequired = ProblemKind(400, 1, "body_required", "Request body required")
    static let invalidJSON = ProblemKind(400, 2, "invalid_json", "Invalid JSON")
    static let invalidUTF8 = ProblemKind(400, 3, "invalid_utf8", "Invalid UTF-8")
    static let duplicateKey = ProblemKind(400, 4, "duplicate_key", "Duplicate key")
    static let depthExceeded = ProblemKind(400, 5, "depth_exceeded", "JSON nested too deeply")
    static let tooComplex = ProblemKind(400, 6, "too_complex", "JSON too complex")
    static let invalidHeader = ProblemKind(400, 7, "invalid_header", "Invalid header field")
    static let missingField = ProblemKind(400, 8, "missing_field", "Missing field")
    static let unknownEventType = ProblemKind(400, 9, "unknown_event_type", "Unknown event type")
    static let invalidField = ProblemKind(400, 10, "invalid_field", "Invalid field")
    static let invalidTopic = ProblemKind(400, 11, "invalid_topic", "Invalid topic name")
    static let invalidParameter = ProblemKind(400, 12, "invalid_parameter", "Invalid query parameter")
    static let offsetOutOfRange = ProblemKind(400, 13, "offset_out_of_range", "Offset out of range")
    static let invalidTimestamp = ProblemKind(400, 14, "invalid_timestamp", "Timestamp out of range")
    static let unsupportedHeader = ProblemKind(400, 15, "unsupported_header", "Header field not supported")
    static let unsupportedParameter = ProblemKind(400, 16, "unsupported_parameter", "Query parameter not supported")
    static let keyRequired = ProblemKind(400, 17, "key_required", "Key required")
    static let invalidRecord = ProblemKind(400, 18, "invalid_record", "Record not acceptable")
    static let invalidCSV = ProblemKind(400, 19, "invalid_csv", "Invalid CSV")
    static let invalidQueue = ProblemKind(400, 20, "invalid_queue", "Invalid queue name")
    static let invalidForm = ProblemKind(400, 21, "invalid_form", "Invalid form")
    static let unauthorized = ProblemKind(401, 0, "unauthorized", "Unauthorized")
    static let signatureRequired = ProblemKind(401, 1, "signature_required", "Signature required")
    static let signatureInvalid = ProblemKind(401, 2, "signature_invalid", "Signature not valid")
    static let forbidden = ProblemKind(403, 0, "forbidden", "Forbidden")
    static let certificateRequired = ProblemKind(403, 1, "certificate_required", "Client certificate required")
    static let notFound = ProblemKind(404, 0, "not_found", "Not found")
    static let topicNotFound = ProblemKind(404, 1, "topic_not_found", "Topic not found")
    static let partitionNotFound = ProblemKind(404, 2, "partition_not_found", "Partition not found")
    static let clusterNotFound = ProblemKind(404, 3, "cluster_not_found", "Cluster not found")
    static let queueNotFound = ProblemKind(404, 4, "queue_not_found", "Queue not found")
    static let jobNotFound = ProblemKind(404, 5, "job_not_found", "Job not found")
    static let pullNotFound = ProblemKind(404, 6, "pull_not_found", "Pull not found")
    static let methodNotAllowed = ProblemKind(405, 0, "method_not_allowed", "Method not allowed")
    static let idempotencyInFlight = ProblemKind(
        409, 1, "idempotency_in_flight", "Request with this key in flight", retryable: true)
    static let nothingToReload = ProblemKind(409, 2, "nothing_to_reload", "No configuration file")
    static let queueConflict = ProblemKind(409, 3, "queue_conflict", "Queue is otherwise")
    static let groupInUse = ProblemKind(409, 4, "group_in_use", "Group has members", retryable: true)
    static let jobCancelled = ProblemKind(409, 5, "job_cancelled", "Job cancelled")
    static let jobEnded = ProblemKind(409, 6, "job_ended", "Job has ended")
    static let pullRuns = ProblemKind(409, 7, "pull_runs", "Pull runs already", retryable: true)
    static let headTimeout = ProblemKind(408, 1, "head_timeout", "Request head not received in time")
    static let bodyTimeout = ProblemKind(408, 2, "body_timeout", "Request body not received in time", retryable: true)
    static let lengthRequired = ProblemKind(411, 0, "length_required", "Length required")
    static let bodyTooLarge = ProblemKind(413, 1, "body_too_large", "Request body too large")
    static let eventTooLarge = ProblemKind(413, 2, "event_too_large", "Event too large")
    static let tooManyEvents = ProblemKind(413, 3, "too_many_events", "Too many events")
    static let batchTooLarge = ProblemKind(413, 4, "batch_too_large", "Atomic batch too large")
    static let repeatedTooMuch = ProblemKind(413, 5, "repeated_too_much", "Too much beside the events")
    static let unsupportedMediaType = ProblemKind(415, 1, "unsupported_media_type", "Unsupported media type")
    static let unsupportedEncoding = ProblemKind(415, 2, "unsupported_content_encoding", "Unsupported content encoding")
    static let batchRejected = ProblemKind(422, 1, "batch_rejected", "No event was accepted")
    static let misdirected = ProblemKind(421, 0, "misdirected_request", "Misdirected request")
    static let invalidRecordFormat = ProblemKind(422, 6, "invalid_record_format", "Record not readable")
    static let undecodable = ProblemKind(422, 3, "undecodable_body", "Body cannot be unpacked")
    static let idempotencyMismatch = ProblemKind(422, 7, "idempotency_mismatch", "Key used for another request")
    static let invalidConfiguration = ProblemKind(422, 8, "invalid_configuration", "Configuration not valid")
    static let emptyBatch = ProblemKind(422, 2, "empty_batch", "Empty batch")
    static let queueRefused = ProblemKind(422, 9, "queue_refused", "Not for this queue")
    static let quotaExceeded = ProblemKind(429, 1, "quota_exceeded", "Quota exceeded", retryable: true)
    static let tooManyAttempts = ProblemKind(429, 2, "too_many_attempts", "Too many attempts", retryable: true)
    static let idempotencyShareFull = ProblemKind(
        429, 3, "idempotency_share_full", "No room for another key of this caller", retryable: true)
    static let queueLimit = ProblemKind(429, 4, "queue_limit", "A queue's limit is reached", retryable: true)
    static let jobLimit = ProblemKind(429, 5, "job_limit", "Too many jobs", retryable: true)
    static let keyTooLarge = ProblemKind(431, 1, "partition_key_too_large", "Partition key too large")
    static let overloaded = ProblemKind(503, 1, "overloaded", "Overloaded", retryable: true)
    static let storageUnavailable = ProblemKind(503, 2, "storage_unavailable", "Storage unavailable", retryable: true)
    static let idempotencyFull = ProblemKind(
        503, 3, "idempotency_full", "No room for another key", retryable: true)
    /// The commit has not come in time, and may still come.
    static let commitTimeout = ProblemKind(504, 1, "commit_timeout", "Commit not confirmed in time", retryable: true)
    static let readTimeout = ProblemKind(504, 2, "read_timeout", "Records not read in time", retryable: true)
    /// The disk's reserve is reached; reads and deletes go on, and so do writes once there is room again.
    static let insufficientStorage = ProblemKind(
        507, 1, "insufficient_storage", "Insufficient storage", retryable: true)

    /// Bytes that are not a request. The code is the parser's.
    init(_ failure: HTTPFailure) {
        self.init(failure.status, 99, failure.code, "Malformed request")
    }

    init(_ failure: JSONFailure) {
        switch failure.reason {
        case .invalidUTF8, .loneSurrogate: self = .invalidUTF8
        case .tooDeep: self = .depthExceeded
        case .tooManyTokens, .tooManyKeys: self = .tooComplex
        case .tooManyElements: self = .tooManyEvents
        case .duplicateKey: self = .duplicateKey
        default: self = .invalidJSON
        }
    }
}

/// Something to be answered with a problem body. A class, for the way of a good request asks a dozen times whether there is
/// one, and an absent reference costs nothing to hand on.
final class Problem: Error {
    let kind: ProblemKind
    /// One sentence for people; also the `error` and `message` members unless `error` says otherwise.
    let detail: String
    /// The exact words of a use case's `error` member.
    let error: String?
    /// The number that was exceeded.
    let limit: Int?
    /// Seconds, for `Retry-After`.
    let retryAfter: Int?
    /// Of what was exceeded, the name; nil: it is the route's rate.
    let policy: String?

    init(
        _ kind: ProblemKind, _ detail: String, error: String? = nil, limit: Int? = nil, retryAfter: Int? = nil,
        policy: String? = nil
    ) {
        self.kind = kind
        self.detail = detail
        self.error = error
        self.limit = limit
        self.retryAfter = retryAfter
        self.policy = policy
    }

    convenience init(_ failure: HTTPFailure) { self.init(ProblemKind(failure), failure.detail.description) }

    convenience init(_ failure: JSONFailure, limits: JSONLimits, error: String? = nil) {
        let limit: Int? =
            switch failure.reason {
            case .tooDeep: limits.depth
            case .tooManyTokens: limits.tokens
            case .tooManyKeys: limits.keys
            case .tooManyElements: limits.elements
            default: nil
            }
        self.init(
            ProblemKind(failure), "\(failure.detail), at byte \(failure.position).", error: error, limit: limit)
    }
}
