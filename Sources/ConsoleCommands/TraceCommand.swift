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
        guard let page = try? JSONFields(JSONValue.parse(connection.body), of: connection.body) else {
            throw CommandFailure("\(address) answered with something else than a trace")
        }
        let stage = invocation[TraceOptions.stage] ?? ""
        let leastUs = (invocation[TraceOptions.min] ?? 0) * 1000
        console.output.write(stages(page, stage))
        console.output.write("\n" + stalls(page, stage, leastUs))
    }

    private static func stages(_ page: JSONFields, _ stage: String) -> String {
        var table = TextTable([("STAGE", .left), ("STALLS", .right), ("MS IN ALL", .right), ("MS AT MOST", .right)])
        for row in page.list("stages") where row.text("stage").hasPrefix(stage) {
            table.append([
                row.text("stage"), "\(row.number("count"))", milliseconds(row.number("total_us")),
                milliseconds(row.number("longest_us")),
            ])
        }
        return table.isEmpty ? "Nothing took long.\n" : table.text
    }

    private static func stalls(_ page: JSONFields, _ stage: String, _ leastUs: Int64) -> String {
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
