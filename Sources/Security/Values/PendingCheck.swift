import Synchronization

/// The check of a password or token that waits or runs, for whoever has asked for it.
public final class PendingCheck: Sendable {
    private let givenUp = Atomic<Bool>(false)

    public init() {}

    /// Nobody wants to know any more: where it has not begun it is not made, and nobody is told.
    public func giveUp() { givenUp.store(true, ordering: .relaxed) }

    public var isGivenUp: Bool { givenUp.load(ordering: .relaxed) }
}
