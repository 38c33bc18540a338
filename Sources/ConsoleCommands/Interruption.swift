import Synchronization

/// Whether a command is to end early, and by which signal.
///
/// It ends its work in order: what was read is written, offsets are committed, the group is left.
///
///     nothing ── signal ──► waits are cancelled ── finishInOrder ──► the last work is done, waits go on
///                                │ signal: at once                      │ signal: cancelled again, a third: at once
///
/// The executable hands in the signals of the process, a test its own.
public final class Interruption: Sendable {
    /// What is to be done with a signal.
    public enum Urgency: Sendable {
        /// The command ends its work in order.
        case inOrder
        /// It was told to before, and has not: the process is to end.
        case atOnce
    }

    /// The first signal's number, and beside it whether waits are cancelled: one word, so that nobody sees one without the
    /// other.
    private let state = Atomic<Int32>(0)
    private static let number: Int32 = 0xff
    private static let pending: Int32 = 0x100
    private let install: @Sendable () -> Void

    /// `install` is called when a command begins that has work to end in order; others end by the signal itself.
    public init(install: @escaping @Sendable () -> Void = {}) { self.install = install }

    /// Takes a signal. Async-signal-safe: atomic operations alone.
    public func take(signal number: Int32) -> Urgency {
        var old = state.load(ordering: .relaxed)
        while true {
            let first = old & Self.number
            let new = (first == 0 ? number : first) | Self.pending
            let result = state.compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing)
            if result.exchanged { return old & Self.pending != 0 ? .atOnce : .inOrder }
            old = result.original
        }
    }

    /// From here on a signal ends the command in order.
    func begin() { install() }

    /// A signal has come.
    var wasRequested: Bool { state.load(ordering: .acquiring) & Self.number != 0 }

    /// Whoever waits gives up.
    var cancels: Bool { state.load(ordering: .acquiring) & Self.pending != 0 }

    /// Lets what must still be done after a signal go on. Returns whether there was one.
    @discardableResult
    func finishInOrder() -> Bool {
        let old = state.bitwiseAnd(Self.number, ordering: .acquiringAndReleasing).oldValue
        return old & Self.number != 0
    }

    /// How the command ends when a signal ended it.
    var exitCode: ExitCode {
        ExitCode(rawValue: ExitCode.ofSignal + (state.load(ordering: .acquiring) & Self.number)) ?? .interrupted
    }

    var failure: CommandFailure { CommandFailure("", exitCode) }
}
