import ByteBuffers
import HTTPWire
import Telemetry

/// What a configured route looks at in its events, and what it adds to them.
extension GatewayLoop {
    /// Holds each event against the schema and chooses its key. `rejections` stay in the order of the events.
    func checkEvents(of text: UnsafeRawBufferPointer, _ format: RoutedFormat, _ plan: IngestPlan, needsKey: Bool) {
        let checks = EventChecks(text, format, plan)
        let shared = sharedKey(plan, format)
        let isStructured = format == .cloudEvent || format == .cloudEvents
        let known = rejections
        rejections.removeAll(keepingCapacity: true)
        var next = 0
        for index in events.indices {
            routed.keys.append(shared)
            if next < known.count, known[next].index == index {
                rejections.append(known[next])
                next += 1
                continue
            }
            if let failure = checks.failure(of: events[index]) {
                reject(index, failure.kind, EventFinding(failure.keyword, failure.pointer, failure.words))
                continue
            }
            switch plan.key {
            case .pointer(let pointer, let isRequired) where format.isJSON:
                chooseKey(of: index, pointer, isRequired, checks.walk)
            case .pointer(let pointer, isRequired: true):
                let words = "\(pointer.text) is required, and content that is not read as JSON has none"
                reject(index, .missingField, EventFinding("key", pointer.text, words))
            case .field where shared == nil && isStructured, .requiredField where shared == nil && isStructured:
                guard let pointer = CloudEvents.partitionKey else { break }
                chooseKey(of: index, pointer, plan.key == .requiredField, checks.walk)
            case .requiredField where shared == nil:
                reject(index, .missingField, EventFinding("key", "", Self.partitionKeyMissing))
            default: break
            }
            if needsKey, routed.keys[index] == nil, rejections.last?.index != index {
                reject(index, .keyRequired, EventFinding("key", "", "The topic is compacted: its records need a key"))
            }
        }
    }

    /// The key of all events of the request, where its head has one.
    private func sharedKey(_ plan: IngestPlan, _ format: RoutedFormat) -> JSONRange? {
        guard plan.key.isField else { return nil }
        if let key = head[.partitionKey] {
            routed.keyBytes.bytes(key)
        } else if format == .binaryCloudEvent, let key = partitionKeyAttribute() {
            routed.keyBytes.bytes(key)
        } else {
            return nil
        }
        return JSONRange(0, routed.keyBytes.count)
    }

    /// What is said of each event is kept as far as a reply has room for it.
    private func reject(_ index: Int, _ kind: ProblemKind, _ finding: EventFinding) {
        routed.findingBytes += finding.words.utf8.count + finding.pointer.utf8.count
        rejections.append(
            routed.findingBytes <= Self.maxResultsBytes
                ? Rejection(index: index, kind: kind, detail: "", finding: finding)
                : Rejection(index: index, kind: kind, detail: "The event is not as the route wants it"))
    }

    private func chooseKey(of index: Int, _ pointer: JSONPointer, _ isRequired: Bool, _ walk: JSONWalk) {
        func refuse(_ words: String) {
            let name = pointer.text.dropFirst().replacing("/", with: ".")
            reject(index, isRequired ? .missingField : .invalidField, EventFinding("key", pointer.text, name + words))
        }
        let start = routed.keyBytes.count
        let value = pointer.find(in: walk, events[index])
        switch value?.kind {
        case .string:
            guard let value, let text = walk.string(value) else { return refuse(" has half of a surrogate pair") }
            if text.contains(0) { return refuse(" has a NUL") }
            text.withUnsafeBytes { routed.keyBytes.bytes($0) }
        case .number, .true, .false:
            guard let value else { return }
            routed.keyBytes.bytes(value.range.bytes(of: walk.text))
        case .object, .array, .null, nil:
            if isRequired { refuse(" is required") }
            return
        }
        guard routed.keyBytes.count - start <= Self.maxKeyBytes else {
            return refuse(" is longer than \(Self.maxKeyBytes) bytes")
        }
        routed.keys[index] = JSONRange(start, routed.keyBytes.count)
    }

    // MARK: Additions

    /// Writes the headers of the request's records into `recordHeaders`, or says what is wrong with what they are made of.
    func writeHeaders(of plan: IngestPlan, _ format: RoutedFormat) -> Problem? {
        recordHeaders.removeAll()
        routed.headerCount = 0
        readTrace(plan)
        for header in plan.headers {
            routed.headerCount += 1
            switch header.source {
            case .eventID:
                recordHeaders.varint(Int32(header.name.utf8.count))
                recordHeaders.utf8(header.name)
                recordHeaders.varint(Int32(UUIDv7.textLength))
                routed.idPlaces.append(recordHeaders.count)
                _ = recordHeaders.append(uninitialized: UUIDv7.textLength)
            case .now: writeHeader(header.name, String(decoding: receivedAt.text, as: UTF8.self))
            case .nowMs: writeHeader(header.name, String(wallClockMs))
            case .requestID: writeHeader(header.name, String(decoding: requestID, as: UTF8.self))
            case .traceParent, .traceState:
                // A header of nothing would be read as one of something.
                guard let text = routed.text(of: header.source) else {
                    routed.headerCount -= 1
                    continue
                }
                writeHeader(header.name, text)
            case .text(let text): writeHeader(header.name, text)
            }
        }
        return writeFormatHeaders(format)
    }

