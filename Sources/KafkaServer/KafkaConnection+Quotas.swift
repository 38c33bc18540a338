import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security
import Telemetry
import Transport

/// Holds requests against quotas. The reply goes out with the time that its client has to wait, and the connection is not read
/// for so long, whether the client knows of that or not (KIP-219).
extension KafkaConnection {
    /// Called for each request while quotas are set.
    func beginCounting(_ request: borrowing Request, _ version: Int64) {
        let counted = counted ?? CountedRequests()
        self.counted = counted
        isCounted = counted.begin(request, version, broker, user: quotaUser)
    }

    /// Where a worker notes its time; nil: nobody asks.
    var workClock: WorkClock? { isCounted ? counted?.clock : nil }

    /// What the request at hand makes and removes is taken from; nil: nobody asks.
    var mutations: MutationCharge? { isCounted ? counted?.mutations : nil }

    private func endCounting(_ end: (CountedRequests, QuotaKeeper) -> CountedRequests.Wait) -> CountedRequests.Wait {
        guard isCounted, let counted else { return CountedRequests.Wait() }
        isCounted = false
        return end(counted, server.quotas)
    }

    // MARK: Replies

    /// Writes a reply of a request that is counted.
    func replyCounted(_ response: some KafkaResponse, to ticket: ReplyTicket) {
        let wait = endCounting { $0.end($1) }
        connection.write { writer in
            Self.encode(response, to: &writer, ticket)
            guard wait.time > .zero, let position = ThrottleField.position(ticket, in: writer.bytes) else { return }
            writer.overwrite(wait.wireMs, at: position)
        }
        mute(for: wait)
    }

    /// Writes a reply that was encoded elsewhere, of a request that is counted.
    func writeCounted(_ slice: ByteSlice, to ticket: ReplyTicket) {
        // Records that were acquired are sent, and the next request waits for them.
        let wait = endCounting { ticket.key == .shareFetch ? $0.end($1, shared: slice.count) : $0.end($1) }
        defer { mute(for: wait) }
        guard wait.time > .zero, let position = ThrottleField.position(ticket, in: slice.bytes) else {
            return connection.write(slice)
        }
        var head = ByteWriter(capacity: position + 4)
        head.bytes(UnsafeRawBufferPointer(rebasing: slice.bytes[..<position]))
        head.int32(wait.wireMs)
        connection.write(copying: head.bytes)
        connection.write(slice.slice(position + 4, count: slice.count - position - 4))
    }

    /// Ends a produce of `bytes`; the caller writes the time into the reply, and mutes the connection when it is written.
    func endProduce(bytes: Int, hasReply: Bool) -> CountedRequests.Wait {
        endCounting { $0.end($1, produced: bytes, countsTime: hasReply) }
    }

    // MARK: Fetch

    /// Most bytes of records in the reply to the fetch at hand.
    var mostFetched: Int {
        guard isCounted, let counted else { return .max }
        return server.quotas.mostFetched(counted.limits)
    }

    /// Ends a fetch that is refused as a whole.
    func endRefusedFetch() -> CountedRequests.Wait { endCounting { $0.end($1) } }

    /// Ends a fetch whose reply would take `bytes`. True: the client has to wait, and was told so by an empty reply. A session
    /// that this fetch has begun is not told of, as in Kafka, so it ends; one that it goes on with keeps what it has to tell.
    func isHeldBack(_ plan: FetchPlan, bytes: Int) -> Bool {
        let wait = endCounting { $0.end($1, fetched: bytes) }
        guard wait.time > .zero else { return false }
        var sessionID: Int32 = 0
        if let session = plan.ownSession {
            if plan.isFull { loop.sessions.remove(session.id) } else { sessionID = session.id }
        }
        let reply = plan.reply
        connection.write { writer in
            var response = FetchResponseWriter(
                version: reply.version, correlationID: reply.correlationID, throttleTimeMs: wait.wireMs,
                sessionID: sessionID, topicCount: 0, to: &writer)
            response.finish(to: &writer)
        }
        mute(for: wait)
        return true
    }

    // MARK: Muting

    /// Does not read the connection for so long. What it has sent already waits, in the kernel and here.
    func mute(for wait: CountedRequests.Wait) {
        guard wait.time > .zero, connection.isOpen else { return }
        server.metrics.throttled(by: wait.by).add()
        // Nobody waits for a broker that stops.
        if loop.eventLoop.isStopping { return connection.closeAfterFlush() }
        loop.mute(connection.id)
        park(.muted)
        connection.setTimer(SaslConnection.Timer.muted, after: wait.time)
    }

    /// The time of a wait is over.
    func endMuting() {
        guard case .muted = parked else { return }
        loop.unmute(connection.id)
        unpark()
    }
}

extension CountedRequests.Wait {
    /// In a reply: at least a millisecond, for zero means none.
    var wireMs: Int32 { Int32(clamping: max(1, time.milliseconds)) }
}
