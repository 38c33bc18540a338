import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import RecordFormat

/// An event of a request that is not appended, and why.
struct Rejection {
    var index: Int
    var kind: ProblemKind
    var detail: StaticString
    /// Byte of the event at which it is wrong.
    var position: Int?
    /// What a route's schema or key says of it, in place of `detail`.
    var finding: EventFinding?
    /// The cell of its row, from 1, at which it is wrong.
    var column: Int?

    /// The `status` of its result.
    var status: StaticString {
        switch kind.status {
        case 413: "too_large"
        case 409, 503: "retry"
        default: kind.number == ProblemKind.idempotencyMismatch.number ? "conflict" : "invalid"
        }
    }
}

/// What of an event is not as its route wants it. An object, for few events have one.
final class EventFinding {
    let keyword: StaticString
    /// RFC 6901.
    let pointer: String
    let words: String

    init(_ keyword: StaticString, _ pointer: String, _ words: String) {
        self.keyword = keyword
        self.pointer = pointer
        self.words = words
    }
}

/// One record batch of a request's events: where it starts among the accepted ones, and where it went.
struct EventBatch {
    var slice: ByteSlice
    /// Among the accepted events.
    var firstEvent: Int
    var count: Int
    var baseOffset: Int64 = -1
}

/// Where a request's events went.
struct Placement {
    var partitionIndex: Int32
    /// Offset of the first accepted event.
    var baseOffset: Int64
    /// Accepted events that are appended: all, unless the store refused in the middle.
    var count: Int
    /// All that its batches rest on.
    var commits = CommitSpan()
    /// Bytes of the batches that were appended.
    var bytes = 0
    /// Milliseconds since 1970.
    var timestampMs: Int64
}

extension GatewayLoop {
    /// Bytes that a record and its batch take beside key, value and headers; a generous bound.
    static let recordOverhead = 128

    /// The topic of the request, to be written to.
    enum TopicChoice {
        case found(Topic)
        /// Not there, or not ready for keys of requests: this work makes it so.
        case unready(any ExchangeWork)
        case refused(Problem)
    }

    /// Finds a topic by its name's bytes. One that does not exist is to be made first, when the broker allows it.
    func topicForAppend(_ name: UnsafeRawBufferPointer) -> TopicChoice {
        if let topic = broker.catalog.topic(named: name) {
            if topic.isInternal { return .refused(Problem(.forbidden, "The topic is the broker's own.")) }
            if claim.isHeld, !gateway.idempotency.isOpen(topic) { return .unready(OpenTopicWork(topic, gateway)) }
            return .found(topic)
        }
        if let refusal = topicRefusal { return .refused(Self.problem(of: refusal)) }
        let text = String(decoding: name, as: UTF8.self)
        if TopicName.problem(text) != nil {
            return .refused(
                Problem(.invalidTopic, "A topic's name is 1 to 249 characters of a-z, A-Z, 0-9, '.', '_', '-'."))
        }
        guard broker.options.autoCreateTopics else {
            return .refused(Problem(.topicNotFound, "There is no such topic."))
        }
        guard mayCreate(name) else {
            return .refused(Problem(.topicNotFound, "There is no such topic, and you may not make one."))
        }
        return .unready(TopicWork(text, broker))
    }

    static func problem(of refusal: TopicRefusal) -> Problem {
        switch refusal.code {
        case .invalidTopicException: Problem(.invalidTopic, refusal.message)
        case .unknownTopicOrPartition: Problem(.topicNotFound, "There is no such topic.")
        case .policyViolation: Problem(.forbidden, refusal.message)
        default: Problem(.storageUnavailable, "The topic could not be created.", retryAfter: 5)
        }
    }

    static func problem(of refusal: AppendRefusal, limit: Int) -> Problem {
        switch refusal.code {
        case .unknownTopicOrPartition: Problem(.topicNotFound, "The topic is being deleted.")
        case .messageTooLarge: Problem(.eventTooLarge, "The event is larger than the topic allows.", limit: limit)
        case .invalidRecord: Problem(.invalidRecord, refusal.message)
        case .invalidTimestamp:
            Problem(.invalidTimestamp, "The broker's clock is outside of what the topic allows.")
        default:
            // What failed on the disk is the operator's affair; how full it is helps the client to decide.
            refusal.isDiskFull
                ? Problem(.insufficientStorage, "No events are taken: \(refusal.message).", retryAfter: 5)
                : Problem(.storageUnavailable, "The broker cannot commit writes at the moment.", retryAfter: 5)
        }
    }

    // MARK: Record headers

    /// Writes the headers of the request's records into `recordHeaders`; the result is their number, and where the
    /// event's identifier is to be written.
    ///
    /// The identifier comes last, so that its place does not move any more.
    func writeRecordHeaders(
        requestID withRequestID: Bool, receivedAt withReceivedAt: Bool, eventID withEventID: Bool
    ) -> (count: Int32, eventID: UnsafeMutableRawPointer?) {
        recordHeaders.removeAll()
        var count: Int32 = 0
        if withRequestID {
            writeRecordHeader("request_id", requestID)
            count += 1
        }
        if withReceivedAt {
            receivedAt.text.withUnsafeBytes { writeRecordHeader("received_at", $0) }
            count += 1
        }
        guard withEventID else { return (count, nil) }
        let name: StaticString = "event_id"
        recordHeaders.varint(Int32(name.utf8CodeUnitCount))
        recordHeaders.text(name)
        recordHeaders.varint(Int32(UUIDv7.textLength))
        return (count + 1, recordHeaders.append(uninitialized: UUIDv7.textLength))
    }

