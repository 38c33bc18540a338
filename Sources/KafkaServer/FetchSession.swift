import KafkaModel
import KafkaWire
import LogStorage

/// One consumer's incremental fetch session: the partitions it asks for and what it was last told of each, so that
/// neither side repeats what has not changed. Source: KIP-227.
///
/// A partition is *ready*, and the next fetch looks at it, or *at rest*: its client knows all there is, and its log tells
/// of the next change (`FetchSession+Watch.swift`). A fetch costs what is ready, whatever rests.
///
/// A partition has a slot for as long as it is in the session; its rank says when it is served. A slot that was given up is
/// used again only after `endChanges`.
final class FetchSession {
    struct Key: Hashable {
        /// Zero where the client names topics (up to version 12).
        var topicID: TopicID
        var topicName: [UInt8]
        var partitionIndex: Int32
    }

    struct Entry {
        let key: Key
        var fetchOffset: Int64
        var maxBytes: Int
        var currentLeaderEpoch: Int32
        /// What the client was last told; -1: nothing yet.
        var toldHighWatermark: Int64 = -1
        var toldLogStart: Int64 = -1
        var toldError = ErrorCode.none
        /// The least is served first. A partition that gave records goes to the end, so that none starves.
        var rank: Int64 = 0
        /// It stands on the ready list. Off: it is at rest, and `log` has the session's waiter.
        var isReady = true
        /// The log that may have the session's waiter, and where.
        var log: PartitionLog?
        var watchSlot: Int32 = -1
        /// The partition's count of visible bytes at the last look.
        var position: Int64 = 0
        /// While a fetch waits: bytes that may still count for its minimum.
        var room = 0

        /// Most bytes of the partition that count for a fetch's minimum.
        var cap: Int { max(1, maxBytes) }

        /// Stands in a slot that was given up, for an optional one would be copied at each look. It counts as ready, so that
        /// nothing marks it.
        static var vacant: Entry {
            Entry(
                key: Key(topicID: .zero, topicName: [], partitionIndex: -1), fetchOffset: 0, maxBytes: 0,
                currentLeaderEpoch: -1, rank: -1)
        }
        var isVacant: Bool { rank < 0 }
    }

    let id: Int32
    /// Whether topics are looked up by their ids, which its first request has decided (version 13): names and ids find
    /// different logs.
    let usesIDs: Bool
    /// Names the session in the logs that it watches; the place says which slot.
    let waiter: ReadWaiter
    /// A follower's, which keeps its place before consumers.
    let isPrivileged: Bool
    var epoch: Int32 = 1
    /// For this class and its extensions alone.
    var entries: ContiguousArray<Entry> = []
    /// Partitions to be looked at, by rank.
    private(set) var ready: ContiguousArray<Int32> = []
    /// The same, become so since the list was last asked for, in any order.
    private var marked: ContiguousArray<Int32> = []
    private var slots: [Key: Int32] = [:]
    private var freed: ContiguousArray<Int32> = []
    private var free: ContiguousArray<Int32> = []
    private var lastRank: Int64 = 0
    /// Bytes of all partitions together that count for a fetch's minimum.
    private(set) var cap = 0

    /// A worker has it, with a fetch of many partitions: until it is back, its loop looks at nothing of it but what no worker
    /// writes (`id`, `waiter`, `isPrivileged`, `usesIDs`, `epoch`) and what is the loop's alone (this, its times, `takenBytes`,
    /// `parkedFetch`, `isBeingRead`, `toldAway`), and does not go on with it. Set and looked at by the loop alone.
    var isAway = false
    /// A worker reads for its newest fetch what is on the disk alone, and nobody has gone on with the session since.
    var isBeingRead = false
    /// What its partitions have told while it is away or being read, to be acted on afterwards. Each tells at most once for the
    /// time before a worker watched it anew, and once for the time since.
    var toldAway: [ReadWaiter] = []
    /// The fetch that waits with it; 0: none.
    var parkedFetch: UInt64 = 0
    /// Of the ACLs by which all of it has been looked at.
    var rulesNumber: UInt64 = 0
    /// Its newest request asks for committed transactions alone. With the fetch, as `entries` are.
    private(set) var readsCommitted = false
    /// It has lost its place: nothing is watched from now on.
    var isEnded = false
    /// The logs have forgotten it, or a worker sees to that: nobody else uses it any more.
    var isUnwatched = false

    // For `FetchSessions`, in monotonic nanoseconds and bytes.
    let createdAt: Int64
    var lastUsed: Int64
    /// What it has taken of the share.
    var takenBytes = 0
    /// What its slots and the names of its partitions keep. Slots that were given up count: the tables keep them.
    private(set) var bytes = 0
    /// Slots moved or passed over, for tests: what forgetting costs.
    private(set) var moves = 0
    /// Partitions that fetches have looked at, for tests.
    private(set) var looks = 0

    /// Partitions of one session. A client that asks for more gets full fetches; it is also the most that one Fetch may
    /// name.
    static let maxPartitions = 100_000

    /// An entry, its place in the dictionary and on the ready list, its waiter in the log, which may be the only one there,
    /// and in what a loop was told, with what all those have in reserve.
    static let bytesAPartition = 448

    static func bytes(of name: Int) -> Int { bytesAPartition + name }

