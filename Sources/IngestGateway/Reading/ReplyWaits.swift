import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import Telemetry
import Transport

/// The replies of one loop that wait for records, and its streams. Confined to the loop's thread.
///
/// Who waits for the same partitions waits at one `TopicWatch`, which is registered once with each partition's log: a commit tells a
/// loop of a topic once, however many wait there. Nothing is done while nothing comes, but for streams once in `GatewayOptions.heartbeatSeconds`: each is
/// sent a heartbeat, and looked at: whether its peer reads, and whether it may still be read by who asks.
///
/// ```
///  wait ─► at a watch ─── a partition grows, the time is over, a drain, the peer has gone ──► woken: its turn comes
/// ```
/// Invalid events: a reply that waits twice is our bug; one that is told of twice, or after its end, is not found.
final class ReplyWaits {
    /// Seconds between two heartbeats of a stream.
    private let beatSeconds: Int
    /// How long a stream goes on at most; then its client connects again, and shows again who it is.
    static let longestStream: Int64 = 3_600_000_000_000

    fileprivate struct Key: Hashable {
        let topicID: TopicID
        /// -1: all.
        let partition: Int

        init(_ reply: RecordsReply) { (topicID, partition) = (reply.topic.id, reply.question.partition ?? -1) }
    }

    private let broker: Broker
    private let index: Int
    private let metrics: GatewayMetrics
    private unowned var loop: GatewayLoop!
    private unowned var eventLoop: EventLoop!
    private var watches: [Key: TopicWatch] = [:]
    private var byNumber: [UInt64: TopicWatch] = [:]
    private var lastNumber: UInt64 = 0
    private let inbox = ReaderInbox()
    /// Streams by the second in which they have their heartbeat.
    private var beats: [[ObjectIdentifier: StreamedReply]] = []
    private var streamCount = 0
    private var nextBeat = 0
    private var second = 0
    private var isTicking = false
    private(set) var parts = SharedParts()

    /// - Parameter beat: seconds between two heartbeats of a stream.
    init(broker: Broker, loop index: Int, metrics: GatewayMetrics, beat: Int) {
        self.broker = broker
        self.index = index
        self.metrics = metrics
        beatSeconds = beat
        beats = Array(repeating: [:], count: beat)
    }

    func attach(to eventLoop: EventLoop, of loop: GatewayLoop) {
        (self.eventLoop, self.loop) = (eventLoop, loop)
        let (inbox, handle, gateway) = (inbox, eventLoop.handle, loop.gateway)
        broker.readers.listen(at: index) { [weak gateway] waiters in
            guard inbox.put(waiters) else { return }
            handle.submit { [weak gateway] eventLoop in gateway?.waits(of: eventLoop)?.takeTold() }
        }
    }

    func detach() { broker.readers.listen(at: index, nil) }

    // MARK: Waiting

    /// Has a reply wait. False: there is something for it already.
    func wait(_ streamed: StreamedReply) -> Bool {
        precondition(streamed.watch == nil, "a reply waits twice")
        let reply = streamed.reply
        if loop.gateway.isDraining { end(streamed, .stopping) }
        if !reply.isStream {
            if streamed.waitsUntil == 0 {
                streamed.waitsUntil = eventLoop.now &+ reply.question.wait.inNanoseconds
            } else if eventLoop.now >= streamed.waitsUntil {
                reply.waitNoMore()
            }
        }
        let key = Key(reply)
        let watch = watches[key] ?? open(key)
        // Registered before the last look, so that nothing is missed.
        if !watch.register(reply.sources, loop: index) {
            reply.stop(broker.catalog.topic(id: reply.topic.id) == nil ? .topicIsGone : .notLeader)
        }
        guard !reply.hasNews else {
            reply.goOn()
            closeIfEmpty(watch)
            return false
        }
        watch.waiting[ObjectIdentifier(streamed)] = streamed
        streamed.watch = watch
        metrics.reading.waitingReplies.add(1)
        if !reply.isStream {
            let time = Duration.nanoseconds(max(0, streamed.waitsUntil - eventLoop.now))
            streamed.waitTimer = eventLoop.schedule(after: time) { [unowned self, unowned streamed] _ in
                streamed.waitTimer = nil
                streamed.reply.waitNoMore()
                wake(streamed)
            }
        }
        return true
    }

