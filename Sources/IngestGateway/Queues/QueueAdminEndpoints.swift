import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import QueueLedger
import Security

/// `GET /v1/queues/{queue}`: its settings and its messages by state. `PUT` makes it, or changes the settings that the body names:
/// `{"order":"fifo","partitions":1,"visibility_ms":30000,"delay_ms":0,"retention_ms":…,"max_message_bytes":…,"receive_wait_ms":0,
/// "backoff_ms":[5000,30000],"dead_letter_queue":"…","max_receives":5,"dead_letter_breaker":50,"deduplication_scope":"queue","deduplicates_by_content":false}`.
/// `DELETE` removes it with all its messages.
enum QueueEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queueByMethod }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Shows, makes, changes or removes a queue", successes: [200, 201], outcome: "Done.",
            body: """
                {"type":"object","additionalProperties":false,"properties":{\
                "order":{"enum":["standard","fair","fifo",null]},"partitions":{"$ref":"#/components/schemas/Whole"},\
                "visibility_ms":{"$ref":"#/components/schemas/Whole"},"delay_ms":{"$ref":"#/components/schemas/Whole"},\
                "retention_ms":{"$ref":"#/components/schemas/Whole"},\
                "max_message_bytes":{"$ref":"#/components/schemas/Whole"},\
                "receive_wait_ms":{"$ref":"#/components/schemas/Whole"},\
                "backoff_ms":{"type":["array","null"],"maxItems":64,"items":{"type":"integer",\
                "minimum":-9223372036854775808,"maximum":9223372036854775807}},\
                "dead_letter_queue":{"$ref":"#/components/schemas/QueueName"},\
                "max_receives":{"$ref":"#/components/schemas/Whole"},\
                "dead_letter_breaker":{"$ref":"#/components/schemas/Whole"},\
                "deduplication_scope":{"enum":["queue","message_group",null]},\
                "deduplicates_by_content":{"type":["boolean","null"]}}}
                """, mayLackBody: true)
    }

    private static let known = [
        "order", "partitions", "visibility_ms", "delay_ms", "retention_ms", "max_message_bytes", "receive_wait_ms",
        "backoff_ms", "dead_letter_queue", "max_receives", "dead_letter_breaker", "deduplication_scope",
        "deduplicates_by_content",
    ]

    static func wish(on loop: GatewayLoop) -> BodyWish {
        loop.head.method == .put ? loop.wishForQueueCall() : loop.wishForNoBody()
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            switch loop.head.method {
            case .put: put(name, body, loop)
            case .delete:
                loop.ask(on: .admin) { queues, _, done in
                    if let refusal = queues.deleteQueue(name) { return done(QueueAnswer(Problem(refusal))) }
                    done(QueueAnswer { $0.text("{\"status\":\"deleted\"}") })
                }
            default:
                loop.ask { queues, _, done in done(describe(name, queues)) }
            }
        }
    }

    static func describe(_ name: String, _ queues: any QueueService, status: Int = 200) -> QueueAnswer {
        guard let queue = queues.queue(named: name) else {
            return QueueAnswer(Problem(.queueNotFound, "There is no such queue."))
        }
        let outcome = queues.counts(of: name, withOldest: true)
        // What cannot be counted just now is there all the same.
        let counts = try? outcome.answer.get()
        return QueueAnswer(status: status, outcome.commits) { QueueText.write(queue, counts, &$0) }
    }

    private static func put(_ name: String, _ body: UnsafeRawBufferPointer, _ loop: GatewayLoop) -> Completion {
        var fields = QueueFields(body, known: known)
        var change = QueueChange()
        change.read(&fields)
        let partitions = fields.integer("partitions").map { Int32(clamping: $0) }
        if let problem = fields.problem { return loop.refuseQueue(problem) }
        if let target = change.deadLetterQueue, !target.isEmpty, !loop.mayWrite(toQueue: target) {
            return loop.refuseQueue(Problem(.forbidden, "You may not write to the queue of the dead letters."))
        }
        return loop.ask(on: .admin) { [change] queues, _, done in
            if let existing = queues.queue(named: name) {
                guard change.order == nil || existing.settings.order == change.order else {
                    return done(QueueAnswer(Problem(.queueConflict, "The order of a queue stays as it is.")))
                }
                guard partitions == nil || partitions == existing.partitionCount else {
                    return done(
                        QueueAnswer(
                            Problem(
                                .queueConflict,
                                "A queue keeps its \(existing.partitionCount) partitions: leave them out.")))
                }
                if case .failure(let refusal) = queues.alterQueue(name, { settings, _ in change.apply(&settings) }) {
                    return done(QueueAnswer(Problem(refusal)))
                }
                return done(describe(name, queues))
            }
            var settings = QueueSettings()
            change.apply(&settings)
            if case .failure(let refusal) = queues.createQueue(name, settings, partitions: partitions ?? 1, tags: [:]) {
                return done(QueueAnswer(Problem(refusal)))
            }
            done(describe(name, queues, status: 201))
        }
    }
}

