import ByteBuffers
import CommandSyntax
import Glibc

/// What a command has around it: where it reads from and writes to, the environment, and whether it is to end.
///
/// The executable hands in the process's own; a test hands in pipes or files, and runs the command in its own process.
/// One thread uses it.
public final class Console {
    /// Records of `produce` come from here when no file is named.
    let input: Int32
    /// What a command found.
    let output: Output
    /// Where complaints and progress go.
    private let errors: Int32
    /// A person looks on, so that a line of progress is worth writing.
    let showsProgress: Bool
    /// Variables that begin with `MILLRACE_` are keys; others are looked at when a configuration file names them.
    public let environment: [String: String]
    let interruption: Interruption

    private var lastProgressMs: Int64 = 0
    private var hasProgress = false
    /// Between two lines of progress: ten a second are as many as a person reads.
    private static let progressIntervalMs: Int64 = 100

    public init(
        input: Int32, output: Int32, errors: Int32, showsProgress: Bool, environment: [String: String],
        interruption: Interruption
    ) {
        self.input = input
        self.output = Output(descriptor: output)
        self.errors = errors
        self.showsProgress = showsProgress
        self.environment = environment
        self.interruption = interruption
    }

    /// Writes a line for the user; `text` may hold what a broker says.
    public func complain(_ text: String) {
        clearProgress()
        write(TerminalText.escaped(text, keepsLines: true) + "\n")
    }

    /// Replaces the line of progress, if somebody looks on.
    func progress(_ text: @autoclosure () -> String) {
        guard showsProgress else { return }
        let now = MonotonicClock.milliseconds
        guard now - lastProgressMs >= Self.progressIntervalMs else { return }
        lastProgressMs = now
        hasProgress = true
        write("\r\u{1b}[K" + text())
    }

    func clearProgress() {
        guard hasProgress else { return }
        hasProgress = false
        write("\r\u{1b}[K")
    }

    private func write(_ text: String) {
        var bytes = Array(text.utf8)
        _ = Glibc.write(errors, &bytes, bytes.count)
    }
}
