import ByteBuffers
import KafkaModel
import LogStorage

/// Fetches of share groups that wait for records, and who is woken when there are some.
///
/// ```
///   a commit of a partition, records that were given back, locks that ended ──► tell ──► the one that waits longest for that partition
/// ```
/// One at a time: who is woken takes what it may have, and tells of what is left. A fetch that found nothing waits only where nothing was told
/// since it began to look, so nothing is missed.
final class ShareWaits: Sendable {
    enum Call: Sendable {
        /// Something may be there.
        case lookAgain
        /// Its time is over, or the broker stops.
        case timeIsOver
    }

    typealias Resume = @Sendable (Call) -> Void

    private struct Waiter {
        /// The session's.
        let owner: UInt32
        let partitions: Set<TopicPartition>
        let resume: Resume
    }

    /// A partition whose log tells a group of its growth.
    private struct Watched {
        let log: PartitionLog
        var slot: Int32 = -1
    }

    private struct Group {
        /// Names it where a commit tells of its partitions.
        let number: UInt64
        /// By their numbers, which ascend.
        var waiters: [UInt64: Waiter] = [:]
        /// The waiters by their sessions: one of each.
        var byOwner: [UInt32: UInt64] = [:]
        /// How often each partition was told of.
        var news: [TopicPartition: UInt64] = [:]
        var places: [TopicPartition: Int32] = [:]
        var watched: [Watched] = []
    }

    private struct State {
        var groups: [ExactString: Group] = [:]
        var names: [UInt64: ExactString] = [:]
        var lastNumber: UInt64 = 0
        var waiting = 0
        /// Of all that wait.
        var partitions = 0

        mutating func left(_ waiter: Waiter) {
            waiting -= 1
            partitions -= waiter.partitions.count
        }

        /// - Returns: what has waited; nil: nothing of that number does.
        mutating func remove(_ number: UInt64, of group: ExactString) -> Resume? {
            guard let waiter = groups[group]?.waiters.removeValue(forKey: number) else { return nil }
            groups[group]?.byOwner[waiter.owner] = nil
            left(waiter)
            return waiter.resume
        }
    }

    private let state = Lock(State())

    /// Fetches that wait, of all groups. One more is answered at once, as if its time were over.
    static let maxWaiting = 10_000
    /// Partitions of all of them, some 100 bytes each. Whoever would bring more is answered at once, as if its time were over.
    static let maxWaitingPartitions = 500_000

    var count: Int { state.withLock { $0.waiting } }

