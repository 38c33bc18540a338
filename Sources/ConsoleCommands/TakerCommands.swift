import CommandSyntax

/// `millrace forwarder …` and `millrace subscription …`: by what the gateway counts.
enum TakerCommands {
    static func list(_ invocation: Invocation, _ console: Console) throws {
        if invocation.action == .forwarderList {
            try list("forwarders", ["records", "refused", "lag"], invocation, console)
        } else {
            try list("subscriptions", ["records", "failed_records", "under_way", "lag"], invocation, console)
        }
    }

    private static func list(
        _ kind: String, _ numbers: [String], _ invocation: Invocation, _ console: Console
    ) throws {
        let answer = try QueueGateway(invocation, console).ask("GET", path: "/stats")
        guard let takers = answer.fields.object(kind) else {
            throw CommandFailure("the gateway says nothing of \(kind): it is of an older version")
        }
        if invocation[CommonOptions.json] {
            console.output.write(answer.fields.raw(kind))
            console.output.write("\n")
            return
        }
        if takers.names.isEmpty { return console.complain("no \(kind)") }
        var columns: [(title: String, alignment: TextTable.Alignment)] = [
            ("NAME", .left), ("FROM", .left), ("TO", .left),
        ]
        for number in numbers { columns.append((number.uppercased().replacing("_", with: " "), .right)) }
        columns.append(("TROUBLE", .left))
        var table = TextTable(columns)
        for name in takers.names {
            guard let taker = takers.object(name) else { continue }
            table.append(
                [name, taker.text("from"), taker.text("to")] + numbers.map { String(taker.number($0)) }
                    + [taker.text("trouble")])
        }
        console.output.write(table.text)
    }
}
