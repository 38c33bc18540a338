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

    private let first = Atomic<Int32>(0)
    private let pending = Atomic<Bool>(false)
    private let install: @Sendable () -> Void

    /// `install` is called when a command begins that has work to end in order; others end by the signal itself.
    public init(install: @escaping @Sendable () -> Void = {}) { self.install = install }

    /// Takes a signal. Async-signal-safe: two atomic operations. Its number is there before anybody is told to give up, as
    /// who gives up asks which signal it was.
    public func take(signal number: Int32) -> Urgency {
        _ = first.compareExchange(expected: 0, desired: number, ordering: .relaxed)
        return pending.exchange(true, ordering: .acquiringAndReleasing) ? .atOnce : .inOrder
    }

    /// From here on a signal ends the command in order.
    func begin() { install() }

    /// A signal has come.
    var wasRequested: Bool { first.load(ordering: .relaxed) != 0 }

    /// Whoever waits gives up.
    var cancels: Bool { pending.load(ordering: .acquiring) }

    /// Lets what must still be done after a signal go on. Gives whether there was one.
    @discardableResult
    func finishInOrder() -> Bool {
        pending.store(false, ordering: .relaxed)
        return wasRequested
    }

    /// How the command ends when a signal ended it.
    var exitCode: ExitCode {
        ExitCode(rawValue: ExitCode.ofSignal + first.load(ordering: .relaxed)) ?? .interrupted
    }

    var failure: CommandFailure { CommandFailure("", exitCode) }
}