    /// Has the partition's log tell the group of its growth, from before who asks looks into it. Told once.
    func watch(_ log: PartitionLog, for group: ExactString, _ visibility: PartitionLog.Visibility) {
        let id = TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex)
        state.withLock { state in
            if state.groups[group] == nil {
                state.lastNumber += 1
                state.groups[group] = Group(number: state.lastNumber)
                state.names[state.lastNumber] = group
            }
            let index = state.groups.index(forKey: group)!
            let place: Int
            if let known = state.groups.values[index].places[id] {
                place = Int(known)
            } else {
                place = state.groups.values[index].watched.count
                state.groups.values[index].places[id] = Int32(place)
                state.groups.values[index].watched.append(Watched(log: log))
            }
            let waiter = ReadWaiter(
                loop: ShareCoordinator.waiterLoop, id: state.groups.values[index].number, place: Int32(place))
            _ = log.watch(
                waiter, slot: &state.groups.values[index].watched[place].slot, step: 1, visibility: visibility)
        }
    }

    /// What was told of these partitions so far: to be handed to `wait`.
    func mark(_ partitions: [TopicPartition], of group: ExactString) -> UInt64 {
        state.withLock { state in
            guard let news = state.groups[group]?.news, !news.isEmpty else { return 0 }
            return partitions.reduce(0) { $0 &+ (news[$1] ?? 0) }
        }
    }

    enum Outcome: Equatable {
        case waits(UInt64)
        /// Something was told since the mark.
        case news
        /// As many wait as may.
        case full
    }

    /// Lets a fetch wait; `resume` is called once, on any thread. Another one of the session that waits still is over: nobody goes on with that.
    func wait(
        for partitions: [TopicPartition], of group: ExactString, by owner: UInt32, since mark: UInt64,
        _ resume: @escaping Resume
    ) -> Outcome {
        end(owner, of: group)
        return state.withLock { state in
            guard state.waiting < Self.maxWaiting,
                state.partitions + partitions.count <= Self.maxWaitingPartitions,
                let index = state.groups.index(forKey: group)
            else { return .full }
            let news = state.groups.values[index].news
            guard partitions.reduce(0, { $0 &+ (news[$1] ?? 0) }) == mark else { return .news }
            state.lastNumber += 1
            let waiter = Waiter(owner: owner, partitions: Set(partitions), resume: resume)
            state.waiting += 1
            state.partitions += waiter.partitions.count
            state.groups.values[index].waiters[state.lastNumber] = waiter
            state.groups.values[index].byOwner[owner] = state.lastNumber
            return .waits(state.lastNumber)
        }
    }

    /// Wakes the one that waits longest for the partition.
    func tell(_ partition: TopicPartition, of group: ExactString) {
        let resume = state.withLock { state -> Resume? in
            guard let index = state.groups.index(forKey: group) else { return nil }
            state.groups.values[index].news[partition, default: 0] += 1
            var first: UInt64?
            for (number, waiter) in state.groups.values[index].waiters
            where number < first ?? .max && waiter.partitions.contains(partition) { first = number }
            return first.flatMap { state.remove($0, of: group) }
        }
        resume?(.lookAgain)
    }

    /// Those of `woken` that are share groups.
    func committed(_ woken: [ReadWaiter]) {
        for waiter in woken where waiter.loop == ShareCoordinator.waiterLoop {
            let told = state.withLock { state -> (ExactString, TopicPartition)? in
                guard let group = state.names[waiter.id], let watched = state.groups[group]?.watched,
                    watched.indices.contains(Int(waiter.place))
                else { return nil }
                let log = watched[Int(waiter.place)].log
                return (group, TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex))
            }
            if let (group, partition) = told { tell(partition, of: group) }
        }
    }

    func endWait(_ number: UInt64, of group: ExactString) {
        state.withLock { $0.remove(number, of: group) }?(.timeIsOver)
    }

    /// Ends the wait of a session that has ended, or that asks for something else.
    func end(_ owner: UInt32, of group: ExactString) {
        state.withLock { state in
            state.groups[group]?.byOwner[owner].flatMap { state.remove($0, of: group) }
        }?(.timeIsOver)
    }

    func has(_ number: UInt64, of group: ExactString) -> Bool {
        state.withLock { $0.groups[group]?.waiters[number] != nil }
    }

    func endAll() {
        let waiters = state.withLock { state -> [Waiter] in
            var ended: [Waiter] = []
            for index in state.groups.values.indices {
                ended += state.groups.values[index].waiters.values
                state.groups.values[index].waiters = [:]
                state.groups.values[index].byOwner = [:]
            }
            (state.waiting, state.partitions) = (0, 0)
            return ended
        }
        for waiter in waiters { waiter.resume(.timeIsOver) }
    }

    /// Forgets a group of which nobody has a session any more.
    func forget(_ group: ExactString) {
        let waiters = state.withLock { state -> [Waiter] in
            guard let old = state.groups.removeValue(forKey: group) else { return [] }
            state.names[old.number] = nil
            for waiter in old.waiters.values { state.left(waiter) }
            for (place, watched) in old.watched.enumerated() {
                let waiter = ReadWaiter(loop: ShareCoordinator.waiterLoop, id: old.number, place: Int32(place))
                watched.log.forget(waiter, slot: watched.slot)
            }
            return Array(old.waiters.values)
        }
        for waiter in waiters { waiter.resume(.timeIsOver) }
    }
}
