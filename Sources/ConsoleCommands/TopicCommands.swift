import CommandSyntax
import KafkaClient
import KafkaModel

/// `millrace topic …`.
enum TopicCommands {
    // MARK: create

    static func create(_ invocation: Invocation, _ console: Console) throws {
        for name in invocation.operands {
            if let problem = TopicName.problem(name) { throw UsageError(problem, command: invocation.name) }
        }
        let partitions = invocation[TopicOptions.partitions] ?? -1
        let replicas = invocation[TopicOptions.replicationFactor] ?? -1
        let settings = invocation[TopicOptions.settings].map { (name: $0.name, value: $0.value) }
        let cluster = try ClusterConnection.open(invocation, console)
        var created: [Cluster.CreatedTopic] = []
        try Each.of(invocation.operands, console) { name in
            var topic = Cluster.NewTopic(name: name)
            topic.partitions = partitions
            topic.replicationFactor = replicas
            topic.settings = settings
            do throws(ClientError) { created.append(try cluster.create(topic)) } catch {
                guard error.code == .topicAlreadyExists, invocation[TopicOptions.ifNotExists] else { throw error }
                if !invocation[CommonOptions.json] { console.output.write("topic \(name) is there already\n") }
                return
            }
            if !invocation[CommonOptions.json], let topic = created.last {
                console.output.write(describe(topic) + "\n")
            }
        } finally: {
            guard invocation[CommonOptions.json] else { return }
            console.output.writeJSON { json in
                json.array { json in
                    for topic in created {
                        json.object { json in
                            json.member("name", topic.name)
                            json.member("topic_id", topic.id == .zero ? nil : topic.id.description)
                            json.member("partitions", topic.partitions < 0 ? nil : Int64(topic.partitions))
                            json.member(
                                "replication_factor",
                                topic.replicationFactor < 0 ? nil : Int64(topic.replicationFactor))
                        }
                    }
                }
            }
        }
    }

    private static func describe(_ topic: Cluster.CreatedTopic) -> String {
        var text = "created topic \(topic.name)"
        if topic.partitions >= 0 { text += " with \(topic.partitions) partition\(topic.partitions == 1 ? "" : "s")" }
        if topic.id != .zero { text += ", id \(topic.id)" }
        return text
    }

    // MARK: list

