/// One row of the command table: a word that the user types, what it takes, and what help says of it.
public struct Command: Sendable {
    /// Who runs a command; the executable switches over it, so that no row can be without its code.
    public enum Action: String, Sendable, CaseIterable {
        case serve
        case configKeys, configCheck
        case clusterInfo
        case topicCreate, topicList, topicDescribe, topicAlter, topicTrim, topicDelete
        case produce, consume
        case groupList, groupDescribe, groupResetOffsets, groupDelete
        case logDump, logVerify, logRepair
        case benchProduce, benchConsume, benchIngest
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
    public let options: [Option]
    public let subcommands: [Command]
    /// `nil` for a command that only groups others.
    public let action: Action?

    init(
        _ name: String, aliases: [String] = [], _ summary: String, action: Action, operands: [Operand] = [],
        options: [Option] = [],
        discussion: [String] = []
    ) {
        self.name = name
        self.aliases = aliases
        self.summary = summary
        self.discussion = discussion
        self.operands = operands
        self.options = options
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

/// An option, `--long VALUE` or `-s VALUE`.
public struct Option: Sendable {
    public let long: String
    public let short: Character?
    /// The value's name in help; `nil` for a switch.
    public let value: String?
    public let summary: String
    /// What the value may be; empty: anything that the command accepts.
    public let choices: [String]
    public let isRepeatable: Bool

    /// An option with a value (`nil` makes it a switch).
    /// A switch.
    init(_ long: String, _ short: Character?, _ summary: String) { self.init(long, short, nil, summary) }

    /// An option with a value (`nil` makes it a switch).
    init(
        _ long: String, _ short: Character?, _ value: String?, choices: [String] = [], repeatable: Bool = false,
        _ summary: String
    ) {
        self.long = long
        self.short = short
        self.value = value
        self.choices = choices
        self.isRepeatable = repeatable
        self.summary = summary
    }
}
