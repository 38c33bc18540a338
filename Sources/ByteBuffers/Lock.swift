public import Synchronization

/// A state and the lock that protects it: 5 ns uncontended. Hold it for short, non-blocking sections only; I/O, wakes and
/// calls into other locks happen outside. Locks of which that is not so say it where they stand; LogStorage, whose threads
/// wait for disks under some, has the list and the nesting in WhoWaitsForTheDisk.md.
///
/// The one lock type of the project, so that a build for ThreadSanitizer (which reports false races on
/// `Synchronization.Mutex`) can exchange it in one place.
public final class Lock<State>: @unchecked Sendable {
    // SAFETY: `state` is only reached through `withLock`, which holds `mutex`.
    @usableFromInline let mutex = Mutex<Void>(())
    @usableFromInline let state: UnsafeMutablePointer<State>

    public init(_ initial: State) {
        state = .allocate(capacity: 1)
        state.initialize(to: initial)
    }

    deinit {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    @inlinable
    public func withLock<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        mutex._unsafeLock()
        defer { mutex._unsafeUnlock() }
        return try body(&state.pointee)
    }

    /// Runs `body` if the lock is free now; `nil` when somebody else holds it.
    @inlinable
    public func withLockIfAvailable<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard mutex._unsafeTryLock() else { return nil }
        defer { mutex._unsafeUnlock() }
        return try body(&state.pointee)
    }
}
