import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import Security
import Telemetry

/// `POST /events`, for webhooks: one JSON object, stored byte for byte. What the gateway adds stands beside it, in the
/// record's headers (`event_id`, `received_at`, `request_id`), and in the reply; the client's members are never touched.
enum WebhookEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { [] }
    static var fields: KnownFields { KnownFields(.partitionKey) }
    static var target: EventTarget? { .row }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForEvents() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion { loop.postWebhook(body) }
}

extension GatewayLoop {
    fileprivate func postWebhook(_ body: UnsafeRawBufferPointer) -> Completion {
        func refuse(_ problem: Problem) -> Completion {
            countRejected(1, reason: problem.kind.code)
            answer(problem, instance: head.path)
            return .answered
        }
        if let problem = readObject(body) { return refuse(problem) }
        switch topicForAppend(routeRow.pointee.topic) {
        case .unready(let work): return .suspended(.work(work))
        case .refused(let problem): return refuse(problem)
        case .found(let topic):
            switch appendOne(topic, key: head[.partitionKey], body: body) {
            case .failure(let problem): return refuse(problem)
            case .success(let (placement, eventID)):
                routeRow.pointee.counters.accepted.add()
                reply.status = 201
                writeAccepted(topic, placement, eventID)
                return .gated(placement.commits, bytes: placement.bytes)
            }
        }
    }

    /// Checks that the body is one JSON object, and sets `events` to its range.
    private func readObject(_ body: UnsafeRawBufferPointer) -> Problem? {
        events.removeAll(keepingCapacity: true)
        rejections.removeAll(keepingCapacity: true)
        var scanner = JSONScanner(body, limits: jsonLimits)
        let kind = scanner.peek()
        if scanner.position == body.count { return Problem(.bodyRequired, "Request body is required") }
        let start = scanner.position
        do throws(JSONFailure) {
            _ = try scanner.value()
            events.append(JSONRange(start, scanner.position))
            try scanner.finish()
        } catch {
            return Problem(error, limits: jsonLimits)
        }
        return kind == .object ? nil : Problem(.invalidField, "Request body must be a JSON object")
    }

    /// Appends the one event in `events`, with all of the gateway's headers. Shared with `/ingest`.
    func appendOne(
        _ topic: Topic, key: UnsafeRawBufferPointer?, body: UnsafeRawBufferPointer
    ) -> Result<(Placement, UUIDv7), Problem> {
        let partition = partition(of: topic, key: key)
        let settings = partition.settings
        if settings.isCompacted, key == nil { return .failure(keyRequired()) }
        let maxBatchBytes = settings.maxBatchBytes
        receivedAt.update(toMs: wallClockMs)
        let headers = writeRecordHeaders(requestID: true, receivedAt: true, eventID: true)
        let limit: Int
        switch longestEvent(keyBytes: key?.count ?? 0, maxBatchBytes: maxBatchBytes) {
        case .failure(let problem): return .failure(problem)
        case .success(let bytes): limit = bytes
        }
        guard events[0].count <= limit else {
            return .failure(Problem(.eventTooLarge, "The event is larger than \(limit) bytes.", limit: limit))
        }
        let eventID = identifiers.next(atMs: wallClockMs)
        buildBatches(
            of: body, key: key, headerCount: headers.count, eventID: headers.eventID.map { (eventID, $0) },
            maxBatchBytes: maxBatchBytes)
        defer { dropBatches() }
        switch appendBatches(to: partition) {
        case .failure(let refusal): return .failure(Self.problem(of: refusal, limit: maxBatchBytes))
        case .success(let placement):
            didAppend(placement, to: topic)
            return .success((placement, eventID))
        }
    }

    /// Shared with configured routes.
    func writeAccepted(_ topic: Topic, _ placement: Placement, _ eventID: UUIDv7) {
        out.removeAll()
        out.text("{\"accepted\":1,\"rejected\":0,\"event_id\":\"")
        eventID.write(to: out.append(uninitialized: UUIDv7.textLength))
        out.text("\",\"request_id\":\"")
        out.bytes(requestID)
        out.text("\",\"received_at\":\"")
        out.bytes(receivedAt.text)
        out.text("\",\"topic\":\"")
        out.bytes(topic.nameBytes)
        out.text("\",\"partition\":")
        out.decimal(Int(placement.partitionIndex))
        out.text(",\"offset\":")
        out.decimal(Int(placement.baseOffset))
        out.text("}")
    }
}
