import ByteBuffers
import CommandSyntax
import KafkaClient
import KafkaModel
import Security

/// `millrace key …`.
enum KeyCommands {
    /// Between two rotations that nobody hurries.
    private static let usualOverlapMs: Int64 = 86_400_000

    // MARK: create, rotate

    static func create(_ invocation: Invocation, _ console: Console) throws {
        let name = invocation.operands[0]
        let owner = Principal(parsing: name) ?? .user(name)
        var wanted = Cluster.NewGatewayKey(owner: owner)
        wanted.expiryMs = invocation[KeyOptions.expires].map { WallClock.milliseconds + $0 }
        wanted.isPublishable = invocation[KeyOptions.publishable]
        wanted.scopes = scopes(invocation)
        let (key, text) = GatewayKeyText.make()
        let signing = invocation[KeyOptions.aws] ? SigningKey.make(for: key.id) : nil
        wanted.signingSecret = signing?.secret
        try ClusterConnection.open(invocation, console).createKey(key, wanted)
        show(
            key, text, signing, invocation, console,
            "created key \(key.id) for \(TerminalText.escaped(owner.description))")
    }

    static func rotate(_ invocation: Invocation, _ console: Console) throws {
        let id = invocation.operands[0]
        guard let (key, text) = GatewayKeyText.make(id: ExactString(id)) else {
            throw CommandFailure("\(id) is no id of a key: 12 letters and digits, as `millrace key list` shows")
        }
        let overlap = invocation[KeyOptions.overlap] ?? usualOverlapMs
        let ends = WallClock.milliseconds + overlap
        try ClusterConnection.open(invocation, console).rotateKey(to: key, previousEndsMs: ends)
        show(key, text, nil, invocation, console, "rotated key \(id); the secret before ends at \(TimeText.iso(ends))")
    }

    private static func scopes(_ invocation: Invocation) -> [AccessScope]? {
        let operations = invocation[AclOptions.operations].map { AclOperation($0) }
        guard !operations.isEmpty else { return nil }
        let type: PatternType = invocation[AclOptions.prefixed] ? .prefixed : .literal
        let patterns =
            invocation[AclOptions.topics].map { ResourcePattern(.topic, ExactString($0), type) }
            + invocation[AclOptions.groups].map { ResourcePattern(.group, ExactString($0), type) }
        return patterns.flatMap { pattern in operations.map { AccessScope(pattern, $0) } }
    }

    /// The only place where a key's text is written: to standard output, so that it can go into a file or a variable; what was done goes
    /// beside it.
    private static func show(
        _ key: GatewayKeyText, _ text: Secret, _ signing: SigningKey?, _ invocation: Invocation, _ console: Console,
        _ done: String
    ) {
        let shown = text.withBytes { String(decoding: $0, as: UTF8.self) }
        let secret = signing?.secret.withBytes { String(decoding: $0, as: UTF8.self) }
        guard invocation[CommonOptions.json] else {
            console.complain(done)
            console.output.write(shown + "\n")
            if let signing, let secret {
                console.output.write("AWS_ACCESS_KEY_ID=\(signing.name)\nAWS_SECRET_ACCESS_KEY=\(secret)\n")
            }
            return
        }
        console.output.writeJSON { json in
            json.object { json in
                json.member("id", key.id.text)
                json.member("key", shown)
                if let signing, let secret {
                    json.member("awsAccessKeyId", signing.name)
                    json.member("awsSecretAccessKey", secret)
                }
            }
        }
    }

    // MARK: list

    static func list(_ invocation: Invocation, _ console: Console) throws {
        let keys = try ClusterConnection.open(invocation, console).gatewayKeys()
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.array { json in for key in keys { write(key, to: &json) } }
            }
        }
        guard !keys.isEmpty else { return console.complain("no keys") }
        var table = TextTable([
            ("ID", .left), ("OWNER", .left), ("SECRETS", .right), ("ENDS", .left), ("LAST USE", .left), ("MAY", .left),
        ])
        for key in keys {
            table.append([
                key.id, key.owner, "\(key.secretEndsMs.count)", key.expiryMs.map(TimeText.iso) ?? "never",
                key.lastUseMs.map(TimeText.iso) ?? "never", may(key),
            ])
        }
        console.output.write(table.text)
    }

    private static func may(_ key: Cluster.GatewayKey) -> String {
        if key.isDisabled { return "nothing: disabled" }
        var words: [String] = key.isPublishable ? ["publishable"] : []
        if key.signs { words.append("signs") }
        words += key.scopes.map { $0.map(\.text) } ?? ["all of its owner's"]
        return words.joined(separator: ", ")
    }

    private static func write(_ key: Cluster.GatewayKey, to json: inout JSONWriter) {
        json.object { json in
            json.member("id", key.id)
            json.member("owner", key.owner)
            json.member("created", TimeText.iso(key.createdMs))
            json.member("expires", key.expiryMs.map(TimeText.iso))
            json.member("lastUse", key.lastUseMs.map(TimeText.iso))
            json.member("disabled", key.isDisabled)
            json.member("publishable", key.isPublishable)
            json.member("signs", key.signs)
            json.array("secrets") { json in
                for end in key.secretEndsMs { json.object { $0.member("ends", end.map(TimeText.iso)) } }
            }
            guard let scopes = key.scopes else { return }
            json.array("scopes") { json in
                for scope in scopes {
                    json.object { json in
                        json.member("operation", scope.operation.word)
                        json.member("resource", scope.pattern.resource.word)
                        json.member("name", scope.pattern.name.text)
                        json.member("pattern", scope.pattern.type.word)
                    }
                }
            }
        }
    }

    // MARK: revoke

    static func revoke(_ invocation: Invocation, _ console: Console) throws {
        let cluster = try ClusterConnection.open(invocation, console)
        let onlyPrevious = invocation[KeyOptions.previous]
        var revoked = Deletions(onlyPrevious ? "previous secrets of key" : "key", invocation, console)
        try Each.of(invocation.operands, console) { id in
            try cluster.revokeKey(id, onlyPrevious: onlyPrevious)
            revoked.note(id, wasThere: true)
        } finally: {
            revoked.finish()
        }
    }
}

extension AccessScope {
    fileprivate var text: String {
        let name = pattern.type == .prefixed ? "\(pattern.name)*" : pattern.name.text
        return "\(operation.word) \(pattern.resource.word) \(name)"
    }
}
