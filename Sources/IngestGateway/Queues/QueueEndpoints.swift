import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import QueueLedger
import RecordFormat
import Security

/// `POST /v1/queues/{queue}/messages?group=&deduplication_id=&delay_ms=`: one message, an array of them, or lines: each JSON value is a
/// message's body, byte for byte. The parameters count for all of the request.
///
///     201 {"accepted":2,"rejected":0,"request_id":"…","results":[{"index":0,"status":"ok","id":"…","partition":0,"offset":5,"duplicate":false}]}
enum QueueSendEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.write) }
    static var parameters: [StaticString]? { ["group", "deduplication_id", "delay_ms"] }
    static var operation: OperationText {
        OperationText(
            summary: "Sends one message, an array of messages, or lines of JSON", successes: [201, 207],
            outcome: "The messages are on disk.")
    }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        if let problem = loop.queueProblem(needsBody: true) { return .refused(problem) }
        return .collected(upTo: loop.routeRow.pointee.maxBodyBytes)
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            var template = QueueMessage(body: [])
            var items = QueryItems(loop.head.query)
            while let item = items.next() {
                if item.name.equals("delay_ms") {
                    guard let delay = item.value.decimalValue else {
                        return loop.refuseQueue(Problem(.invalidParameter, "delay_ms is a number of milliseconds."))
                    }
                    template.delayMs = Int64(delay)
                    continue
                }
                guard let text = PercentDecoding.string(item.value) else {
                    return loop.refuseQueue(Problem(.invalidParameter, "A parameter is no percent-encoded UTF-8."))
                }
                if item.name.equals("group") { template.groupID = text } else { template.deduplicationID = text }
            }
            let isLines = loop.mediaType() == .lines
            let limits = loop.jsonLimits
            let requestID = Array(loop.requestID)
            return loop.ask { [template] queues, body, done in
                done(QueueSending.answer(queues, name, template, body, isLines, limits, requestID))
            }
        }
    }
}

/// `GET /v1/queues/{queue}/messages:browse?count=&after=&from_queue=&reason=&contains=`: messages that are not ended, with their states, without
/// receiving them. `after` is the `next` of the reply before; the last three ask for some messages alone, of which a reply may have few.
enum QueueBrowseEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.read) }
    static var parameters: [StaticString]? { ["count", "after", "from_queue", "reason", "contains"] }
    static var operation: OperationText {
        OperationText(summary: "Shows messages without receiving them", outcome: "Messages that are not ended.")
    }

    static let usualCount = 100

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForNoBody() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            var (count, after, selection) = (usualCount, QueueCoordinator.Place?.none, MessageSelection())
            var items = QueryItems(loop.head.query)
            while let item = items.next() {
                if item.name.equals("count") {
                    guard let number = item.value.decimalValue, (1...QueueCoordinator.maxShown).contains(number) else {
                        let most = QueueCoordinator.maxShown
                        return loop.refuseQueue(Problem(.invalidParameter, "count is 1 to \(most).", limit: most))
                    }
                    count = number
                } else if !item.name.equals("after") {
                    guard let text = PercentDecoding.string(item.value) else {
                        return loop.refuseQueue(Problem(.invalidParameter, "A parameter is no percent-encoded UTF-8."))
                    }
                    if item.name.equals("from_queue") { selection.queue = text }
                    if item.name.equals("reason") { selection.reason = text }
                    if item.name.equals("contains") { selection.contains = Array(text.utf8) }
                } else {
                    guard let place = QueueCoordinator.Place(item.value) else {
                        return loop.refuseQueue(Problem(.invalidParameter, "after is the next of another reply."))
                    }
                    after = place
                }
            }
            let coordinator = loop.broker.queues
            let limits = loop.jsonLimits
            return loop.ask { [count, after, selection] _, _, done in
                switch coordinator.browse(name, after: after, limit: count, selection) {
                case .failure(let refusal): done(QueueAnswer(Problem(refusal)))
                case .success(let found):
                    done(QueueAnswer { QueueReceiving.write(found.messages, found.next, limits, &$0) })
                }
            }
        }
    }
}

