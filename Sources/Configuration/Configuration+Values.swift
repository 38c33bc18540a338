/// The values as types. Byte counts and durations are in the unit that the name says; `nil` means no limit or unset.
extension Configuration {
    // MARK: By name

    public func integer(_ name: String) -> Int64 {
        guard let text = value(for: name)?.text, let number = Int64(text) else {
            preconditionFailure("\(name) is not a number that is always set")
        }
        return number
    }

    public func boolean(_ name: String) -> Bool {
        guard let text = value(for: name)?.text, text == "true" || text == "false" else {
            preconditionFailure("\(name) is not a boolean")
        }
        return text == "true"
    }

    public func text(_ name: String) -> String { optionalText(name) ?? "" }

    /// `nil`: unset.
    public func optionalText(_ name: String) -> String? {
        guard let value = value(for: name) else { preconditionFailure("there is no key \(name)") }
        return value.text
    }

    public func list(_ name: String) -> [String] { ConfigurationKey.list(text(name)) }

    private func int(_ name: String) -> Int { Int(integer(name)) }

    private func limit(_ name: String) -> Int64? {
        let number = integer(name)
        return number < 0 ? nil : number
    }

    // MARK: Broker

    public var nodeID: Int32 { Int32(integer("node.id")) }
    public var dataFolder: String { text("log.dirs") }
    public var defaultPartitionCount: Int32 { Int32(integer("num.partitions")) }
    public var autoCreatesTopics: Bool { boolean("auto.create.topics.enable") }
    public var allowsTopicDeletion: Bool { boolean("delete.topic.enable") }
    public var producerIDExpirationMs: Int64 { integer("producer.id.expiration.ms") }

    public var logLevel: String { text("log.level") }
    public var logFormat: String { text("log.format") }

    // MARK: Access

    public var hasAuthorizer: Bool { boolean("authorizer.enable") }
    /// As it was written; `nil`: nobody.
    public var superUsers: String? { value(for: "super.users")?.text }
    public var allowsWithoutAcl: Bool { boolean("allow.everyone.if.no.acl.found") }

    public var quotaWindowCount: Int { int("quota.window.num") }
    public var quotaWindowSeconds: Int { int("quota.window.size.seconds") }
    public var controllerQuotaWindowCount: Int { int("controller.quota.window.num") }
    public var controllerQuotaWindowSeconds: Int { int("controller.quota.window.size.seconds") }

    /// Names of mechanisms, in the order in which clients are told of them.
    public var saslMechanisms: [String] { list("sasl.enabled.mechanisms") }
    /// `nil`: nobody.
    public var firstUser: String? { optionalText("sasl.first.user") }
    public var firstUserPasswordFile: String? { optionalText("sasl.first.user.password.file") }
    /// 0: a session lasts as long as its connection.
    public var maxSaslSessionMs: Int64 { integer("connections.max.reauth.ms") }
    /// A path, `stderr` or `off`.
    public var auditLog: String { text("audit.log") }
    public var maxAuditLogBytes: Int64 { integer("audit.log.max.bytes") }
    public var authenticationFailureDelayMs: Int64 { integer("connection.failed.authentication.delay.ms") }

    // MARK: Network

    /// 0: chosen by the number of cores.
    public var eventLoopCount: Int { int("num.network.threads") }
    public var maxRequestBytes: Int { int("socket.request.max.bytes") }
    public var maxQueuedRequestBytes: Int { int("queued.max.request.bytes") }
    public var maxConnections: Int { int("max.connections") }
    public var maxConnectionsPerIP: Int { int("max.connections.per.ip") }
    public var maxIdleConnectionMs: Int64 { integer("connections.max.idle.ms") }
    public var maxFetchBytes: Int { int("fetch.max.bytes") }
    public var maxFetchSessions: Int { int("max.incremental.fetch.session.cache.slots") }

    // MARK: Logs

    /// `nil`: records are not deleted by age.
    public var retentionMs: Int64? {
        topicDefault("retention.ms").flatMap { Int64($0.text ?? "") }.flatMap { $0 < 0 ? nil : $0 }
    }
    public var retentionBytes: Int64? { limit("log.retention.bytes") }
    public var segmentBytes: Int { int("log.segment.bytes") }
    public var segmentMs: Int64 { topicDefault("segment.ms").flatMap { Int64($0.text ?? "") }! }
    public var maxBatchBytes: Int { int("message.max.bytes") }
    public var cleanerMapBytes: Int { int("log.cleaner.dedupe.buffer.size") }
    public var cleanerIntervalMs: Int64 { integer("log.cleaner.backoff.ms") }
    public var retentionCheckMs: Int64 { integer("log.retention.check.interval.ms") }
    public var windowBytes: Int { int("log.window.max.bytes") }
    public var windowMemoryPercent: Int { int("log.window.memory.percent") }
    public var windowMs: Int64 { integer("log.window.ms") }
    public var cleanupPolicy: [String] { list("log.cleanup.policy") }
    public var indexIntervalBytes: Int { int("log.index.interval.bytes") }
    public var usesLogAppendTime: Bool { text("log.message.timestamp.type") == "LogAppendTime" }
    public var maxTimestampBeforeMs: Int64 { integer("log.message.timestamp.before.max.ms") }
    public var maxTimestampAfterMs: Int64 { integer("log.message.timestamp.after.max.ms") }
    public var compressionType: String { text("compression.type") }

