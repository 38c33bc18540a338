import CommandSyntax
import KafkaClient
import Security

/// `millrace queue …`: by the gateway's own API.
enum QueueCommands {
    static func create(_ invocation: Invocation, _ console: Console) throws {
        var json = JSONWriter()
        json.object { json in
            if let order = invocation[QueueOptions.order] { json.member("order", order.rawValue) }
            let numbers: [(String, Int64?)] = [
                ("partitions", invocation[QueueOptions.partitions].map { Int64($0) }),
                ("visibility_ms", invocation[QueueOptions.visibility]), ("delay_ms", invocation[QueueOptions.delay]),
                ("retention_ms", invocation[QueueOptions.retention]),
                ("max_receives", invocation[QueueOptions.maxReceives].map { Int64($0) }),
            ]
            for (name, number) in numbers { if let number { json.member(name, number) } }
            if let target = invocation[QueueOptions.deadLetters] { json.member("dead_letter_queue", target) }
        }
        let gateway = try QueueGateway(invocation, console)
        let answer = try gateway.ask("PUT", invocation.operands[0], "", json.bytes)
        if writesJSON(answer, invocation, console) { return }
        let queue = invocation.operands[0]
        console.output.write(
            answer.status == 201 ? "created queue \(queue)\n" : "queue \(queue) is there, and as it was asked for\n")
    }

