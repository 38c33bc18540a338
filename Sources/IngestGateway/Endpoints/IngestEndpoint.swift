import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import Security
import Telemetry

/// `POST /ingest` and `POST /`: `{"event_type":…,"payload":{…},"timestamp":…?}` with an allow-list of types, in place of a
/// service that put such events into Kinesis. The record's key is the type, as the partition key was there. The refusals'
/// `error` members are the words that its clients know; malformed JSON, which it answered with 500, is 400 here.
enum IngestEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { [] }
    static var target: EventTarget? { .row }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForEvents() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion { loop.postIngest(body) }
}

extension GatewayLoop {
    private static let eventType = 0
    private static let payload = 1
    private static let timestamp = 2

    fileprivate func postIngest(_ body: UnsafeRawBufferPointer) -> Completion {
        func refuse(_ problem: Problem) -> Completion {
            countRejected(1, reason: problem.kind.code)
            answer(problem, instance: head.path)
            return .answered
        }
        let type: [UInt8]
        switch readEnvelope(body) {
        case .failure(let problem): return refuse(problem)
        case .success(let found): type = found
        }
        switch topicForAppend(routeRow.pointee.topic) {
        case .unready(let work): return .suspended(.work(work))
        case .refused(let problem): return refuse(problem)
        case .found(let topic):
            switch type.withUnsafeBytes({ appendOne(topic, key: $0, body: body) }) {
            case .failure(let problem): return refuse(problem)
            case .success(let (placement, eventID)):
                routeRow.pointee.counters.accepted.add()
                reply.status = 202
                writeAccepted(placement, eventID, type: type)
                return .gated(placement.commits, bytes: placement.bytes)
            }
        }
    }

    /// Checks the body against the contract and sets `events` to its range; the result is the event type.
    private func readEnvelope(_ body: UnsafeRawBufferPointer) -> Result<[UInt8], Problem> {
        events.removeAll(keepingCapacity: true)
        rejections.removeAll(keepingCapacity: true)
        var scanner = JSONScanner(body, limits: jsonLimits)
        let kind = scanner.peek()
        if scanner.position == body.count { return .failure(Problem(.bodyRequired, "Request body is required")) }
        let start = scanner.position
        do throws(JSONFailure) {
            guard kind == .object else {
                _ = try scanner.onlyValue()
                return .failure(Problem(.invalidField, "Request body must be a JSON object"))
            }
            try ingestEnvelope.read(&scanner)
            events.append(JSONRange(start, scanner.position))
            try scanner.finish()
        } catch {
            return .failure(Problem(error, limits: jsonLimits))
        }
        return checkMembers(body)
    }

    /// Checks the members in the order of that service: the type is there, it is allowed, the payload is there. "There" is
    /// JavaScript's truth.
    private func checkMembers(_ body: UnsafeRawBufferPointer) -> Result<[UInt8], Problem> {
        guard let type = ingestEnvelope[Self.eventType], Self.isTruthy(type, body) else {
            return .failure(Problem(.missingField, "event_type is required"))
        }
        guard type.kind == .string else { return .failure(unknownType()) }
        let inside = UnsafeRawBufferPointer(rebasing: type.range.bytes(of: body).dropFirst().dropLast())
        guard let text = inside.contains(UInt8(ascii: "\\")) ? JSONText.unescaped(inside) : Array(inside) else {
            return .failure(
                Problem(
                    JSONFailure(reason: .loneSurrogate, position: Int(type.range.start)), limits: jsonLimits))
        }
        guard !text.contains(0) else {
            return .failure(
                Problem(JSONFailure(reason: .nulInText, position: Int(type.range.start)), limits: jsonLimits))
        }
        // It is the record's key.
        guard text.count <= Self.maxKeyBytes else {
            return .failure(
                Problem(
                    .invalidField, "event_type is longer than \(Self.maxKeyBytes) bytes", limit: Self.maxKeyBytes))
        }
        guard ingestTypes.isEmpty || ingestTypes.contains(text) else { return .failure(unknownType()) }
        guard let payload = ingestEnvelope[Self.payload], Self.isTruthy(payload, body) else {
            return .failure(Problem(.missingField, "payload is required"))
        }
        guard payload.kind == .object else { return .failure(Problem(.invalidField, "payload must be a JSON object")) }
        if let timestamp = ingestEnvelope[Self.timestamp], timestamp.kind != .string, timestamp.kind != .number,
            timestamp.kind != .null
        {
            return .failure(Problem(.invalidField, "timestamp must be a string or a number"))
        }
        return .success(text)
    }

    private func unknownType() -> Problem {
        if ingestTypes.isEmpty { return Problem(.unknownEventType, "Invalid event_type. It must be a string") }
        let list = options.ingestEventTypes.joined(separator: ", ")
        return Problem(.unknownEventType, "Invalid event_type. Must be one of: \(list)")
    }

    /// Whether JavaScript would take the member for present: not null, false, 0 or "".
    private static func isTruthy(_ member: JSONEnvelope.Member, _ body: UnsafeRawBufferPointer) -> Bool {
        switch member.kind {
        case .object, .array, .true: true
        case .null, .false: false
        case .string: member.range.count > 2
        case .number:
            // Zero in any spelling has no digit but 0 before an exponent.
            member.range.bytes(of: body).prefix { $0 | 0x20 != UInt8(ascii: "e") }
                .contains { (UInt8(ascii: "1")...UInt8(ascii: "9")).contains($0) }
        }
    }

    private func writeAccepted(_ placement: Placement, _ eventID: UUIDv7, type: [UInt8]) {
        out.removeAll()
        out.text("{\"message\":")
        JSONText.write(options.ingestMessage, into: &out)
        out.member("eventType")
        type.withUnsafeBytes { JSONText.write($0, into: &out) }
        writePlace(placement, eventID)
    }

    /// Ends a reply that tells of one event as the service did that put them into Kinesis. Shared with configured routes.
    func writePlace(_ placement: Placement, _ eventID: UUIDv7) {
        out.text(",\"event_id\":\"")
        eventID.write(to: out.append(uninitialized: UUIDv7.textLength))
        out.text("\",\"request_id\":\"")
        out.bytes(requestID)
        out.text("\",\"sequenceNumber\":\"")
        out.decimal(Int(placement.baseOffset))
        out.text("\",\"shardId\":\"shardId-")
        let shard = String(placement.partitionIndex)
        out.utf8(String(repeating: "0", count: max(0, 12 - shard.utf8.count)) + shard)
        out.text("\",\"partition\":")
        out.decimal(Int(placement.partitionIndex))
        out.text(",\"offset\":")
        out.decimal(Int(placement.baseOffset))
        out.text("}")
    }
}