    private func open(_ key: Key) -> TopicWatch {
        lastNumber += 1
        let watch = TopicWatch(key, number: lastNumber)
        watches[key] = watch
        byNumber[watch.number] = watch
        return watch
    }

    private func closeIfEmpty(_ watch: TopicWatch) {
        guard watch.waiting.isEmpty else { return }
        watch.forgetAll(loop: index)
        watches[watch.key] = nil
        byNumber[watch.number] = nil
    }

    /// Ends a wait: the reply has its turn, when its peer has read what it was sent.
    private func wake(_ streamed: StreamedReply) {
        guard leave(streamed) else { return }
        streamed.reply.goOn()
        streamed.writer.wake(streamed)
    }

    private func leave(_ streamed: StreamedReply) -> Bool {
        guard let watch = streamed.watch else { return false }
        watch.waiting[ObjectIdentifier(streamed)] = nil
        streamed.watch = nil
        metrics.reading.waitingReplies.add(-1)
        if let timer = streamed.waitTimer { eventLoop.cancel(timer) }
        streamed.waitTimer = nil
        return true
    }

    /// Takes in what partitions have told.
    func takeTold() {
        var told: [UInt64: TopicWatch] = [:]
        for waiter in inbox.takeAll() {
            guard let watch = byNumber[waiter.id] else { continue }
            watch.told(Int(waiter.place))
            told[waiter.id] = watch
        }
        for watch in told.values {
            // Nobody has come back since it was told last.
            if watch.waiting.isEmpty { closeIfEmpty(watch) }
            let isGone = broker.catalog.topic(id: watch.key.topicID) == nil
            for streamed in Array(watch.waiting.values) {
                if isGone { streamed.reply.stop(.topicIsGone) }
                wake(streamed)
            }
        }
    }

    // MARK: Ends

    /// Ends a reply early: a page with what it has, a stream for this reason.
    func end(_ streamed: StreamedReply, _ why: ReplyEnd) {
        if streamed.reply.isStream { streamed.reply.stop(why) } else { streamed.reply.waitNoMore() }
        wake(streamed)
    }

    /// Ends all waits, and all streams.
    func endAll(_ why: ReplyEnd) {
        for watch in Array(watches.values) {
            for streamed in Array(watch.waiting.values) { end(streamed, why) }
        }
        for beat in beats {
            for streamed in beat.values { end(streamed, why) }
        }
    }

    /// Forgets a reply that is over.
    func forget(_ streamed: StreamedReply) {
        _ = leave(streamed)
        // Who else is woken comes back, or ends here.
        if let watch = watches[Key(streamed.reply)] { closeIfEmpty(watch) }
        guard let beat = streamed.beat else { return }
        beats[beat][ObjectIdentifier(streamed)] = nil
        streamed.beat = nil
        streamCount -= 1
    }

    // MARK: Streams

    /// - Parameter endsAt: of its connection, in monotonic nanoseconds.
    func begin(_ streamed: StreamedReply, asker: Asker?, endsAt: Int64) {
        streamed.asker = asker
        streamed.endsAt = min(endsAt, eventLoop.now + Self.longestStream)
        streamed.movedAt = eventLoop.now
        streamed.beat = nextBeat
        beats[nextBeat][ObjectIdentifier(streamed)] = streamed
        nextBeat = (nextBeat + 1) % beatSeconds
        streamCount += 1
        tickLater()
    }

    private func tickLater() {
        guard streamCount > 0, !isTicking else { return }
        isTicking = true
        eventLoop.schedule(after: .seconds(1)) { [unowned self] _ in
            isTicking = false
            tick()
            tickLater()
        }
    }

