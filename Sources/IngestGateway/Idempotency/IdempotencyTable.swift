import ByteBuffers
import KafkaModel

/// Which requests were stored, by their keys; and which are being stored. A pure state machine: time, and what is on disk, are
/// told.
///
/// ```
///                begin                    finish                  on disk
///   unknown ──────────────► claimed ────────────────► pending ──────────────► stored ──ttl──► unknown
///                              └── release: nothing was appended ──► unknown
/// ```
/// A claim is one loop's (or a worker's), for as long as that handles the request: a loop has one at a time. A repeat finds `claimed` or
/// `pending`: busy. Of another body: a mismatch, as soon as that is known.
///
/// No owner has all of it, for one client would keep everybody else's keys out for a day: `Limits.sharePercent`.
///
/// Invalid events: a second claim of one loop, and `finish` without a claim, are our bugs.
struct IdempotencyTable {
    struct Limits {
        /// How long a key is remembered.
        var ttlMs: Int64
        var keys: Int
        /// Of all requests, by `StoredRequest.weight`.
        var bytes: Int
        /// How much of both one owner may have.
        var sharePercent = 50

        /// What one owner may have of `most`.
        func share(of most: Int) -> Int {
            let (product, overflow) = most.multipliedReportingOverflow(by: sharePercent)
            return max(1, overflow ? most / 100 * sharePercent : product / 100)
        }
    }

    enum Answer: Equatable {
        /// The loop has the claim now.
        case claimed
        case replay(StoredReply)
        /// The same request is being stored at this moment.
        case busy
        /// The key was used for another body.
        case mismatch
        /// Nothing can be remembered before the oldest key is forgotten, in so many milliseconds.
        case full(waitMs: Int64)
        /// Nothing of this owner can be, before the oldest key of his is forgotten, in so many milliseconds or some more.
        case shareFull(waitMs: Int64)
    }

    struct Pending {
        var ticket: UInt64
        var partition: TopicPartition
        var lastOffset: Int64
    }

    private struct Entry {
        var request: StoredRequest
        /// The commit that makes it durable; nil: it is.
        var ticket: UInt64?
    }

    private struct Claim {
        var key: ShortDigest
        var owner: KeyOwner
        /// Where its batch will be: at this offset or behind it.
        var place: (partition: TopicPartition, from: Int64)?
    }

    /// What one owner has.
    private struct Holding {
        var keys = 0
        var weight = 0
        /// None of his keys is older.
        var oldestMs: Int64
    }

    let limits: Limits
    private var entries: [ShortDigest: Entry] = [:]
    /// Owners of at least one entry, but for `KeyOwner.nobody`.
    private var holdings: [KeyOwner: Holding] = [:]
    /// Oldest first; keys that were forgotten before their time stay until then.
    private var order = FIFO<(key: ShortDigest, timeMs: Int64)>()
    private var claims: [Claim?]
    /// Batches whose line the log of requests did not take: floors stay below them.
    private var barriers: [(partition: TopicPartition, from: Int64)] = []
    private(set) var weight = 0

    var count: Int { entries.count }

    init(_ limits: Limits, loops: Int) {
        self.limits = limits
        claims = Array(repeating: nil, count: loops)
    }

    // MARK: A request

    /// Asks for a key; `isOnDisk` is asked of what a commit was to make durable.
    mutating func begin(
        _ key: ShortDigest, _ fingerprint: ShortDigest, owner: KeyOwner, loop: Int, nowMs: Int64,
        isOnDisk: (Pending) -> Bool
    ) -> Answer {
        precondition(claims[loop] == nil, "loop \(loop) begins a request before the one before it has ended")
        forget(before: nowMs - limits.ttlMs)
        if let entry = entries[key] {
            if entry.request.fingerprint != fingerprint { return .mismatch }
            if let ticket = entry.ticket {
                let pending = Pending(
                    ticket: ticket, partition: entry.request.partition, lastOffset: entry.request.lastOffset)
                guard isOnDisk(pending) else { return .busy }
                entries[key]!.ticket = nil
            }
            return .replay(entry.request.reply)
        }
        if claims.contains(where: { $0?.key == key }) { return .busy }
        if let full = fullness(for: owner, nowMs: nowMs) { return full }
        claims[loop] = Claim(key: key, owner: owner)
        return .claimed
    }

