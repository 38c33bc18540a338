import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import Security
import Transport

/// The request at hand, when it has a key: what the loop has claimed, and where its batch went.
struct RequestClaim {
    /// The table has it.
    var isHeld = false
    /// The table has keys of the request's events.
    var isOfEvents = false
    var key = ShortDigest(high: 0, low: 0)
    var fingerprint = ShortDigest(high: 0, low: 0)
    var owner = KeyOwner.nobody
    var placement: Placement?
    var topic: Topic?
}

/// Order: key -> claim -> the endpoint, whose one batch has the mark -> the line in the log of requests -> reply, gated by both
/// commits.
extension GatewayLoop {
    /// Longest key, that of the draft's usual services.
    static let maxIdempotencyKey = 255

    /// Handles the request at hand with its whole body, unpacked.
    func perform(_ body: UnsafeRawBufferPointer) -> Completion {
        let endpoint = routeRow.pointee.endpoint
        if body.count > Self.longDigestedBody, isLong(body) {
            return .suspended(.work(LongBodyWork(gateway, pool, topicRefusal: topicRefusal)))
        }
        guard routeRow.pointee.takesEvents,
            routeRow.pointee.hasKeyRule || head[.idempotencyKey] != nil
        else { return endpoint.handle(body, on: self) }
        let rule = routeRow.pointee.plan?.idempotency ?? IdempotencyRule()
        switch rule.source {
        case .field(let name):
            switch fieldKey(name) {
            case .failure(let problem): return refuseKeyed(problem)
            case .success(nil) where rule.isRequired:
                return refuseKeyed(Problem(.missingField, "The header field \(name) is required"))
            case .success(nil): break
            case .success(let key?):
                if let answered = claim(key, ShortDigest(of: body)) { return answered }
            }
        case .signature:
            guard let proof = signature?.proof else {
                preconditionFailure("a signed request is handled without its proof")
            }
            // The body is among what is signed.
            if let answered = claim(proof, ShortDigest(of: proof)) { return answered }
        case .pointers, .cloudEvent: break
        }
        let completion = endpoint.handle(body, on: self)
        if claim.isOfEvents { return settleEvents(completion) }
        return claim.isHeld ? settleClaim(completion) : completion
    }

    private func refuseKeyed(_ problem: Problem) -> Completion {
        countRejected(1, reason: problem.kind.code)
        answer(problem, instance: head.path)
        return .answered
    }

    // MARK: The key

    /// The value of the field; nil: there is none. Source: draft-ietf-httpapi-idempotency-key-header-07, RFC 8941.
    private func fieldKey(_ name: String) -> Result<[UInt8]?, Problem> {
        var found: UnsafeRawBufferPointer?
        for index in 0..<head.fieldCount where Self.equals(head.fieldName(index), name) {
            if found != nil { return .failure(Problem(.invalidHeader, "The header field \(name) stands twice.")) }
            found = head.fieldValue(index)
        }
        guard let value = found else { return .success(nil) }
        var key = Array(value)
        if key.first == UInt8(ascii: "\"") {
            guard let inside = Self.unquoted(value) else {
                return .failure(Problem(.invalidHeader, "\(name) is no quoted string."))
            }
            key = inside
        }
        guard (1...Self.maxIdempotencyKey).contains(key.count), key.allSatisfy({ (0x20..<0x7f).contains($0) }) else {
            return .failure(
                Problem(
                    .invalidHeader, "\(name) is 1 to \(Self.maxIdempotencyKey) visible characters.",
                    limit: Self.maxIdempotencyKey))
        }
        return .success(key)
    }

