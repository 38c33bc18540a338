public import Telemetry

/// What the Kafka edge is told at its start.
public struct KafkaServerOptions: Sendable {
    /// Largest request in bytes (`socket.request.max.bytes`); a frame that announces more closes its connection.
    public var maxRequestBytes = 100 << 20
    /// Most bytes of records in one Fetch reply (`fetch.max.bytes` caps it further). Larger replies are slower: measured
    /// 2.26 against 2.0 million records a second between 1 MB and 50 MB.
    public var maxFetchBytes = 1 << 20
    /// `max.incremental.fetch.session.cache.slots`, over all loops.
    public var fetchSessionSlots = 1000
    /// Memory of the sessions together; above it fetches get none.
    public var maxFetchSessionBytes = FetchSessions.maxBytes
    /// Memory of the fetches that wait for more than `FetchPlan.freePartitions` partitions; above it they do not wait.
    public var maxParkedFetchBytes = FetchPlan.maxWaitingBytes
    /// A loop works off a fetch of so many partitions, those that are ready in its session included; a larger one is a worker's
    /// (`LongFetch`), and one that waits for more is answered. Each costs about half a microsecond, and as much again when it
    /// waits.
    public var maxInlinePartitions = 1000
    /// How long a connection's requests of one read may keep the loop before other connections have their turn. One
    /// request alone may take longer.
    public var maxTurnNanoseconds: Int64 = 1_000_000
    /// `connections.max.idle.ms`.
    public var maxIdleMs: Int64 = 600_000
    /// `max.connections` and `max.connections.per.ip`.
    public var maxConnections = 20_000
    public var maxConnectionsPerIP = Int.max

    /// Who did what, and who was refused; nil: nobody is told.
    public var audit: AuditLog?

    public init() {}
}
