import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage

/// Events that have keys of their own, several in a request: each is stored once, whichever requests bring it.
///
///     keys of all ─► checks of all ─► claim of all ─► append what is new, each record with its mark ─► lines ─► reply
///                                       ├─► stored before: the result says where
///                                       ├─► twice in this request: so does the second one's
///                                       └─► another content, or not on disk yet: a result of its own, 422 or 409 where nothing is left
extension GatewayLoop {
    /// Whether the events of the request at hand have keys of their own. One alone is a request with a key, but in a window.
    func hasEventKeys(_ plan: IngestPlan) -> Bool {
        (events.count > 1 || window != nil) && plan.reply.takesMany && plan.idempotency?.source.isOfContent == true
    }

    /// Reads the key of each event that is not refused yet. `source`: what the events are ranges of, as they came.
    func readEventKeys(
        _ source: UnsafeRawBufferPointer, _ format: RoutedFormat, _ rule: IdempotencyRule
    ) -> Problem? {
        if let problem = gateway.idempotency.problem { return problem }
        let scope = scope
        let known = Set(rejections.map(\.index))
        var count = 0
        var missing: [Rejection] = []
        routed.eventKeys.reserveCapacity(events.count)
        for index in events.indices {
            if known.contains(index) {
                routed.eventKeys.append(nil)
                continue
            }
            guard let key = contentKey(rule, source, format, of: index) else {
                routed.eventKeys.append(nil)
                if rule.isRequired {
                    missing.append(
                        Rejection(
                            index: index, kind: .missingField,
                            detail: "", finding: EventFinding("key", "", Self.keyMissing(rule))))
                }
                continue
            }
            count += 1
            routed.eventKeys.append(
                EventDigests(
                    key: ShortDigest(of: scope + key), fingerprint: ShortDigest(of: events[index].bytes(of: source))))
        }
        add(missing)
        let most = gateway.idempotency.mostEvents
        guard count > most else { return nil }
        return Problem(
            .tooManyEvents, "A request has at most \(most) events with keys of their own; send fewer.", limit: most)
    }

    /// Keeps them in the order of the events.
    private func add(_ more: [Rejection]) {
        if more.isEmpty { return }
        rejections += more
        rejections.sort { $0.index < $1.index }
    }

    /// Claims the keys of all events that are left; those that are not to be stored are in `rejections` or in `routed.known` then. A
    /// problem refuses the request.
    func claimEvents(of topic: Topic) -> Problem? {
        let refused = Set(rejections.map(\.index))
        var first: [ShortDigest: Int] = [:]
        var asked: [Int] = []
        var twice: [Rejection] = []
        routed.known.append(contentsOf: repeatElement(nil, count: events.count))
        for index in events.indices where !refused.contains(index) {
            guard let key = routed.eventKeys[index] else { continue }
            guard let earlier = first[key.key] else {
                first[key.key] = index
                asked.append(index)
                continue
            }
            if routed.eventKeys[earlier] == key {
                routed.known[index] = .inRequest(earlier)
            } else {
                twice.append(Self.otherContent(index))
            }
        }
        if asked.isEmpty { return nil }
        let owner = keyOwner
        claim = RequestClaim()
        (claim.isOfEvents, claim.owner) = (true, owner)
        switch gateway.idempotency.beginEvents(
            asked.map { routed.eventKeys[$0]! }, of: topic.id, owner: owner, loop: index, nowMs: wallClockMs)
        {
        case .failure(let full): return fullProblem(full.answer)
        case .success(let answers):
            for (index, answer) in zip(asked, answers) {
                switch answer {
                case .claimed: break
                case .stored(let place): routed.known[index] = .before(place)
                case .mismatch: twice.append(Self.otherContent(index))
                case .busy:
                    twice.append(
                        Rejection(
                            index: index, kind: .idempotencyInFlight,
                            detail: "An event with this key is being stored at this moment"))
                }
            }
        }
        let reasons = Dictionary(uniqueKeysWithValues: twice.map { ($0.index, $0) })
        // What repeats an event that is refused is refused like it.
        for index in events.indices {
            guard case .inRequest(let earlier) = routed.known[index], let reason = reasons[earlier] else { continue }
            routed.known[index] = nil
            twice.append(Rejection(index: index, kind: reason.kind, detail: reason.detail))
        }
        add(twice)
        return nil
    }

