import CommandSyntax
import KafkaClient
import KafkaModel
import Security

/// `millrace acl …`.
enum AclCommands {
    // MARK: add

    static func add(_ invocation: Invocation, _ console: Console) throws {
        let patterns = patterns(invocation)
        let permission: AclPermission = invocation[AclOptions.deny] ? .deny : .allow
        let host = ExactString(invocation[AclOptions.host] ?? "*")
        var acls: [AclBinding] = []
        for principal in invocation[AclOptions.principals] {
            guard Principal(parsing: principal) != nil else {
                throw UsageError(
                    "--principal \(principal): must be TYPE:NAME, such as User:\(principal)", command: invocation.name)
            }
            for pattern in patterns {
                for operation in invocation[AclOptions.operations].map({ AclOperation($0) }) {
                    acls.append(
                        AclBinding(pattern, principal: ExactString(principal), host: host, operation, permission))
                }
            }
        }
        try ClusterConnection.open(invocation, console).create(acls)
        // Such a rule is taken, as by Kafka, and does nothing.
        if let acl = acls.first(where: \.matchesNobody) {
            console.complain("\(acl.host) is no address: this applies to nobody")
        }
        show(acls, invocation, console, "added")
    }

    private static func patterns(_ invocation: Invocation) -> [ResourcePattern] {
        let type: PatternType = invocation[AclOptions.prefixed] ? .prefixed : .literal
        var patterns = invocation[AclOptions.topics].map { ResourcePattern(.topic, ExactString($0), type) }
        patterns += invocation[AclOptions.groups].map { ResourcePattern(.group, ExactString($0), type) }
        patterns += invocation[AclOptions.transactions].map { ResourcePattern(.transactionalID, ExactString($0), type) }
        if invocation[AclOptions.cluster] { patterns.append(ResourcePattern(.cluster, ResourcePattern.clusterName)) }
        return patterns
    }

    // MARK: list, delete

    static func list(_ invocation: Invocation, _ console: Console) throws {
        let found = try ClusterConnection.open(invocation, console).acls(filter(invocation))
        if found.isEmpty, !invocation[CommonOptions.json] { return console.complain("no ACLs") }
        show(found, invocation, console, nil)
    }

    static func delete(_ invocation: Invocation, _ console: Console) throws {
        let cluster = try ClusterConnection.open(invocation, console)
        let filter = filter(invocation)
        let isDry = invocation[AclOptions.dryRun]
        let found = isDry ? try cluster.acls(filter) : try cluster.deleteAcls(filter)
        if found.isEmpty, !invocation[CommonOptions.json] { return console.complain("no ACLs to delete") }
        show(found, invocation, console, isDry ? "would be deleted:" : "deleted")
    }

    private static func filter(_ invocation: Invocation) -> AclFilter {
        let named: [(ResourceType, String?)] = [
            (.topic, invocation[AclOptions.topic]), (.group, invocation[AclOptions.group]),
            (.transactionalID, invocation[AclOptions.transaction]),
            (.cluster, invocation[AclOptions.cluster] ? ResourcePattern.clusterName.text : nil),
        ]
        let resource = named.first { $0.1 != nil }
        return AclFilter(
            resource: resource?.0 ?? .any, name: resource?.1.map { ExactString($0) },
            pattern: PatternType(invocation[AclOptions.pattern] ?? .any),
            principal: invocation[AclOptions.principal].map { ExactString($0) },
            host: invocation[AclOptions.fromHost].map { ExactString($0) },
            operation: invocation[AclOptions.operation].map { AclOperation($0) } ?? .any)
    }

    // MARK: Output

    /// - Parameter done: what was done with each; nil for a table of what there is.
    private static func show(
        _ acls: [AclBinding], _ invocation: Invocation, _ console: Console, _ done: String?
    ) {
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.array { json in for acl in acls { write(acl, to: &json) } }
            }
        }
        guard let done else {
            var table = TextTable([
                ("PRINCIPAL", .left), ("PERMISSION", .left), ("OPERATION", .left), ("RESOURCE", .left),
                ("NAME", .left), ("PATTERN", .left), ("HOST", .left),
            ])
            for acl in acls {
                table.append([
                    acl.principal.text, acl.permission.word, acl.operation.word, acl.pattern.resource.word,
                    acl.pattern.name.text, acl.pattern.type.word, acl.host.text,
                ])
            }
            return console.output.write(table.text)
        }
        for acl in acls {
            let prefix = acl.pattern.type == .prefixed ? " prefixed" : ""
            let text =
                "\(done) \(acl.permission.word) \(acl.principal) \(acl.operation.word) on \(acl.pattern.resource.word)"
                + "\(prefix) \(acl.pattern.name) from \(acl.host)"
            console.output.write(TerminalText.escaped(text) + "\n")
        }
    }

    private static func write(_ acl: AclBinding, to json: inout JSONWriter) {
        json.object { json in
            json.member("principal", acl.principal.text)
            json.member("permission", acl.permission.word)
            json.member("operation", acl.operation.word)
            json.member("resource", acl.pattern.resource.word)
            json.member("name", acl.pattern.name.text)
            json.member("pattern", acl.pattern.type.word)
            json.member("host", acl.host.text)
        }
    }
}

// MARK: Words, as the options take them

extension AclOperation {
    init(_ option: AclOptions.Operation) {
        guard let operation = AclOperation(rawValue: option.number) else {
            preconditionFailure("\(option) is no operation of Kafka's")
        }
        self = operation
    }

    var word: String {
        AclOptions.Operation.allCases.first { $0.number == rawValue }?.rawValue ?? "any"
    }
}

extension PatternType {
    fileprivate init(_ option: AclOptions.Pattern) {
        switch option {
        case .any: self = .any
        case .match: self = .match
        case .literal: self = .literal
        case .prefixed: self = .prefixed
        }
    }

    var word: String { "\(self)" }
}

extension AclPermission {
    var word: String { "\(self)" }
}

extension ResourceType {
    var word: String {
        switch self {
        case .any: "any"
        case .topic: "topic"
        case .group: "group"
        case .cluster: "cluster"
        case .transactionalID: "transactional-id"
        case .delegationToken: "delegation-token"
        case .user: "user"
        }
    }
}
