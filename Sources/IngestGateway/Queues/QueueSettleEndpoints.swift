import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import QueueLedger
import Security

/// `POST /v1/queues/{queue}/messages:ack` `{"receipts":["…"]}`: ends messages. The reply has a result for each, in their order.
enum QueueAcknowledgeEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.read) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Acknowledges messages", outcome: "What became of each receipt; what is ok is on disk.",
            body: """
                {"type":"object","required":["receipts"],"additionalProperties":false,"properties":{\
                "receipts":{"$ref":"#/components/schemas/ReceiptList"}}}
                """)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.settleQueue(body, known: []) { _ in { queues, name, receipts in queues.acknowledge(receipts, in: name) } }
    }
}

/// `POST …/messages:nack` `{"receipts":["…"],"delay_ms":…,"dead_letter":false}`: gives messages back, after a delay or by the queue's
/// backoff; or up, to the dead letters.
enum QueueReleaseEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.read) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Gives messages back, or up", outcome: "What became of each receipt; what is ok is on disk.",
            body: """
                {"type":"object","required":["receipts"],"additionalProperties":false,"properties":{\
                "receipts":{"$ref":"#/components/schemas/ReceiptList"},"delay_ms":{"$ref":"#/components/schemas/Whole"},\
                "dead_letter":{"type":["boolean","null"]}}}
                """)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.settleQueue(body, known: ["delay_ms", "dead_letter"]) { fields in
            let delay = fields.integer("delay_ms")
            if fields.flag("dead_letter") == true {
                return { queues, name, receipts in queues.reject(receipts, in: name) }
            }
            return { queues, name, receipts in queues.release(receipts.map { ($0, delay) }, in: name) }
        }
    }
}

/// `POST …/messages:extend` `{"receipts":["…"],"visibility_ms":…}`: lets leases end so many milliseconds from now; 0: at once.
enum QueueExtendEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.read) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Changes when messages come again", outcome: "What became of each receipt; what is ok is on disk.",
            body: """
                {"type":"object","required":["receipts","visibility_ms"],"additionalProperties":false,"properties":{\
                "receipts":{"$ref":"#/components/schemas/ReceiptList"},\
                "visibility_ms":{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}}}
                """)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.settleQueue(body, known: ["visibility_ms"]) { fields in
            guard let visibility = fields.integer("visibility_ms") else { return nil }
            return { queues, name, receipts in queues.changeVisibility(receipts.map { ($0, visibility) }, in: name) }
        }
    }
}

/// `POST …/messages:purge`: ends all messages that were sent before.
enum QueuePurgeEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.delete) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Ends all messages of a queue", outcome: "They are gone.",
            body: "{\"type\":\"object\",\"maxProperties\":0}")
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            let fields = QueueFields(body, known: [])
            if let problem = fields.problem { return loop.refuseQueue(problem) }
            return loop.ask { queues, _, done in
                let outcome = queues.purge(name)
                if let refusal = outcome.answer { return done(QueueAnswer(Problem(refusal))) }
                done(QueueAnswer(outcome.commits) { $0.text("{\"status\":\"purged\"}") })
            }
        }
    }
}

extension GatewayLoop {
    typealias Settling =
        @Sendable (
            _ queues: any QueueService, _ name: String, _ receipts: [String]
        ) -> QueueOutcome<Result<[QueueSettlement], QueueRefusal>>

    /// Receipts of one request at most.
    private static let maxReceipts = 1000

    /// Reads receipts and what else is `known`; `settling` is nil where something of that is missing.
    fileprivate func settleQueue(
        _ body: UnsafeRawBufferPointer, known: [String], _ settling: (inout QueueFields) -> Settling?
    ) -> Completion {
        withQueue { name in
            var fields = QueueFields(body, known: ["receipts"] + known)
            let receipts = fields.strings("receipts")
            let call = settling(&fields)
            if let problem = fields.problem { return refuseQueue(problem) }
            guard let receipts, !receipts.isEmpty, let call else {
                let names = (["receipts"] + (call == nil ? known : [])).joined(separator: " and ")
                return refuseQueue(Problem(.missingField, "The body has \(names)."))
            }
            guard receipts.count <= Self.maxReceipts else {
                return refuseQueue(
                    Problem(
                        .tooManyEvents, "A request settles \(Self.maxReceipts) messages at most.",
                        limit: Self.maxReceipts))
            }
            return ask { queues, _, done in
                let outcome = call(queues, name, receipts)
                switch outcome.answer {
                case .failure(let refusal): done(QueueAnswer(Problem(refusal)))
                case .success(let settlements):
                    done(
                        QueueAnswer(outcome.commits) { out in
                            out.text("{\"results\":[")
                            for (index, settlement) in settlements.enumerated() {
                                out.text(index == 0 ? "{\"index\":" : ",{\"index\":")
                                out.decimal(index)
                                out.text(",\"status\":\"")
                                out.text(settlement.status)
                                out.text("\"}")
                            }
                            out.text("]}")
                        })
                }
            }
        }
    }
}

extension QueueSettlement {
    fileprivate var status: StaticString {
        switch self {
        case .settled(.done): "ok"
        case .settled(.noEffect): "no_effect"
        case .settled(.expired): "expired"
        case .settled(.notInFlight): "not_in_flight"
        case .settled(.beyondLimit): "beyond_limit"
        case .settled(.unknown), .invalidHandle: "invalid_receipt"
        case .refused: "retry"
        }
    }
}
