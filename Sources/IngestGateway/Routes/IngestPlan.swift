/// What a configured route makes of the events that it is sent; compiled once, and read by all loops.
final class IngestPlan: Sendable {
    let reply: PlanReply
    /// Of a reply that accepts everything.
    let status: Int
    let schema: JSONSchema?
    let key: EventKey
    /// Headers of each record, beside the event.
    let headers: [Enrichment]
    /// Members that an event gets unless it has one of the name.
    let members: [Enrichment]
    let acknowledgement: Acknowledgement
    let csv: CSVPlan
    /// nil: a key may stand in `Idempotency-Key`.
    let idempotency: IdempotencyRule?
    /// The queue whose messages its events are; nil: they are records of a topic alone.
    let queue: String?
    /// nil: it takes no files.
    let file: FilePlan?

    /// Whether the trace of a request is among what is added, and what tracing systems say of it.
    let addsTraceParent: Bool
    let addsTraceState: Bool

    /// Headers, and members, of one route: each is written into every record.
    static let maxEnrichments = 16

    init(
        reply: PlanReply = .list, status: Int = 201, schema: JSONSchema? = nil, key: EventKey = .field,
        headers: [Enrichment] = Enrichment.usual, members: [Enrichment] = [], acknowledgement: Acknowledgement = .disk,
        csv: CSVPlan = CSVPlan(), idempotency: IdempotencyRule? = nil, queue: String? = nil,
        file: FilePlan? = nil
    ) {
        self.reply = reply
        self.status = status
        self.schema = schema
        self.key = key
        self.headers = headers
        self.members = members
        self.acknowledgement = acknowledgement
        self.csv = csv
        self.idempotency = idempotency
        self.queue = queue
        self.file = file
        let sources = (headers + members).map(\.source)
        addsTraceParent = sources.contains(.traceParent)
        addsTraceState = sources.contains(.traceState)
    }

    /// When the reply is sent.
    enum Acknowledgement: Sendable {
        /// Once the events are on disk.
        case disk
        /// At once; what is lost with the power nobody hears of.
        case nothing
    }
}

/// The form of an accepting reply.
enum PlanReply: Sendable {
    /// A result for each event; the only form for more than one.
    case list
    /// That of `/events`.
    case event
    /// That of `/ingest`, with a sequence number and a shard. `echo`: members that repeat values of the event.
    case shard(message: String, echo: [Echo])

    struct Echo: Sendable {
        let name: String
        let pointer: JSONPointer
    }

    var takesMany: Bool {
        if case .list = self { return true }
        return false
    }

    /// Whether failures of ours are told in the words that clients of `/ingest` know, with nothing of ours in them.
    var hidesServerErrors: Bool {
        if case .shard = self { return true }
        return false
    }
}

/// Where a record's key comes from.
enum EventKey: Sendable, Equatable {
    /// The field Partition-Key of the request, or what a CloudEvent has in its place, if there is one.
    case field
    /// The same; without it the request, or that CloudEvent, is refused.
    case requiredField
    case none
    /// A value within the event. Without it: a record without a key or, where it is required, a refusal.
    case pointer(JSONPointer, isRequired: Bool)

    var isField: Bool { self == .field || self == .requiredField }
}

/// Something that the gateway adds, with its name.
struct Enrichment: Sendable, Equatable {
    let name: String
    let source: Source

    enum Source: Sendable, Equatable {
        /// The event's identifier: the one that the reply tells.
        case eventID
        /// The time of arrival, as `2026-11-21T10:00:00.123Z` and in milliseconds.
        case now, nowMs
        case requestID
        /// The trace of the request, where it has one.
        case traceParent, traceState
        case text(String)

        /// nil: there is no such source.
        init?(_ word: String) {
            switch word {
            case "uuidv7": self = .eventID
            case "now": self = .now
            case "now_ms": self = .nowMs
            case "request_id": self = .requestID
            case "traceparent": self = .traceParent
            case "tracestate": self = .traceState
            default:
                guard word.hasPrefix("text:") else { return nil }
                self = .text(String(word.dropFirst(5)))
            }
        }

        static let words = "uuidv7, now, now_ms, request_id, traceparent, tracestate or text:WORDS"

        /// Bytes that it comes to in an event, with quotes; escapes may double those of a text.
        var mostBytes: Int {
            switch self {
            case .eventID: UUIDv7.textLength + 2
            case .now: ReceivedAt.textLength + 2
            case .nowMs: 20
            case .requestID: GatewayLoop.maxRequestID + 2
            case .traceParent: TraceParent.textLength + 2
            case .traceState: 2 * TraceState.maxBytes + 2
            case .text(let text): 6 * text.utf8.count + 2
            }
        }
    }

    /// What stands beside an event where the route says nothing.
    static let usual = [
        Enrichment(name: "request_id", source: .requestID), Enrichment(name: "received_at", source: .now),
        Enrichment(name: "event_id", source: .eventID),
    ]
}