    private func writeRecordHeader(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        recordHeaders.varint(Int32(name.utf8CodeUnitCount))
        recordHeaders.text(name)
        recordHeaders.varint(Int32(value.count))
        recordHeaders.bytes(value)
    }

    // MARK: Appending

    /// A request's batches are at most this large, even where the topic allows larger ones: the largest piece of memory
    /// that a batch fills without a rest, and small enough to stay in the processor's caches until its checksum is made.
    static let preferredBatchBytes = 1 << 20

    /// Builds the batches of `events` without those in `rejections` (ascending by index), at most `maxBatchBytes` each,
    /// into `batches`. The first record of a request with a key has its mark.
    func buildBatches(
        of body: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer?, headerCount: Int32,
        eventID: (first: UUIDv7, place: UnsafeMutableRawPointer)?, maxBatchBytes: Int
    ) {
        if let eventID { eventID.first.write(to: eventID.place) }
        pattern.set(key: key, headers: recordHeaders.bytes, headerCount: headerCount)
        let timestampMs = wallClockMs
        let marked = idempotencyMark().map {
            MarkedHeaders($0, before: recordHeaders.bytes, count: headerCount, key: key)
        }
        events.withUnsafeBufferPointer { events in
            Self.build(
                &builder, &packer, &batches, &pattern, events, rejections: rejections, body: body,
                firstID: eventID?.first, marked: marked, timestampMs: timestampMs, maxBatchBytes: maxBatchBytes)
        }
    }

    /// Apart from the loop's properties, so that each of them is looked up once a request instead of once an event.
    static func build(
        _ builder: inout RecordBatchBuilder, _ packer: inout SlicePacker, _ batches: inout [EventBatch],
        _ pattern: inout RecordPattern, _ events: UnsafeBufferPointer<JSONRange>, rejections: [Rejection],
        body: UnsafeRawBufferPointer, firstID: UUIDv7?, marked: MarkedHeaders? = nil, timestampMs: Int64,
        maxBatchBytes: Int
    ) {
        batches.removeAll(keepingCapacity: true)
        builder.begin()
        let fixed = pattern.count + recordOverhead
        var nextRejection = 0
        var accepted = 0
        var firstOfBatch = 0
        var id = firstID ?? UUIDv7(high: 0, low: 0)
        for index in events.indices {
            if nextRejection < rejections.count, rejections[nextRejection].index == index {
                nextRejection += 1
                continue
            }
            let range = events[index]
            if !builder.isEmpty, builder.sizeInBytes + range.count + fixed > maxBatchBytes {
                batches.append(
                    EventBatch(
                        slice: finish(&builder, &packer), firstEvent: firstOfBatch, count: accepted - firstOfBatch))
                firstOfBatch = accepted
            }
            if builder.isEmpty {
                // Enough for all that is left, or for a whole batch.
                let left =
                    builder.sizeInBytes + body.count - Int(range.start)
                    + (events.count - index) * (pattern.count + lengthBytes)
                builder.reserve(min(left, max(maxBatchBytes, range.count + fixed)))
            }
            let end: UnsafeMutableRawPointer
            if accepted == 0, let marked {
                end = marked.append(range.bytes(of: body), to: &builder, timestampMs: timestampMs)
            } else {
                end = builder.append(value: range.bytes(of: body), like: pattern, timestampMs: timestampMs)
            }
            if firstID != nil {
                id.writeLastDigits(to: end - UUIDv7.lastDigits)
                let next = id.advanced(by: 1)
                if next.low &>> 32 != id.low &>> 32 { pattern.setEnd(count: UUIDv7.textLength) { next.write(to: $0) } }
                id = next
            }
            accepted += 1
        }
        if accepted > firstOfBatch {
            batches.append(
                EventBatch(
                    slice: finish(&builder, &packer), firstEvent: firstOfBatch, count: accepted - firstOfBatch))
        }
    }

    /// Ends a batch. A few events do not keep a page of their own until they are in their segment.
    static func finish(_ builder: inout RecordBatchBuilder, _ packer: inout SlicePacker) -> ByteSlice {
        let slice = builder.finishUncompressed()
        guard slice.count <= packedBytes else { return slice }
        return withExtendedLifetime(slice) { packer.slice(copying: slice.bytes) }
    }

    /// Batches up to this size share memory with those of other requests.
    private static let packedBytes = 2048

    /// Bytes that the lengths and deltas of a record take, those of usual events.
    private static let lengthBytes = 12

    /// Appends `batches` in order to one partition. The first refusal ends it; a refusal of the very first batch is
    /// returned, one in the middle shows in the placement's `count`.
    func appendBatches(to partition: PartitionLog) -> Result<Placement, AppendRefusal> {
        var placement = Placement(
            partitionIndex: partition.partitionIndex, baseOffset: -1, count: 0, timestampMs: wallClockMs)
        willAppend(to: partition)
        for index in batches.indices {
            switch partition.append(batches[index].slice, origin: .client, nowMs: wallClockMs) {
            case .success(let receipt):
                batches[index].baseOffset = receipt.baseOffset.rawValue
                if index == 0 { placement.baseOffset = receipt.baseOffset.rawValue }
                if receipt.logAppendTimeMs >= 0 { placement.timestampMs = receipt.logAppendTimeMs }
                placement.commits.add(receipt.ticket)
                placement.count += batches[index].count
                placement.bytes += batches[index].slice.count
            case .failure(let refusal):
                if index == 0 { return .failure(refusal) }
                return .success(placement)
            }
        }
        return .success(placement)
    }

    /// Forgets the batches: their memory belongs to the log now.
    func dropBatches() { batches.removeAll(keepingCapacity: true) }
}
