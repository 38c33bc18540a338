import CommandSyntax

/// `millrace job …`: by the gateway's own API.
enum JobCommands {
    static func list(_ invocation: Invocation, _ console: Console) throws {
        let count = invocation[JobOptions.count] ?? 100
        let answer = try QueueGateway(invocation, console).ask("GET", path: "/v1/jobs?count=\(count)")
        let jobs = answer.fields.list("jobs")
        if invocation[CommonOptions.json] {
            console.output.write(answer.fields.raw("jobs"))
            console.output.write("\n")
            return
        }
        if jobs.isEmpty { return console.complain("no jobs") }
        var table = TextTable([
            ("JOB", .left), ("KIND", .left), ("STATE", .left), ("TOPIC", .left), ("ACCEPTED", .right),
            ("REJECTED", .right), ("BYTES", .right), ("CREATED", .left), ("WHAT", .left),
        ])
        for job in jobs {
            // Of dead letters on their way back those that were moved, and those that stay.
            let names = job.text("kind") == "redrive" ? ["moved", "stayed"] : ["accepted", "rejected", "bytes"]
            let numbers = names.map { String(job.number($0)) } + (names.count < 3 ? ["-"] : [])
            table.append(
                [job.text("job_id"), job.text("kind"), job.text("state"), job.text("topic")] + numbers
                    + [job.text("created"), job.has("pull") ? "pull \(job.text("pull"))" : job.text("file")])
        }
        console.output.write(table.text)
    }

    static func describe(_ invocation: Invocation, _ console: Console) throws {
        let answer = try QueueGateway(invocation, console).ask("GET", path: path(invocation))
        if invocation[CommonOptions.json] {
            console.output.write(answer.body)
            console.output.write("\n")
            return
        }
        let job = answer.fields
        var table = TextTable([("WHAT", .left), ("VALUE", .left)])
        for name in [
            "job_id", "kind", "state", "reason", "pull", "route", "from", "to", "topic", "quarantine", "file", "owner",
            "created", "changed",
        ] where !job.text(name).isEmpty { table.append([name, job.text(name)]) }
        for name in ["pages", "rows", "accepted", "rejected", "bytes", "line", "rate", "expected", "moved", "stayed"]
        where job.has(name) {
            table.append([name, String(job.number(name))])
        }
        console.output.write(table.text)
        let errors = job.list("errors")
        if errors.isEmpty { return }
        var rows = TextTable([("LINE", .right), ("COLUMN", .right), ("REASON", .left)])
        for error in errors {
            rows.append([
                String(error.number("line")), error.has("column") ? String(error.number("column")) : "-",
                error.text("reason"),
            ])
        }
        console.output.write("\n" + rows.text)
    }

    static func cancel(_ invocation: Invocation, _ console: Console) throws {
        let answer = try QueueGateway(invocation, console).ask(
            "POST", path: path(invocation) + ":cancel", Array("{}".utf8))
        if invocation[CommonOptions.json] {
            console.output.write(answer.body)
            console.output.write("\n")
            return
        }
        console.output.write("job \(answer.fields.text("job_id")) will end; what it has stored or moved stays\n")
    }

    private static func path(_ invocation: Invocation) -> String {
        "/v1/jobs/" + QueueGateway.encoded(invocation.operands[0])
    }
}
