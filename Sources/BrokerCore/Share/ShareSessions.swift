public import KafkaModel

/// Why something is not done for a member of a share group.
public struct ShareRefusal: Error, Sendable, Equatable {
    public var code: ErrorCode
    public var message: String

    public init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// A session as one of its requests sees it.
public struct ShareSession: Sendable {
    public let group: ExactString
    public let member: ExactString
    /// What ledgers know its records by; not 0.
    let owner: UInt32
    /// All that it reads, in the order in which this request lets them have their turn.
    public let partitions: [TopicPartition]
}

/// The sessions of the members of share groups: what each reads, and where it is. In memory alone: a member whose session is gone begins
/// another. Source: KIP-932.
///
/// ```
///   epoch 0 ──► begun, in the place of an older one of the member
///   epoch n ──► goes on, where n is what is expected: 1 after the beginning, then one more each time, and 1 again behind 2,147,483,647
///   epoch -1, or its connection ends ──► ended: what its member has goes back
/// ```
struct ShareSessions {
    struct Key: Hashable {
        var group: ExactString
        var member: ExactString
    }

    private struct Entry {
        var owner: UInt32
        var connection: UInt64
        /// What its next request has to name.
        var epoch: Int32
        var partitions: [TopicPartition]
        var known: Set<TopicPartition>
    }

    /// What one ended session leaves behind.
    struct Ended {
        var key: Key
        var owner: UInt32
        var partitions: [TopicPartition]
    }

    private let maxSessions: Int
    private var sessions: [Key: Entry] = [:]
    /// The sessions of each connection that is open.
    private var connections: [UInt64: Set<Key>] = [:]
    private var owners: Set<UInt32> = []
    private var lastOwner: UInt32 = 0
    private var lastConnection: UInt64 = 0
    /// How many sessions each group has.
    private var sizes: [ExactString: Int] = [:]
    /// Of all sessions.
    private(set) var partitionCount = 0

    /// Partitions that one session reads at most; a request that adds more is refused with INVALID_REQUEST.
    static let maxPartitions = 10_000
    /// Partitions of all sessions together. A session that would have more is refused with SHARE_SESSION_LIMIT_REACHED.
    static let maxPartitionsInAll = 200_000
    static let finalEpoch: Int32 = -1

    init(maxSessions: Int) { self.maxSessions = maxSessions }

    var count: Int { sessions.count }
    func count(of group: ExactString) -> Int { sizes[group] ?? 0 }

    // MARK: Connections

    mutating func openConnection() -> UInt64 {
        lastConnection += 1
        connections[lastConnection] = []
        return lastConnection
    }

    /// Ends the sessions of a connection.
    mutating func closeConnection(_ connection: UInt64) -> [Ended] {
        let keys = connections.removeValue(forKey: connection) ?? []
        return keys.compactMap { end($0) }
    }

    // MARK: Sessions

    /// Begins a session, or goes on with it. Gives what it replaces, whose records are to go back.
    mutating func begin(
        _ key: Key, epoch: Int32, connection: UInt64, adding: [TopicPartition], forgetting: [TopicPartition]
    ) throws(ShareRefusal) -> (session: ShareSession, replaced: Ended?) {
        guard epoch == 0 else { return (try goOn(key, epoch: epoch, adding: adding, forgetting: forgetting), nil) }
        let wanted = Self.distinct(adding)
        let old = sessions[key]
        guard wanted.count <= Self.maxPartitions else { throw Self.tooManyPartitions }
        guard old != nil || sessions.count < maxSessions,
            partitionCount - (old?.partitions.count ?? 0) + wanted.count <= Self.maxPartitionsInAll
        else {
            throw ShareRefusal(.shareSessionLimitReached, "There are as many share sessions as there may be.")
        }
        // Its connection has gone meanwhile, and nobody would end it.
        guard connections[connection] != nil else { throw Self.notFound(key) }
        let replaced = end(key)
        let owner = nextOwner()
        sessions[key] = Entry(
            owner: owner, connection: connection, epoch: 1, partitions: wanted, known: Set(wanted))
        connections[connection]!.insert(key)
        sizes[key.group, default: 0] += 1
        partitionCount += wanted.count
        return (ShareSession(group: key.group, member: key.member, owner: owner, partitions: wanted), replaced)
    }

    private mutating func goOn(
        _ key: Key, epoch: Int32, adding: [TopicPartition], forgetting: [TopicPartition]
    ) throws(ShareRefusal) -> ShareSession {
        guard forgetting.count <= Self.maxPartitions else { throw Self.tooManyPartitions }
        guard var entry = sessions[key] else { throw Self.notFound(key) }
        if epoch != Self.finalEpoch {
            guard epoch == entry.epoch else {
                throw ShareRefusal(
                    .invalidShareSessionEpoch,
                    "The session's next epoch is \(entry.epoch), and the request has \(epoch).")
            }
            // In place, or all that it has would be copied for each request.
            let before = entry.partitions.count
            if !forgetting.isEmpty {
                entry.known.subtract(forgetting)
                entry.partitions.removeAll { !entry.known.contains($0) }
            }
            for partition in adding where entry.known.insert(partition).inserted { entry.partitions.append(partition) }
            guard entry.partitions.count <= Self.maxPartitions else { throw Self.tooManyPartitions }
            let grown = entry.partitions.count - before
            guard grown <= 0 || partitionCount + grown <= Self.maxPartitionsInAll else {
                throw ShareRefusal(.shareSessionLimitReached, "Share sessions have as many partitions as there may be.")
            }
            entry.epoch = epoch == .max ? 1 : epoch + 1
            partitionCount += grown
            sessions[key] = entry
        }
        // Each is first some time.
        let first = entry.partitions.isEmpty ? 0 : Int(max(0, epoch)) % entry.partitions.count
        let turns = Array(entry.partitions[first...] + entry.partitions[..<first])
        return ShareSession(group: key.group, member: key.member, owner: entry.owner, partitions: turns)
    }

    /// Ends a session; nil: there is none.
    mutating func end(_ key: Key) -> Ended? {
        guard let entry = sessions.removeValue(forKey: key) else { return nil }
        connections[entry.connection]?.remove(key)
        owners.remove(entry.owner)
        partitionCount -= entry.partitions.count
        let left = sizes[key.group, default: 1] - 1
        sizes[key.group] = left == 0 ? nil : left
        return Ended(key: key, owner: entry.owner, partitions: entry.partitions)
    }

    /// Whether it is the one that there is of its member.
    func isCurrent(_ session: ShareSession) -> Bool {
        sessions[Key(group: session.group, member: session.member)]?.owner == session.owner
    }

    private mutating func nextOwner() -> UInt32 {
        repeat { lastOwner = lastOwner == .max ? 1 : lastOwner + 1 } while owners.contains(lastOwner)
        owners.insert(lastOwner)
        return lastOwner
    }

    private static func distinct(_ partitions: [TopicPartition]) -> [TopicPartition] {
        var seen: Set<TopicPartition> = []
        return partitions.filter { seen.insert($0).inserted }
    }

    private static let tooManyPartitions = ShareRefusal(
        .invalidRequest, "A share session reads at most \(maxPartitions) partitions.")

    private static func notFound(_ key: Key) -> ShareRefusal {
        ShareRefusal(.shareSessionNotFound, "There is no share session of the member \(key.member).")
    }
}
