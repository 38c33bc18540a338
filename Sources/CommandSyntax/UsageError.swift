/// The user typed something that the command line does not take.
public struct UsageError: Error, Equatable, Sendable, CustomStringConvertible {
    public var reason: String
    /// The command whose help to look at, such as `millrace topic create`.
    public var command: String

    public init(_ reason: String, command: String) {
        self.reason = reason
        self.command = command
    }

    public var description: String { "\(reason)\nTry `\(command) --help`." }
}