extension QueueCoordinator.Place {
    fileprivate init?(_ text: UnsafeRawBufferPointer) {
        let dash = text.firstIndex(of: UInt8(ascii: "-")) ?? text.count
        guard dash < text.count, let partition = UnsafeRawBufferPointer(rebasing: text[..<dash]).decimalValue,
            let offset = UnsafeRawBufferPointer(rebasing: text[(dash + 1)...]).decimalValue,
            let index = Int32(exactly: partition)
        else { return nil }
        self.init(partitionIndex: index, offset: Offset(Int64(offset)))
    }
}

/// The messages of a request's body, and what became of them.
enum QueueSending {
    static func answer(
        _ queues: any QueueService, _ name: String, _ template: QueueMessage, _ body: UnsafeRawBufferPointer,
        _ isLines: Bool, _ limits: JSONLimits, _ requestID: [UInt8]
    ) -> QueueAnswer {
        let ranges: [JSONRange]
        do throws(JSONFailure) { ranges = try split(body, isLines, limits) } catch {
            return QueueAnswer(QueueFields.problem(error, of: body, limits))
        }
        if ranges.isEmpty { return QueueAnswer(Problem(.emptyBatch, "There are no messages in the body.")) }
        guard ranges.count <= QueueMessage.maxBatch else {
            return QueueAnswer(
                Problem(
                    .tooManyEvents, "A request sends \(QueueMessage.maxBatch) messages at most.",
                    limit: QueueMessage.maxBatch))
        }
        if template.deduplicationID != nil, ranges.count > 1 {
            return QueueAnswer(
                Problem(.queueRefused, "deduplication_id names one message: send one a request, or leave it out."))
        }
        let messages = ranges.map { range in
            var message = template
            message.body = Array(range.bytes(of: body))
            return message
        }
        let outcome = queues.send(messages, to: name)
        let refusals = outcome.answer.compactMap { result -> QueueRefusal? in
            guard case .failure(let refusal) = result else { return nil }
            return refusal
        }
        if refusals.count == messages.count, let first = refusals.first { return QueueAnswer(Problem(first)) }
        return QueueAnswer(status: refusals.isEmpty ? 201 : 207, outcome.commits) { out in
            out.text("{\"accepted\":")
            out.decimal(messages.count - refusals.count)
            out.member("rejected")
            out.decimal(refusals.count)
            out.text(",\"request_id\":\"")
            out.bytes(requestID)
            out.text("\",\"results\":[")
            for (index, result) in outcome.answer.enumerated() {
                out.text(index == 0 ? "{\"index\":" : ",{\"index\":")
                out.decimal(index)
                write(result, &out)
            }
            out.text("]}")
        }
    }

    /// The messages of a body, a few more at most than a request may have.
    private static func split(
        _ body: UnsafeRawBufferPointer, _ isLines: Bool, _ limits: JSONLimits
    ) throws(JSONFailure) -> [JSONRange] {
        var ranges: [JSONRange] = []
        guard isLines else {
            var scanner = JSONScanner(body, limits: limits)
            if scanner.peek() == .array {
                try scanner.onlyElements(into: &ranges)
            } else {
                ranges.append(try scanner.onlyEvent())
            }
            return ranges
        }
        var lines = NDJSONLines(body, limits: limits)
        while ranges.count <= QueueMessage.maxBatch {
            lines.appendSound(to: &ranges)
            guard let line = lines.next() else { break }
            var scanner = JSONScanner(line.bytes(of: body), limits: limits)
            _ = try scanner.onlyValue()
            ranges.append(line)
        }
        return ranges
    }

    private static func write(_ result: Result<SentMessage, QueueRefusal>, _ out: inout ByteWriter) {
        switch result {
        case .success(let sent):
            out.text(",\"status\":\"ok\",\"id\":\"")
            out.utf8(sent.id)
            out.text("\",\"partition\":")
            out.decimal(Int(sent.partitionIndex))
            out.member("offset")
            out.decimal(Int(sent.offset.rawValue))
            out.text(sent.isDuplicate ? ",\"duplicate\":true}" : ",\"duplicate\":false}")
        case .failure(let refusal):
            let kind = Problem(refusal).kind
            out.text(
                kind.status == 413
                    ? ",\"status\":\"too_large\""
                    : kind.isRetryable ? ",\"status\":\"retry\"" : ",\"status\":\"invalid\"")
            out.member("detail")
            JSONText.write(refusal.message, into: &out)
            out.text("}")
        }
    }
}