/// The settings that a request names.
private struct QueueChange: Sendable {
    var order: DeliveryOrder?
    var deadLetterQueue: String?
    private var scope: QueueSettings.DeduplicationScope?
    private var byContent: Bool?
    private var numbers: [String: Int64] = [:]
    private var backoffMs: [Int64]?
    private var hasMaxReceives = false
    private var hasBreaker = false

    private static let numberNames = [
        "visibility_ms", "delay_ms", "retention_ms", "max_message_bytes", "receive_wait_ms", "max_receives",
        "dead_letter_breaker",
    ]

    init() {}

    mutating func read(_ fields: inout QueueFields) {
        if let text = fields.string("order") {
            order = DeliveryOrder(name: text)
            if order == nil { fields.refuse("order", "standard, fair or fifo") }
        }
        if let text = fields.string("deduplication_scope") {
            scope = text == "queue" ? .queue : text == "message_group" ? .messageGroup : nil
            if scope == nil { fields.refuse("deduplication_scope", "queue or message_group") }
        }
        // Null takes it away.
        if fields.has("dead_letter_queue") { deadLetterQueue = fields.string("dead_letter_queue") ?? "" }
        byContent = fields.flag("deduplicates_by_content")
        backoffMs = fields.integers("backoff_ms")
        for name in Self.numberNames { if let number = fields.integer(name) { numbers[name] = number } }
        hasMaxReceives = fields.has("max_receives")
        hasBreaker = fields.has("dead_letter_breaker")
    }

    func apply(_ settings: inout QueueSettings) {
        if let order { settings.order = order }
        if let scope { settings.deduplicationScope = scope }
        if let byContent { settings.deduplicatesByContent = byContent }
        if let backoffMs { settings.backoffMs = backoffMs }
        if let deadLetterQueue { settings.deadLetterQueue = deadLetterQueue.isEmpty ? nil : deadLetterQueue }
        if let number = numbers["visibility_ms"] { settings.visibilityMs = number }
        if let number = numbers["delay_ms"] { settings.delayMs = number }
        if let number = numbers["retention_ms"] { settings.retentionMs = number }
        if let number = numbers["max_message_bytes"] { settings.maxMessageBytes = Int(clamping: number) }
        if let number = numbers["receive_wait_ms"] { settings.receiveWaitMs = number }
        if hasMaxReceives { settings.maxReceives = numbers["max_receives"].map { Int(clamping: $0) } }
        if hasBreaker { settings.deadLetterBreaker = numbers["dead_letter_breaker"].map { Int(clamping: $0) } }
    }
}

/// `GET /v1/queues?prefix=&after=&count=`: queues by name that who asks may see.
enum QueuesEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }
    static var parameters: [StaticString]? { ["prefix", "after", "count"] }
    static var operation: OperationText { OperationText(summary: "Lists queues by name", outcome: "Their names.") }

    /// Queues of one reply, unless `count` says otherwise, and at most.
    static let usualLimit = 100
    static let maxLimit = 1000

    static func wish(on loop: GatewayLoop) -> BodyWish {
        loop.wishForNoBody()
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        var (prefix, after, limit) = ("", String?.none, usualLimit)
        var items = QueryItems(loop.head.query)
        while let item = items.next() {
            if item.name.equals("count") {
                guard let number = item.value.decimalValue, (1...maxLimit).contains(number) else {
                    return loop.refuseQueue(Problem(.invalidParameter, "count is 1 to \(maxLimit).", limit: maxLimit))
                }
                limit = number
            } else {
                guard let text = PercentDecoding.string(item.value) else {
                    return loop.refuseQueue(Problem(.invalidParameter, "A parameter is no percent-encoded UTF-8."))
                }
                if item.name.equals("prefix") { prefix = text } else { after = text }
            }
        }
        let maySee = loop.queueSight
        return loop.ask { [prefix, after, limit] queues, _, done in
            done(answer(queues.visibleQueues(prefix: prefix, after: after, limit: limit, maySee)))
        }
    }

    private static func answer(_ page: (names: [String], next: String?)) -> QueueAnswer {
        QueueAnswer { out in
            out.text("{\"queues\":[")
            for (index, name) in page.names.enumerated() {
                if index > 0 { out.text(",") }
                JSONText.write(name, into: &out)
            }
            out.text("],\"next\":")
            if let next = page.next { JSONText.write(next, into: &out) } else { out.text("null") }
            out.text("}")
        }
    }
}

