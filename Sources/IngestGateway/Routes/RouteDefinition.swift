/// A route as configuration says it: what `RouteTable` compiles, and may find wrong.
struct RouteDefinition {
    /// Names the route in messages, and its rate in replies: letters, digits and hyphens.
    var id: String
    /// The first is also the `route` label of the metrics. `{topic}` and `{partition}` stand for any text of one segment.
    var paths: [String]
    var methods: RouteMethods
    var endpoint: EndpointKind
    var authentication = RouteAuthentication.anonymous
    /// A longer body is answered 413.
    var maxBodyBytes: Int
    var mediaTypes: MediaTypes = []
    var dialect = ErrorDialect.problem
    /// The topic that is written to; nil where the path names it, or nothing is written.
    var topic: String?
    var rate: RequestRate?

    struct RequestRate: Equatable {
        /// Requests a second; 0: no limit.
        var requests: Int
        /// Requests at once; 0: one second's worth.
        var burst: Int
    }

    /// The routes that are there without a word of configuration: the rows of the default one.
    static func builtIn(_ options: GatewayOptions) -> [RouteDefinition] {
        let longest = options.maxRequestBytes
        func reading(_ id: String, _ paths: [String], _ endpoint: EndpointKind) -> RouteDefinition {
            RouteDefinition(id: id, paths: paths, methods: .get, endpoint: endpoint, maxBodyBytes: longest)
        }
        return [
            RouteDefinition(
                id: "events", paths: ["/v1/topics/{topic}/events"], methods: .post, endpoint: .events,
                maxBodyBytes: longest, mediaTypes: [.json, .lines]),
            reading(
                "records", ["/v1/topics/{topic}/records", "/v1/topics/{topic}/partitions/{partition}/records"],
                .records),
            RouteDefinition(
                id: "webhook", paths: ["/events"], methods: .post, endpoint: .webhook, maxBodyBytes: longest,
                mediaTypes: .json, topic: options.eventsTopic),
            RouteDefinition(
                id: "ingest", paths: ["/ingest", "/"], methods: .post, endpoint: .ingest, maxBodyBytes: longest,
                mediaTypes: .json, topic: options.ingestTopic,
                rate: RequestRate(requests: options.ingestRate, burst: options.ingestBurst)),
            reading("health", ["/healthz"], .health),
            reading("readiness", ["/readyz"], .readiness),
            reading("metrics", ["/metrics"], .metrics),
            reading("statistics", ["/stats"], .statistics),
            RouteDefinition(id: "server", paths: ["*"], methods: [], endpoint: .server, maxBodyBytes: longest),
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
