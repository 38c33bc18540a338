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
/// Where events have keys of their own, each of them goes this way by itself, and a claim has as many keys as its request has new events.
///
/// No owner has all of it, for one client would keep everybody else's keys out for a day: `Limits.sharePercent`.
///
/// Invalid events: a second claim of one loop, and `finish` or `finishEvents` without a claim, are our bugs.
struct IdempotencyTable {
    struct Limits {
        /// How long a key is remembered.
        var ttlMs: Int64
        var keys: Int
        /// Of all requests, by `StoredRequest.weight`.
        var bytes: Int
        /// How much of both one owner may have.
        var sharePercent = 50

        /// Events with keys that one request may have: as many as its owner may have keys, and no more than one line tells of.
        var mostEvents: Int {
            min(EventDigests.most, share(of: keys), max(1, share(of: bytes) / StoredRequest.fixedWeight))
        }

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
        /// It is an event that was stored with others: its request's reply is of no use to who asks for this one.
        case stored(StoredPlace)
        /// The same request is being stored at this moment.
        case busy
        /// The key was used for another body.
        case mismatch
        /// Nothing can be remembered before the oldest key is forgotten, in so many milliseconds.
        case full(waitMs: Int64)
        /// Nothing of this owner can be, before the oldest key of his is forgotten, in so many milliseconds or some more.
        case shareFull(waitMs: Int64)

        var isShare: Bool { if case .shareFull = self { true } else { false } }
    }

    /// What is known of one event's key.
    enum EventAnswer: Equatable {
        case claimed
        case stored(StoredPlace)
        case busy
        case mismatch
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
        var keys: [ShortDigest]
        var owner: KeyOwner
        /// What they may come to.
        var weight: Int
        /// Where its batches will be: at these offsets or behind them.
        var places: [TopicPartition: Int64] = [:]
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
    /// The keys of all claims.
    private var claimed: Set<ShortDigest> = []
    /// Batches whose line the log of requests did not take: floors stay below them.
    private var barriers: [TopicPartition: Int64] = [:]
    private(set) var weight = 0

    var count: Int { entries.count }

    init(_ limits: Limits, loops: Int) {
        self.limits = limits
        claims = Array(repeating: nil, count: loops)
    }

    // MARK: A request

    /// Asks for a key; `isOnDisk` is asked of what a commit was to make durable.
    mutating func begin(
        _ key: ShortDigest, _ fingerprint: ShortDigest, of topic: TopicID? = nil, owner: KeyOwner, loop: Int,
        nowMs: Int64, isOnDisk: (Pending) -> Bool
    ) -> Answer {
        precondition(claims[loop] == nil, "loop \(loop) begins a request before the one before it has ended")
        forget(before: nowMs - limits.ttlMs)
        switch lookUp(key, fingerprint, of: topic, isOnDisk) {
        case .busy: return .busy
        case .mismatch: return .mismatch
        case .stored(let place):
            guard let reply = entries[key]?.request.reply, !reply.body.isEmpty else { return .stored(place) }
            return .replay(reply)
        case .claimed: break
        }
        // It may become a request as large as any.
        let most = StoredRequest.fixedWeight + StoredReply.maxBytes
        if let full = fullness(for: owner, keys: 1, weight: most, nowMs: nowMs) { return full }
        claims[loop] = Claim(keys: [key], owner: owner, weight: most)
        claimed.insert(key)
        return .claimed
    }

    /// Asks for the keys of some events, which are all different; the claim grows until it is released. Gives an answer for each, or
    /// why there is no room for those that are new: then none of these is claimed.
    ///
    /// - Parameter isFirst: of the request's events.
    mutating func beginEvents(
        _ asked: some Collection<EventDigests>, of topic: TopicID, isFirst: Bool, owner: KeyOwner, loop: Int, nowMs: Int64,
        isOnDisk: (Pending) -> Bool
    ) -> Result<[EventAnswer], Fullness> {
        precondition(
            (claims[loop] == nil) == isFirst, "loop \(loop) begins a request before the one before it has ended")
        forget(before: nowMs - limits.ttlMs)
        let answers = asked.map { lookUp($0.key, $0.fingerprint, of: topic, isOnDisk) }
        let new = zip(asked, answers).filter { $0.1 == .claimed }.map { $0.0.key }
        let added = new.count * StoredRequest.fixedWeight
        if !new.isEmpty, let full = fullness(for: owner, keys: new.count, weight: added, nowMs: nowMs) {
            return .failure(Fullness(answer: full))
        }
        if isFirst { claims[loop] = Claim(keys: [], owner: owner, weight: 0) }
        claims[loop]!.keys += new
        claims[loop]!.weight += added
        claimed.formUnion(new)
        return .success(answers)
    }

