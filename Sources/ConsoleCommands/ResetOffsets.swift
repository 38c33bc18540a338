import CommandSyntax
import KafkaClient
import KafkaModel

/// `millrace group reset-offsets`.
enum ResetOffsets {
    private enum Target {
        case earliest, latest, current
        case offset(Int64)
        case shift(Int64)
        case time(Int64)
    }

    private struct Row {
        var name: PartitionName
        var committed: Int64?
        var target: Int64
    }

    static func run(_ invocation: Invocation, _ console: Console) throws {
        let target = self.target(invocation)
        let execute = invocation[GroupResetOptions.execute]
        let cluster = try ClusterConnection.open(invocation, console)
        let group = invocation.operands[0]
        try checkEmpty(group, cluster)
        let committed = try cluster.committedOffsets(of: group)
        let names = try self.names(invocation[GroupResetOptions.topics], committed, cluster)
        guard !names.isEmpty else { throw CommandFailure("group \(group) has no committed offsets to reset") }
        let rows = try self.rows(names, target, committed, cluster, console)
        if execute {
            try cluster.commit(
                Dictionary(uniqueKeysWithValues: rows.map { ($0.name, Cluster.CommittedOffset(offset: $0.target)) }),
                group: group)
        }
        write(invocation, console, group, rows, isDone: execute)
    }

    /// The table has seen to it that there is exactly one.
    private static func target(_ invocation: Invocation) -> Target {
        if invocation[GroupResetOptions.toEarliest] { return .earliest }
        if invocation[GroupResetOptions.toLatest] { return .latest }
        if let offset = invocation[GroupResetOptions.toOffset] { return .offset(offset) }
        if let shift = invocation[GroupResetOptions.shiftBy] { return .shift(shift) }
        if let time = invocation[GroupResetOptions.toDatetime] { return .time(time) }
        return .current
    }

    /// Members would commit over the reset. A group that is not there yet may be given offsets.
    private static func checkEmpty(_ group: String, _ cluster: Cluster) throws {
        let described: Cluster.GroupDescription
        do { described = try cluster.describe(group: group) } catch {
            guard error.code == .groupIDNotFound else { throw error }
            return
        }
        if !described.members.isEmpty {
            throw CommandFailure(
                "group \(group) has members (\(described.members.count), \(described.state)); stop them first")
        }
    }

    private static func names(
        _ selections: [TopicSelection], _ committed: [PartitionName: Cluster.CommittedOffset], _ cluster: Cluster
    ) throws -> [PartitionName] {
        if selections.isEmpty { return committed.keys.sorted() }
        var names: Set<PartitionName> = []
        for selection in selections {
            let present = try cluster.topic(selection.topic).partitions.map(\.index)
            for index in selection.partitions ?? present {
                guard present.contains(index) else {
                    throw CommandFailure("topic \(selection.topic) has no partition \(index); it has \(present.count)")
                }
                names.insert(PartitionName(selection.topic, index))
            }
        }
        return names.sorted()
    }

    /// The new offsets, each within what its log holds.
    private static func rows(
        _ names: [PartitionName], _ target: Target, _ committed: [PartitionName: Cluster.CommittedOffset],
        _ cluster: Cluster, _ console: Console
    ) throws -> [Row] {
        let first = try cluster.offsets(of: names, .earliest)
        let end = try cluster.offsets(of: names, .latest)
        var times: [PartitionName: Int64] = [:]
        if case .time(let time) = target { times = try cluster.offsets(of: names, .time(time)) }
        return try names.map { name in
            let wanted: Int64
            switch target {
            case .earliest: wanted = first[name] ?? 0
            case .latest: wanted = end[name] ?? 0
            case .offset(let offset): wanted = offset
            // No record that late: the end.
            case .time: wanted = times[name] ?? end[name] ?? 0
            case .current, .shift:
                guard let current = committed[name]?.offset else {
                    throw CommandFailure("the group has no committed offset for \(name) to go from")
                }
                var shift: Int64 = 0
                if case .shift(let count) = target { shift = count }
                wanted = current.addingReportingOverflow(shift).partialValue
            }
            let low = first[name] ?? 0
            let within = max(low, min(max(end[name] ?? low, low), wanted))
            if within != wanted {
                console.complain("millrace: \(name): offset \(wanted) is outside the log; \(within) is taken")
            }
            return Row(name: name, committed: committed[name]?.offset, target: within)
        }
    }

    private static func write(
        _ invocation: Invocation, _ console: Console, _ group: String, _ rows: [Row], isDone: Bool
    ) {
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.object { json in
                    json.member("group", group)
                    json.member("executed", isDone)
                    json.array("partitions") { json in
                        for row in rows {
                            json.object { json in
                                json.member("topic", row.name.topic)
                                json.member("partition", row.name.partition)
                                json.member("committed_offset", row.committed)
                                json.member("new_offset", row.target)
                            }
                        }
                    }
                }
            }
        }
        var table = TextTable([
            ("TOPIC", .left), ("PARTITION", .right), ("COMMITTED", .right), (isDone ? "NOW" : "WOULD BE", .right),
        ])
        for row in rows {
            table.append([
                row.name.topic, "\(row.name.partition)", row.committed.map(String.init) ?? "-", "\(row.target)",
            ])
        }
        console.output.write(table.text)
        if !isDone { console.complain("nothing was changed; --execute does it") }
    }
}
