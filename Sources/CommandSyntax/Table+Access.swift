internal import Configuration

extension CommandTable {
    static let user = Command(
        "user", "Create, list, alter and delete users with passwords (SCRAM)",
        subcommands: [
            Command(
                "create", "Create a user", action: .userCreate, operands: [Operand("USER")],
                options: [
                    UserOptions.mechanism, UserOptions.passwordFile, UserOptions.iterations, CommonOptions.json,
                ] + CommonOptions.connection,
                rules: [.oneOrMore(of: UserOptions.passwordFile, otherwise: needsPassword)],
                discussion: [passwordHelp]),
            Command(
                "list", aliases: ["ls"], "List users with their mechanisms", action: .userList,
                options: [CommonOptions.json] + CommonOptions.connection),
            Command(
                "alter", "Give a user another password", action: .userAlter, operands: [Operand("USER")],
                options: [
                    UserOptions.mechanism, UserOptions.passwordFile, UserOptions.iterations, CommonOptions.json,
                ] + CommonOptions.connection,
                rules: [.oneOrMore(of: UserOptions.passwordFile, otherwise: needsPassword)],
                discussion: [passwordHelp]),
            Command(
                "delete", "Delete users", action: .userDelete, operands: [Operand("USER", .oneOrMore)],
                options: [UserOptions.onlyMechanism, UserOptions.ifExists, CommonOptions.json]
                    + CommonOptions.connection),
        ])

    private static let needsPassword = "say where the password is: --password-file FILE, or - for standard input"

    private static let passwordHelp =
        "The password is the file's content without a newline at its end; - is standard input. It does not leave this "
        + "program: the broker gets it salted and hashed, and keeps what a log-in is checked by."

    static let acl = Command(
        "acl", "Say who may do what: add, list and delete ACLs",
        subcommands: [
            Command(
                "add", "Add ACLs: one for each principal, operation and resource that is named", action: .aclAdd,
                options: AclOptions.adding + CommonOptions.connection,
                rules: [
                    .oneOrMore(of: AclOptions.principals, otherwise: "say who: --principal User:NAME"),
                    .oneOrMore(of: AclOptions.operations, otherwise: "say what may be done: --operation OPERATION"),
                    .check { $0.namesResource ? nil : needsResource },
                ],
                discussion: [
                    "--topic '*' is every topic; with --prefixed, --topic a is every topic whose name begins with a. DENY "
                        + "comes before ALLOW."
                ]),
            Command(
                "list", aliases: ["ls"], "List ACLs, or those that all the options given are true of",
                action: .aclList,
                options: AclOptions.filtering + CommonOptions.connection,
                rules: [aclOneResource],
                discussion: [patternHelp]),
            Command(
                "delete", "Delete the ACLs that all the options given are true of", action: .aclDelete,
                options: AclOptions.filtering + [AclOptions.all, AclOptions.dryRun] + CommonOptions.connection,
                rules: [
                    aclOneResource,
                    .oneOrMore(
                        of: AclOptions.principal, AclOptions.operation, AclOptions.topic, AclOptions.group,
                        AclOptions.transaction, AclOptions.cluster, AclOptions.fromHost, AclOptions.all,
                        otherwise: "say which ACLs to delete, or --all"),
                ],
                discussion: [patternHelp]),
        ])

    private static let needsResource =
        "say on what: --topic, --group, --transactional-id or --cluster"

    private static let patternHelp =
        "PATTERN says how a name is meant: any (the default) finds ACLs that were added with exactly this name, literal or "
        + "prefixed; literal and prefixed only those of that kind; match every ACL that applies to what is called so."

    private static let aclOneResource = OptionRule.exclusive(
        AclOptions.topic, AclOptions.group, AclOptions.transaction, AclOptions.cluster)

    static let quota = Command(
        "quota", "Limit what users and clients may take: set, list and delete quotas",
        subcommands: [
            Command(
                "set", "Set limits of a user, a client id, both, or an address", action: .quotaSet,
                options: QuotaOptions.entity + [QuotaOptions.limits, CommonOptions.json] + CommonOptions.connection,
                rules: quotaEntityRules + [
                    needsEntity, .oneOrMore(of: QuotaOptions.limits, otherwise: "say how much: --limit KEY=VALUE"),
                ],
                discussion: [limitHelp]),
            Command(
                "list", aliases: ["ls"], "List quotas, or those of the entities that have what is named",
                action: .quotaList, options: QuotaOptions.entity + [CommonOptions.json] + CommonOptions.connection,
                rules: quotaEntityRules),
            Command(
                "delete", "Delete limits of a user, a client id, both, or an address", action: .quotaDelete,
                options: QuotaOptions.entity + [QuotaOptions.keys, CommonOptions.json] + CommonOptions.connection,
                rules: quotaEntityRules + [needsEntity]),
        ])

    private static let limitHelp =
        "KEY is producer_byte_rate or consumer_byte_rate (bytes a second, 10MiB is taken), request_percentage, "
        + "controller_mutation_rate, or for an address connection_creation_rate."

    private static let needsEntity = OptionRule.check { invocation in
        QuotaOptions.entity.contains { invocation.isGiven($0) }
            ? nil : "say whose: --user, --client-id or --ip, or the default of one"
    }

    private static let quotaEntityRules: [OptionRule] = [
        .exclusive(QuotaOptions.user, QuotaOptions.userDefault),
        .exclusive(QuotaOptions.client, QuotaOptions.clientDefault),
        .exclusive(QuotaOptions.address, QuotaOptions.addressDefault),
        .check { invocation in
            let hasAddress = invocation.isGiven(QuotaOptions.address) || invocation.isGiven(QuotaOptions.addressDefault)
            let others: [any DeclaredOption] = [
                QuotaOptions.user, QuotaOptions.userDefault, QuotaOptions.client, QuotaOptions.clientDefault,
            ]
            return hasAddress && others.contains { invocation.isGiven($0) }
                ? "an address has quotas by itself, without user or client id" : nil
        },
    ]
}