/// `POST /v1/queues/{queue}/messages:receive` `{"max":10,"max_bytes":…,"wait_ms":…,"visibility_ms":…,"attempt_id":"…"}`, all of them
/// optional. By POST, for it leases what it gives.
enum QueueReceiveEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.read) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Receives messages, and waits for some",
            outcome: "The messages; none came in time where there are none.",
            body: """
                {"type":"object","additionalProperties":false,"properties":{\
                "max":{"type":["integer","null"],"minimum":1,"maximum":1000},"max_bytes":{"$ref":"#/components/schemas/Whole"},\
                "wait_ms":{"$ref":"#/components/schemas/Whole"},"visibility_ms":{"$ref":"#/components/schemas/Whole"},\
                "attempt_id":{"type":["string","null"]}}}
                """)
    }

    /// Messages of one request at most, and without a word.
    static let maxMessages = 1000
    static let usualMessages = 10

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            var fields = QueueFields(body, known: ["max", "max_bytes", "wait_ms", "visibility_ms", "attempt_id"])
            var request = QueueReceive()
            let most = fields.integer("max") ?? Int64(usualMessages)
            request.maxMessages = Int(clamping: most)
            request.maxBytes = fields.integer("max_bytes").map { Int(clamping: $0) } ?? request.maxBytes
            request.visibilityMs = fields.integer("visibility_ms")
            request.waitMs = fields.integer("wait_ms")
            request.attemptID = fields.string("attempt_id")
            if let problem = fields.problem { return loop.refuseQueue(problem) }
            guard (1...maxMessages).contains(request.maxMessages) else {
                return loop.refuseQueue(Problem(.invalidField, "max is 1 to \(maxMessages).", limit: maxMessages))
            }
            if let wait = request.waitMs, !(0...QueueSettings.maxReceiveWaitMs).contains(wait) {
                let most = Int(QueueSettings.maxReceiveWaitMs)
                return loop.refuseQueue(Problem(.queueRefused, "wait_ms is 0 to \(most) milliseconds.", limit: most))
            }
            // Never longer than the request is waited for.
            let patience = max(0, loop.options.requestTimeout.inNanoseconds / 1_000_000 - 1000)
            let waitMs = request.waitMs ?? loop.broker.queues.queue(named: name)?.settings.receiveWaitMs ?? 0
            if waitMs > patience, waitMs <= QueueSettings.maxReceiveWaitMs { request.waitMs = patience }
            let limits = loop.jsonLimits
            let coordinator = loop.broker.queues
            let wait = WaitEnd()
            return loop.ask(ending: wait) { [request] queues, _, done in
                wait.began(
                    queues.receive(request, from: name) { outcome in
                        var answer = QueueReceiving.answer(outcome, limits)
                        if case .messages(let messages) = outcome.answer, !messages.isEmpty {
                            answer.abandoned = { coordinator.abandon(messages, in: name) }
                        }
                        done(answer)
                    })
            }
        }
    }
}

/// Messages as a reply tells of them. A body that is JSON stands there as it is, other UTF-8 as a string, anything else in base64;
/// `body_encoding` says which.
enum QueueReceiving {
    static func answer(_ outcome: QueueOutcome<QueueReceiveReply>, _ limits: JSONLimits) -> QueueAnswer {
        let messages: [ReceivedMessage]
        switch outcome.answer {
        case .messages(let found): messages = found
        case .overLimit:
            return QueueAnswer(
                Problem(.queueLimit, "As many messages are in flight as may be; acknowledge some.", retryAfter: 1))
        case .refused(let refusal): return QueueAnswer(Problem(refusal))
        }
        return QueueAnswer(outcome.commits) { out in
            out.text("{\"messages\":[")
            for (index, message) in messages.enumerated() {
                if index > 0 { out.text(",") }
                write(message, limits, &out)
            }
            out.text("]}")
        }
    }