    private static func otherContent(_ index: Int) -> Rejection {
        Rejection(
            index: index, kind: .idempotencyMismatch,
            detail: "The event's idempotency key was stored before, with other content"
        )
    }

    /// Where the event is that is not appended because it is stored already; nil: it is not.
    func knownPlace(of event: Int) -> StoredPlace? {
        guard !routed.known.isEmpty else { return nil }
        switch routed.known[event] {
        case nil: return nil
        case .before(let place): return place
        case .inRequest(let earlier):
            if let place = knownPlace(of: earlier) { return place }
            guard routed.offsets[earlier] >= 0 else { return nil }
            return StoredPlace(
                partitionIndex: routed.partitions[earlier], offset: routed.offsets[earlier], timeMs: wallClockMs)
        }
    }

    /// Events of the request that are stored, and were not by it.
    var knownCount: Int { routed.known.isEmpty ? 0 : events.indices.count { knownPlace(of: $0) != nil } }

    /// Ends the claim: what was appended is remembered, event by event.
    func settleEvents(_ completion: Completion) -> Completion {
        claim.isOfEvents = false
        defer { routed.appended.removeAll(keepingCapacity: true) }
        var batches: [(stored: StoredEvents, ticket: UInt64)] = []
        for batch in routed.appended {
            var stored = StoredEvents(owner: claim.owner, partition: batch.partition, timeMs: wallClockMs)
            for place in 0..<batch.count {
                guard let key = routed.eventKeys[routed.order[batch.first + place]] else { continue }
                stored.events.append(StoredEvents.Event(key: key, offset: batch.baseOffset + Int64(place)))
            }
            if !stored.events.isEmpty { batches.append((stored, batch.ticket)) }
        }
        guard !batches.isEmpty else {
            gateway.idempotency.release(loop: index)
            return completion
        }
        let lines = gateway.idempotency.finishEvents(batches, loop: index, nowMs: wallClockMs)
        guard case .gated(var commits, let own) = completion, let lines else { return completion }
        commits.add(lines.ticket)
        return .gated(commits, bytes: own + lines.bytes)
    }

    // MARK: Results

    /// The result of an event that is stored, and was not by this request.
    func writeResult(known place: StoredPlace, _ topic: UnsafeRawBufferPointer) {
        out.text(",\"status\":\"duplicate\",\"topic\":\"")
        out.bytes(topic)
        out.text("\",\"partition\":")
        out.decimal(Int(place.partitionIndex))
        out.text(",\"offset\":")
        out.decimal(Int(place.offset))
        out.text(",\"timestamp\":\"")
        out.utf8(ReceivedAt.text(ofMs: place.timeMs))
        out.text("\",\"duplicate\":true}")
    }

    /// Answers a request whose one event was stored with others.
    func answerKnown(_ place: StoredPlace) {
        reply.status = routeRow.pointee.plan?.status ?? 200
        reply.isReplay = true
        out.removeAll()
        out.text("{\"accepted\":1,\"rejected\":0,\"duplicates\":1,\"request_id\":\"")
        out.bytes(requestID)
        out.text("\",\"results\":[{\"index\":0")
        writeResult(known: place, routeRow.pointee.topic)
        out.text("]}")
    }
}

/// Why an event is not appended, and is stored all the same.
enum KnownEvent {
    /// It was stored before.
    case before(StoredPlace)
    /// It is that event of the request once more.
    case inRequest(Int)
}
