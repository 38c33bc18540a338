import LogStorage
import Telemetry

/// The sessions of one loop. They outlive their connections, so they are bounded: in number by `slots`, in memory by
/// the share that all loops have together. A fetch for whose session there is no room is answered without one.
///
/// Who makes room, as in Kafka (KIP-227): sessions that were silent for two minutes; and, for a place, those that are
/// at least two minutes old and matter less, because a follower's comes before a consumer's, and one of many
/// partitions, which saves more, before one of few. So a crowd of new sessions never puts out those that are in use.
final class FetchSessions {
    private let slots: Int
    private let loop: Int
    private let share: FetchShare
    private let gauge: Gauge?
    private var sessions: [Int32: FetchSession] = [:]
    private var random = SystemRandomNumberGenerator()
    private var generation: UInt32 = 0
    /// Hears of each session that has lost its place.
    var onEnd: ((FetchSession) -> Void)?

    /// Memory of all sessions together, in bytes: 1000 sessions of 130 partitions, or one of 100,000 and 300 of 130.
    static let maxBytes = 64 << 20
    /// How long a session keeps its place without being used, and how long a new one keeps it in any case; nanoseconds.
    static let keepTime: Int64 = 120_000_000_000

    init(slots: Int, loop: Int, share: FetchShare, gauge: Gauge? = nil) {
        self.slots = slots
        self.loop = loop
        self.share = share
        self.gauge = gauge
    }

    var count: Int { sessions.count }
    var ids: some Collection<Int32> { sessions.keys }

    /// Creates a session for `partitions` partitions that keep `bytes`, with an id that no other session of any loop
    /// has (the loop's index is in its low bits). Nil: there is no room.
    func create(
        partitions: Int, bytes: Int, usesIDs: Bool = false, isPrivileged: Bool = false, now: Int64
    ) -> FetchSession? {
        guard partitions <= FetchSession.maxPartitions, bytes <= share.limit else { return nil }
        while sessions.count >= slots {
            guard evictIdle(now) || evictLesser(than: partitions, isPrivileged, now) else { return nil }
        }
        while !share.take(bytes) { guard evictIdle(now) else { return nil } }
        while true {
            let id = Int32(truncatingIfNeeded: random.next() & 0x7fff_ff00) | Int32(loop & 0xff)
            guard id > 0, sessions[id] == nil else { continue }
            generation &+= 1
            let session = FetchSession(
                id: id, usesIDs: usesIDs, isPrivileged: isPrivileged, now: now, loop: loop, generation: generation)
            session.takenBytes = bytes
            sessions[id] = session
            gauge?.add(1)
            return session
        }
    }

    func session(_ id: Int32, now: Int64) -> FetchSession? {
        guard let session = sessions[id] else { return nil }
        session.lastUsed = now
        return session
    }

    /// Returns the session that waits by this name; nil when it has ended.
    func session(_ waiter: ReadWaiter) -> FetchSession? {
        guard let session = sessions[waiter.sessionID], session.waiter.id == waiter.id else { return nil }
        return session
    }

    /// What a change of its partitions makes of a session.
    enum Settlement {
        case goesOn
        /// It has forgotten all of its partitions, and has ended: its client is answered without one, as by Kafka.
        case isEmpty
        /// It has outgrown what there is, and has ended: its client begins anew, without one if there is no room.
        case hasNoRoom
    }

    /// Settles what a session holds after a request has changed its partitions: takes or gives back the difference.
    func settle(_ session: FetchSession, now: Int64) -> Settlement {
        session.endChanges()
        if session.count == 0 {
            remove(session.id)
            return .isEmpty
        }
        let growth = session.bytes - session.takenBytes
        if growth <= 0 {
            share.give(-growth)
        } else {
            guard session.count <= FetchSession.maxPartitions, session.bytes <= share.limit else {
                remove(session.id)
                return .hasNoRoom
            }
            while !share.take(growth) {
                guard evictIdle(now) else {
                    remove(session.id)
                    return .hasNoRoom
                }
            }
        }
        session.takenBytes = session.bytes
        return .goesOn
    }

    /// Whether the session has not ended.
    func has(_ session: FetchSession) -> Bool { sessions[session.id] === session }

    func remove(_ id: Int32) {
        guard let session = sessions.removeValue(forKey: id) else { return }
        share.give(session.takenBytes)
        gauge?.add(-1)
        onEnd?(session)
    }

    // MARK: Eviction

    private func evictIdle(_ now: Int64) -> Bool {
        guard let idlest = sessions.values.lazy.filter({ !$0.isAway }).min(by: { $0.lastUsed < $1.lastUsed }),
            now - idlest.lastUsed > Self.keepTime
        else { return false }
        remove(idlest.id)
        return true
    }

    private func evictLesser(than partitions: Int, _ isPrivileged: Bool, _ now: Int64) -> Bool {
        func rank(_ session: FetchSession) -> (Int, Int) { (session.isPrivileged ? 1 : 0, session.count) }
        let old = sessions.values.filter { !$0.isAway && now - $0.createdAt > Self.keepTime }
        guard let least = old.min(by: { rank($0) < rank($1) }), rank(least) < (isPrivileged ? 1 : 0, partitions) else {
            return false
        }
        remove(least.id)
        return true
    }
}
