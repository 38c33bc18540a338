import ByteBuffers
import KafkaModel

/// The receives of one queue that wait for messages, the longest waiting first.
///
/// ```
///   receive ─► waits ──┐                    ┌──► answered: it got messages
///                      ├─ its turn, by one ─┤
///   a commit, a lease that ends, a release ─┘──► waits on, in its place
///                      └─ its time is over ─────► answered: none
/// ```
/// One piece of a worker's at a time gives them their turns (`isServed`): who comes first is served first.
final class QueueWaiters: Sendable {
    struct Waiter {
        let request: QueueReceive
        let done: @Sendable (QueueOutcome<QueueReceiveReply>) -> Void
    }

    private struct State {
        var waiting: [UInt64: Waiter] = [:]
        /// Their numbers in the order in which they came, with those that are gone.
        var order = FIFO<UInt64>()
        var next: UInt64 = 0
        /// A worker serves them, or is about to.
        var isServed = false
        /// A worker is asked for later, as there was none, or as the state is not there.
        var isPutOff = false
        /// Something has come meanwhile.
        var isNews = false
        /// Wakes the queue's forwarder or subscription.
        var forwarder: Signal?
        /// By partition, where its log keeps who is to be told of its growth.
        var slots: [Int32: Int32] = [:]
    }

    private let state = Lock(State())

    var isEmpty: Bool { state.withLock { $0.waiting.isEmpty } }

    func add(_ waiter: Waiter) -> UInt64 {
        state.withLock { state in
            state.next += 1
            state.waiting[state.next] = waiter
            state.order.append(state.next)
            return state.next
        }
    }

    /// The one that waits longest; nil: nobody does.
    func first() -> (number: UInt64, request: QueueReceive)? {
        state.withLock { state in
            while let number = state.order.first {
                if let waiter = state.waiting[number] { return (number, waiter.request) }
                state.order.removeFirst()
            }
            return nil
        }
    }

    /// Takes one out; nil: it was answered meanwhile.
    func take(_ number: UInt64) -> Waiter? { state.withLock { $0.waiting.removeValue(forKey: number) } }

    func takeAll() -> [Waiter] {
        state.withLock { state in
            defer {
                state.waiting = [:]
                state.order.removeAll()
            }
            return state.order.isEmpty ? [] : state.waiting.sorted { $0.key < $1.key }.map(\.value)
        }
    }

    // MARK: Who serves them

    /// Notes that there may be something for them. True: the caller is to see that a worker serves them.
    func beginServing() -> Bool {
        state.withLock { state in
            state.forwarder?.raise()
            if state.waiting.isEmpty { return false }
            if state.isServed {
                state.isNews = true
                return false
            }
            state.isServed = true
            return true
        }
    }

    /// True: nothing has come since, and nobody serves them any more.
    func endServing() -> Bool {
        state.withLock { state in
            if state.isNews, !state.waiting.isEmpty {
                state.isNews = false
                return false
            }
            (state.isServed, state.isNews) = (false, false)
            return true
        }
    }

    /// Nobody serves them any more, whatever has come. True: the caller is to see that somebody does later, which nobody sees to yet.
    func putOff() -> Bool {
        state.withLock { state in
            (state.isServed, state.isNews) = (false, false)
            defer { state.isPutOff = true }
            return !state.isPutOff
        }
    }

    /// It is later.
    func resumeServing() { state.withLock { $0.isPutOff = false } }

    /// What is raised from now on when there may be something; nil: nothing.
    func setForwarder(_ signal: Signal?) { state.withLock { $0.forwarder = signal } }

    func has(_ number: UInt64) -> Bool { state.withLock { $0.waiting[number] != nil } }

    func slot(of partitionIndex: Int32) -> Int32 { state.withLock { $0.slots[partitionIndex] ?? -1 } }

    func setSlot(_ slot: Int32, of partitionIndex: Int32) { state.withLock { $0.slots[partitionIndex] = slot } }
}