    static func list(_ invocation: Invocation, _ console: Console) throws {
        let gateway = try QueueGateway(invocation, console)
        let prefix = QueueGateway.encoded(invocation[QueueOptions.prefix] ?? "")
        var names: [String] = []
        var after: String?
        repeat {
            var query = "?count=1000&prefix=\(prefix)"
            if let after { query += "&after=\(after)" }
            let page = try gateway.ask("GET", nil, query).fields
            names += page.texts("queues")
            let next = page.text("next")
            after = next.isEmpty ? nil : next
        } while after != nil
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in json.array { json in for name in names { json.string(name) } } }
        }
        if names.isEmpty { return console.complain("no queues") }
        for name in names { console.output.write(name + "\n") }
    }

    static func describe(_ invocation: Invocation, _ console: Console) throws {
        let answer = try QueueGateway(invocation, console).ask("GET", invocation.operands[0], "")
        if writesJSON(answer, invocation, console) { return }
        let queue = answer.fields
        let counts = queue.object("messages")
        var table = TextTable([("SETTING", .left), ("VALUE", .left)])
        for name in ["name", "topic", "order", "dead_letter_queue"] where !queue.text(name).isEmpty {
            table.append([name, queue.text(name)])
        }
        for name in [
            "partitions", "visibility_ms", "delay_ms", "retention_ms", "max_message_bytes", "receive_wait_ms",
            "max_receives", "dead_letter_breaker", "paused_ms",
        ] where queue.has(name) { table.append([name, "\(queue.number(name))"]) }
        for name in ["visible", "in_flight", "delayed", "ending"] {
            table.append(["messages \(name)", "\(counts?.number(name) ?? 0)"])
        }
        console.output.write(table.text)
    }

    static func capacity(_ invocation: Invocation, _ console: Console) throws {
        var query: [String] = []
        if let workers = invocation[QueueOptions.workers] { query.append("workers=\(workers)") }
        if let time = invocation[QueueOptions.serviceTime] { query.append("service_ms=\(time)") }
        if let rate = invocation[QueueOptions.arrivals] { query.append("rate=\(rate)") }
        if let backlog = invocation[QueueOptions.backlog] { query.append("backlog=\(backlog)") }
        let path = "/capacity" + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
        let answer = try QueueGateway(invocation, console).ask("GET", invocation.operands[0], path)
        if writesJSON(answer, invocation, console) { return }
        let (found, observed) = (answer.fields, answer.fields.object("observed"))
        let work = observed?.object("service_ms")
        func text(_ fields: JSONFields?, _ name: String) -> String {
            let raw = String(decoding: fields?.raw(name) ?? [], as: UTF8.self)
            return raw.isEmpty || raw == "null" ? "-" : raw
        }
        var table = TextTable([("WHAT", .left), ("VALUE", .right)])
        for (words, fields, name) in [
            ("messages that come a second", observed, "arrivals_per_second"),
            ("messages acknowledged a second", observed, "acknowledged_per_second"),
            ("work on a message, ms", work, "mean"), ("work on 99 of 100 is within, ms", work, "p99"),
            ("messages a second of one receiver", found, "worker_per_second"),
            ("messages a second of all receivers", found, "workers_per_second"),
            ("receivers that are needed", found, "required_workers"),
            ("share of their time that they work", found, "utilization"),
            ("growth of the backlog a second", found, "growth_per_second"),
            ("backlog in an hour", found, "backlog_in_1h"), ("seconds until it is gone", found, "drain_seconds"),
        ] { table.append([words, text(fields, name)]) }
        console.output.write(table.text)
    }

    static func send(_ invocation: Invocation, _ console: Console) throws {
        var body: [UInt8] = [UInt8(ascii: "[")]
        for (index, text) in invocation.operands.dropFirst().enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            let bytes = Array(text.utf8)
            if (try? JSONValue.parse(bytes)) != nil {
                body += bytes
            } else {
                var json = JSONWriter()
                json.string(text)
                body += json.bytes
            }
        }
        body.append(UInt8(ascii: "]"))
        var query: [String] = []
        for (name, value) in [
            ("group", invocation[QueueOptions.group]), ("deduplication_id", invocation[QueueOptions.deduplicationID]),
        ] {
            if let value { query.append("\(name)=\(QueueGateway.encoded(value))") }
        }
        if let delay = invocation[QueueOptions.messageDelay] { query.append("delay_ms=\(delay)") }
        let path = "/messages" + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
        let answer = try QueueGateway(invocation, console).ask("POST", invocation.operands[0], path, body)
        if writesJSON(answer, invocation, console) { return }
        for result in answer.fields.list("results") {
            console.output.write(
                result.text("status") == "ok"
                    ? "\(result.text("id")) partition \(result.number("partition")) offset \(result.number("offset"))\n"
                    : "not sent: \(result.text("detail"))\n")
        }
        if answer.fields.number("rejected") > 0 { throw CommandFailure("not all messages were sent") }
    }

    static func receive(_ invocation: Invocation, _ console: Console) throws {
        var json = JSONWriter()
        json.object { json in
            json.member("max", Int64(invocation[QueueOptions.max] ?? 10))
            if let wait = invocation[QueueOptions.wait] { json.member("wait_ms", wait) }
            if let visibility = invocation[QueueOptions.visibility] { json.member("visibility_ms", visibility) }
        }
        let gateway = try QueueGateway(invocation, console)
        let name = invocation.operands[0]
        let answer = try gateway.ask("POST", name, "/messages:receive", json.bytes)
        let messages = answer.fields.list("messages")
        if !writesJSON(answer, invocation, console) {
            if messages.isEmpty { return console.complain("no messages") }
            for message in messages {
                console.output.write(message.raw("body"))
                console.output.write("\n")
            }
        }
        guard invocation[QueueOptions.acknowledge], !messages.isEmpty else { return }
        // What nobody could read is not acknowledged.
        try console.output.finish()
        var receipts = JSONWriter()
        receipts.object { json in
            json.array("receipts") { json in for message in messages { json.string(message.text("receipt")) } }
        }
        let settled = try gateway.ask("POST", name, "/messages:ack", receipts.bytes).fields.list("results")
        let lost = settled.count { $0.text("status") != "ok" }
        if lost > 0 {
            throw CommandFailure("\(lost) of \(settled.count) messages were not acknowledged, and come again")
        }
    }

    static func purge(_ invocation: Invocation, _ console: Console) throws {
        let answer = try QueueGateway(invocation, console).ask(
            "POST", invocation.operands[0], "/messages:purge", Array("{}".utf8))
        if writesJSON(answer, invocation, console) { return }
        console.output.write("purged queue \(invocation.operands[0])\n")
    }

    static func redrive(_ invocation: Invocation, _ console: Console) throws {
        var json = JSONWriter()
        json.object { json in
            if let target = invocation[QueueOptions.to] { json.member("to", target) }
            if let rate = invocation[QueueOptions.rate] { json.member("rate", Int64(rate)) }
            for (name, text) in [
                ("from_queue", invocation[QueueOptions.from]), ("reason", invocation[QueueOptions.reason]),
                ("contains", invocation[QueueOptions.contains]),
            ] { if let text { json.member(name, text) } }
            if let most = invocation[QueueOptions.moved] { json.member("max", Int64(most)) }
            if invocation[QueueOptions.isRehearsal] { json.member("dry_run", true) }
        }
        let answer = try QueueGateway(invocation, console).ask(
            "POST", invocation.operands[0], "/messages:redrive", json.bytes)
        if writesJSON(answer, invocation, console) { return }
        if invocation[QueueOptions.isRehearsal] {
            let (moving, staying) = (answer.fields.number("moving"), answer.fields.number("staying"))
            let isWhole = answer.fields.raw("complete").elementsEqual("true".utf8)
            let rest = isWhole ? "" : ", of those that were looked at"
            return console.output.write("\(moving) messages would be moved, \(staying) would stay\(rest)\n")
        }
        console.output.write(
            "move \(answer.fields.text("id")) has begun, of \(answer.fields.number("expected")) messages\n")
    }

    static func delete(_ invocation: Invocation, _ console: Console) throws {
        let answer = try QueueGateway(invocation, console).ask("DELETE", invocation.operands[0], "")
        if writesJSON(answer, invocation, console) { return }
        console.output.write("deleted queue \(invocation.operands[0])\n")
    }

    /// Writes the gateway's answer as it is, where JSON was asked for.
    private static func writesJSON(_ answer: QueueGateway.Answer, _ invocation: Invocation, _ console: Console) -> Bool
    {
        guard invocation[CommonOptions.json] else { return false }
        console.output.write(answer.body)
        console.output.write("\n")
        return true
    }
}

