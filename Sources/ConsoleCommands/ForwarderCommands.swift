import CommandSyntax

/// `millrace forwarder …`: by what the gateway counts.
enum ForwarderCommands {
    static func list(_ invocation: Invocation, _ console: Console) throws {
        let answer = try QueueGateway(invocation, console).ask("GET", path: "/stats")
        guard let forwarders = answer.fields.object("forwarders") else {
            throw CommandFailure("the gateway says nothing of forwarders: it is of an older version")
        }
        if invocation[CommonOptions.json] {
            console.output.write(answer.fields.raw("forwarders"))
            console.output.write("\n")
            return
        }
        if forwarders.names.isEmpty { return console.complain("no forwarders") }
        var table = TextTable([
            ("NAME", .left), ("FROM", .left), ("TO", .left), ("RECORDS", .right), ("REFUSED", .right), ("LAG", .right),
            ("TROUBLE", .left),
        ])
        for name in forwarders.names {
            guard let forwarder = forwarders.object(name) else { continue }
            let numbers = ["records", "refused", "lag"].map { String(forwarder.number($0)) }
            table.append([name, forwarder.text("from"), forwarder.text("to")] + numbers + [forwarder.text("trouble")])
        }
        console.output.write(table.text)
    }
}
