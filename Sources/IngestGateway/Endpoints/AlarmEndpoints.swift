public import Alarms
import BrokerCore
public import ByteBuffers
import HTTPWire
import KafkaModel
import Security
import Telemetry

/// `GET /v1/alarms`: all alarms. With `?name=` one of them, with its last changes.
///
///     200 {"alarms":[{"name":"damage","state":"OK","value":0,"since":"2026-11-30T12:00:00.000Z","silent_until":null,
///          "metric":"millrace_storage_quarantined_partitions","above":0,"for":"1/1x60s","missing":"nodata","topic":null,"webhook":false}]}
enum AlarmsEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.describe) }
    static var parameters: [StaticString]? { ["name"] }
    static var operation: OperationText {
        OperationText(summary: "Shows the alarms, or one of them with its last changes", outcome: "As they are now.")
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.answerAlarms()
        return .answered
    }
}

/// `POST /v1/alarms:silence` `{"name":"damage","for_ms":3600000}`: nothing is told of the alarm for so long; 0: it is told again. What
/// began meanwhile and is still so is told then.
enum AlarmSilenceEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.alter) }
    static var parameters: [StaticString]? { [] }
    static var operation: OperationText {
        OperationText(
            summary: "Silences an alarm for a while", outcome: "Nothing is told of it until then.",
            body: """
                {"type":"object","additionalProperties":false,"required":["name","for_ms"],"properties":{\
                "name":{"type":"string","minLength":1},"for_ms":{"type":"integer","minimum":0,"maximum":2592000000}}}
                """)
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForQueueCall() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        var fields = QueueFields(body, known: ["name", "for_ms"])
        let (name, length) = (fields.string("name"), fields.integer("for_ms"))
        if fields.problem == nil, name == nil { fields.refuse("name", "the name of an alarm") }
        if fields.problem == nil, !(length.map((0...AlarmBoard.maxSilenceMs).contains) ?? false) {
            fields.refuse("for_ms", "a whole number from 0 to \(AlarmBoard.maxSilenceMs)")
        }
        if let problem = fields.problem {
            loop.answer(problem, instance: loop.head.path)
            return .answered
        }
        loop.silence(name ?? "", forMs: length ?? 0)
        return .answered
    }
}

extension GatewayLoop {
    fileprivate func answerAlarms() {
        let board = gateway.alarms
        var items = QueryItems(head.query)
        guard let asked = items.next() else {
            out.text("{\"alarms\":[")
            for (index, alarm) in board.all.enumerated() {
                out.text(index == 0 ? "" : ",\n")
                AlarmText.write(alarm, withHistory: false, into: &out)
            }
            return out.text("]}")
        }
        guard let alarm = board.alarm(named: String(decoding: asked.value, as: UTF8.self)) else {
            return answer(Self.noAlarm, instance: head.path)
        }
        AlarmText.write(alarm, withHistory: true, into: &out)
    }

    fileprivate func silence(_ name: String, forMs length: Int64) {
        guard gateway.alarms.silence(name, until: BrokerClock.wallMs() + length),
            let alarm = gateway.alarms.alarm(named: name)
        else { return answer(Self.noAlarm, instance: head.path) }
        gateway.audit?.note(
            AuditEntry(change: "SILENCE", by: asker?.registered.subject, on: "alarm \(name)", isDone: true))
        AlarmText.write(alarm, withHistory: false, into: &out)
    }

    private static let noAlarm = Problem(.notFound, "There is no alarm of this name.")
}

/// Alarms as JSON.
public enum AlarmText {
    /// `{"alarm":"damage","state":"ALARM","before":"OK","at":"…","value":2,"metric":"…","above":0}`: a record's value.
    public static func write(_ news: Alarm.News, into out: inout ByteWriter) {
        out.text("{")
        out.member("alarm", first: true)
        JSONText.write(news.rule.name, into: &out)
        out.member("state")
        JSONText.write(news.change.state.rawValue, into: &out)
        out.member("before")
        JSONText.write(news.before.rawValue, into: &out)
        time("at", news.change.atMs, &out)
        number("value", news.change.value, &out)
        write(news.rule, &out)
        out.text("}")
    }

    static func write(_ alarm: Alarm, withHistory: Bool, into out: inout ByteWriter) {
        let rule = alarm.rule
        out.text("{")
        out.member("name", first: true)
        JSONText.write(rule.name, into: &out)
        out.member("state")
        JSONText.write(alarm.state.rawValue, into: &out)
        number("value", alarm.value, &out)
        time("since", alarm.history.last?.atMs, &out)
        time("silent_until", alarm.silentUntilMs > BrokerClock.wallMs() ? alarm.silentUntilMs : nil, &out)
        write(rule, &out)
        out.member("for")
        JSONText.write("\(rule.wrong)/\(rule.periods)x\(rule.periodMs / 1000)s", into: &out)
        out.member("missing")
        JSONText.write(rule.missing.rawValue, into: &out)
        out.member("topic")
        if let topic = rule.topic { JSONText.write(topic, into: &out) } else { out.text("null") }
        // Its path and query may be a secret.
        out.member("webhook")
        out.text(rule.webhook == nil ? "false" : "true")
        if withHistory {
            out.member("history")
            out.text("[")
            for (index, change) in alarm.history.enumerated() {
                out.text(index == 0 ? "{" : ",{")
                out.member("state", first: true)
                JSONText.write(change.state.rawValue, into: &out)
                time("at", change.atMs, &out)
                number("value", change.value, &out)
                out.text("}")
            }
            out.text("]")
        }
        out.text("}")
    }

    private static func write(_ rule: AlarmRule, _ out: inout ByteWriter) {
        out.member("metric")
        JSONText.write("\(rule.metric)", into: &out)
        if let share = rule.share {
            out.member("share")
            JSONText.write("\(share)", into: &out)
        }
        switch rule.bound {
        case .above(let bound): number("above", bound, &out)
        case .below(let bound): number("below", bound, &out)
        }
    }

    private static func time(_ name: StaticString, _ ms: Int64?, _ out: inout ByteWriter) {
        out.member(name)
        guard let ms else { return out.text("null") }
        out.text("\"")
        out.utf8(ReceivedAt.text(ofMs: ms))
        out.text("\"")
    }

    /// JSON has no infinity.
    private static func number(_ name: StaticString, _ value: Double?, _ out: inout ByteWriter) {
        out.member(name)
        guard let value, value.isFinite else { return out.text("null") }
        if let whole = Int(exactly: value) { out.decimal(whole) } else { out.utf8("\(value)") }
    }
}