    // MARK: Groups

    public var offsetsTopicPartitionCount: Int32 { Int32(integer("offsets.topic.num.partitions")) }
    public var offsetsRetentionMs: Int64 { integer("offsets.retention.minutes") * 60_000 }
    public var maxOffsetMetadataBytes: Int { int("offset.metadata.max.bytes") }
    public var initialRebalanceDelayMs: Int64 { integer("group.initial.rebalance.delay.ms") }
    public var minSessionTimeoutMs: Int64 { integer("group.min.session.timeout.ms") }
    public var maxSessionTimeoutMs: Int64 { integer("group.max.session.timeout.ms") }
    public var maxGroupSize: Int { int("group.max.size") }
    public var consumerSessionTimeoutMs: Int64 { integer("group.consumer.session.timeout.ms") }
    public var consumerHeartbeatIntervalMs: Int64 { integer("group.consumer.heartbeat.interval.ms") }
    public var maxConsumerGroupSize: Int { int("group.consumer.max.size") }
    public var consumerAssignors: [String] { list("group.consumer.assignors") }
    public var consumerAssignmentIntervalMs: Int64 { integer("group.consumer.assignment.interval.ms") }
    public var groupMigrationPolicy: String { text("group.consumer.migration.policy") }
    public var consumerPatternRefreshMs: Int64 { integer("group.consumer.regex.refresh.interval.ms") }
    public var shareSessionTimeoutMs: Int64 { integer("group.share.session.timeout.ms") }
    public var shareHeartbeatIntervalMs: Int64 { integer("group.share.heartbeat.interval.ms") }
    public var shareAssignmentIntervalMs: Int64 { integer("group.share.assignment.interval.ms") }
    public var maxShareGroupSize: Int { int("group.share.max.size") }
    public var maxShareSessions: Int { int("group.share.max.share.sessions") }
    public var shareLockDurationMs: Int64 { integer("group.share.record.lock.duration.ms") }
    public var shareDeliveryLimit: Int { int("group.share.delivery.count.limit") }
    public var shareRecordLocks: Int { int("group.share.partition.max.record.locks") }
    public var transactionTopicPartitionCount: Int32 { Int32(integer("transaction.state.log.num.partitions")) }
    public var maxTransactionTimeoutMs: Int64 { integer("transaction.max.timeout.ms") }
    public var transactionalIDExpirationMs: Int64 { integer("transactional.id.expiration.ms") }

    // MARK: HTTP gateway

    public var servesHTTP: Bool { boolean("http.enable") }
    public var servesHTTP2: Bool { boolean("http2.enable") }
    /// off, optional or required.
    public var httpAuthentication: String { text("http.auth") }
    public var takesBareTokens: Bool { boolean("http.auth.bare.tokens") }
    public var maxHTTPConnections: Int { int("http.max.connections") }
    public var maxHTTPConnectionsPerIP: Int { int("http.max.connections.per.ip") }
    public var maxHTTPRequestBytes: Int { int("http.max.request.bytes") }
    public var maxHTTPEventBytes: Int { int("http.max.event.bytes") }
    public var maxHTTPInflightBytes: Int { int("http.max.inflight.bytes") }
    public var maxHTTPInflightBytesPerIP: Int { int("http.max.inflight.bytes.per.ip") }
    public var httpRequestTimeoutMs: Int64 { integer("http.request.timeout.ms") }
    public var startedTraces: String { text("http.trace.start") }
    public var takesAnyAWSSignature: Bool { boolean("sqs.anonymous") }
    /// Nil: as each request has it.
    public var sqsAddress: String? { optionalText("sqs.url") }
    public var sqsRegion: String { text("sqs.region") }
    public var httpKeepAliveMs: Int64 { integer("http.keep.alive.ms") }
    public var idempotencyTTLMs: Int64 { integer("http.idempotency.ttl.ms") }
    public var maxIdempotencyKeys: Int { int("http.idempotency.max.keys") }
    public var maxIdempotencyBytes: Int { int("http.idempotency.max.bytes") }
    public var eventsTopic: String { text("gateway.events.topic") }
    public var ingestTopic: String { text("gateway.ingest.topic") }
    /// Empty: every event type.
    public var ingestEventTypes: [String] { list("gateway.ingest.event.types") }
    /// Requests a second; `nil`: no limit.
    public var ingestRate: Int? { int("gateway.ingest.rate") == 0 ? nil : int("gateway.ingest.rate") }
    /// Requests at once; only of meaning with `ingestRate`.
    public var ingestBurst: Int {
        let burst = int("gateway.ingest.burst")
        return burst == 0 ? int("gateway.ingest.rate") : burst
    }
}
