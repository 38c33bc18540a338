import ByteBuffers
import Configuration
import HTTPWire

/// The description of all routes for programs, made from the same definitions as the table that serves them: what is configured
/// stands in it, and what is switched off does not. Source: OpenAPI 3.1.
struct OpenAPIDocument: ~Copyable {
    private var out = ByteWriter(capacity: 16 << 10)
    private let definitions: [RouteDefinition]

    static func bytes(_ definitions: [RouteDefinition]) -> [UInt8] {
        var document = OpenAPIDocument(definitions: definitions)
        document.write()
        return document.out.array
    }

    private init(definitions: [RouteDefinition]) { self.definitions = definitions }

    private mutating func write() {
        out.text("{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Millrace gateway\",\"version\":")
        JSONText.write(Version.current, into: &out)
        out.text(",\"description\":\"Events by HTTP into a durable log; a 2xx is on disk.\"},\"paths\":{")
        var isFirst = true
        // Of services of AWS a field says what is asked for, at any path: that has no words here.
        for definition in definitions where definition.authentication != .aws {
            for path in definition.paths where path != "*" {
                if !isFirst { out.text(",") }
                isFirst = false
                write(definition, path)
            }
        }
        out.text("},\"components\":{\"schemas\":{")
        out.text(Self.schemas)
        for definition in definitions {
            guard let text = definition.schemaText else { continue }
            out.text(",")
            JSONText.write(SchemaText.component(of: definition.id), into: &out)
            out.text(":")
            out.bytes(text)
        }
        out.text(
            """
            },"securitySchemes":{"bearer":{"type":"http","scheme":"bearer"},"basic":{"type":"http","scheme":"basic"},\
            "key":{"type":"apiKey","in":"header","name":"X-Api-Key"}}}}
            """)
    }

    // MARK: A path

    private mutating func write(_ definition: RouteDefinition, _ path: String) {
        JSONText.write(path, into: &out)
        out.text(":{")
        let places = PathText.split(path).places
        if !places.isEmpty {
            out.text("\"parameters\":[")
            for (index, place) in places.enumerated() {
                if index > 0 { out.text(",") }
                out.text("{\"in\":\"path\",\"required\":true,\"name\":")
                JSONText.write(place.rawValue, into: &out)
                out.text(",\"schema\":")
                out.text(Self.schema(of: place))
                out.text("}")
            }
            out.text("],")
        }
        for (index, name) in definition.methods.names.enumerated() {
            if index > 0 { out.text(",") }
            JSONText.write(name.lowercased(), into: &out)
            out.text(":")
            writeOperation(definition, path, name)
        }
        out.text("}")
    }

    private static func schema(of place: PathText.Place) -> StaticString {
        switch place {
        case .topic: "{\"type\":\"string\",\"pattern\":\"^[a-zA-Z0-9._-]{1,249}$\"}"
        case .queue: "{\"type\":\"string\",\"pattern\":\"^[a-zA-Z0-9._-]{1,200}$\"}"
        case .partition: "{\"type\":\"integer\",\"minimum\":0,\"maximum\":2147483647}"
        case .job, .event: "{\"type\":\"string\",\"format\":\"uuid\"}"
        case .pull: "{\"type\":\"string\",\"pattern\":\"^[a-zA-Z0-9_-]{1,80}$\"}"
        case .cluster: "{\"type\":\"string\",\"pattern\":\".\"}"
        }
    }