    private static func equals(_ field: UnsafeRawBufferPointer, _ name: String) -> Bool {
        field.count == name.utf8.count
            && zip(field, name.utf8).allSatisfy { byte, wanted in
                (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 == wanted : byte == wanted
            }
    }

    private static func unquoted(_ value: UnsafeRawBufferPointer) -> [UInt8]? {
        var key: [UInt8] = []
        var at = 1
        while at < value.count {
            switch value[at] {
            case UInt8(ascii: "\""): return at == value.count - 1 ? key : nil
            case UInt8(ascii: "\\"):
                at += 1
                guard at < value.count, value[at] == UInt8(ascii: "\\") || value[at] == UInt8(ascii: "\"") else {
                    return nil
                }
                key.append(value[at])
            default: key.append(value[at])
            }
            at += 1
        }
        return nil
    }

    /// Claims the key that the one event of the request has, where the route looks for it there. Called by configured routes
    /// once the event is checked. nil: go on.
    func claimByContent(
        _ source: UnsafeRawBufferPointer, _ format: RoutedFormat, _ plan: IngestPlan, to topic: Topic
    ) -> Completion? {
        guard let rule = plan.idempotency, rule.source.isOfContent, !claim.isHeld else { return nil }
        guard let key = contentKey(rule, source, format, of: 0) else {
            return rule.isRequired
                ? refuseKeyed(Problem(.missingField, Self.keyMissing(rule))) : nil
        }
        // Of the event alone, so that it is the same among others.
        return claim(key, ShortDigest(of: events[0].bytes(of: source)), of: topic.id)
    }

    static func keyMissing(_ rule: IdempotencyRule) -> String {
        "The event's idempotency key is required: \(rule.source.place)"
    }

    /// What the event has of what the rule takes for a key; nil: not all of it.
    func contentKey(
        _ rule: IdempotencyRule, _ source: UnsafeRawBufferPointer, _ format: RoutedFormat, of event: Int
    ) -> [UInt8]? {
        var key: [UInt8] = []
        func add(_ value: JSONWalk.Value?) -> Bool {
            guard let value, value.kind != .null else { return false }
            key += value.range.bytes(of: source)
            key.append(0)
            return true
        }
        switch rule.source {
        case .field, .signature: return nil
        case .pointers(let pointers):
            guard format.isJSON else { return nil }
            let walk = JSONWalk(source)
            for pointer in pointers { if !add(pointer.find(in: walk, events[event])) { return nil } }
            return key
        case .cloudEvent:
            switch format {
            case .cloudEvent, .cloudEvents:
                let walk = JSONWalk(source)
                for pointer in CloudEvents.identity where !add(pointer.find(in: walk, events[event])) { return nil }
                return key
            case .binaryCloudEvent:
                for name in ["ce-source", "ce-id"] {
                    for index in 0..<head.fieldCount where Self.equals(head.fieldName(index), name) {
                        key += head.fieldValue(index)
                    }
                    key.append(0)
                }
                return key
            default: return nil
            }
        }
    }

    // MARK: The claim

    /// Claims the key for the request at hand; otherwise answers it. `fingerprint`: of the body. `topic`: where an event with a key of its own
    /// goes; a request that has one keeps its answer, whatever becomes of the topic.
    private func claim(_ key: [UInt8], _ fingerprint: ShortDigest, of topic: TopicID? = nil) -> Completion? {
        if let problem = gateway.idempotency.problem { return refuseKeyed(problem) }
        claim = RequestClaim()
        claim.key = ShortDigest(of: scope + key)
        claim.fingerprint = fingerprint
        let owner = keyOwner
        claim.owner = owner
        let answer = gateway.idempotency.begin(
            claim.key, claim.fingerprint, of: topic, owner: owner, loop: index, nowMs: wallClockMs)
        switch answer {
        case .claimed:
            claim.isHeld = true
            return nil
        case .stored(let place):
            answerKnown(place)
            return .answered
        case .replay(let stored):
            reply.status = stored.status
            reply.contentType = stored.form.mediaType
            reply.retryAfter = stored.retryAfter
            reply.isReplay = true
            out.removeAll()
            out.bytes(stored.body)
            return .answered
        case .busy:
            return refuseKeyed(
                Problem(
                    .idempotencyInFlight, "A request with this key is being stored at this moment.", retryAfter: 1))
        case .mismatch:
            return refuseKeyed(
                Problem(
                    .idempotencyMismatch,
                    topic == nil
                        ? "The key was used before, for a request with another body."
                        : "The event's idempotency key was stored before, with other content."))
        case .full, .shareFull: return refuseKeyed(fullProblem(answer))
        }
    }

    /// What is said of an answer that there is no room.
    func fullProblem(_ answer: IdempotencyTable.Answer) -> Problem {
        switch answer {
        case .full(let wait):
            Problem(
                .idempotencyFull, "As many keys are remembered as there is room for.",
                retryAfter: Int(clamping: (wait + 999) / 1000))
        case .shareFull(let wait):
            Problem(
                .idempotencyShareFull, "As many of your keys are remembered as one caller may have.",
                retryAfter: Int(clamping: (wait + 999) / 1000))
        case .claimed, .replay, .stored, .busy, .mismatch: preconditionFailure("there is room: \(answer)")
        }
    }

    /// Who shows nothing shares with all of his address.
    var keyOwner: KeyOwner {
        if let principal = asker?.registered.subject.principal, principal != .anonymous {
            return KeyOwner(named: principal.description.utf8)
        }
        return KeyOwner(named: peer.bytes)
    }

    /// What a key is valid for: who asks, and the route with what its path names.
    var scope: [UInt8] {
        var scope = Array((asker?.registered.subject.principal.description ?? "").utf8)
        scope.append(0)
        scope += routeRow.pointee.id.utf8
        scope.append(0)
        scope += route.topic
        scope.append(0)
        return scope
    }

    /// The header of the first record of the request's batch; nil: it has no key.
    func idempotencyMark() -> IdempotencyMark? {
        claim.isHeld
            ? IdempotencyMark(key: claim.key, fingerprint: claim.fingerprint, rejected: rejections.count) : nil
    }

    /// Why batches of the request cannot be appended; called before the first is. A request with a key is stored whole or not
    /// at all, and so is one batch.
    func claimProblem(batches: Int, limit: Int) -> Problem? {
        guard claim.isHeld, batches > 1 else { return nil }
        return Problem(
            .batchTooLarge,
            "A request with a key is one record batch of one partition: send fewer events, or those of one key.",
            limit: limit)
    }

    func willAppend(to log: PartitionLog) {
        if claim.isHeld || claim.isOfEvents { gateway.idempotency.willAppend(to: log, loop: index) }
    }

    func didAppend(_ placement: Placement, to topic: Topic) {
        if claim.isHeld, placement.count > 0 { (claim.placement, claim.topic) = (placement, topic) }
    }

    /// Ends the claim: what was appended is remembered with its reply.
    private func settleClaim(_ completion: Completion) -> Completion {
        claim.isHeld = false
        guard let placement = claim.placement, let topic = claim.topic else {
            gateway.idempotency.release(loop: index)
            return completion
        }
        (claim.placement, claim.topic) = (nil, nil)
        let last = placement.baseOffset + Int64(placement.count) - 1
        let form: StoredReply.Form =
            reply.contentType.utf8Start == ErrorDialect.kafkaV2.mediaType.utf8Start ? .kafkaV2 : .json
        let stored =
            out.count <= StoredReply.maxBytes
            ? StoredReply(status: reply.status, form: form, retryAfter: reply.retryAfter, body: out.array)
            : StoredReply.summary(
                status: reply.status, accepted: placement.count, rejected: events.count - placement.count, topic,
                placement.partitionIndex, baseOffset: placement.baseOffset)
        let request = StoredRequest(
            key: claim.key, fingerprint: claim.fingerprint, owner: claim.owner,
            partition: TopicPartition(topicID: topic.id, partitionIndex: placement.partitionIndex),
            baseOffset: placement.baseOffset, lastOffset: last, timeMs: wallClockMs, reply: stored)
        let line = gateway.idempotency.finish(request, ticket: placement.commits.last, loop: index)
        guard case .gated(var commits, let own) = completion, let line else { return completion }
        commits.add(line.ticket)
        return .gated(commits, bytes: own + line.bytes)
    }
}
