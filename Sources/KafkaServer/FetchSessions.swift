import KafkaModel
import KafkaWire

/// One consumer's incremental fetch session: the partitions it asks for and what it was last told of each, so that
/// neither side repeats what has not changed. Source: KIP-227.
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
    var epoch: Int32 = 1
    /// In the order of serving: a partition that gave records goes to the end, so that none starves.
    private(set) var entries: [Entry] = []
    private var places: [Key: Int] = [:]
    var lastUsed: UInt64 = 0

    /// Partitions of one session; a client that asks for more gets full fetches.
    static let maxPartitions = 100_000

    init(id: Int32) { self.id = id }

    func update(_ entry: Entry) {
        if let place = places[entry.key] {
            entries[place].fetchOffset = entry.fetchOffset
            entries[place].maxBytes = entry.maxBytes
            entries[place].currentLeaderEpoch = entry.currentLeaderEpoch
        } else {
            places[entry.key] = entries.count
            entries.append(entry)
        }
    }

    func forget(_ key: Key) {
        guard let place = places.removeValue(forKey: key) else { return }
        entries.remove(at: place)
        for index in place..<entries.count { places[entries[index].key] = index }
    }

    /// Notes what the client is told now. True: it has to be told, something is new.
    func note(_ place: Int, _ result: FetchPartitionResult) -> Bool {
        var entry = entries[place]
        let isNew =
            result.recordsCount > 0 || result.errorCode != .none || entry.toldError != .none
            || entry.toldHighWatermark != result.highWatermark || entry.toldLogStart != result.logStartOffset
        entry.toldHighWatermark = result.highWatermark
        entry.toldLogStart = result.logStartOffset
        entry.toldError = result.errorCode
        entries[place] = entry
        return isNew
    }

    /// Moves the partitions that gave records behind the others.
    func rotate(served: (Int) -> Bool) {
        var waiting: [Entry] = []
        var done: [Entry] = []
        for index in entries.indices { served(index) ? done.append(entries[index]) : waiting.append(entries[index]) }
        guard !done.isEmpty, !waiting.isEmpty else { return }
        entries = waiting + done
        for index in entries.indices { places[entries[index].key] = index }
    }

    /// The next epoch; 0 and negative ones have meanings of their own.
    func advance() { epoch = epoch == .max ? 1 : epoch + 1 }
}

/// The sessions of one loop. Limit: `slots`; a new session takes the place of the one that was silent longest.
final class FetchSessions {
    private let slots: Int
    private let loop: Int
    private var sessions: [Int32: FetchSession] = [:]
    private var clock: UInt64 = 0
    private var random = SystemRandomNumberGenerator()

    init(slots: Int, loop: Int) {
        self.slots = slots
        self.loop = loop
    }

    var count: Int { sessions.count }

    /// A new session, with an id that no other session of any loop has (the loop's index is in its low bits).
    func create() -> FetchSession {
        if sessions.count >= slots, let idlest = sessions.values.min(by: { $0.lastUsed < $1.lastUsed }) {
            sessions[idlest.id] = nil
        }
        while true {
            let id = Int32(truncatingIfNeeded: random.next() & 0x7fff_ff00) | Int32(loop & 0xff)
            guard id > 0, sessions[id] == nil else { continue }
            let session = FetchSession(id: id)
            touch(session)
            sessions[id] = session
            return session
        }
    }

    func session(_ id: Int32) -> FetchSession? {
        guard let session = sessions[id] else { return nil }
        touch(session)
        return session
    }

    func remove(_ id: Int32) { sessions[id] = nil }

    private func touch(_ session: FetchSession) {
        clock += 1
        session.lastUsed = clock
    }
}