    /// Finds what the plan adds of the request's trace. A member of nothing is not added, as a header of nothing is not.
    private func readTrace(_ plan: IngestPlan) {
        routed.members = plan.members
        guard plan.addsTraceParent || plan.addsTraceState else { return }
        if plan.addsTraceParent, let parent = currentTrace {
            routed.traceParent = parent.text
            if trace == nil { metrics.traces(.started).add() }
        }
        if plan.addsTraceState { routed.traceState = traceState() }
        routed.members.removeAll { member in
            switch member.source {
            case .traceParent, .traceState: routed.text(of: member.source) == nil
            default: false
            }
        }
    }

    private func writeFormatHeaders(_ format: RoutedFormat) -> Problem? {
        switch format {
        case .json, .lines, .csv, .form: return nil
        case .cloudEvent, .cloudEvents:
            writeHeader("content-type", CloudEvents.structured)
            routed.headerCount += 1
        case .raw, .binaryCloudEvent:
            if let type = head[.contentType] {
                writeHeader("content-type", String(decoding: type, as: UTF8.self))
                routed.headerCount += 1
            }
            guard case .binaryCloudEvent = format else { return nil }
            switch writeAttributes() {
            case .failure(let problem): return problem
            case .success(let count): routed.headerCount += count
            }
        }
        return nil
    }

    func writeHeader(_ name: String, _ value: String) {
        recordHeaders.varint(Int32(name.utf8.count))
        recordHeaders.utf8(name)
        recordHeaders.varint(Int32(value.utf8.count))
        recordHeaders.utf8(value)
    }

    /// Refuses a request in which the number of events, times what the route adds to each, is too much.
    func addedTooMuch(_ plan: IngestPlan) -> Problem? {
        let members = plan.members.reduce(0) { $0 + $1.name.utf8.count + $1.source.mostBytes + 4 }
        let mark = hasEventKeys(plan) ? IdempotencyMark.maxBytes : 0
        return repeatedTooMuch(events: events.count, keyBytes: mark + members + (head[.partitionKey]?.count ?? 0))
    }

    /// Gives each event the members that it has not. What comes back is the text that `events` are ranges of from now on.
    func addMembers(
        to body: UnsafeRawBufferPointer, _ firstID: UUIDv7
    ) -> UnsafeRawBufferPointer {
        if routed.members.isEmpty { return body }
        let walk = JSONWalk(body)
        var next = 0
        for index in events.indices {
            let start = routed.made.count
            let isRejected = next < rejections.count && rejections[next].index == index
            if isRejected {
                // One that is no JSON at all is not walked through.
                next += 1
            } else if body[Int(events[index].start)] == UInt8(ascii: "{") {
                make(events[index], walk, firstID.advanced(by: index))
                events[index] = JSONRange(start, routed.made.count)
                continue
            }
            routed.made.bytes(events[index].bytes(of: body))
            events[index] = JSONRange(start, routed.made.count)
        }
        return routed.made.bytes
    }

    private func make(_ event: JSONRange, _ walk: JSONWalk, _ id: UUIDv7) {
        var missing = routed.members
        var isEmpty = true
        walk.members(of: event) { member in
            isEmpty = false
            missing.removeAll { walk.equals(member.key, Array($0.name.utf8)) }
            return !missing.isEmpty
        }
        routed.made.bytes(UnsafeRawBufferPointer(rebasing: event.bytes(of: walk.text).dropLast()))
        for member in missing {
            if !isEmpty { routed.made.text(",") }
            isEmpty = false
            JSONText.write(member.name, into: &routed.made)
            routed.made.text(":")
            write(member.source, id)
        }
        routed.made.text("}")
    }

    private func write(_ source: Enrichment.Source, _ id: UUIDv7) {
        switch source {
        case .eventID:
            routed.made.text("\"")
            id.write(to: routed.made.append(uninitialized: UUIDv7.textLength))
            routed.made.text("\"")
        case .now:
            routed.made.text("\"")
            routed.made.bytes(receivedAt.text)
            routed.made.text("\"")
        case .nowMs: routed.made.decimal(Int(wallClockMs))
        case .requestID: JSONText.write(requestID, into: &routed.made)
        case .traceParent, .traceState: JSONText.write(routed.text(of: source) ?? "", into: &routed.made)
        case .text(let text): JSONText.write(text, into: &routed.made)
        }
    }
}

/// What the events of one text are held against.
private struct EventChecks {
    let walk: JSONWalk
    private let schema: SchemaCheck?
    private let attributes: SchemaCheck?

    init(_ text: UnsafeRawBufferPointer, _ format: RoutedFormat, _ plan: IngestPlan) {
        walk = JSONWalk(text)
        schema = format.isJSON ? plan.schema.map { SchemaCheck($0, text) } : nil
        let isCloudEvent = format == .cloudEvent || format == .cloudEvents
        attributes = isCloudEvent ? SchemaCheck(CloudEvents.required, text) : nil
    }

    /// Of a CloudEvent the route's schema is about its content.
    func failure(of event: JSONRange) -> SchemaFailure? {
        guard let attributes else { return schema?.failure(of: event) }
        if let failure = attributes.failure(of: event) { return failure }
        guard let schema else { return nil }
        guard let content = CloudEvents.content?.find(in: walk, event) else {
            return SchemaFailure("required", .missing).within("data")
        }
        return schema.failure(of: content.range)?.within("data")
    }
}