    private mutating func writeOperation(_ definition: RouteDefinition, _ path: String, _ method: String) {
        let operation = definition.endpoint.operation
        out.text("{\"operationId\":")
        JSONText.write(Self.operationID(definition, path, method), into: &out)
        out.member("summary")
        JSONText.write(operation.summary.description, into: &out)
        out.text(",\"tags\":[")
        JSONText.write(definition.id, into: &out)
        out.text("]")
        if definition.authentication == .anonymous {
            out.text(",\"security\":[]")
        } else {
            out.text(",\"security\":[{},{\"bearer\":[]},{\"basic\":[]},{\"key\":[]}]")
        }
        writeParameters(definition, operation, path)
        if !definition.mediaTypes.isEmpty, ["POST", "PUT", "PATCH"].contains(method) { writeBody(definition) }
        out.text(",\"responses\":{")
        for status in Self.successes(definition, operation) {
            out.text("\"")
            out.decimal(status)
            out.text("\":{\"description\":\"")
            out.text(status == 207 ? "Some events were not stored." : operation.outcome)
            out.text("\"")
            // A reply to HEAD has no content.
            if method != "HEAD" { writeContent(definition, operation) }
            out.text("},")
        }
        out.text("\"default\":{\"description\":\"A problem: what went wrong, for people and programs.\"")
        if method != "HEAD" {
            out.text(",\"content\":{\"")
            out.text(definition.dialect.mediaType)
            out.text("\":{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}}")
        }
        out.text("}}}")
    }

    /// One of its own for each operation: programs name functions by it.
    private static func operationID(_ definition: RouteDefinition, _ path: String, _ method: String) -> String {
        let index = definition.paths.firstIndex(of: path) ?? 0
        return definition.id + (index == 0 ? "" : "-\(index + 1)") + "-" + method.lowercased()
    }

    static func successes(_ definition: RouteDefinition, _ operation: OperationText) -> [Int] {
        guard let plan = definition.plan, plan.file == nil else { return operation.successes }
        return plan.reply.takesMany ? [plan.status, 207] : [plan.status]
    }

    private mutating func writeContent(_ definition: RouteDefinition, _ operation: OperationText) {
        let schema: StaticString =
            switch definition.plan?.file == nil ? definition.plan?.reply : nil {
            case .list: "Results"
            case .event: "Event"
            case .shard: "Shard"
            case nil: operation.schema
            }
        out.text(",\"content\":{\"")
        out.text(operation.mediaType)
        out.text("\":{\"schema\":{\"$ref\":\"#/components/schemas/")
        out.text(schema)
        out.text("\"}}}")
    }

    // MARK: What a request has

    private mutating func writeParameters(_ definition: RouteDefinition, _ operation: OperationText, _ path: String) {
        let hasPlace = path.contains("{partition}")
        let query = (definition.endpoint.parameters ?? []).filter { !hasPlace || $0.description != "partition" }
        // To who reads, a key is of no use.
        let fields = RouteTable.fields(of: definition).subtracting(
            definition.endpoint.target == nil ? KnownFields(.partitionKey) : KnownFields())
        out.text(",\"parameters\":[")
        var isFirst = true
        for name in query {
            if !isFirst { out.text(",") }
            isFirst = false
            out.text("{\"in\":\"query\",\"name\":\"")
            out.text(name)
            // A file's rows go where nothing else says.
            out.text(
                name.description == "topic" && definition.endpoint.target == .query
                    ? "\",\"required\":true,\"schema\":" : "\",\"schema\":")
            out.text(Self.schema(ofQuery: name, definition.endpoint))
            out.text("}")
        }
        let required = Self.requiredField(definition)
        let needsKey = Self.needsPartitionKey(definition)
        for (field, schema) in Self.fieldSchemas
        where !fields.isDisjoint(with: KnownFields(field)) && field.name.description != required {
            if !isFirst { out.text(",") }
            isFirst = false
            out.text("{\"in\":\"header\",")
            if needsKey, field == .partitionKey { out.text("\"required\":true,") }
            out.text("\"name\":\"")
            out.text(field.name)
            out.text("\",\"schema\":")
            out.text(schema)
            out.text("}")
        }
        if let required {
            if !isFirst { out.text(",") }
            out.text("{\"in\":\"header\",\"required\":true,\"name\":")
            JSONText.write(required, into: &out)
            out.text(",\"schema\":")
            out.text(Self.keySchema)
            out.text("}")
        }
        out.text("]")
    }

