import ByteBuffers
import HTTPWire

/// What a request asks for that the gateway does not do. Taken silently, it would be a promise nobody keeps: the client
/// would think that its event has the time, the key or the safe retry that it asked for. So it is refused by name.
extension GatewayLoop {
    /// Longest `Partition-Key`, and longest event type of `/ingest`: it is written into every record of the request.
    static let maxKeyBytes = 1 << 10
    /// What the gateway adds to the events of one request: the key and the headers, once an event. As much as the longest
    /// request by default, and room for 100,000 events with keys of some 100 bytes. Above: 413, before anything is built.
    static let maxRepeatedBytes = 16 << 20
    /// Bytes of a peer's word that a problem repeats, at most.
    private static let maxQuoted = 64

    func notUnderstood() -> Problem? {
        let endpoint = routeRow.pointee.endpoint
        if head.query.count > 0, let problem = unsupportedParameter(of: endpoint) { return problem }
        let unsupported = Self.unsupported.subtracting(routeRow.pointee.fields)
        if !head.present.isDisjoint(with: unsupported) { return refusalOfFirst(of: unsupported) }
        if let index = head.firstField(withPrefix: "x-record-header-") {
            return refusal(of: Self.quoted(head.fieldName(index)), "Records get no headers from a request yet.")
        }
        let foreign = head.present.intersection(Self.ofSome).subtracting(routeRow.pointee.fields)
        if foreign.isEmpty { return nil }
        if foreign.contains(KnownFields(.partitionKey)) {
            return refusal(of: "Partition-Key", keyElsewhere)
        }
        if foreign.contains(KnownFields(.idempotencyKey)) {
            return refusal(of: "Idempotency-Key", idempotencyElsewhere)
        }
        return refusal(
            of: "X-Batch-Mode",
            routeRow.pointee.endpoint.takesFiles
                ? "Each row of a file is taken or quarantined for itself." : "One event is read here.")
    }

    private var idempotencyElsewhere: String {
        if let rule = routeRow.pointee.plan?.idempotency {
            return "The route takes a request's key from elsewhere: \(rule.source.place)."
        }
        if routeRow.pointee.endpoint.takesFiles { return "A file is taken row by row, and its job says how far." }
        return endpointOfQueues
            ? "A queue of order fifo knows a message that is sent again by deduplication_id; in another one it is there twice."
            : "Nothing is stored here."
    }

    private var endpointOfQueues: Bool { routeRow.pointee.endpoint == QueueSendEndpoint.self }

    private var keyElsewhere: String {
        routeRow.pointee.plan == nil
            ? "The key of an event here is its event_type." : "The key of an event here is chosen by the route."
    }

    private static let unsupported = KnownFields(.prefer, .eventTime, .eventType, .cloudEventsVersion)
    /// What some endpoints take and others do not.
    private static let ofSome = KnownFields(.batchMode, .partitionKey, .idempotencyKey)

    private func refusalOfFirst(of unsupported: KnownFields) -> Problem? {
        for field in KnownField.allCases
        where !head.present.isDisjoint(with: unsupported.intersection(KnownFields(field))) {
            return refusal(of: field)
        }
        return nil
    }

    private func refusal(of field: KnownField) -> Problem {
        let why: String =
            switch field {
            case .prefer: "Every reply waits for the disk."
            case .eventTime: "The time of a record is that of its arrival."
            case .cloudEventsVersion: "CloudEvents are read by routes that say so."
            default: "It would have no effect."
            }
        return refusal(of: field.name.description, why)
    }

    private func refusal(of name: String, _ why: String) -> Problem {
        Problem(
            .unsupportedHeader, "The header field \(name) is not supported here. \(why) Send the request without it.")
    }

    private func unsupportedParameter(of endpoint: any HTTPEndpoint.Type) -> Problem? {
        guard let parameters = endpoint.parameters else { return nil }
        let taken = parameters.filter { route.partition == nil || !Self.isPlace($0) }
        var items = QueryItems(head.query)
        var seen: UInt32 = 0
        while let item = items.next() {
            if let index = taken.firstIndex(where: { item.name.equals($0) }) {
                // Two readers could pick different ones.
                let bit: UInt32 = 1 << UInt32(index)
                defer { seen |= bit }
                if seen & bit == 0 { continue }
                return Problem(.invalidParameter, "The query parameter \(taken[index]) stands twice.")
            }
            let list = taken.isEmpty ? "no parameters" : taken.map(\.description).joined(separator: ", ")
            return Problem(
                .unsupportedParameter,
                "The query parameter \(Self.quoted(item.name)) is not supported; this path takes \(list).")
        }
        return nil
    }

