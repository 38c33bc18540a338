import CommandSyntax
import KafkaClient

/// `millrace topic trim`: deletes the oldest records of partitions (DeleteRecords).
enum TrimCommand {
    private struct Row {
        var name: PartitionName
        var first: Int64
        var end: Int64
        /// The first offset afterwards.
        var target: Int64
    }

    static func run(_ invocation: Invocation, _ console: Console) throws {
        guard let before = invocation[TopicTrimOptions.before] else {
            preconditionFailure("the table asks for --before")
        }
        let cluster = try ClusterConnection.open(invocation, console)
        let names = try ConsumeCommand.partitions(invocation, cluster)
        var rows = try rows(names, before, cluster, console)
        let doomed = rows.filter { $0.target > $0.first }
        if !invocation[TopicTrimOptions.dryRun], !doomed.isEmpty {
            let first = try cluster.deleteRecords(
                before: Dictionary(uniqueKeysWithValues: doomed.map { ($0.name, $0.target) }))
            for index in rows.indices { rows[index].target = first[rows[index].name] ?? rows[index].target }
        }
        write(invocation, console, rows)
    }

    private static func rows(
        _ names: [PartitionName], _ before: StartPosition, _ cluster: Cluster, _ console: Console
    ) throws -> [Row] {
        let first = try cluster.offsets(of: names, .earliest)
        let end = try cluster.offsets(of: names, .latest)
        let wanted = try ConsumeCommand.positions(names, before, end, cluster)
        return names.map { name in
            let (first, end) = (first[name] ?? 0, end[name] ?? 0)
            let target = max(first, min(wanted[name] ?? first, end))
            if let wanted = wanted[name], wanted > end {
                console.complain("millrace: \(name): offset \(wanted) is behind the end; \(end) is taken")
            }
            return Row(name: name, first: first, end: end, target: target)
        }
    }

    private static func write(_ invocation: Invocation, _ console: Console, _ rows: [Row]) {
        let isDone = !invocation[TopicTrimOptions.dryRun]
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.object { json in
                    json.member("topic", invocation.operands[0])
                    json.member("executed", isDone)
                    json.array("partitions") { json in
                        for row in rows {
                            json.object { json in
                                json.member("partition", row.name.partition)
                                json.member("previous_first_offset", row.first)
                                json.member("first_offset", row.target)
                                json.member("end_offset", row.end)
                            }
                        }
                    }
                }
            }
        }
        var table = TextTable([
            ("PARTITION", .right), ("FIRST", .right), (isDone ? "NOW" : "WOULD BE", .right), ("END", .right),
        ])
        for row in rows { table.append(["\(row.name.partition)", "\(row.first)", "\(row.target)", "\(row.end)"]) }
        console.output.write(table.text)
    }
}
