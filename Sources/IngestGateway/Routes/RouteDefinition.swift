import HTTPWire

/// A route as configuration says it: what `RouteTable` compiles, and may find wrong.
struct RouteDefinition {
    /// Names the route in messages, and its rate in replies: letters, digits and hyphens.
    var id: String
    /// The first is also the `route` label of the metrics. `{topic}` and `{partition}` stand for any text of one segment.
    var paths: [String]
    var methods: RouteMethods
    var endpoint: any HTTPEndpoint.Type
    var authentication = RouteAuthentication.caller
    var audience = RouteAudience.clients
    /// What requests are held against, where they are signed.
    var webhook: WebhookRoute?
    /// A longer body is answered 413, or is taken in windows.
    var maxBodyBytes: Int
    /// No body may be longer, in windows neither.
    var isBodyLimited = false
    var mediaTypes: MediaTypes = []
    var dialect = ErrorDialect.problem
    /// The topic that is written to; nil where the path names it, or nothing is written.
    var topic: String?
    var rate: RequestRate?
    /// Web pages of which origins may use it; nil: those of none but its own.
    var cors: CORSPolicy?
    /// What its schema says, as JSON, for the description of the routes; nil: nothing.
    var schemaText: [UInt8]?
    /// What a configured route makes of its events; nil of the built-in ones, whose endpoints know.
    var plan: IngestPlan?

    struct RequestRate: Equatable {
        /// Requests a second; 0: no limit.
        var requests: Int
        /// Requests at once; 0: one second's worth.
        var burst: Int
    }

    /// The routes that are there without a word of configuration: the rows of the default one.
    static func builtIn(_ options: GatewayOptions) -> [RouteDefinition] {
        let longest = options.maxRequestBytes
        func reading(
            _ id: String, _ paths: [String], _ endpoint: any HTTPEndpoint.Type,
            _ authentication: RouteAuthentication = .caller, for audience: RouteAudience = .clients
        ) -> RouteDefinition {
            RouteDefinition(
                id: id, paths: paths, methods: .get, endpoint: endpoint, authentication: authentication,
                audience: audience, maxBodyBytes: longest)
        }
        let usual: [RouteDefinition] = [
            RouteDefinition(
                id: "events", paths: ["/v1/topics/{topic}/events"], methods: .post, endpoint: EventsEndpoint.self,
                maxBodyBytes: longest, mediaTypes: [.json, .lines]),
            reading(
                "records", ["/v1/topics/{topic}/records", "/v1/topics/{topic}/partitions/{partition}/records"],
                RecordsEndpoint.self),
            reading(
                "stream", ["/v1/topics/{topic}/stream", "/v1/topics/{topic}/partitions/{partition}/stream"],
                StreamEndpoint.self),
            reading("event", ["/v1/events/{event}"], EventEndpoint.self),
            RouteDefinition(
                id: "webhook", paths: ["/events"], methods: .post, endpoint: WebhookEndpoint.self,
                maxBodyBytes: longest,
                mediaTypes: .json, topic: options.eventsTopic),
            RouteDefinition(
                id: "ingest", paths: ["/ingest", "/"], methods: .post, endpoint: IngestEndpoint.self,
                maxBodyBytes: longest,
                mediaTypes: .json, topic: options.ingestTopic,
                rate: RequestRate(requests: options.ingestRate, burst: options.ingestBurst)),
            RouteDefinition(
                id: "kafka-v2", paths: ["/topics/{topic}"], methods: .post, endpoint: KafkaV2Endpoint.self,
                maxBodyBytes: longest, mediaTypes: [.kafkaJSON, .kafkaBinary, .kafkaText], dialect: .kafkaV2),
            RouteDefinition(
                id: "kafka-v3", paths: ["/v3/clusters/{cluster}/topics/{topic}/records"], methods: .post,
                endpoint: KafkaV3Endpoint.self, maxBodyBytes: longest, mediaTypes: .json),
            RouteDefinition(
                id: "kafka-v3-batch", paths: ["/v3/clusters/{cluster}/topics/{topic}/records:batch"], methods: .post,
                endpoint: KafkaV3BatchEndpoint.self, maxBodyBytes: longest, mediaTypes: .json),
            reading("jobs", ["/v1/jobs"], JobsEndpoint.self),
            reading("job", ["/v1/jobs/{job}"], JobEndpoint.self),
            reading("pulls", ["/v1/pulls"], PullsEndpoint.self),
            reading("queues", ["/v1/queues"], QueuesEndpoint.self),
            reading("health", ["/healthz"], HealthEndpoint.self, .anonymous, for: .everybody),
            reading("readiness", ["/readyz"], ReadinessEndpoint.self, .anonymous, for: .everybody),
            reading("openapi", ["/openapi.json"], OpenAPIEndpoint.self),
            reading("welcome", ["/index.html"], WelcomeEndpoint.self),
            RouteDefinition(
                id: "server", paths: ["*"], methods: [], endpoint: ServerEndpoint.self, audience: .everybody,
                maxBodyBytes: longest),
        ]
        return usual + forOperators(longest) + aws(longest) + files(longest) + queues(longest)
    }

