import BrokerCore
import ByteBuffers
import LogStorage
import Transport

/// Passes commits on: parked fetches to their loops' inboxes, then the ticket to the clock, which wakes the loops, and to the
/// coordinator of transactions, which may wait for it, queues that have waiting receives, share groups that have waiting fetches, and readers
/// of other edges.
final class CommitFanout: CommitObserver {
    private let clock: CommitClock
    private let loops: LoopTable
    private let transactions: TransactionCoordinator
    private let queues: QueueCoordinator
    private let readers: ReaderCalls
    private let shares: ShareCoordinator

    init(
        clock: CommitClock, loops: LoopTable, transactions: TransactionCoordinator, queues: QueueCoordinator,
        readers: ReaderCalls, shares: ShareCoordinator
    ) {
        self.clock = clock
        self.loops = loops
        self.transactions = transactions
        self.queues = queues
        self.readers = readers
        self.shares = shares
    }

    func committed(through ticket: UInt64, woken: [ReadWaiter]) {
        pass(woken)
        // Compared when the inboxes are full: should another thread publish this ticket next, its wake finds them so.
        let isNews = ticket > clock.published
        clock.publish(ticket)
        transactions.committed(through: ticket)
        if isNews { return }
        // A removed topic wakes its readers without a new ticket, and loops look at their inbox only for a new one.
        for index in Set(woken.map { Int($0.loop) }) where index >= 0 {
            loops.shared(index).handle.submit { [loops] _ in loops.state(index).commitsArrived() }
        }
    }

    func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter]) {
        // Before the loops tell producers of what is on disk all the same.
        pass(woken)
        clock.fail(from: first, through: last)
        // What waits there is told that it failed.
        transactions.committed(through: last)
    }

    private func pass(_ woken: [ReadWaiter]) {
        var (hasQueues, hasShares, hasReaders) = (false, false, false)
        for waiter in woken {
            if waiter.loop == QueueCoordinator.waiterLoop {
                hasQueues = true
            } else if waiter.loop == ShareCoordinator.waiterLoop {
                hasShares = true
            } else if ReaderCalls.has(waiter) {
                hasReaders = true
            } else {
                loops.shared(Int(waiter.loop)).inbox.withLock { $0.append(waiter) }
            }
        }
        if hasQueues { queues.committed(woken) }
        if hasShares { shares.committed(woken) }
        if hasReaders { readers.committed(woken) }
    }
}
