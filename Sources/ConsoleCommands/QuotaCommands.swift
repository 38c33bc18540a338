import CommandSyntax
import KafkaClient
import KafkaModel
import Security

/// `millrace quota …`.
enum QuotaCommands {
    static func set(_ invocation: Invocation, _ console: Console) throws {
        let entity = entity(invocation)
        let limits = invocation[QuotaOptions.limits]
        try ClusterConnection.open(invocation, console).alterQuotas(of: entity, limits.map { ($0.key, $0.value) })
        show(
            [Cluster.EntityQuotas(entity: entity, limits: limits.map { ($0.key, $0.value) })], invocation, console,
            verb: "set")
    }

    static func list(_ invocation: Invocation, _ console: Console) throws {
        let found = try ClusterConnection.open(invocation, console).quotas(of: entity(invocation))
        if found.isEmpty, !invocation[CommonOptions.json] { return console.complain("no quotas") }
        show(found, invocation, console, verb: nil)
    }

    static func delete(_ invocation: Invocation, _ console: Console) throws {
        let entity = entity(invocation)
        let cluster = try ClusterConnection.open(invocation, console)
        // Others may have more components.
        let own = try cluster.quotas(of: entity).first { Set($0.entity) == Set(entity) }
        let named = Set(invocation[QuotaOptions.keys].map { ExactString($0) })
        let found = (own?.limits ?? []).filter { named.isEmpty || named.contains(ExactString($0.key)) }
        guard !found.isEmpty else { throw CommandFailure("\(text(entity)): there is no such quota") }
        try cluster.alterQuotas(of: entity, found.map { ($0.key, nil) })
        show([Cluster.EntityQuotas(entity: entity, limits: found)], invocation, console, verb: "deleted")
    }

    /// The components that the options name, in the order in which they are told.
    private static func entity(_ invocation: Invocation) -> [QuotaEntity.Component] {
        let named: [(ExactString, String?, isDefault: Bool)] = [
            (QuotaEntity.userType, invocation[QuotaOptions.user], invocation[QuotaOptions.userDefault]),
            (QuotaEntity.clientType, invocation[QuotaOptions.client], invocation[QuotaOptions.clientDefault]),
            (QuotaEntity.addressType, invocation[QuotaOptions.address], invocation[QuotaOptions.addressDefault]),
        ]
        return named.compactMap { type, name, isDefault in
            name != nil || isDefault ? QuotaEntity.Component(type: type.text, name: name) : nil
        }
    }

    // MARK: Output

    /// - Parameter verb: what was done with each; nil for a table of what there is.
    private static func show(
        _ quotas: [Cluster.EntityQuotas], _ invocation: Invocation, _ console: Console, verb: String?
    ) {
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.array { json in for entry in quotas { write(entry, to: &json) } }
            }
        }
        if let verb {
            for entry in quotas {
                for (key, value) in entry.limits {
                    let line = "\(verb) \(key) of \(text(entry.entity))" + (verb == "set" ? " to \(number(value))" : "")
                    console.output.write(TerminalText.escaped(line) + "\n")
                }
            }
            return
        }
        var table = TextTable([("ENTITY", .left), ("LIMIT", .left), ("VALUE", .right)])
        for entry in quotas {
            for (key, value) in entry.limits { table.append([text(entry.entity), key, number(value)]) }
        }
        console.output.write(table.text)
    }

    private static func text(_ entity: [QuotaEntity.Component]) -> String {
        entity.map { "\($0.type) " + ($0.name?.text ?? "(default)") }.joined(separator: ", ")
    }

    private static func write(_ entry: Cluster.EntityQuotas, to json: inout JSONWriter) {
        json.object { json in
            json.array("entity") { json in
                for component in entry.entity {
                    json.object { json in
                        json.member("type", component.type.text)
                        json.member("name", component.name?.text)
                    }
                }
            }
            json.object("limits") { json in for (key, value) in entry.limits { json.member(key, number: value) } }
        }
    }

    /// Without a fraction where there is none.
    private static func number(_ value: Double) -> String {
        Int64(exactly: value).map(String.init) ?? "\(value)"
    }
}