    /// Whether the path says it, where its pattern has a place for it.
    private static func isPlace(_ parameter: StaticString) -> Bool { parameter.description == "partition" }

    /// Quotes a part of the head, which is visible ASCII; every problem is escaped where it is written.
    private static func quoted(_ name: UnsafeRawBufferPointer) -> String {
        String(decoding: name.prefix(maxQuoted), as: UTF8.self) + (name.count > maxQuoted ? "…" : "")
    }

    /// Refuses a body that does not say that it is JSON. What browsers send to other sites without asking (forms, plain
    /// text, no type at all) is not read, so a web page cannot post here behind its visitor's back.
    func unsupportedMediaType() -> Problem? {
        let taken = routeRow.pointee.mediaTypes
        if let type = mediaType(), taken.contains(type) {
            return type == .csv ? routeRow.pointee.plan.flatMap { headerProblem($0.csv) } : nil
        }
        if !taken.isDisjoint(with: [.anyJSON, .raw]) || isBinaryCloudEvent { return nil }
        reply.accept = taken
        let elsewhere = routeRow.pointee.takesEvents && Self.isOfConfiguredRoutes(mediaType())
        let said =
            head[.contentType] == nil
            ? "There is no Content-Type"
            : namesOtherCharset
                ? "The charset that this Content-Type names is not read, only UTF-8"
                : "This Content-Type is not read\(elsewhere ? " here, but by routes whose formats say so" : "")"
        return Problem(
            .unsupportedMediaType,
            "\(said); send one of: \(taken.names). With curl: -H 'Content-Type: \(taken.firstName)'.")
    }

    /// Refuses rows that say of their first one what the route does not take it for: a header would be stored, or a row lost.
    private func headerProblem(_ plan: CSVPlan) -> Problem? {
        guard let says = saysHeader, says != (plan.columns == nil) else { return nil }
        return Problem(
            .unsupportedMediaType,
            says
                ? "The route names the columns by itself, and every row is an event: send the rows alone, with header=absent."
                : "The route takes the names of the columns from the first row: send one, with header=present, or let the "
                    + "route name them (csv: {columns: [...]}).")
    }

    /// Whether built-in routes of events do not read what configured ones may.
    private static func isOfConfiguredRoutes(_ type: MediaTypes?) -> Bool {
        type.map { !$0.isDisjoint(with: [.csv, .form, .cloudEvent, .cloudEvents]) } ?? false
    }

    static let partitionKeyMissing = "The header field Partition-Key is required"

    /// Refuses a request without the key that its route asks for. CloudEvents may have theirs among their attributes.
    func keyMissing() -> Problem? {
        guard routeRow.pointee.plan?.key == .requiredField, head[.partitionKey] == nil, !isBinaryCloudEvent else {
            return nil
        }
        if let type = mediaType(), !type.isDisjoint(with: [.cloudEvent, .cloudEvents]) { return nil }
        return Problem(.missingField, Self.partitionKeyMissing)
    }

    func keyTooLarge() -> Problem? {
        guard let key = head[.partitionKey], key.count > Self.maxKeyBytes else { return nil }
        return Problem(.keyTooLarge, "A key is at most \(Self.maxKeyBytes) bytes.", limit: Self.maxKeyBytes)
    }

    /// Refuses a request in which the number of events, times what stands beside each of them, is too much.
    func repeatedTooMuch(events: Int, keyBytes: Int) -> Problem? {
        let each = keyBytes + recordHeaders.count
        guard each * events > Self.maxRepeatedBytes else { return nil }
        return Problem(
            .repeatedTooMuch,
            "\(events) events with \(each) bytes of key and headers each are more than \(Self.maxRepeatedBytes) bytes; "
                + "send fewer events a request, or a shorter key.", limit: Self.maxRepeatedBytes)
    }

    func keyRequired() -> Problem {
        Problem(.keyRequired, "The topic is compacted: its records need a key. Send one in Partition-Key.")
    }

    /// Returns the longest event that fits into a batch of the topic, beside `keyBytes` of key and the headers; or why
    /// none does.
    func longestEvent(keyBytes: Int, maxBatchBytes: Int) -> Result<Int, Problem> {
        let longest = min(options.maxEventBytes, maxBatchBytes - Self.recordOverhead - recordHeaders.count - keyBytes)
        if longest > 0 { return .success(longest) }
        return .failure(
            Problem(
                .eventTooLarge,
                "The topic's max.message.bytes, \(maxBatchBytes), leaves no room for an event beside its key and headers.",
                limit: maxBatchBytes))
    }
}
