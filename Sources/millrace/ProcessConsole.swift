import ConsoleCommands
@preconcurrency import Glibc

/// The console of this process: its standard streams, its environment and its signals.
enum ProcessConsole {
    static func make() -> Console {
        Console(
            input: STDIN_FILENO, output: STDOUT_FILENO, errors: STDERR_FILENO,
            showsProgress: isatty(STDERR_FILENO) == 1, environment: environment(), interruption: interruption)
    }

    /// All of it: a configuration file may ask for any variable by its name.
    private static func environment() -> [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text)
            if let equals = pair.firstIndex(of: "=") {
                variables[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
            }
            entry += 1
        }
        return variables
    }

    private static let interruption = Interruption(install: takeSignals)

    /// Lets SIGINT, SIGTERM and SIGHUP end a command in order, and a second one of them the process at once. A signal
    /// that the process was started to ignore stays ignored.
    private static func takeSignals() {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { number in
            // Async-signal-safe: atomic operations and, the second time, _exit.
            if ProcessConsole.interruption.take(signal: number) == .atOnce { _exit(ExitCode.ofSignal + number) }
        }
        // Without SA_RESTART: a waiting call returns and looks at the flag.
        for number in [SIGINT, SIGTERM, SIGHUP] where !Signals.isIgnored(number) { sigaction(number, &action, nil) }
        // A reader of our output that goes away is seen at the write, so that a group is still left in order.
        signal(SIGPIPE, SIG_IGN)
    }
}