    /// The field that a request has its key in, where it needs one.
    private static func requiredField(_ definition: RouteDefinition) -> String? {
        guard let rule = definition.plan?.idempotency, rule.isRequired, case .field(let name) = rule.source else {
            return nil
        }
        return name
    }

    /// Whether each request needs the field Partition-Key: CloudEvents may have their keys among their attributes.
    private static func needsPartitionKey(_ definition: RouteDefinition) -> Bool {
        definition.plan?.key == .requiredField
            && definition.mediaTypes.isDisjoint(with: [.cloudEvent, .cloudEvents])
    }

    private static func schema(ofQuery name: StaticString, _ endpoint: any HTTPEndpoint.Type) -> StaticString {
        switch name.description {
        case "results": "{\"type\":\"string\",\"enum\":[\"none\",\"errors\",\"all\"]}"
        case "offset":
            "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":0,\"maximum\":999999999999999999},{\"enum\":[\"earliest\",\"latest\"]}]}"
        case "partition", "timestamp": "{\"type\":\"integer\",\"minimum\":0,\"maximum\":999999999999999999}"
        case "count": "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}"
        case "delay_ms": "{\"type\":\"integer\",\"minimum\":0,\"maximum\":900000}"
        // Of consumers, not of messages.
        case "group" where endpoint == RecordsEndpoint.self || endpoint == StreamEndpoint.self:
            "{\"type\":\"string\",\"pattern\":\"^[^\\\\u0000]+$\",\"maxLength\":255}"
        case "group", "deduplication_id": "{\"type\":\"string\",\"pattern\":\"^[^\\\\u0000]+$\",\"maxLength\":128}"
        case "workers": "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000}"
        case "service_ms": "{\"type\":\"integer\",\"minimum\":1,\"maximum\":43200000}"
        case "rate": "{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000000000}"
        case "backlog": "{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000000000000}"
        case "limit": "{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000}"
        case "wait_ms": "{\"type\":\"integer\",\"minimum\":0,\"maximum\":30000}"
        case "from":
            "{\"type\":\"string\",\"pattern\":\"^(earliest|latest|p[0-9]{1,3}:[0-9]{1,18}|[0-9]{1,18})$\"}"
        case "to": "{\"type\":\"string\",\"pattern\":\"^[0-9]{1,18}$\"}"
        case "format": "{\"type\":\"string\",\"enum\":[\"csv\",\"ndjson\",\"json\"]}"
        // One name: a list has each of them once.
        case "header": "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_ .-]{1,64}$\"}"
        case "delimiter": "{\"type\":\"string\",\"pattern\":\"^([,;|:]|tab)$\"}"
        case "skip_lines": "{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000}"
        case "topic": "{\"type\":\"string\",\"pattern\":\"^[a-zA-Z0-9._-]{1,249}$\"}"
        case "commit": "{\"type\":\"string\",\"enum\":[\"auto\",\"none\"]}"
        case "contains": "{\"type\":\"string\",\"minLength\":1}"
        case "max_bytes": "{\"type\":\"integer\",\"minimum\":1,\"maximum\":4194304}"
        default: "{\"type\":\"string\"}"
        }
    }

    private static let keySchema: StaticString =
        "{\"type\":\"string\",\"pattern\":\"^[!#-~][ -~]*$\",\"maxLength\":255}"

    private static let fieldSchemas: [(KnownField, StaticString)] = [
        (.partitionKey, "{\"type\":\"string\",\"maxLength\":1024}"),
        (.batchMode, "{\"type\":\"string\",\"enum\":[\"atomic\",\"partial\"]}"),
        (.idempotencyKey, keySchema),
        (.lastEventID, "{\"type\":\"string\",\"pattern\":\"^p[0-9]+:[0-9]+(,p[0-9]+:[0-9]+)*$\"}"),
    ]

