internal import Configuration

extension CommandTable {
    static let key = Command(
        "key", "Create, list, rotate and revoke API keys of the HTTP gateway",
        subcommands: [
            Command(
                "create", "Create a key, and show it this once", action: .keyCreate, operands: [Operand("USER")],
                options: KeyOptions.creating + CommonOptions.connection,
                rules: [
                    .check { invocation in
                        let hasResource = invocation.isGiven(AclOptions.topics) || invocation.isGiven(AclOptions.groups)
                        return hasResource == invocation.isGiven(AclOptions.operations)
                            ? nil : "a scope is an operation on a topic or group: name both, or neither"
                    }
                ],
                discussion: [
                    "The key acts for USER, of whom ACLs say what he may; --operation with --topic or --group narrows that, and "
                        + "grants nothing. Made here, it is sent to the broker as a hash, and nobody can show it again.",
                    "--aws gives it a secret besides that requests of AWS's kind are signed by (SigV4); the broker has to know that "
                        + "one, and keeps it sealed.",
                ]),
            Command(
                "list", aliases: ["ls"], "List keys: whose, until when, last used, for what", action: .keyList,
                options: [CommonOptions.json] + CommonOptions.connection),
            Command(
                "rotate", "Give a key another secret, and show it this once", action: .keyRotate,
                operands: [Operand("ID")],
                options: [KeyOptions.overlap, CommonOptions.json] + CommonOptions.connection,
                discussion: [
                    "The secret before goes on for a day, or as long as --overlap says; a key has two secrets at most."
                ]),
            Command(
                "revoke", aliases: ["delete"], "End keys at once", action: .keyRevoke,
                operands: [Operand("ID", .oneOrMore)],
                options: [KeyOptions.previous, CommonOptions.json] + CommonOptions.connection),
        ])
}

public enum KeyOptions {
    static let time = OptionValue.time(1_000...(3_650 * 86_400_000), bare: .seconds)

    public static let expires = Option(
        "expires", nil, "TIME", time, "Ends by itself after this time, such as 90d (default: never)")
    public static let publishable = Switch(
        "publishable", nil, "For a browser's page: may write to topics and nothing else")
    public static let aws = Switch("aws", nil, "With an access key and a secret for requests of AWS's kind")
    public static let overlap = Option(
        "overlap", nil, "TIME", OptionValue.time(0...(3_650 * 86_400_000), bare: .seconds),
        "How long the secret before goes on (default: 1d)")
    public static let previous = Switch("previous", nil, "Only the secrets before the newest")

    static let creating: [any DeclaredOption] = [
        expires, AclOptions.operations, AclOptions.topics, AclOptions.groups, AclOptions.prefixed, publishable, aws,
        CommonOptions.json,
    ]
}
