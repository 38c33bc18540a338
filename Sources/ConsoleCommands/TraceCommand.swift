import CommandSyntax
import KafkaClient

/// `millrace trace`.
enum TraceCommand {
    static func run(_ invocation: Invocation, _ console: Console) throws {
        let address = try BenchIngestCommand.gateway(invocation)
        let timeoutMs = invocation[BenchIngestOptions.timeout] ?? 15_000
        let connection = try BenchHTTPConnection(address, timeoutSeconds: Int(timeoutMs) / 1000)
        let request = "GET /trace HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n"
        let status = try connection.exchange(Array(request.utf8), keepsBody: true)
        guard status == 200 else { throw CommandFailure("\(address) answered with status \(status)") }
        if invocation[CommonOptions.json] {
            console.output.write(connection.body)
            return console.output.write("\n")
        }
        guard let page = try? Fields(JSONValue.parse(connection.body), of: connection.body) else {
            throw CommandFailure("\(address) answered with something else than a trace")
        }
        let stage = invocation[TraceOptions.stage] ?? ""
        let leastUs = (invocation[TraceOptions.min] ?? 0) * 1000
        console.output.write(stages(page, stage))
        console.output.write("\n" + stalls(page, stage, leastUs))
    }

    private static func stages(_ page: Fields, _ stage: String) -> String {
        var table = TextTable([("STAGE", .left), ("STALLS", .right), ("MS IN ALL", .right), ("MS AT MOST", .right)])
        for row in page.list("stages") where row.text("stage").hasPrefix(stage) {
            table.append([
                row.text("stage"), "\(row.number("count"))", milliseconds(row.number("total_us")),
                milliseconds(row.number("longest_us")),
            ])
        }
        return table.isEmpty ? "Nothing took long.\n" : table.text
    }

    private static func stalls(_ page: Fields, _ stage: String, _ leastUs: Int64) -> String {
        var table = TextTable([
            ("BEGAN", .left), ("MS", .right), ("STAGE", .left), ("THREAD", .left), ("BYTES", .right),
            ("PIECES", .right),
            ("SUBJECT", .left),
        ])
        for stall in page.list("stalls")
        where stall.text("stage").hasPrefix(stage) && stall.number("us") >= leastUs {
            let (bytes, count) = (stall.number("bytes"), stall.number("count"))
            table.append([
                TimeText.iso(stall.number("at_us") / 1000), milliseconds(stall.number("us")), stall.text("stage"),
                stall.text("thread"), bytes > 0 ? "\(bytes)" : "", count > 0 ? "\(count)" : "", stall.text("subject"),
            ])
        }
        return table.isEmpty ? "" : table.text
    }

    private static func milliseconds(_ microseconds: Int64) -> String {
        "\(microseconds / 1000).\(microseconds / 100 % 10)"
    }
}

/// The members of a JSON object, as `trace` needs them: what is missing, or is something else, is empty or 0.
private struct Fields {
    private let members: [JSONValue.Member]
    private let document: [UInt8]

    init?(_ value: JSONValue, of document: [UInt8]) {
        guard case .object(let members) = value.content else { return nil }
        self.members = members
        self.document = document
    }

    private func value(_ name: String) -> JSONValue? { members.first { $0.name == name }?.value }

    func list(_ name: String) -> [Fields] {
        guard case .array(let values)? = value(name)?.content else { return [] }
        return values.compactMap { Fields($0, of: document) }
    }

    func text(_ name: String) -> String {
        guard case .string(let bytes)? = value(name)?.content else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    func number(_ name: String) -> Int64 {
        guard let value = value(name), case .number = value.content else { return 0 }
        return Int64(String(decoding: document[value.range], as: UTF8.self)) ?? 0
    }
}
