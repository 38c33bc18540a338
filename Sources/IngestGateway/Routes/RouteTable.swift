import HTTPWire
import Telemetry

/// A route, compiled: what a request of it asks for is here without a look-up, and without a count of references.
struct RouteRow {
    let id: String
    /// The `route` label of the metrics.
    let label: String
    let endpoint: any HTTPEndpoint.Type
    /// Whether its bodies are events.
    let takesEvents: Bool
    let methods: RouteMethods
    let authentication: RouteAuthentication
    let webhook: WebhookRoute?
    let audience: RouteAudience
    let cors: CORSPolicy?
    let maxBodyBytes: Int
    /// Longer bodies of lines and rows are taken in windows, where the request does not speak against it.
    let takesWindows: Bool
    let mediaTypes: MediaTypes
    let dialect: ErrorDialect
    /// The name of the topic that is written to, in the table's memory; empty where the path names it.
    let topic: UnsafeRawBufferPointer
    let rate: RouteDefinition.RequestRate?
    /// The fields that it takes and others do not.
    let fields: KnownFields
    let plan: IngestPlan?
    /// The plan says where a request's key comes from.
    let hasKeyRule: Bool
    /// Each event of a request has a key of its own.
    let hasEventKeys: Bool
    let limiter: RateLimiter?
    let counters: RouteCounters
}

/// All routes as they stand at one time. Compiled from definitions as a whole and never changed: a reload makes another
/// table, and a request goes by the one that it began with. PathTable.swift has how a path finds its row.
final class RouteTable: @unchecked Sendable {
    // SAFETY: all memory is written by `init`, which nobody else knows yet, and only read afterwards.

    /// As they were defined; behind them the row of requests that found none.
    let rows: UnsafeMutablePointer<RouteRow>
    /// Addresses of this table's memory; a loop has a copy of them.
    let paths: PathTable
    /// Of the routes, for programs and for people.
    let description: [UInt8]
    let welcome: [UInt8]
    /// The row that a browser gets at `/`; nil: none.
    let welcomeRow: Int?
    /// The rows of requests to services of AWS, at whatever path.
    let awsRows: AWSRows

    /// Routes of one table: as many as the key of a loop's counters has room for.
    static let maxRoutes = 1000
    /// The `route` label of requests that found none.
    static let unmatchedLabel = "none"

    /// Compiles the definitions, or says which of them is wrong. `previous`: the table that this one is to replace, whose
    /// rates go on where they are the same.
    init(
        _ definitions: [RouteDefinition], _ options: GatewayOptions, _ metrics: GatewayMetrics,
        replacing previous: RouteTable? = nil
    ) throws(RouteRefusal) {
        try Self.check(definitions, options)
        let (paths, topics) = try PathTable.compile(definitions)
        self.paths = paths
        description = OpenAPIDocument.bytes(definitions)
        welcome = WelcomePage.bytes(definitions)
        welcomeRow = definitions.firstIndex { $0.endpoint == WelcomeEndpoint.self }
        awsRows = AWSRows(definitions)
        rows = .allocate(capacity: definitions.count + 1)
        let served = definitions.reduce(RouteMethods()) { $0.union($1.methods) }
        for (index, definition) in definitions.enumerated() {
            let limiter =
                previous?.limiter(like: definition)
                ?? definition.rate.flatMap { RateLimiter(rate: $0.requests, burst: $0.burst) }
            (rows + index).initialize(
                to: RouteRow(
                    id: definition.id, label: definition.paths[0], endpoint: definition.endpoint,
                    takesEvents: definition.endpoint.target != nil,
                    methods: definition.endpoint == ServerEndpoint.self ? served : definition.methods,
                    authentication: definition.authentication, webhook: definition.webhook,
                    audience: definition.audience, cors: definition.cors,
                    maxBodyBytes: definition.maxBodyBytes, takesWindows: Self.takesWindows(definition),
                    mediaTypes: definition.mediaTypes, dialect: definition.dialect, topic: topics[index],
                    rate: definition.rate, fields: Self.fields(of: definition), plan: definition.plan,
                    hasKeyRule: definition.plan?.idempotency != nil,
                    hasEventKeys: definition.plan?.idempotency?.source.isOfContent == true
                        && definition.plan?.reply.takesMany == true,
                    limiter: limiter,
                    counters: metrics.counters(
                        route: definition.paths[0], policy: definition.rate == nil ? nil : definition.id)))
        }
        (rows + unmatched).initialize(
            to: RouteRow(
                id: Self.unmatchedLabel, label: Self.unmatchedLabel, endpoint: ServerEndpoint.self, takesEvents: false,
                methods: [],
                authentication: .anonymous, webhook: nil, audience: .everybody, cors: nil, maxBodyBytes: 0,
                takesWindows: false,
                mediaTypes: [], dialect: .problem, topic: UnsafeRawBufferPointer(start: nil, count: 0), rate: nil,
                fields: KnownFields(), plan: nil, hasKeyRule: false, hasEventKeys: false, limiter: nil,
                counters: metrics.counters(route: Self.unmatchedLabel)))
    }