    /// There is no room: `full` or `shareFull`.
    struct Fullness: Error {
        let answer: Answer
    }

    /// `claimed`: nobody has it yet. An event that is stored in another topic (its route's was deleted and made anew, or the route leads
    /// elsewhere now) is not in this one; nil: whichever topic it is in.
    private mutating func lookUp(
        _ key: ShortDigest, _ fingerprint: ShortDigest, of topic: TopicID?, _ isOnDisk: (Pending) -> Bool
    ) -> EventAnswer {
        guard let entry = entries[key], topic == nil || entry.request.partition.topicID == topic else {
            return claimed.contains(key) ? .busy : .claimed
        }
        if entry.request.fingerprint != fingerprint { return .mismatch }
        if let ticket = entry.ticket {
            let pending = Pending(
                ticket: ticket, partition: entry.request.partition, lastOffset: entry.request.lastOffset)
            guard isOnDisk(pending) else { return .busy }
            entries[key]!.ticket = nil
        }
        return .stored(
            StoredPlace(
                partitionIndex: entry.request.partition.partitionIndex, offset: entry.request.baseOffset,
                timeMs: entry.request.timeMs))
    }

    /// Why there is no room for so many keys more; nil: there is.
    private func fullness(for owner: KeyOwner, keys: Int, weight added: Int, nowMs: Int64) -> Answer? {
        func claimed(by isCounted: (Claim) -> Bool) -> (keys: Int, weight: Int) {
            claims.compactMap { $0 }.filter(isCounted).reduce((keys, added)) {
                ($0.0 + $1.keys.count, $0.1 + $1.weight)
            }
        }
        let all = claimed { _ in true }
        if entries.count + all.keys > limits.keys || weight + all.weight > limits.bytes {
            return .full(waitMs: max(1, (order.first?.timeMs ?? nowMs) + limits.ttlMs - nowMs))
        }
        // One key is never more than a share.
        guard holdings[owner] != nil || keys > 1 else { return nil }
        let own = claimed { $0.owner == owner }
        let holding = holdings[owner] ?? Holding(oldestMs: nowMs)
        if holding.keys + own.keys > limits.share(of: limits.keys)
            || holding.weight + own.weight > limits.share(of: limits.bytes)
        {
            return .shareFull(waitMs: max(1, holding.oldestMs + limits.ttlMs - nowMs))
        }
        return nil
    }

    /// A batch of the claim is about to be appended, at `from` or behind it.
    mutating func willAppend(loop: Int, _ partition: TopicPartition, from: Int64) {
        precondition(claims[loop] != nil, "loop \(loop) appends for a request that it has not begun")
        // Of several in one partition the first one counts.
        if claims[loop]!.places[partition] == nil { claims[loop]!.places[partition] = from }
    }

    /// The batch was appended, and becomes durable with `ticket`. Gives the floor for its line. The claim goes on until the
    /// line is in its log, too (`release`).
    mutating func finish(_ request: StoredRequest, ticket: UInt64, loop: Int) -> Int64 {
        precondition(claims[loop]?.keys == [request.key], "loop \(loop) ends a request that it has not begun")
        insert(request, ticket: ticket)
        return floor(of: request.partition, below: request.lastOffset + 1, but: loop)
    }

    /// Some events of a batch were appended, and become durable with `ticket`.
    mutating func finishEvents(_ stored: some Sequence<StoredRequest>, ticket: UInt64, loop: Int) {
        precondition(claims[loop] != nil, "loop \(loop) ends a request that it has not begun")
        for event in stored { insert(event, ticket: ticket) }
    }

    /// Ends the claim. `isLost`: the log did not take the line of a batch that was appended.
    mutating func release(loop: Int, isLost: Bool = false) {
        guard let claim = claims[loop] else { return }
        if isLost {
            // Of each partition the first one counts.
            barriers.merge(claim.places) { min($0, $1) }
        }
        claimed.subtract(claim.keys)
        claims[loop] = nil
    }

    /// The least offset of the partition at which there may be a batch without a line; at most `end`.
    func floor(of partition: TopicPartition, below end: Int64, but loop: Int? = nil) -> Int64 {
        var floor = end
        for index in claims.indices where index != loop {
            if let from = claims[index]?.places[partition] { floor = min(floor, from) }
        }
        return min(floor, barriers[partition] ?? floor)
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
