import CommandSyntax
import KafkaClient

/// `millrace cluster info`.
enum ClusterCommands {
    static func info(_ invocation: Invocation, _ console: Console) throws {
        let cluster = try ClusterConnection.open(invocation, console)
        try cluster.refresh(topics: nil)
        let topics = cluster.topics.values
        let partitions = topics.flatMap(\.partitions)
        let brokers = cluster.brokers.sorted { $0.key < $1.key }.map { id, address in
            (id: id, address: address, leads: partitions.count { $0.leaderID == id })
        }
        let internalCount = topics.count(where: \.isInternal)
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.object { json in
                    json.member("cluster_id", cluster.clusterID)
                    json.member("controller", cluster.controllerID < 0 ? nil : Int64(cluster.controllerID))
                    json.array("brokers") { json in
                        for broker in brokers {
                            json.object { json in
                                json.member("id", broker.id)
                                json.member("host", broker.address.host)
                                json.member("port", broker.address.port)
                                json.member("leads", broker.leads)
                            }
                        }
                    }
                    json.member("topics", topics.count - internalCount)
                    json.member("internal_topics", internalCount)
                    json.member("partitions", partitions.count)
                    json.member("partitions_without_leader", partitions.count { $0.leaderID < 0 })
                }
            }
        }
        var text = "Cluster: \(cluster.clusterID ?? "(no id)")\n"
        text += "Controller: \(cluster.controllerID < 0 ? "none" : String(cluster.controllerID))\n"
        text += "Topics: \(topics.count - internalCount), and \(internalCount) internal\n"
        text += "Partitions: \(partitions.count)\n"
        var table = TextTable([("BROKER", .right), ("ADDRESS", .left), ("LEADS", .right)])
        for broker in brokers { table.append(["\(broker.id)", broker.address.description, "\(broker.leads)"]) }
        console.output.write(text + table.text)
    }
}
