import Glibc
import Synchronization

/// SIGINT, SIGTERM and SIGHUP while a client command runs: it ends its work in order (what was read is written, offsets
/// are committed, the group is left). A second signal meanwhile ends the process at once. A signal that the process was
/// started to ignore stays ignored.
///
///     nothing ── signal ──► waits are cancelled ── finishInOrder ──► the last work is done, waits go on
///                                │ signal: exit                         │ signal: cancelled again, a third: exit
enum Interruption {
    private static let first = Atomic<Int32>(0)
    private static let pending = Atomic<Bool>(false)

    /// A signal has come.
    static var wasRequested: Bool { first.load(ordering: .relaxed) != 0 }

    /// Whoever waits gives up.
    static var cancels: Bool { pending.load(ordering: .relaxed) }

    /// What must still be done after a signal is not cancelled by it. Gives whether there was one.
    @discardableResult
    static func finishInOrder() -> Bool {
        pending.store(false, ordering: .relaxed)
        return wasRequested
    }

    /// How the command ends when a signal ended it.
    static var exitCode: ExitCode {
        ExitCode(rawValue: ExitCode.ofSignal + first.load(ordering: .relaxed)) ?? .interrupted
    }

    static var failure: CommandFailure { CommandFailure("", exitCode) }

    static func install() {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { number in
            // Async-signal-safe: atomic stores and, the second time, _exit.
            if Interruption.pending.exchange(true, ordering: .relaxed) { _exit(ExitCode.ofSignal + number) }
            _ = Interruption.first.compareExchange(expected: 0, desired: number, ordering: .relaxed)
        }
        // Without SA_RESTART: a waiting call returns and looks at the flag.
        for number in [SIGINT, SIGTERM, SIGHUP] where !Signals.isIgnored(number) { sigaction(number, &action, nil) }
        // A reader of our output that goes away is seen at the write, so that a group is still left in order.
        signal(SIGPIPE, SIG_IGN)
    }
}
