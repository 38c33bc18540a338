/// An option of a command: a ``Switch``, an ``Option`` with a value, or a ``RepeatableOption``.
///
/// A declaration stands once, as a static property, and serves twice: a command's row lists it, and the command's code
/// asks an ``Invocation`` for it and gets the value in its type.
public protocol DeclaredOption: Sendable {
    var row: OptionRow { get }
}

/// An option that is there or not.
public struct Switch: DeclaredOption {
    public let row: OptionRow

    init(_ long: String, _ short: Character?, _ summary: String) {
        row = OptionRow(long: long, short: short, value: nil, summary: summary)
    }
}

/// An option with a value, `--long VALUE` or `-s VALUE`.
public struct Option<Value: Sendable>: DeclaredOption {
    public let row: OptionRow

    init(_ long: String, _ short: Character?, _ name: String, _ value: OptionValue<Value>, _ summary: String) {
        row = OptionRow(long, short, name, value, isRepeatable: false, summary)
    }
}

/// An option with a value that may be given several times.
public struct RepeatableOption<Value: Sendable>: DeclaredOption {
    public let row: OptionRow

    init(_ long: String, _ short: Character?, _ name: String, _ value: OptionValue<Value>, _ summary: String) {
        row = OptionRow(long, short, name, value, isRepeatable: true, summary)
    }
}

/// What the parser, help and completion need to know of an option.
public struct OptionRow: Sendable {
    public let long: String
    public let short: Character?
    /// The value's name in help; `nil` for a switch.
    public let value: String?
    public let summary: String
    /// The only words that the value may be; empty: `read` decides.
    public let choices: [String]
    public let isRepeatable: Bool
    /// Gives the value of a text, or throws what is wrong with it.
    let read: @Sendable (String) throws(ValueRefusal) -> any Sendable

    fileprivate init(long: String, short: Character?, value: String?, summary: String) {
        self.long = long
        self.short = short
        self.value = value
        self.summary = summary
        choices = []
        isRepeatable = false
        read = { _ throws(ValueRefusal) in true }
    }

    fileprivate init<Value: Sendable>(
        _ long: String, _ short: Character?, _ name: String, _ value: OptionValue<Value>, isRepeatable: Bool,
        _ summary: String
    ) {
        self.long = long
        self.short = short
        self.value = name
        self.summary = summary
        self.isRepeatable = isRepeatable
        choices = value.choices
        let readValue = value.read
        read = { text throws(ValueRefusal) in try readValue(text) }
    }

    /// The words that stand for it, `--long` first.
    var words: [String] { ["--" + long] + (short.map { ["-\($0)"] } ?? []) }
}