    private func tick() {
        // What is kept there is of the last second.
        parts.removeAll()
        second = (second + 1) % beatSeconds
        for streamed in Array(beats[second].values) { look(at: streamed) }
    }

    private func look(at streamed: StreamedReply) {
        let reply = streamed.reply
        let now = eventLoop.now
        let sent = streamed.writer.sentBytes
        let timeout = loop.options.requestTimeout.inNanoseconds
        if sent != streamed.sentAtLastLook || streamed.writer.unsentBytes == 0 {
            (streamed.sentAtLastLook, streamed.movedAt) = (sent, now)
        } else if now - streamed.movedAt >= timeout {
            metrics.reading.droppedReaders.add()
            return drop(streamed)
        }
        if streamed.isAway {
            if now - streamed.leftAt >= timeout { drop(streamed) }
            return
        }
        if now >= streamed.endsAt { return end(streamed, .stopping) }
        guard let topic = broker.catalog.topic(id: reply.topic.id) else { return end(streamed, .topicIsGone) }
        guard loop.mayGoOn(reading: topic, streamed.asker, nowMs: eventLoop.wallClockMs) else {
            return end(streamed, .notAllowed)
        }
        if reply.take(topic) { return wake(streamed) }
        guard streamed.isWaiting, streamed.writer.isReady else { return }
        streamed.writer.write(RecordsReply.heartbeat(reply.question.form))
        streamed.writer.flush()
    }

    private func drop(_ streamed: StreamedReply) {
        let writer = streamed.writer
        writer.reset()
        writer.flush()
    }

    // MARK: What readers share

    /// What was made for another stream at the same place.
    func part(from place: SharedParts.Place) -> SharedParts.Part? {
        guard let part = parts[place] else { return nil }
        metrics.reading.sharedParts.add()
        return part
    }

    func keep(_ part: SharedParts.Part) { parts.add(part) }
}

/// The wait for some partitions of a topic, of all that wait for them on one loop.
final class TopicWatch {
    fileprivate let key: ReplyWaits.Key
    let number: UInt64
    fileprivate var waiting: [ObjectIdentifier: StreamedReply] = [:]
    private var logs: [PartitionLog] = []
    private var slots: [Int32] = []
    private var isRegistered: [Bool] = []

    fileprivate init(_ key: ReplyWaits.Key, number: UInt64) {
        self.key = key
        self.number = number
    }

    /// Asks the partitions to tell of growth where they are not asked yet. False: one is gone.
    fileprivate func register(_ sources: [PartitionSource], loop: Int) -> Bool {
        for source in sources.dropFirst(logs.count) {
            logs.append(source.partition)
            slots.append(-1)
            isRegistered.append(false)
        }
        for place in logs.indices where !isRegistered[place] {
            if logs[place].watch(waiter(place, loop), slot: &slots[place], step: 1).isGone { return false }
            isRegistered[place] = true
        }
        return true
    }

    fileprivate func told(_ place: Int) { isRegistered[place] = false }

    fileprivate func forgetAll(loop: Int) {
        for place in logs.indices where isRegistered[place] {
            logs[place].forget(waiter(place, loop), slot: slots[place])
        }
        (logs, slots, isRegistered) = ([], [], [])
    }

    private func waiter(_ place: Int, _ loop: Int) -> ReadWaiter {
        ReadWaiter(loop: ReaderCalls.loop(loop), id: number, place: Int32(place))
    }
}

/// What partitions have told a loop and it has not taken in: at most what its watches are registered for.
private final class ReaderInbox: Sendable {
    private let waiters = Lock<[ReadWaiter]>([])

    /// True: the loop must be told.
    func put(_ told: [ReadWaiter]) -> Bool {
        waiters.withLock { waiters in
            defer { waiters += told }
            return waiters.isEmpty
        }
    }

    func takeAll() -> [ReadWaiter] {
        waiters.withLock { waiters in
            defer { waiters = [] }
            return waiters
        }
    }
}