    static func write(
        _ messages: [QueueCoordinator.Shown], _ next: QueueCoordinator.Place?, _ limits: JSONLimits,
        _ out: inout ByteWriter
    ) {
        out.text("{\"messages\":[")
        for (index, shown) in messages.enumerated() {
            if index > 0 { out.text(",") }
            write(shown.message, state: shown.state, limits, &out)
        }
        out.text("],\"next\":")
        if let next {
            JSONText.write("\(next.partitionIndex)-\(next.offset.rawValue)", into: &out)
        } else {
            out.text("null")
        }
        out.text("}")
    }

    private static func word(_ state: BrowsedMessage.State) -> StaticString {
        switch state {
        case .visible: "visible"
        case .inFlight: "in_flight"
        case .delayed: "delayed"
        case .ending: "ending"
        }
    }

    /// - Parameter state: of a message that is only shown.
    private static func write(
        _ message: ReceivedMessage, state: BrowsedMessage.State? = nil, _ limits: JSONLimits, _ out: inout ByteWriter
    ) {
        out.text("{\"id\":\"")
        out.utf8(message.id)
        if let state {
            out.text("\",\"state\":\"")
            out.text(word(state))
        } else {
            out.text("\",\"receipt\":\"")
            out.utf8(message.handle)
        }
        out.text("\"")
        out.member("body")
        let encoding = write(message.body, limits, &out)
        out.text(encoding)
        out.text(",\"headers\":[")
        for (index, header) in message.headers.enumerated() {
            out.text(index == 0 ? "{\"name\":" : ",{\"name\":")
            JSONText.write(header.key, into: &out)
            out.member("value")
            if let value = header.value { writeText(value, &out) } else { out.text("null") }
            out.text("}")
        }
        out.text("],\"receive_count\":")
        out.decimal(message.receiveCount)
        out.member("sent_ms")
        out.decimal(Int(message.sentMs))
        if state == nil {
            out.member("first_received_ms")
            out.decimal(Int(message.firstReceivedMs))
            out.member("visible_again_ms")
            out.decimal(Int(message.deadlineMs))
        }
        if let group = message.groupID {
            out.member("group")
            JSONText.write(group, into: &out)
        }
        if let id = message.deduplicationID {
            out.member("deduplication_id")
            JSONText.write(id, into: &out)
        }
        if let origin = message.deadLetter { write(origin, &out) }
        out.text(",\"topic\":")
        JSONText.write(message.topicName, into: &out)
        out.member("partition")
        out.decimal(Int(message.partitionIndex))
        out.member("offset")
        out.decimal(Int(message.offset.rawValue))
        out.text("}")
    }

    private static func write(_ origin: DeadLetterOrigin, _ out: inout ByteWriter) {
        out.text(",\"dead_letter\":{\"queue\":")
        JSONText.write(origin.queue, into: &out)
        out.member("partition")
        out.decimal(Int(origin.partitionIndex))
        out.member("offset")
        out.decimal(Int(origin.offset.rawValue))
        out.member("sent_ms")
        out.decimal(Int(origin.sentMs))
        out.member("receive_count")
        out.decimal(origin.receiveCount)
        out.member("reason")
        JSONText.write(origin.reason, into: &out)
        out.member("redrives")
        out.decimal(origin.redriveCount)
        out.text("}")
    }

    /// Writes a body; returns what is to follow it.
    private static func write(_ body: [UInt8], _ limits: JSONLimits, _ out: inout ByteWriter) -> StaticString {
        body.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes, limits: limits)
            if (try? scanner.onlyValue()) != nil {
                out.bytes(bytes)
                return ",\"body_encoding\":\"json\""
            }
            if JSONText.isUTF8(bytes) {
                JSONText.write(bytes, into: &out)
                return ",\"body_encoding\":\"text\""
            }
            out.text("\"")
            out.utf8(Base64.encode(body))
            out.text("\"")
            return ",\"body_encoding\":\"base64\""
        }
    }

    private static func writeText(_ value: [UInt8], _ out: inout ByteWriter) {
        value.withUnsafeBytes { bytes in
            if JSONText.isUTF8(bytes) {
                JSONText.write(bytes, into: &out)
            } else {
                out.text("\"")
                out.utf8(Base64.encode(value))
                out.text("\",\"value_encoding\":\"base64\"")
            }
        }
    }
}
