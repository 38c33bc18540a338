import KafkaModel
import KafkaWire

/// One consumer's incremental fetch session: the partitions it asks for and what it was last told of each, so that
/// neither side repeats what has not changed. Source: KIP-227.
///
/// A partition has a slot for as long as it is in the session; `order` says in which order the slots are served. A slot
/// that was given up is used again only after `endChanges`.
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
    }

    let id: Int32
    /// A follower's, which keeps its place before consumers.
    let isPrivileged: Bool
    var epoch: Int32 = 1
    private var entries: ContiguousArray<Entry?> = []
    /// A partition that gave records goes to the end, so that none starves.
    private var order: ContiguousArray<Int32> = []
    private var slots: [Key: Int32] = [:]
    private var freed: ContiguousArray<Int32> = []
    private var free: ContiguousArray<Int32> = []

    /// A worker has it, with a fetch of many partitions: until it is back, its loop looks at nothing of it but its id, this,
    /// its times and `takenBytes`, and does not go on with it. Set and looked at by the loop alone.
    var isAway = false

    // For `FetchSessions`, in monotonic nanoseconds and bytes.
    let createdAt: Int64
    var lastUsed: Int64
    /// What it has taken of the share.
    var takenBytes = 0
    /// What its partitions keep.
    private(set) var bytes = 0
    /// Slots moved or passed over, for tests: what forgetting costs.
    private(set) var moves = 0

    /// Partitions of one session. A client that asks for more gets full fetches; it is also the most that one Fetch may
    /// name.
    static let maxPartitions = 100_000

    /// An entry, its place in the dictionary and in the order, with what those have in reserve.
    static let bytesAPartition = 256

    static func bytes(of name: Int) -> Int { bytesAPartition + name }

    init(id: Int32, isPrivileged: Bool = false, now: Int64 = 0) {
        self.id = id
        self.isPrivileged = isPrivileged
        createdAt = now
        lastUsed = now
    }

    var count: Int { slots.count }

    func update(_ entry: Entry) {
        if let slot = slots[entry.key] {
            entries[Int(slot)]!.fetchOffset = entry.fetchOffset
            entries[Int(slot)]!.maxBytes = entry.maxBytes
            entries[Int(slot)]!.currentLeaderEpoch = entry.currentLeaderEpoch
            return
        }
        let slot = free.popLast() ?? Int32(entries.count)
        if Int(slot) == entries.count { entries.append(entry) } else { entries[Int(slot)] = entry }
        slots[entry.key] = slot
        order.append(slot)
        bytes += Self.bytes(of: entry.key.topicName.count)
    }

    func forget(_ key: Key) {
        guard let slot = slots.removeValue(forKey: key) else { return }
        entries[Int(slot)] = nil
        freed.append(slot)
        bytes -= Self.bytes(of: key.topicName.count)
    }

    /// Ends the changes of a request: closes the gaps that the forgotten have left, once for all of them.
    func endChanges() {
        if freed.isEmpty { return }
        moves += order.count
        order.removeAll { entries[Int($0)] == nil }
        free += freed
        freed.removeAll()
        if slots.isEmpty { (entries, order, free) = ([], [], []) }
    }

    /// Calls `body` with the partitions in the order of serving, and their slots.
    func forEach(_ body: (Int32, Entry) -> Void) {
        for slot in order { if let entry = entries[Int(slot)] { body(slot, entry) } }
    }

    /// Keeps what the client is told now, and returns whether there is anything new to tell it.
    func updateTold(_ slot: Int32, _ result: FetchPartitionResult) -> Bool {
        guard var entry = entries[Int(slot)] else { return true }
        let isNew =
            result.recordsCount > 0 || result.errorCode != .none || entry.toldError != .none
            || entry.toldHighWatermark != result.highWatermark || entry.toldLogStart != result.logStartOffset
        guard isNew else { return false }
        entry.toldHighWatermark = result.highWatermark
        entry.toldLogStart = result.logStartOffset
        entry.toldError = result.errorCode
        entries[Int(slot)] = entry
        return true
    }

    /// Moves the partitions that gave records behind the others: `served` has their slots, in the order of serving.
    func rotate(_ served: [Int32]) {
        guard !served.isEmpty, served.count < order.count else { return }
        var next = served.startIndex
        order.removeAll { slot in
            guard next < served.endIndex, served[next] == slot else { return false }
            next += 1
            return true
        }
        order += served
    }

    /// Advances the epoch; 0 and negative ones have meanings of their own.
    func advance() { epoch = epoch == .max ? 1 : epoch + 1 }
}