    static func list(_ invocation: Invocation, _ console: Console) throws {
        let cluster = try ClusterConnection.open(invocation, console)
        try cluster.refresh(topics: nil)
        let topics = cluster.topics.values.filter { invocation[TopicOptions.internal] || !$0.isInternal }
            .sorted { $0.name < $1.name }
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.array { json in
                    for topic in topics {
                        json.object { json in
                            json.member("name", topic.name)
                            json.member("topic_id", topic.id == .zero ? nil : topic.id.description)
                            json.member("partitions", topic.partitions.count)
                            json.member("replication_factor", topic.partitions.first?.replicas.count ?? 0)
                            json.member("internal", topic.isInternal)
                        }
                    }
                }
            }
        }
        guard !topics.isEmpty else { return console.complain("no topics") }
        var table = TextTable([("TOPIC", .left), ("PARTITIONS", .right), ("REPLICAS", .right)])
        for topic in topics {
            table.append([topic.name, "\(topic.partitions.count)", "\(topic.partitions.first?.replicas.count ?? 0)"])
        }
        console.output.write(table.text)
    }

    // MARK: describe

    private struct Description {
        var topic: Cluster.TopicMetadata
        var first: [PartitionName: Int64]
        var end: [PartitionName: Int64]
        var settings: [Cluster.Setting]
    }

    static func describe(_ invocation: Invocation, _ console: Console) throws {
        let cluster = try ClusterConnection.open(invocation, console)
        var described: [Description] = []
        try Each.of(invocation.operands, console) { name in
            let topic = try cluster.topic(name)
            let led = topic.partitions.filter { $0.leaderID >= 0 }.map { PartitionName(name, $0.index) }
            let first = try cluster.offsets(of: led, .earliest)
            let end = try cluster.offsets(of: led, .latest)
            let settings = try cluster.settings(ofTopic: name).filter { invocation[TopicOptions.all] || $0.isOwn }
            described.append(Description(topic: topic, first: first, end: end, settings: settings))
        } finally: {
            Each.write(described, invocation, console, write, text)
        }
    }

    private static func text(_ entry: Description) -> String {
        var text = "Topic: \(entry.topic.name)\n"
        if entry.topic.id != .zero { text += "Id: \(entry.topic.id)\n" }
        if entry.topic.isInternal { text += "Internal: yes\n" }
        for setting in entry.settings {
            let value = setting.isSensitive ? "(hidden)" : TerminalText.escaped(setting.value ?? "")
            text += "Setting: \(setting.name)=\(value)"
            text += setting.isOwn ? "\n" : " (default)\n"
        }
        var table = TextTable([
            ("PARTITION", .right), ("LEADER", .right), ("EPOCH", .right), ("REPLICAS", .left), ("IN SYNC", .left),
            ("FIRST", .right), ("END", .right), ("RECORDS", .right),
        ])
        for partition in entry.topic.partitions {
            let name = PartitionName(entry.topic.name, partition.index)
            let (first, end) = (entry.first[name], entry.end[name])
            table.append([
                "\(partition.index)", partition.leaderID < 0 ? "none" : "\(partition.leaderID)",
                "\(partition.leaderEpoch)", partition.replicas.map(String.init).joined(separator: ","),
                partition.inSyncReplicas.map(String.init).joined(separator: ","), first.map(String.init) ?? "?",
                end.map(String.init) ?? "?", first.flatMap { first in end.map { "\($0 - first)" } } ?? "?",
            ])
        }
        return text + table.text
    }

    private static func write(_ entry: Description, to json: inout JSONWriter) {
        json.object { json in
            json.member("name", entry.topic.name)
            json.member("topic_id", entry.topic.id == .zero ? nil : entry.topic.id.description)
            json.member("internal", entry.topic.isInternal)
            json.array("partitions") { json in
                for partition in entry.topic.partitions {
                    let name = PartitionName(entry.topic.name, partition.index)
                    json.object { json in
                        json.member("partition", partition.index)
                        json.member("leader", partition.leaderID < 0 ? nil : Int64(partition.leaderID))
                        json.member("leader_epoch", partition.leaderEpoch)
                        json.array("replicas") { json in for id in partition.replicas { json.integer(id) } }
                        json.array("in_sync_replicas") { json in
                            for id in partition.inSyncReplicas { json.integer(id) }
                        }
                        json.member("first_offset", entry.first[name])
                        json.member("end_offset", entry.end[name])
                    }
                }
            }
            json.array("settings") { json in
                for setting in entry.settings {
                    json.object { json in
                        json.member("name", setting.name)
                        json.member("value", setting.value)
                        json.member("own", setting.isOwn)
                        json.member("read_only", setting.isReadOnly)
                    }
                }
            }
        }
    }

    // MARK: alter, delete

    static func alter(_ invocation: Invocation, _ console: Console) throws {
        let name = invocation.operands[0]
        let count = invocation[TopicAlterOptions.partitions]
        var settings: [(name: String, value: String?)] = invocation[TopicAlterOptions.settings].map {
            ($0.name, $0.value)
        }
        settings += invocation[TopicAlterOptions.unset].map { ($0, nil) }
        let dryRun = invocation[TopicAlterOptions.dryRun]
        let cluster = try ClusterConnection.open(invocation, console)
        // Half of it would be done, and nothing told, if the second request were refused.
        if let count, !settings.isEmpty, !dryRun {
            try cluster.setPartitions(of: name, to: count, validateOnly: true)
        }
        if !settings.isEmpty { try cluster.alter(topic: name, settings: settings, validateOnly: dryRun) }
        if let count { try cluster.setPartitions(of: name, to: count, validateOnly: dryRun) }
        guard invocation[CommonOptions.json] else {
            return console.output.write(dryRun ? "topic \(name) can be altered so\n" : "altered topic \(name)\n")
        }
        console.output.writeJSON { json in
            json.object { json in
                json.member("name", name)
                json.member("altered", !dryRun)
                json.member("partitions", count.map(Int64.init))
                json.array("settings") { json in
                    for setting in settings {
                        json.object { json in
                            json.member("name", setting.name)
                            json.member("value", setting.value)
                        }
                    }
                }
            }
        }
    }

    static func delete(_ invocation: Invocation, _ console: Console) throws {
        let cluster = try ClusterConnection.open(invocation, console)
        var deletions = Deletions("topic", invocation, console)
        try Each.of(invocation.operands, console) { name in
            do throws(ClientError) { try cluster.delete(topic: name) } catch {
                guard error.code == .unknownTopicOrPartition else { throw error }
                guard invocation[TopicOptions.ifExists] else {
                    throw CommandFailure("topic \(name): there is no such topic")
                }
                return deletions.note(name, wasThere: false)
            }
            deletions.note(name, wasThere: true)
        } finally: {
            deletions.finish()
        }
    }
}