    private static func forOperators(_ longest: Int) -> [RouteDefinition] {
        func reading(_ id: String, _ path: String, _ endpoint: any HTTPEndpoint.Type) -> RouteDefinition {
            RouteDefinition(
                id: id, paths: [path], methods: .get, endpoint: endpoint, audience: .operators, maxBodyBytes: longest)
        }
        return [
            reading("metrics", "/metrics", MetricsEndpoint.self),
            reading("statistics", "/stats", StatisticsEndpoint.self),
            RouteDefinition(
                id: "reload", paths: ["/v1/configuration:reload"], methods: .post, endpoint: ReloadEndpoint.self,
                audience: .operatorsAlone, maxBodyBytes: longest, mediaTypes: .json),
            reading("alarms", "/v1/alarms", AlarmsEndpoint.self),
            reading("watchers", "/v1/watchers", WatchersEndpoint.self),
            RouteDefinition(
                id: "silence", paths: ["/v1/alarms:silence"], methods: .post, endpoint: AlarmSilenceEndpoint.self,
                audience: .operators, maxBodyBytes: longest, mediaTypes: .json),
            reading("trace", "/trace", TraceEndpoint.self),
        ]
    }

    /// The rows of services of AWS, which are at any path as well.
    private static func aws(_ longest: Int) -> [RouteDefinition] {
        [
            RouteDefinition(
                id: "sqs", paths: ["/sqs"], methods: .post, endpoint: SQSEndpoint.self, authentication: .aws,
                maxBodyBytes: longest, dialect: .sqs),
            RouteDefinition(
                id: "kinesis", paths: ["/kinesis"], methods: .post, endpoint: KinesisEndpoint.self,
                authentication: .aws, maxBodyBytes: longest, dialect: .kinesis),
        ]
    }

    private static func files(_ longest: Int) -> [RouteDefinition] {
        [
            RouteDefinition(
                id: "files", paths: ["/v1/files"], methods: .post, endpoint: FilesEndpoint.self, maxBodyBytes: longest,
                mediaTypes: FileFormat.mediaTypes.union(.multipart)),
            RouteDefinition(
                id: "cancel-job", paths: ["/v1/jobs/{job}:cancel"], methods: .post, endpoint: JobCancelEndpoint.self,
                maxBodyBytes: min(GatewayLoop.maxQueueCallBytes, longest), mediaTypes: .json),
            RouteDefinition(
                id: "run-pull", paths: ["/v1/pulls/{pull}:run"], methods: .post, endpoint: PullRunEndpoint.self,
                maxBodyBytes: min(GatewayLoop.maxQueueCallBytes, longest), mediaTypes: .json),
        ]
    }

    /// The rows of queues, whose paths say which one.
    private static func queues(_ longest: Int) -> [RouteDefinition] {
        func queue(
            _ id: String, _ rest: String, _ methods: RouteMethods, _ endpoint: any HTTPEndpoint.Type,
            _ maxBodyBytes: Int? = nil, _ mediaTypes: MediaTypes = .json
        ) -> RouteDefinition {
            RouteDefinition(
                id: id, paths: ["/v1/queues/{queue}" + rest], methods: methods, endpoint: endpoint,
                maxBodyBytes: maxBodyBytes ?? min(GatewayLoop.maxQueueCallBytes, longest), mediaTypes: mediaTypes)
        }
        return [
            queue("send", "/messages", .post, QueueSendEndpoint.self, longest, [.json, .lines]),
            queue("receive", "/messages:receive", .post, QueueReceiveEndpoint.self),
            queue("browse", "/messages:browse", .get, QueueBrowseEndpoint.self),
            queue("acknowledge", "/messages:ack", .post, QueueAcknowledgeEndpoint.self),
            queue("release", "/messages:nack", .post, QueueReleaseEndpoint.self),
            queue("extend", "/messages:extend", .post, QueueExtendEndpoint.self),
            queue("purge", "/messages:purge", .post, QueuePurgeEndpoint.self),
            queue("redrive", "/messages:redrive", .post, QueueRedriveEndpoint.self),
            queue("moves", "/moves", .get, QueueMovesEndpoint.self),
            queue("cancel-move", "/moves:cancel", .post, QueueMoveCancelEndpoint.self),
            queue("capacity", "/capacity", .get, QueueCapacityEndpoint.self),
            queue("queue", "", RouteMethods(.get, .head, .put, .delete), QueueEndpoint.self),
        ]
    }
}

/// Why definitions are no table.
struct RouteRefusal: Error, CustomStringConvertible {
    /// The route that is wrong.
    let id: String
    let message: String

    var description: String { "route \(id): \(message)" }
}