    deinit {
        rows.deinitialize(count: unmatched + 1)
        rows.deallocate()
        paths.deallocate()
    }

    /// Index of the row without a path: what no route took is counted there.
    var unmatched: Int { paths.unmatched }

    private func limiter(like definition: RouteDefinition) -> RateLimiter? {
        for index in 0..<unmatched where rows[index].id == definition.id && rows[index].rate == definition.rate {
            return rows[index].limiter
        }
        return nil
    }

    /// A key of the request is of all that it has.
    private static func takesWindows(_ definition: RouteDefinition) -> Bool {
        guard definition.endpoint.takesWindows, !definition.isBodyLimited, definition.authentication != .signed else {
            return false
        }
        return definition.plan?.idempotency.map { $0.source.isOfContent } ?? true
    }

    static func fields(of definition: RouteDefinition) -> KnownFields {
        var fields = definition.endpoint.fields
        if definition.endpoint.target != nil, !definition.endpoint.takesFiles {
            fields.formUnion(KnownFields(.idempotencyKey))
        }
        guard let plan = definition.plan else { return fields }
        if let rule = plan.idempotency, rule.source != .usual { fields.subtract(KnownFields(.idempotencyKey)) }
        if !plan.key.isField { fields.subtract(KnownFields(.partitionKey)) }
        if definition.mediaTypes.contains(.cloudEvent) { fields.formUnion(KnownFields(.cloudEventsVersion)) }
        return fields
    }

    /// Why definitions are no table; nil: they are one.
    static func refusal(of definitions: [RouteDefinition], _ options: GatewayOptions) -> RouteRefusal? {
        do throws(RouteRefusal) {
            try check(definitions, options)
            try PathTable.compile(definitions).paths.deallocate()
            return nil
        } catch {
            return error
        }
    }

    /// Refuses what would be a route that nobody can use, or that promises what it does not keep.
    private static func check(_ definitions: [RouteDefinition], _ options: GatewayOptions) throws(RouteRefusal) {
        var known: Set<String> = [unmatchedLabel]
        for definition in definitions {
            let id = definition.id
            func refusal(_ message: String) -> RouteRefusal { RouteRefusal(id: id, message: message) }
            guard isName(id) else { throw refusal("an id is 1 to \(maxIDBytes) letters, digits and hyphens") }
            guard known.insert(id).inserted else {
                throw refusal("two routes have this id, which is made of the first path where none is written")
            }
            guard known.count <= maxRoutes + 1 else { throw refusal("there are more than \(maxRoutes) routes") }
            if definition.paths.isEmpty { throw refusal("it has no path") }
            guard (0...options.maxRequestBytes).contains(definition.maxBodyBytes) else {
                throw refusal(
                    "a body has at most http.max.request.bytes, \(options.maxRequestBytes), not \(definition.maxBodyBytes)"
                )
            }
            guard let target = definition.endpoint.target else { continue }
            if definition.mediaTypes.isEmpty { throw refusal("it takes events and no media type") }
            if target == .query { continue }
            let namesTopic = definition.paths.allSatisfy { $0.contains("{topic}") }
            if target == .path ? !namesTopic : definition.topic?.isEmpty != false {
                throw refusal("nothing says which topic its events go to")
            }
        }
    }

    static let maxIDBytes = 64

    private static func isName(_ id: String) -> Bool {
        (1...maxIDBytes).contains(id.utf8.count)
            && id.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}
