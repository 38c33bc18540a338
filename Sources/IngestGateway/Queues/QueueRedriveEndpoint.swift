import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Security

/// `POST /v1/queues/{queue}/messages:redrive`: begins to move dead letters back to where they were, or to another queue; with `dry_run` it says
/// what would be moved. All members may be left out:
///
///     {"to":"…","rate":100,"max":1000,"max_redrives":3,"ids":["…"],"from_queue":"…","reason":"max_receives","contains":"…",
///      "edit":{"set":{"HEADER":"…"},"remove":["HEADER"],"body":…},"dry_run":true}
enum QueueRedriveEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.read) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Moves dead letters back", successes: [200, 202],
            outcome: "The move has begun; of a dry run what it would do.",
            body: """
                {"type":"object","additionalProperties":false,"properties":{\
                "to":{"$ref":"#/components/schemas/QueueName"},"rate":{"$ref":"#/components/schemas/Whole"},\
                "max":{"$ref":"#/components/schemas/Whole"},"max_redrives":{"$ref":"#/components/schemas/Whole"},\
                "ids":{"type":["array","null"],"minItems":1,"maxItems":1000,"items":{"type":"string"}},\
                "from_queue":{"type":["string","null"]},"reason":{"type":["string","null"]},\
                "contains":{"type":["string","null"],"minLength":1},"dry_run":{"type":["boolean","null"]},\
                "edit":{"type":["object","null"],"additionalProperties":false,"properties":{\
                "set":{"type":["object","null"],"additionalProperties":{"type":"string"}},\
                "remove":{"type":["array","null"],"items":{"type":"string"}},"body":{}}}}}
                """)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            var fields = QueueFields(body, known: QueueMoveOrder.members + ["dry_run"])
            var order = QueueMoveOrder(from: name, &fields)
            let isDry = fields.flag("dry_run") ?? false
            if let problem = fields.problem { return loop.refuseQueue(problem) }
            let targets = order.destination.map { [$0] } ?? loop.broker.queues.deadLetterSources(of: name)
            if !targets.allSatisfy({ loop.mayWrite(toQueue: $0) }) {
                return loop.refuseQueue(Problem(.forbidden, "You may not write to where the messages would go."))
            }
            if order.destination == nil { order.origins = Set(targets.map { ExactString($0) }) }
            order.route = String(decoding: loop.head.path, as: UTF8.self)
            order.owner = loop.asker?.registered.subject.principal.name.text
            return loop.ask(on: isDry ? .worker : .admin) { [order] queues, _, done in
                if isDry {
                    switch queues.rehearseMove(order) {
                    case .failure(let refusal): done(QueueAnswer(Problem(refusal)))
                    case .success(let rehearsal): done(QueueAnswer { write(rehearsal, &$0) })
                    }
                    return
                }
                let outcome = queues.startMove(order)
                switch outcome.answer {
                case .failure(let refusal): done(QueueAnswer(Problem(refusal)))
                case .success(let move):
                    done(QueueAnswer(status: 202, outcome.commits) { QueueText.write(move, &$0) })
                }
            }
        }
    }

    private static func write(_ rehearsal: QueueMoveRehearsal, _ out: inout ByteWriter) {
        out.text("{\"dry_run\":true,\"moving\":")
        out.decimal(rehearsal.moving)
        out.member("staying")
        out.decimal(rehearsal.staying)
        out.member("others")
        out.decimal(rehearsal.others)
        out.text(rehearsal.isWhole ? ",\"complete\":true,\"ids\":[" : ",\"complete\":false,\"ids\":[")
        for (index, id) in rehearsal.ids.enumerated() {
            if index > 0 { out.text(",") }
            JSONText.write(id, into: &out)
        }
        out.text("]}")
    }
}

extension QueueMoveOrder {
    fileprivate static let members = [
        "to", "rate", "max", "max_redrives", "ids", "from_queue", "reason", "contains", "edit",
    ]

    fileprivate init(from name: String, _ fields: inout QueueFields) {
        self.init(
            from: name, to: fields.string("to"), perSecond: fields.integer("rate").map { Int(clamping: $0) })
        most = fields.integer("max").map { Int(clamping: $0) }
        if let number = fields.integer("max_redrives") { maxRedrives = Int(clamping: number) }
        selection.ids = fields.strings("ids").map { Set($0.map { ExactString($0) }) }
        selection.queue = fields.string("from_queue")
        selection.reason = fields.string("reason")
        selection.contains = fields.string("contains").map { Array($0.utf8) }
        guard var change = fields.object("edit", known: ["set", "remove", "body"]) else { return }
        edit.set = change.texts("set") ?? [:]
        edit.removed = Set(change.strings("remove") ?? [])
        edit.body = change.json("body")
        fields.take(change.problem)
    }
}
