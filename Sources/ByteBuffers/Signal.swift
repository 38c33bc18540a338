import Glibc
import Synchronization

/// Wakes one waiting thread. Raising it while nobody waits is remembered once; raising it again costs one atomic.
public final class Signal: @unchecked Sendable {
    // SAFETY: mutex and condition are only used through their own functions.
    private let raised = Atomic<Bool>(false)
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    public init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    public func raise() {
        if raised.exchange(true, ordering: .sequentiallyConsistent) { return }
        pthread_mutex_lock(mutex)
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Takes the signal back when it is raised, without waiting. Gives whether it was.
    public func take() -> Bool { raised.exchange(false, ordering: .sequentiallyConsistent) }

    /// Waits until raised, at most `timeoutMs` milliseconds (nil: without end). Gives whether it was raised.
    @discardableResult
    public func wait(timeoutMs: Int64? = nil) -> Bool {
        if take() { return true }
        var deadline = timespec()
        if let timeoutMs {
            clock_gettime(CLOCK_MONOTONIC, &deadline)
            let nanoseconds = Int64(deadline.tv_nsec) + timeoutMs % 1000 * 1_000_000
            deadline.tv_sec += Int(timeoutMs / 1000 + nanoseconds / 1_000_000_000)
            deadline.tv_nsec = Int(nanoseconds % 1_000_000_000)
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !take() {
            if timeoutMs == nil {
                pthread_cond_wait(condition, mutex)
            } else if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT {
                return take()
            }
        }
        return true
    }
}