extension Invocation {
    fileprivate var namesResource: Bool { AclOptions.resources.contains { isGiven($0) } }
}

public enum UserOptions {
    public enum Mechanism: String, CaseIterable, Sendable {
        case sha256 = "SCRAM-SHA-256"
        case sha512 = "SCRAM-SHA-512"
    }

    public static let mechanism = Option<Mechanism>(
        "mechanism", "m", "MECHANISM", .choice, "How the user logs in (default: SCRAM-SHA-256)")
    public static let onlyMechanism = Option<Mechanism>(
        "mechanism", "m", "MECHANISM", .choice, "Only this one of the user's passwords (default: all)")
    public static let passwordFile = Option(
        "password-file", nil, "FILE", .text, "Where the password is read from; - is standard input")
    public static let iterations = Option(
        "iterations", nil, "N", .integer(4_096...16_384), "How often it is hashed (default: 4096)")
    public static let ifExists = Switch("if-exists", nil, "Succeed when a user is not there")
}

public enum AclOptions {
    /// In the order of their numbers on the wire, of which the first is 2.
    public enum Operation: String, CaseIterable, Sendable {
        case all, read, write, create, delete, alter, describe
        case clusterAction = "cluster-action"
        case describeConfigs = "describe-configs"
        case alterConfigs = "alter-configs"
        case idempotentWrite = "idempotent-write"
        case createTokens = "create-tokens"
        case describeTokens = "describe-tokens"
        case twoPhaseCommit = "two-phase-commit"

        /// Kafka's number of it.
        public var number: Int8 { Int8(Self.allCases.firstIndex(of: self)! + 2) }
    }

    public enum Pattern: String, CaseIterable, Sendable {
        case any, match, literal, prefixed
    }

    public static let principals = RepeatableOption(
        "principal", "p", "TYPE:NAME", .text, "Who, such as User:alice; User:* is everybody")
    public static let principal = Option("principal", "p", "TYPE:NAME", .text, "ACLs of exactly this principal")
    public static let operations = RepeatableOption<Operation>(
        "operation", "o", "OPERATION", .choice, "What may, or may not, be done")
    public static let operation = Option<Operation>("operation", "o", "OPERATION", .choice, "ACLs of this operation")
    public static let host = Option("host", nil, "ADDRESS", .text, "From where (default: *, anywhere)")
    public static let fromHost = Option("host", nil, "ADDRESS", .text, "ACLs of exactly this host")
    public static let deny = Switch("deny", nil, "They may not, whatever else allows it")
    public static let prefixed = Switch("prefixed", nil, "The names are beginnings of names")
    public static let pattern = Option<Pattern>(
        "pattern", nil, "PATTERN", .choice, "How a name is meant (default: any)")
    public static let all = Switch("all", nil, "All ACLs")
    public static let dryRun = Switch("dry-run", nil, "Show what would be deleted, and delete nothing")

    public static let topics = RepeatableOption("topic", "t", "TOPIC", .text, "On this topic")
    public static let groups = RepeatableOption("group", "g", "GROUP", .text, "On this consumer group")
    public static let transactions = RepeatableOption(
        "transactional-id", nil, "ID", .text, "On this transactional id")
    public static let cluster = Switch("cluster", nil, "On the cluster as a whole")
    static let resources: [any DeclaredOption] = [topics, groups, transactions, cluster]
    static let adding: [any DeclaredOption] = [
        principals, operations, topics, groups, transactions, cluster, prefixed, host, deny, CommonOptions.json,
    ]

    public static let topic = Option("topic", "t", "TOPIC", .text, "ACLs on this topic")
    public static let group = Option("group", "g", "GROUP", .text, "ACLs on this consumer group")
    public static let transaction = Option("transactional-id", nil, "ID", .text, "ACLs on this transactional id")
    static let filtering: [any DeclaredOption] = [
        principal, operation, topic, group, transaction, cluster, pattern, fromHost, CommonOptions.json,
    ]
}

public enum QuotaOptions {
    public static let user = Option("user", "u", "USER", .text, "Of this user")
    public static let userDefault = Switch("user-default", nil, "Of every user without one of his own")
    public static let client = Option("client-id", "c", "ID", .text, "Of this client id")
    public static let clientDefault = Switch("client-id-default", nil, "Of every client id without one of its own")
    public static let address = Option("ip", nil, "ADDRESS", .text, "Of connections from this address")
    public static let addressDefault = Switch("ip-default", nil, "Of connections from every other address")
    static let entity: [any DeclaredOption] = [user, userDefault, client, clientDefault, address, addressDefault]

    public static let limits = RepeatableOption("limit", "l", "KEY=VALUE", .quota, "A limit and what it is from now on")
    public static let keys = RepeatableOption("limit", "l", "KEY", .text, "Only this limit (default: all)")
}

/// One limit: its key, and how much.
public struct QuotaLimit: Sendable, Equatable {
    public let key: String
    public let value: Double
}

extension OptionValue where Value == QuotaLimit {
    /// Sizes may have a unit; the broker judges the rest.
    static var quota: Self {
        Self("KEY=VALUE with a number above zero, such as producer_byte_rate=10MiB") { text in
            guard let pair = NamedValue(text) else { return nil }
            let bytes = Quantity.bytes(pair.value).map(Double.init)
            guard let value = bytes ?? Double(pair.value), value.isFinite, value > 0 else { return nil }
            return QuotaLimit(key: pair.name, value: value)
        }
    }
}