    private mutating func writeBody(_ definition: RouteDefinition) {
        let isRequired = !definition.endpoint.operation.mayLackBody
        out.text(",\"requestBody\":{\"required\":")
        out.text(isRequired ? "true" : "false")
        out.text(",\"content\":{")
        for (index, name) in Self.mediaTypes(definition).enumerated() {
            if index > 0 { out.text(",") }
            JSONText.write(name, into: &out)
            out.text(":{\"schema\":")
            writeSchema(ofBody: name, definition)
            out.text("}")
        }
        out.text("}}")
    }

    static func mediaTypes(_ definition: RouteDefinition) -> [String] {
        definition.mediaTypes.names.split(separator: ", ").map(String.init)
            + (definition.mediaTypes.contains(.anyJSON) && !definition.mediaTypes.contains(.json)
                ? ["application/json"] : [])
    }

    /// Of several events each is held against the route's schema by itself, so the whole may be anything; but values that every event
    /// needs for a key are said, for without them nothing is stored.
    private mutating func writeSchema(ofBody mediaType: String, _ definition: RouteDefinition) {
        let isCloudEvent = mediaType == CloudEvents.structured
        // At `/v1/files` the parameter `format` may say that it is something else.
        if mediaType == "application/json", definition.endpoint == RoutedFileEndpoint.self {
            return out.text("{\"type\":\"array\"}")
        }
        if mediaType == "application/json", let plan = definition.plan, let needs = Self.needs(plan) {
            return writeSchema(needing: needs, plan, definition)
        }
        guard definition.schemaText != nil, definition.plan?.reply.takesMany == false || isCloudEvent,
            isCloudEvent || mediaType == "application/json"
        else { return out.text(Self.schema(ofBody: mediaType, definition)) }
        let reference = "#/components/schemas/" + SchemaText.component(of: definition.id)
        if isCloudEvent {
            out.text(
                "{\"allOf\":[{\"$ref\":\"#/components/schemas/CloudEvent\"},{\"required\":[\"data\"],\"properties\":{\"data\":"
            )
        }
        out.text("{\"$ref\":")
        JSONText.write(reference, into: &out)
        out.text("}")
        if isCloudEvent { out.text("}}]}") }
    }

    private static func schema(ofBody mediaType: String, _ definition: RouteDefinition) -> StaticString {
        if mediaType == CloudEvents.structured { return "{\"$ref\":\"#/components/schemas/CloudEvent\"}" }
        if mediaType == "application/cloudevents-batch+json" {
            return "{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/CloudEvent\"}}"
        }
        switch mediaType {
        case "application/json": break
        case "text/csv": return "{\"type\":\"string\",\"minLength\":1}"
        case "multipart/form-data":
            return
                "{\"type\":\"object\",\"required\":[\"file\"],\"properties\":{\"file\":{\"type\":\"string\",\"contentMediaType\":\"text/csv\"}}}"
        case "application/x-www-form-urlencoded": return "{\"$ref\":\"#/components/schemas/Form\"}"
        default:
            return mediaType.hasPrefix("application/vnd.kafka.")
                ? "{\"$ref\":\"#/components/schemas/KafkaV2Records\"}" : "{}"
        }
        if let schema = definition.endpoint.operation.body { return schema }
        if definition.endpoint == IngestEndpoint.self { return "{\"$ref\":\"#/components/schemas/Envelope\"}" }
        if definition.endpoint == WebhookEndpoint.self { return "{\"type\":\"object\"}" }
        if let plan = definition.plan, !plan.reply.takesMany { return "{\"type\":\"object\"}" }
        return "{}"
    }

    /// Schemas of what an event of JSON needs for the route's keys; nil: nothing.
    private static func needs(_ plan: IngestPlan) -> [String]? {
        var needs: [String] = []
        if case .pointer(let pointer, isRequired: true) = plan.key {
            needs.append(
                schema(
                    having: pointer,
                    "{\"type\":[\"string\",\"number\",\"boolean\"],\"pattern\":\"^[^\\u0000]*$\",\"maxLength\":\(GatewayLoop.maxKeyBytes)}"
                ))
        }
        if let rule = plan.idempotency, rule.isRequired, case .pointers(let pointers) = rule.source {
            needs += pointers.map { schema(having: $0, "{\"not\":{\"type\":\"null\"}}") }
        }
        return needs.isEmpty ? nil : needs
    }

