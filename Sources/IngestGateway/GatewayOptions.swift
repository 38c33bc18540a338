/// What the HTTP edge is told at its start; each field names the configuration key behind it.
public struct GatewayOptions: Sendable {
    /// `http.max.connections` and `http.max.connections.per.ip`: more are answered 503 and closed.
    public var maxConnections = 10_000
    public var maxConnectionsPerIP = 256
    /// `http.max.request.bytes`: a longer body of lines or CSV is taken in windows where nothing asks for the whole, any other is
    /// answered 413.
    public var maxRequestBytes = 16 << 20
    /// `http.max.file.bytes`: a file, unpacked; of a longer one what came before is stored, and it is answered 413.
    public var maxFileBytes = 1 << 30
    /// `http.max.event.bytes`: one event; the topic's `max.message.bytes` may be lower and counts then.
    public var maxEventBytes = 1 << 20
    /// `http.max.inflight.bytes`: memory for bodies that are not whole, over all connections; above it 503. Each has 16 KiB,
    /// or twice what has arrived of it, and at most its length.
    public var maxInflightBytes = 64 << 20
    /// `http.max.inflight.bytes.per.ip`: the share of it that one peer (an IPv4 address, an IPv6 /64) may have.
    public var maxInflightBytesPerPeer = 32 << 20
    /// `http.max.streams` and `http.max.streams.per.ip`: streams of records at a time; above them 503 and 429.
    public var maxStreams = 4_000
    public var maxStreamsPerIP = 1_000
    /// Seconds, 1 or more: so often a stream is sent something, and looked at, though no record comes.
    public var heartbeatSeconds = 15
    /// `http2.enable`: connections that begin with its preface speak HTTP/2.
    public var servesHTTP2 = true
    /// `http.request.timeout.ms`: from a request's first byte to its last; then 408. And from then on for its topic to be
    /// made, and for its commit; then 504.
    public var requestTimeout: Duration = .seconds(30)
    /// A head must be whole this soon after its first byte; then 408.
    public var headTimeout: Duration = .seconds(5)
    /// A body that stands still, or comes at less than `minimumBodyRate`, for this long gets 408.
    public var bodyIdleTimeout: Duration = .seconds(10)
    /// Bytes a second.
    public var minimumBodyRate = 1024
    /// `http.keep.alive.ms`: a connection without a request for this long is closed.
    public var keepAlive: Duration = .seconds(75)
    /// `http.connection.max.age.ms`: a connection older than this, or up to a tenth more or less, ends with its next reply, so that
    /// clients spread over new brokers and addresses; nil: it does not.
    public var maxConnectionAge: Duration?
    /// `http.trace.start`: what a request gets that says of no trace, for records and the log; nil: nothing.
    public var startedTraces: StartedTraces?
    /// `http.idempotency.ttl.ms`: how long the key of a request is remembered.
    public var idempotencyTTL: Duration = .seconds(24 * 3600)
    /// `http.idempotency.max.keys` and `http.idempotency.max.bytes`: what is remembered at most; above it a request with a new
    /// key is answered 503.
    public var maxIdempotencyKeys = 1_000_000
    public var maxIdempotencyBytes = 64 << 20
    /// `http.idempotency.share.percent`: the part of both that one principal, or one address without, may have; above it 429.
    public var idempotencySharePercent = 50
    /// Bytes of text, unpacked, that a worker goes through at a time of a body that is taken in windows (`WindowedBody`), but for a row that
    /// is longer; 1 or more. Each such body reserves up to three times that, and 1.5 MiB, of its peer's share of the memory: more
    /// where events may be longer, and for what its decoder looks back upon.
    public var windowBytes = 1 << 20
    /// Events of one request that is handled in one piece, inclusive; more of lines or CSV go on in windows. Each costs a record and, in the reply, a line.
    public var maxEventsPerRequest = 100_000
    /// How long a connection's requests of one read may keep the loop before other connections have their turn. One
    /// request alone may take longer.
    public var maxTurnNanoseconds: Int64 = 1_000_000

    /// `gateway.events.topic`: where `POST /events` goes.
    public var eventsTopic = "events"
    /// `gateway.ingest.topic`: where `POST /ingest` and `POST /` go.
    public var ingestTopic = "ingest"
    /// `gateway.ingest.event.types`: what `/ingest` takes; empty: every type.
    public var ingestEventTypes: [String] = []
    /// `gateway.ingest.rate` (requests a second, 0: no limit) and `gateway.ingest.burst` (0: one second's worth).
    public var ingestRate = 0
    public var ingestBurst = 0
    /// `http.caller.rate` (requests a second of each caller over all routes, 0: no limit) and `http.caller.burst` (0: one
    /// second's worth).
    public var callerRate = Self.usualCallerRate
    public var callerBurst = 0
    /// More than one core answers, so that whoever means to be served does not meet it, and whoever floods a large machine does.
    public static let usualCallerRate = 100_000
    /// `http.caller.max.open`: requests of each caller that are begun and not answered, inclusive; 0: no limit. Fewer than may wait for
    /// a worker, so that no caller alone has all of those places.
    public var maxOpenRequestsPerCaller = 8_000
    /// `sqs.anonymous`: requests of SQS and of Kinesis from this machine may be signed by anybody.
    public var takesAnyAWSSignature = false
    /// `sqs.url`: what addresses of queues begin with; nil: the scheme and host that a request came to.
    public var sqsAddress: String?
    /// `sqs.region`: of the resource names of queues and streams.
    public var sqsRegion = "us-east-1"
    /// Words of the accepting reply of `/ingest`.
    public var ingestMessage = "Event accepted"
    /// Each event of `/v1/topics/{t}/events` is given an `event_id`: a record header, and a member of its result.
    public var stampsEvents = true

    /// Whether who goes on with a trace that the gateway has begun is asked to record what he does.
    public enum StartedTraces: Sendable {
        case sampled, unsampled
    }

    public init() {}

    /// Bytes of a body or a reply that have to move within that time.
    func leastProgress(in time: Duration) -> Int { Int(time.inNanoseconds / 1_000_000) * minimumBodyRate / 1000 }
}
