/// What the user asked for: a command with its options and operands. Every value is within what its option allows, and
/// all of them together are within the command's rules.
public struct Invocation: Sendable {
    public let command: Command
    /// The words that lead to the command, `millrace` first.
    public let path: [String]
    public let operands: [String]
    /// The values of each option that was given, by its long name, in order.
    private let values: [String: [any Sendable]]

    init(command: Command, path: [String], operands: [String], values: [String: [any Sendable]]) {
        self.command = command
        self.path = path
        self.operands = operands
        self.values = values
    }

    public var name: String { path.joined(separator: " ") }

    /// Whether the switch was given.
    public subscript(option: Switch) -> Bool { isGiven(option) }

    /// The value that was given, if any.
    public subscript<Value>(option: Option<Value>) -> Value? { given(option).last.map { typed($0, option) } }

    /// The values that were given, in order.
    public subscript<Value>(option: RepeatableOption<Value>) -> [Value] { given(option).map { typed($0, option) } }

    func isGiven(_ option: any DeclaredOption) -> Bool { !given(option).isEmpty }

    private func given(_ option: any DeclaredOption) -> [any Sendable] {
        // An option that the command's row does not have is a bug of ours.
        precondition(
            command.options.contains { $0.long == option.row.long }, "\(name) has no option --\(option.row.long)")
        return values[option.row.long] ?? []
    }

    private func typed<Value>(_ value: any Sendable, _ option: any DeclaredOption) -> Value {
        guard let value = value as? Value else {
            preconditionFailure("\(name) has another option --\(option.row.long) than this one")
        }
        return value
    }
}
