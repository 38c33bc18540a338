import CommandSyntax
import KafkaClient
import KafkaModel

/// `millrace group list`, `describe` and `delete`.
enum GroupCommands {
    static func list(_ invocation: Invocation, _ console: Console) throws {
        let groups = try ClusterConnection.open(invocation, console).listGroups()
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.array { json in
                    for group in groups {
                        json.object { json in
                            json.member("group", group.groupID)
                            json.member("state", group.state.isEmpty ? nil : group.state)
                            json.member("type", group.type.isEmpty ? nil : group.type)
                            json.member("protocol_type", group.protocolType)
                        }
                    }
                }
            }
        }
        guard !groups.isEmpty else { return console.complain("no groups") }
        var table = TextTable([("GROUP", .left), ("STATE", .left), ("TYPE", .left), ("PROTOCOL", .left)])
        for group in groups { table.append([group.groupID, group.state, group.type, group.protocolType]) }
        console.output.write(table.text)
    }

    // MARK: describe

    private struct Description {
        var group: Cluster.GroupDescription
        var rows: [Row]
    }

    private struct Row {
        var name: PartitionName
        var committed: Int64?
        var end: Int64?
        var member: Cluster.GroupMember?

        /// Records that the group has yet to read.
        var lag: Int64? { committed.flatMap { committed in end.map { max(0, $0 - committed) } } }
    }

    static func describe(_ invocation: Invocation, _ console: Console) throws {
        let cluster = try ClusterConnection.open(invocation, console)
        var described: [Description] = []
        try Each.of(invocation.operands, console) { id in
            let group = try existing(id, cluster)
            let committed = try cluster.committedOffsets(of: id)
            var owners: [PartitionName: Cluster.GroupMember] = [:]
            for member in group.members { for name in member.assignment { owners[name] = member } }
            let names = Set(committed.keys).union(owners.keys).sorted()
            let ends = try self.ends(of: names, cluster)
            described.append(
                Description(
                    group: group,
                    rows: names.map {
                        Row(name: $0, committed: committed[$0]?.offset, end: ends[$0], member: owners[$0])
                    }))
        } finally: {
            Each.write(described, invocation, console, write, text)
        }
    }

    /// The ends of those partitions that (still) exist.
    static func ends(of names: [PartitionName], _ cluster: Cluster) throws -> [PartitionName: Int64] {
        try cluster.refresh(topics: Array(Set(names.map(\.topic))))
        let present = names.filter { name in
            cluster.topics[name.topic]?.partitions.contains { $0.index == name.partition && $0.leaderID >= 0 } == true
        }
        return try cluster.offsets(of: present, .latest)
    }

    /// The group, or a failure that says that there is none.
    static func existing(_ id: String, _ cluster: Cluster) throws -> Cluster.GroupDescription {
        do { return try cluster.describe(group: id) } catch {
            guard error.code == .groupIDNotFound else { throw error }
            throw CommandFailure("group \(id): there is no such group")
        }
    }

    private static func text(_ entry: Description) -> String {
        // Names and addresses that clients chose.
        let shown = { TerminalText.escaped($0) }
        var text = "Group: \(shown(entry.group.groupID))\nState: \(entry.group.state)\n"
        text += "Coordinator: \(entry.group.coordinatorID)\nMembers: \(entry.group.members.count)\n"
        if !entry.group.assignor.isEmpty { text += "Assignor: \(shown(entry.group.assignor))\n" }
        for member in entry.group.members where member.assignment.isEmpty {
            text +=
                "Without partitions: \(shown(member.memberID)) (\(shown(member.clientID)) at \(shown(member.host)))\n"
        }
        if entry.rows.isEmpty { return text }
        var table = TextTable([
            ("TOPIC", .left), ("PARTITION", .right), ("COMMITTED", .right), ("END", .right), ("LAG", .right),
            ("MEMBER", .left), ("HOST", .left),
        ])
        for row in entry.rows {
            table.append([
                row.name.topic, "\(row.name.partition)", row.committed.map(String.init) ?? "-",
                row.end.map(String.init) ?? "-", row.lag.map(String.init) ?? "-", row.member?.memberID ?? "-",
                row.member?.host ?? "-",
            ])
        }
        return text + table.text
    }

    private static func write(_ entry: Description, to json: inout JSONWriter) {
        json.object { json in
            json.member("group", entry.group.groupID)
            json.member("state", entry.group.state)
            json.member("protocol_type", entry.group.protocolType)
            json.member("assignor", entry.group.assignor.isEmpty ? nil : entry.group.assignor)
            json.member("coordinator", entry.group.coordinatorID)
            json.array("members") { json in
                for member in entry.group.members {
                    json.object { json in
                        json.member("member_id", member.memberID)
                        json.member("group_instance_id", member.groupInstanceID)
                        json.member("client_id", member.clientID)
                        json.member("host", member.host)
                        json.array("partitions") { json in
                            for name in member.assignment { json.string(name.description) }
                        }
                    }
                }
            }
            json.array("partitions") { json in
                for row in entry.rows {
                    json.object { json in
                        json.member("topic", row.name.topic)
                        json.member("partition", row.name.partition)
                        json.member("committed_offset", row.committed)
                        json.member("end_offset", row.end)
                        json.member("lag", row.lag)
                        json.member("member_id", row.member?.memberID)
                    }
                }
            }
        }
    }

    // MARK: delete

    static func delete(_ invocation: Invocation, _ console: Console) throws {
        let cluster = try ClusterConnection.open(invocation, console)
        var deletions = Deletions("group", invocation, console)
        try Each.of(invocation.operands, console) { id in
            do {
                try cluster.delete(group: id)
                deletions.note(id, wasThere: true)
            } catch let error as ClientError {
                switch error.code {
                case .groupIDNotFound: throw CommandFailure("group \(id): there is no such group")
                case .nonEmptyGroup: throw CommandFailure("group \(id) has members; stop them first")
                default: throw error
                }
            }
        } finally: {
            deletions.finish()
        }
    }
}
