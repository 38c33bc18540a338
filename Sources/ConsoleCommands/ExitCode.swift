/// How the program leaves; the numbers are documented in the help of `millrace`.
public enum ExitCode: Int32, Sendable {
    case done = 0
    /// Refused by the broker, or failed in part.
    case failed = 1
    case usage = 2
    /// `gateway plan` found differences; as other tools that plan have it.
    static let differs = ExitCode.usage
    /// No broker reached, or no answer in time.
    case unreachable = 3
    case configuration = 4
    /// Damaged data found.
    case damaged = 5
    /// The end by a signal is 128 and its number, as a shell has it.
    public static let ofSignal: Int32 = 128
    case hungUp = 129
    case interrupted = 130
    case terminated = 143
}

/// The end of a command that did not do what was asked, with what to tell the user.
public struct CommandFailure: Error {
    public var code: ExitCode
    /// Empty: everything was told already.
    public var message: String

    public init(_ message: String, _ code: ExitCode = .failed) {
        self.message = message
        self.code = code
    }
}