    /// Why there is no room for one request more; nil: there is. Each claim may become a request as large as any.
    private func fullness(for owner: KeyOwner, nowMs: Int64) -> Answer? {
        let most = StoredRequest.fixedWeight + StoredReply.maxBytes
        let claimed = claims.count { $0 != nil } + 1
        if entries.count + claimed > limits.keys || weight + claimed * most > limits.bytes {
            return .full(waitMs: max(1, (order.first?.timeMs ?? nowMs) + limits.ttlMs - nowMs))
        }
        guard let holding = holdings[owner] else { return nil }
        let ownClaims = claims.count { $0?.owner == owner } + 1
        if holding.keys + ownClaims > limits.share(of: limits.keys)
            || holding.weight + ownClaims * most > limits.share(of: limits.bytes)
        {
            return .shareFull(waitMs: max(1, holding.oldestMs + limits.ttlMs - nowMs))
        }
        return nil
    }

    /// The claim's batch is about to be appended, at `from` or behind it.
    mutating func willAppend(loop: Int, _ partition: TopicPartition, from: Int64) {
        precondition(claims[loop] != nil, "loop \(loop) appends for a request that it has not begun")
        claims[loop]!.place = (partition, from)
    }

    /// The batch was appended, and becomes durable with `ticket`. Gives the floor for its line. The claim goes on until the
    /// line is in its log, too (`release`).
    mutating func finish(_ request: StoredRequest, ticket: UInt64, loop: Int) -> Int64 {
        precondition(claims[loop]?.key == request.key, "loop \(loop) ends a request that it has not begun")
        insert(request, ticket: ticket)
        return floor(of: request.partition, below: request.lastOffset + 1, but: loop)
    }

    /// Ends the claim. `isLost`: the log did not take the line of a batch that was appended.
    mutating func release(loop: Int, isLost: Bool = false) {
        if isLost, let place = claims[loop]?.place {
            // Of each partition the first one counts.
            if let known = barriers.firstIndex(where: { $0.partition == place.partition }) {
                barriers[known].from = min(barriers[known].from, place.from)
            } else {
                barriers.append(place)
            }
        }
        claims[loop] = nil
    }

    /// The least offset of the partition at which there may be a batch without a line; at most `end`.
    func floor(of partition: TopicPartition, below end: Int64, but loop: Int? = nil) -> Int64 {
        var floor = end
        for index in claims.indices where index != loop {
            if let place = claims[index]?.place, place.partition == partition { floor = min(floor, place.from) }
        }
        for place in barriers where place.partition == partition { floor = min(floor, place.from) }
        return floor
    }

    // MARK: Entries

    /// Takes in what a line of the log says, at the start.
    mutating func load(_ request: StoredRequest) { insert(request, ticket: nil) }

    /// Takes out what a later line says is void.
    mutating func remove(_ key: ShortDigest) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        weight -= entry.request.weight
        let owner = entry.request.owner
        guard var holding = holdings.removeValue(forKey: owner), holding.keys > 1 else { return }
        holding.keys -= 1
        holding.weight -= entry.request.weight
        holdings[owner] = holding
    }

    subscript(key: ShortDigest) -> StoredRequest? { entries[key]?.request }

    var requests: [StoredRequest] { entries.values.map(\.request) }

    private mutating func insert(_ request: StoredRequest, ticket: UInt64?) {
        remove(request.key)
        entries[request.key] = Entry(request: request, ticket: ticket)
        weight += request.weight
        order.append((request.key, request.timeMs))
        if request.owner == .nobody { return }
        holdings[request.owner, default: Holding(oldestMs: request.timeMs)].keys += 1
        holdings[request.owner]?.weight += request.weight
    }

    /// Keys that one request lets go of at most: a burst that expires together is not one request's to pay.
    private static let forgottenAtOnce = 1024

    mutating func forget(before timeMs: Int64) {
        var left = Self.forgottenAtOnce
        while left > 0, let first = order.first, first.timeMs <= timeMs {
            left -= 1
            order.removeFirst()
            // One that was stored anew has a later place in the queue.
            guard let request = entries[first.key]?.request, request.timeMs == first.timeMs else { continue }
            remove(first.key)
            // Keys are forgotten in the order of their times.
            holdings[request.owner]?.oldestMs = first.timeMs
        }
    }
}