/// The gateway that a command talks to, one request a connection.
struct QueueGateway {
    struct Answer {
        let status: Int
        let body: [UInt8]
        let fields: JSONFields
    }

    private let invocation: Invocation
    private let address: BrokerAddress
    private let timeoutMs: Int64
    /// A receive waits for so long by itself.
    private static let patienceMs: Int64 = 20_000

    /// An empty one: none was given.
    private let key: String

    init(_ invocation: Invocation, _ console: Console) throws {
        self.invocation = invocation
        let secret = try invocation[QueueOptions.apiKeyFile].map { try PasswordFile.read($0, console, kind: "key") }
        key = secret?.withBytes { String(decoding: $0, as: UTF8.self) } ?? ""
        address = try BenchIngestCommand.gateway(invocation)
        timeoutMs = (invocation[BenchIngestOptions.timeout] ?? 15_000) + Self.patienceMs
    }

    /// Text for a query or a path; what is no letter, digit, dot, dash or underscore is escaped.
    static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF")
        return text.utf8.reduce(into: "") { out, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                out.append(Character(UnicodeScalar(byte)))
            default: out += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
    }

    private func connect() throws(ClientError) -> BenchHTTPConnection {
        do throws(ClientError) {
            return try BenchHTTPConnection(address, timeoutSeconds: Int(timeoutMs) / 1000)
        } catch {
            guard case .unreachable(let address, let reason) = error else { throw error }
            throw .unreachable(address, reason: reason + "; the gateway is named by --http")
        }
    }

    /// Asks something of a queue, or of all; throws what the gateway refuses.
    func ask(_ method: String, _ queue: String?, _ rest: String, _ body: [UInt8]? = nil) throws -> Answer {
        try ask(method, path: "/v1/queues" + (queue.map { "/" + Self.encoded($0) } ?? "") + rest, body)
    }

    /// Asks something at a path, which is escaped.
    func ask(_ method: String, path: String, _ body: [UInt8]? = nil) throws -> Answer {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n"
        if !key.isEmpty { head += "Authorization: Bearer \(key)\r\n" }
        guard head.unicodeScalars.allSatisfy({ $0 == "\r" || $0 == "\n" || $0.value >= 32 && $0.value < 127 }),
            head.utf8.count(where: { $0 == UInt8(ascii: "\n") }) == (key.isEmpty ? 3 : 4)
        else { throw UsageError("the key must be printable ASCII", command: invocation.name) }
        if let body { head += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n" }
        let connection = try connect()
        let status = try connection.exchange(Array((head + "\r\n").utf8) + (body ?? []), keepsBody: true)
        let fields = try? JSONFields(JSONValue.parse(connection.body), of: connection.body)
        guard let fields else {
            throw CommandFailure("\(address) answered with status \(status), and with something else than JSON")
        }
        guard status < 400 else {
            let detail = fields.text("detail")
            throw CommandFailure(detail.isEmpty ? "\(address) answered with status \(status)" : detail)
        }
        return Answer(status: status, body: connection.body, fields: fields)
    }
}