/// `GET /v1/queues/{queue}/moves` shows how far moves of dead letters are, and those of late.
enum QueueMovesEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.describe) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(summary: "Shows moves of dead letters", outcome: "The newest first.")
    }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        loop.wishForNoBody()
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            let moves: [QueueMove]
            switch loop.broker.queues.moves(from: name) {
            case .failure(let refusal): return loop.refuseQueue(Problem(refusal))
            case .success(let found): moves = found
            }
            let answer = QueueAnswer { out in
                out.text("{\"moves\":[")
                for (index, move) in moves.enumerated() {
                    if index > 0 { out.text(",") }
                    QueueText.write(move, &out)
                }
                out.text("]}")
            }
            loop.out.bytes(answer.body)
            return .answered
        }
    }
}

enum QueueMoveCancelEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.read) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Ends a move where it is", outcome: "It ends.",
            body: """
                {"type":"object","required":["id"],"additionalProperties":false,"properties":{"id":{"type":"string"}}}
                """)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            var fields = QueueFields(body, known: ["id"])
            let id = fields.string("id")
            if let problem = fields.problem { return loop.refuseQueue(problem) }
            let moves = try? loop.broker.queues.moves(from: name).get()
            guard let id, moves?.contains(where: { $0.id == id }) == true,
                let move = loop.broker.queues.cancelMove(id)
            else { return loop.refuseQueue(Problem(.notFound, "There is no such move under way.")) }
            let answer = QueueAnswer { QueueText.write(move, &$0) }
            loop.out.bytes(answer.body)
            return .answered
        }
    }
}

/// A queue and its moves as replies tell of them.
enum QueueText {
    static func write(_ queue: QueueDescription, _ counts: QueueCounts?, _ out: inout ByteWriter) {
        let settings = queue.settings
        out.text("{\"name\":")
        JSONText.write(queue.name, into: &out)
        out.member("topic")
        JSONText.write("q." + queue.name, into: &out)
        out.member("partitions")
        out.decimal(Int(queue.partitionCount))
        out.text(",\"order\":\"")
        out.utf8(settings.order.name)
        out.text("\"")
        let numbers: [(StaticString, Int64)] = [
            ("visibility_ms", settings.visibilityMs), ("delay_ms", settings.delayMs),
            ("retention_ms", settings.retentionMs), ("max_message_bytes", Int64(settings.maxMessageBytes)),
            ("receive_wait_ms", settings.receiveWaitMs), ("created_ms", queue.createdMs),
            ("modified_ms", queue.modifiedMs),
        ]
        for (name, number) in numbers {
            out.member(name)
            out.decimal(Int(number))
        }
        out.text(",\"backoff_ms\":[")
        for (index, step) in settings.backoffMs.enumerated() {
            if index > 0 { out.text(",") }
            out.decimal(Int(step))
        }
        out.text("],\"dead_letter_queue\":")
        if let target = settings.deadLetterQueue { JSONText.write(target, into: &out) } else { out.text("null") }
        out.member("max_receives")
        if let most = settings.maxReceives { out.decimal(most) } else { out.text("null") }
        if let percent = settings.deadLetterBreaker {
            out.member("dead_letter_breaker")
            out.decimal(percent)
            out.member("paused_ms")
            out.decimal(Int(counts?.pausedMs ?? 0))
        }
        if settings.order == .fifo {
            out.text(
                settings.deduplicationScope == .queue
                    ? ",\"deduplication_scope\":\"queue\"" : ",\"deduplication_scope\":\"message_group\"")
            out.text(
                settings.deduplicatesByContent
                    ? ",\"deduplicates_by_content\":true" : ",\"deduplicates_by_content\":false")
        }
        out.member("messages")
        if let counts { write(counts, &out) } else { out.text("null") }
        out.text("}")
    }

    static func write(_ counts: QueueCounts, _ out: inout ByteWriter, withOldest: Bool = true) {
        out.text("{\"visible\":")
        out.decimal(counts.visible)
        out.member("in_flight")
        out.decimal(counts.inFlight)
        out.member("delayed")
        out.decimal(counts.delayed)
        out.member("ending")
        out.decimal(counts.ending)
        if withOldest {
            out.member("oldest_sent_ms")
            if let oldest = counts.oldestSentMs { out.decimal(Int(oldest)) } else { out.text("null") }
        }
        out.text("}")
    }

    static func write(_ move: QueueMove, _ out: inout ByteWriter) {
        out.text("{\"id\":\"")
        out.utf8(move.id)
        out.text("\",\"from\":")
        JSONText.write(move.source, into: &out)
        out.member("to")
        if let destination = move.destination { JSONText.write(destination, into: &out) } else { out.text("null") }
        out.member("rate")
        if let rate = move.perSecond { out.decimal(rate) } else { out.text("null") }
        out.text(",\"state\":\"")
        out.utf8(move.state.rawValue)
        out.text("\",\"moved\":")
        out.decimal(move.moved)
        out.member("stayed")
        out.decimal(move.stayed)
        out.member("expected")
        out.decimal(move.expected)
        out.member("started_ms")
        out.decimal(Int(move.startedMs))
        if let failure = move.failure {
            out.member("failure")
            JSONText.write(failure, into: &out)
        }
        out.text("}")
    }
}
