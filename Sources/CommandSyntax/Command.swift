/// One row of the command table: a word that the user types, what it takes, and what help says of it.
public struct Command: Sendable {
    /// Who runs a command. ConsoleCommands switches over it, so that no row can be without its code.
    public enum Action: String, Sendable, CaseIterable {
        case serve
        case configKeys, configCheck
        case gatewayValidate, gatewayPlan, gatewayApply
        case clusterInfo
        case topicCreate, topicList, topicDescribe, topicAlter, topicTrim, topicDelete
        case produce, consume
        case groupList, groupDescribe, groupResetOffsets, groupDelete
        case userCreate, userList, userAlter, userDelete
        case aclAdd, aclList, aclDelete
        case keyCreate, keyList, keyRotate, keyRevoke
        case quotaSet, quotaList, quotaDelete
        case logDump, logVerify, logRepair
        case benchProduce, benchConsume, benchIngest
        case trace, mockAPI, mockEvents
        case queueCreate, queueList, queueDescribe, queueCapacity, queueSend, queueReceive, queuePurge, queueRedrive
        case queueDelete
        case forwarderList
        case subscriptionList
        case jobList, jobDescribe, jobCancel
        case completion, version
    }

    public let name: String
    /// Other words for the same command.
    public let aliases: [String]
    /// One line, without a full stop.
    public let summary: String
    /// Paragraphs of the command's own help.
    public let discussion: [String]
    public let operands: [Operand]
    public let options: [OptionRow]
    /// What must hold for the options together.
    let rules: [OptionRule]
    public let subcommands: [Command]
    /// `nil` for a command that only groups others.
    public let action: Action?

    init(
        _ name: String, aliases: [String] = [], _ summary: String, action: Action, operands: [Operand] = [],
        options: [any DeclaredOption] = [], rules: [OptionRule] = [], discussion: [String] = []
    ) {
        self.name = name
        self.aliases = aliases
        self.summary = summary
        self.discussion = discussion
        self.operands = operands
        self.options = options.map(\.row)
        self.rules = rules
        self.subcommands = []
        self.action = action
    }

    init(_ name: String, _ summary: String, discussion: [String] = [], subcommands: [Command]) {
        self.name = name
        self.aliases = []
        self.summary = summary
        self.discussion = discussion
        self.operands = []
        self.options = []
        self.rules = []
        self.subcommands = subcommands
        self.action = nil
    }

    /// The name and the aliases, as a shell's `case` has them.
    var words: String { ([name] + aliases).joined(separator: "|") }

    func answers(to word: String) -> Bool { name == word || aliases.contains(word) }
}

/// A word after the command that is not an option.
public struct Operand: Sendable {
    public enum Count: Sendable {
        case one, optional, oneOrMore
    }

    public let name: String
    public let count: Count
    /// What the word may be; empty: anything.
    public let choices: [String]

    init(_ name: String, _ count: Count = .one, choices: [String] = []) {
        self.name = name
        self.count = count
        self.choices = choices
    }
}