    /// - Parameters:
    ///   - loop: the index of the loop that hears of its partitions.
    ///   - generation: tells it apart from sessions that have had the same id.
    init(
        id: Int32, usesIDs: Bool = false, isPrivileged: Bool = false, now: Int64 = 0, loop: Int = 0,
        generation: UInt32 = 0
    ) {
        self.id = id
        self.usesIDs = usesIDs
        waiter = ReadWaiter(loop: Int32(loop), id: Self.waiterID(id, generation))
        self.isPrivileged = isPrivileged
        createdAt = now
        lastUsed = now
    }

    var count: Int { slots.count }
    var readyCount: Int { ready.count + marked.count }
    /// Partitions that became ready since the list was last asked for.
    var markedCount: Int { marked.count }

    // MARK: Changes

    /// Takes in how the next fetch reads. What rests waits for another offset then, and is looked at anew.
    func read(committed: Bool) {
        if readsCommitted == committed { return }
        readsCommitted = committed
        markAll()
    }

    func update(_ entry: Entry) {
        if let slot = slots[entry.key] {
            cap += entry.cap - entries[Int(slot)].cap
            entries[Int(slot)].fetchOffset = entry.fetchOffset
            entries[Int(slot)].maxBytes = entry.maxBytes
            entries[Int(slot)].currentLeaderEpoch = entry.currentLeaderEpoch
            return mark(slot)
        }
        let slot = free.popLast() ?? Int32(entries.count)
        if Int(slot) == entries.count {
            entries.append(entry)
            bytes += Self.bytesAPartition
        } else {
            entries[Int(slot)] = entry
        }
        slots[entry.key] = slot
        lastRank += 1
        entries[Int(slot)].rank = lastRank
        ready.append(slot)
        cap += entry.cap
        bytes += entry.key.topicName.count
    }

    func forget(_ key: Key) {
        guard let slot = slots.removeValue(forKey: key) else { return }
        unwatch(slot)
        cap -= entries[Int(slot)].cap
        entries[Int(slot)] = .vacant
        freed.append(slot)
        // The slot is paid for as long as the tables have it.
        bytes -= key.topicName.count
    }

    /// Ends the changes of a request: closes the gaps that the forgotten have left, once for all of them.
    func endChanges() {
        if freed.isEmpty { return }
        moves += readyCount
        ready.removeAll { entries[Int($0)].isVacant }
        marked.removeAll { entries[Int($0)].isVacant }
        free += freed
        freed.removeAll()
    }

    // MARK: The ready list

    /// Puts a partition on the list; harmless for one that is there, or that is gone.
    func mark(_ slot: Int32) {
        guard Int(slot) < entries.count, !entries[Int(slot)].isReady else { return }
        entries[Int(slot)].isReady = true
        marked.append(slot)
    }

    func markAll() {
        if readyCount == count { return }
        for slot in entries.indices { mark(Int32(slot)) }
    }

    /// Returns the partitions that are to be looked at, in the order of serving.
    func takeReady() -> ContiguousArray<Int32> {
        if !marked.isEmpty { merge() }
        looks += ready.count
        return ready
    }

    private func merge() {
        func rank(_ slot: Int32) -> Int64 { entries[Int(slot)].rank }
        if marked.count > 1 { marked.sort { rank($0) < rank($1) } }
        if ready.isEmpty {
            swap(&ready, &marked)
        } else if rank(ready[ready.count - 1]) < rank(marked[0]) {
            ready += marked
        } else {
            var merged = ContiguousArray<Int32>()
            merged.reserveCapacity(readyCount)
            var next = 0
            for slot in ready {
                while next < marked.count, rank(marked[next]) < rank(slot) {
                    merged.append(marked[next])
                    next += 1
                }
                merged.append(slot)
            }
            merged += marked[next...]
            ready = merged
        }
        marked.removeAll(keepingCapacity: true)
    }

    /// Ends a look at the list: those at rest leave it, and those that gave records move behind all others. `served` has the
    /// latter's slots, in the order of serving.
    func rotate(_ served: [Int32]) {
        var next = served.startIndex
        ready.removeAll { slot in
            if next < served.endIndex, served[next] == slot {
                next += 1
                return true
            }
            return !entries[Int(slot)].isReady
        }
        for slot in served {
            lastRank += 1
            entries[Int(slot)].rank = lastRank
        }
        ready += served
    }

    /// Keeps what the client is told now, and returns whether there is anything new to tell it.
    func updateTold(_ slot: Int32, _ result: FetchPartitionResult) -> Bool {
        guard isNews(slot, result) else { return false }
        entries[Int(slot)].toldHighWatermark = result.highWatermark
        entries[Int(slot)].toldLogStart = result.logStartOffset
        entries[Int(slot)].toldError = result.errorCode
        return true
    }

    func isNews(_ slot: Int32, _ result: FetchPartitionResult) -> Bool {
        result.recordsCount > 0 || result.errorCode != .none || entries[Int(slot)].toldError != .none
            || entries[Int(slot)].toldHighWatermark != result.highWatermark
            || entries[Int(slot)].toldLogStart != result.logStartOffset
    }

    /// Tells everything anew, for a reply was not sent that has told it.
    func forgetTold() {
        for slot in entries.indices where !entries[slot].isVacant {
            entries[slot].toldHighWatermark = -1
            entries[slot].toldLogStart = -1
        }
        markAll()
    }

    /// Advances the epoch; 0 and negative ones have meanings of their own.
    func advance() { epoch = epoch == .max ? 1 : epoch + 1 }
}