    /// Of an object that has a value there. The token may be an index as well as a name: then nothing is said of what it is in.
    private static func schema(having pointer: JSONPointer, _ value: String) -> String {
        var schema = value
        for token in pointer.tokens.reversed() {
            if token.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
                schema = "{}"
                continue
            }
            var name = ByteWriter(capacity: 64)
            JSONText.write(String(decoding: token, as: UTF8.self), into: &name)
            let text = String(decoding: name.array, as: UTF8.self)
            schema = "{\"type\":\"object\",\"required\":[\(text)],\"properties\":{\(text):\(schema)}}"
        }
        return schema
    }

    private mutating func writeSchema(needing needs: [String], _ plan: IngestPlan, _ definition: RouteDefinition) {
        var all = needs
        if definition.schemaText != nil, !plan.reply.takesMany {
            all.append("{\"$ref\":\"#/components/schemas/\(SchemaText.component(of: definition.id))\"}")
        }
        let event = "{\"allOf\":[\(all.joined(separator: ","))]}"
        out.utf8(plan.reply.takesMany ? "{\"anyOf\":[\(event),{\"type\":\"array\",\"items\":\(event)}]}" : event)
    }

    // MARK: Schemas

    private static let schemas: StaticString = """
        "Problem":{"type":"object","required":["type","title","status","detail","code","error","message","error_code",\
        "request_id","retryable"],"properties":{"type":{"type":"string"},"title":{"type":"string"},\
        "status":{"type":"integer"},"detail":{"type":"string"},"instance":{"type":"string"},"code":{"type":"string"},\
        "error":{"type":"string"},"message":{"type":"string"},"error_code":{"type":"integer"},\
        "request_id":{"type":"string"},"retryable":{"type":"boolean"},"limit":{"type":"integer"},\
        "errors":{"type":"array","items":{"type":"object"}}}},\
        "Form":{"type":"object","minProperties":1,"additionalProperties":{"anyOf":[{"type":"string"},{"type":"array","minItems":1,\
        "items":{"type":"string"}}]}},\
        "Whole":{"type":["integer","null"],"minimum":-9223372036854775808,"maximum":9223372036854775807},\
        "ReceiptList":{"type":"array","minItems":1,"maxItems":1000,"items":{"type":"string"}},\
        "QueueName":{"type":["string","null"],"pattern":"^[a-zA-Z0-9_-]{0,80}$"},\
        "Results":{"type":"object","required":["accepted","rejected"],"properties":{"accepted":{"type":"integer"},\
        "rejected":{"type":"integer"},"duplicates":{"type":"integer"},"formula_cells":{"type":"integer"},"request_id":{"type":"string"},"results":{"type":"array","items":{"type":"object"}},\
        "results_truncated":{"type":"boolean"},\
        "stopped":{"type":"object","description":"Why the rest of a long body was not taken.","required":["index","status","code","error","retryable"],\
        "properties":{"index":{"type":"integer"},"status":{"type":"integer"},"code":{"type":"string"},"error":{"type":"string"},"retryable":{"type":"boolean"}}}}},\
        "Event":{"type":"object","required":["accepted","topic","partition","offset"],"properties":{\
        "accepted":{"type":"integer"},"rejected":{"type":"integer"},"event_id":{"type":"string"},\
        "request_id":{"type":"string"},"received_at":{"type":"string"},"topic":{"type":"string"},\
        "partition":{"type":"integer"},"offset":{"type":"integer"}}},\
        "Shard":{"type":"object","properties":{"message":{"type":"string"},"event_id":{"type":"string"},\
        "request_id":{"type":"string"},"sequenceNumber":{"type":"string"},"shardId":{"type":"string"},\
        "partition":{"type":"integer"},"offset":{"type":"integer"}}},\
        "CloudEvent":{"type":"object","required":["specversion","id","source","type"],"properties":{"specversion":{"const":"1.0"},\
        "id":{"type":"string","minLength":1},"source":{"type":"string","minLength":1},"type":{"type":"string","minLength":1}}},\
        "Envelope":{"type":"object","required":["event_type","payload"],"properties":{"event_type":{"type":"string",\
        "pattern":"^[^\\u0000]+$","maxLength":1024},"payload":{"type":"object"},"timestamp":{"type":["string","number","null"]}}},\
        "KafkaV2Records":{"type":"object","required":["records"],"additionalProperties":false,"properties":{"records":{"type":"array","minItems":1,\
        "items":{"type":"object"}}}},\
        "KafkaV2Offsets":{"type":"object","required":["offsets"],"properties":{"offsets":{"type":"array","items":{\
        "type":"object"}}}},\
        "KafkaV3Batch":{"type":"object","required":["successes","failures"],"properties":{"successes":{"type":"array"},\
        "failures":{"type":"array"}}},\
        "Records":{"type":"object","required":["topic","records","next"],\
        "properties":{"topic":{"type":"string"},"partition":{"type":"integer"},"records":{"type":"array","items":{\
        "type":"object"}},"next":{"type":"string"},"next_offset":{"type":"integer"},"high_watermark":{"type":"integer"},\
        "log_start_offset":{"type":"integer"}}},\
        "File":{"type":"object","required":["request_id","job_id","topic","rows","accepted","rejected","bytes","line","errors"],\
        "properties":{"request_id":{"type":"string"},"job_id":{"type":"string"},"topic":{"type":"string"},"rows":{"type":"integer"},\
        "accepted":{"type":"integer"},"rejected":{"type":"integer"},"bytes":{"type":"integer"},"line":{"type":"integer"},\
        "quarantine":{"type":"string"},"errors":{"type":"array","maxItems":100,"items":{"$ref":"#/components/schemas/RejectedRow"}}}},\
        "RejectedRow":{"type":"object","required":["line","reason"],"properties":{"line":{"type":"integer"},\
        "column":{"type":"integer"},"reason":{"type":"string"}}},\
        "Job":{"type":"object","required":["job_id","kind","state","route","topic","created","changed"],\
        "properties":{"job_id":{"type":"string"},"kind":{"enum":["upload","redrive","pull","watch"]},"state":{"enum":["running","finished","failed","cancelled"]},\
        "route":{"type":"string"},"topic":{"type":"string"},"file":{"type":"string"},"pull":{"type":"string"},"pages":{"type":"integer"},"owner":{"type":"string"},"created":{"type":"string"},\
        "changed":{"type":"string"},"rows":{"type":"integer"},"accepted":{"type":"integer"},"rejected":{"type":"integer"},\
        "bytes":{"type":"integer"},"line":{"type":"integer"},"quarantine":{"type":"string"},"reason":{"type":"string"},\
        "from":{"type":"string"},"to":{"type":"string"},"rate":{"type":"integer"},"expected":{"type":"integer"},\
        "moved":{"type":"integer"},"stayed":{"type":"integer"},\
        "errors":{"type":"array","items":{"$ref":"#/components/schemas/RejectedRow"}}}},\
        "Jobs":{"type":"object","required":["jobs"],"properties":{"jobs":{"type":"array","items":{"$ref":"#/components/schemas/Job"}}}},\
        "Pulls":{"type":"object","required":["pulls"],"properties":{"pulls":{"type":"array","items":{"type":"object",\
        "required":["name","url","topic","every_ms","next","trouble","job"],"properties":{"name":{"type":"string"},"url":{"type":"string"},\
        "topic":{"type":"string"},"every_ms":{"type":["integer","null"]},"next":{"type":["string","null"]},"trouble":{"type":["string","null"]},\
        "job":{"anyOf":[{"type":"null"},{"$ref":"#/components/schemas/Job"}]}}}}}},\
        "Watchers":{"type":"object","required":["watchers"],"properties":{"watchers":{"type":"array","items":{"type":"object",\
        "required":["name","directory","route","state","running","done","failed","unsettled","unreadable","special"],\
        "properties":{"name":{"type":"string"},"directory":{"type":"string"},"route":{"type":"string"},\
        "state":{"enum":["watching","waiting"]},"running":{"type":"integer"},"done":{"type":"integer"},"failed":{"type":"integer"},\
        "unsettled":{"type":"integer"},"unreadable":{"type":"integer"},"special":{"type":"integer"},"problem":{"type":"string"}}}}}},\
        "Status":{"type":"object","required":["status"],"properties":{"status":{"type":"string"}}},\
        "Anything":{}
        """
}

/// What the description says of an endpoint.
struct OperationText {
    var summary: StaticString
    /// Statuses of requests that were served.
    var successes: [Int] = [200]
    /// What they mean.
    var outcome: StaticString = "Served."
    var mediaType: StaticString = "application/json"
    /// Of the content, by its name in the description.
    var schema: StaticString = "Anything"
    /// What a body of JSON has to be, as a schema; nil: the endpoint's kind says it.
    var body: StaticString?
    /// A request without a body asks for what is usual.
    var mayLackBody = false
}

extension HTTPEndpoint {
    static var operation: OperationText { OperationText(summary: "Events, as the route is configured") }
}

extension EventsEndpoint {
    static var operation: OperationText {
        OperationText(
            summary: "Stores one event, an array of events, or lines of JSON", successes: [201, 207],
            outcome: "The events are on disk.", schema: "Results")
    }
}

extension WebhookEndpoint {
    static var operation: OperationText {
        OperationText(
            summary: "Stores one JSON object", successes: [201], outcome: "The event is on disk.", schema: "Event")
    }
}

extension IngestEndpoint {
    static var operation: OperationText {
        OperationText(
            summary: "Stores one typed event", successes: [202], outcome: "The event is on disk.", schema: "Shard")
    }
}

extension KafkaV2Endpoint {
    static var operation: OperationText {
        OperationText(
            summary: "Stores records as version 2 of Kafka's REST proxies takes them",
            outcome: "A place for each record.",
            mediaType: ErrorDialect.kafkaV2.mediaType, schema: "KafkaV2Offsets")
    }
}

extension KafkaV3Endpoint {
    static var operation: OperationText {
        OperationText(
            summary: "Stores records as version 3 of Kafka's REST proxies takes them",
            outcome: "A JSON text for each record, behind each other.")
    }
}

extension KafkaV3BatchEndpoint {
    static var operation: OperationText {
        OperationText(
            summary: "Stores records with names, as version 3 takes them", successes: [207],
            outcome: "What was stored, and what was not.", schema: "KafkaV3Batch")
    }
}

extension RecordsEndpoint {
    static var operation: OperationText {
        OperationText(
            summary: "Reads records of all partitions or of one, and waits for some", outcome: "The records.",
            schema: "Records")
    }
}

extension StreamEndpoint {
    static var operation: OperationText {
        OperationText(
            summary: "Streams records as they come, as Server-Sent Events or lines of JSON",
            outcome: "Records without end.", mediaType: "text/event-stream")
    }
}

extension HealthEndpoint {
    static var operation: OperationText { OperationText(summary: "Whether the process lives", schema: "Status") }
}

extension ReadinessEndpoint {
    static var operation: OperationText {
        OperationText(summary: "Whether writes can be committed", outcome: "They can.", schema: "Status")
    }
}

extension MetricsEndpoint {
    static var operation: OperationText {
        OperationText(
            summary: "All numbers, for Prometheus", mediaType: "text/plain; version=0.0.4; charset=utf-8")
    }
}

extension StatisticsEndpoint {
    static var operation: OperationText { OperationText(summary: "What was counted of each route", schema: "Status") }
}

extension TraceEndpoint {
    static var operation: OperationText { OperationText(summary: "What took long in this process") }
}
