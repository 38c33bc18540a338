import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import Security
import Telemetry

/// `POST /topics/{topic}`: records as clients of Kafka REST proxies send them by version 2. The reply has a place for each:
///
///     {"offsets":[{"partition":0,"offset":5,"error_code":null,"error":null}],"key_schema_id":null,"value_schema_id":null}
enum KafkaV2Endpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { [] }
    static var target: EventTarget? { .path }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForEvents() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.postKafkaRecords(body, .v2)
    }
}

/// `POST /v3/clusters/{cluster}/topics/{topic}/records`: records by version 3, one or several JSON texts behind each other; a
/// reply for each of them, behind each other too.
enum KafkaV3Endpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { [] }
    static var target: EventTarget? { .path }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForEvents() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.postKafkaRecords(body, .v3)
    }
}

/// `POST …/records:batch`: `{"entries":[{"id":"1", …}]}`, answered 207 with `successes` and `failures` by id.
enum KafkaV3BatchEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { [] }
    static var target: EventTarget? { .path }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForEvents() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.postKafkaRecords(body, .batch)
    }
}

enum KafkaRESTCall {
    case v2, v3, batch

    static let idKey = Array("id".utf8)
    /// Of the name of an entry. Source: the OpenAPI description of Confluent's REST Proxy, version 3.
    static let maxIDBytes = 80

    /// Bytes that the reply has for one record, at most: numbers, names, and of a record that is refused a sentence with up to
    /// `KafkaRecordReader.maxQuoted` of the client's bytes. Six for each of those that JSON escapes.
    func replyBytes(cluster: Int, topic: Int) -> Int {
        let refusal = 128 + 6 * KafkaRecordReader.maxQuoted
        return switch self {
        case .v2: 112
        case .v3: max(256 + 6 * cluster + topic, refusal)
        case .batch: max(256 + 6 * cluster + topic, refusal) + 6 * Self.maxIDBytes
        }
    }
}

extension GatewayLoop {
    fileprivate func postKafkaRecords(_ body: UnsafeRawBufferPointer, _ call: KafkaRESTCall) -> Completion {
        events.removeAll(keepingCapacity: true)
        rejections.removeAll(keepingCapacity: true)
        routed.begin(0)
        routed.source.removeAll()
        guard let name = PercentDecoding.string(route.topic) else {
            return refuseKafka(Problem(.invalidTopic, "The topic's name is not percent-encoded UTF-8."))
        }
        if call != .v2 {
            guard let cluster = route.cluster, PercentDecoding.string(cluster) == broker.clusterID else {
                return refuseKafka(Problem(.clusterNotFound, "The cluster here is \(broker.clusterID)."))
            }
        }
        if let problem = readKafkaRecords(body, call, atMost: mostRecords(call, topic: name)) {
            return refuseKafka(problem)
        }
        // Of version 2 all are stored or none; version 3 answers each.
        if call == .v2, let first = rejections.first {
            return refuseKafka(
                Problem(first.kind, "Record \(first.index): \(first.finding?.words ?? first.detail.description)"))
        }
        var copy = name
        switch copy.withUTF8({ topicForAppend(UnsafeRawBufferPointer($0)) }) {
        case .unready(let work): return .suspended(.work(work))
        case .refused(let problem): return refuseKafka(problem)
        case .found(let topic): return appendKafka(topic, call)
        }
    }

    /// Keys of one record, on the average of a request.
    private static let keysOfRecord = 20

    /// Records of one request whose reply stays within `maxResultsBytes`: each of version 3 is answered with the names of the
    /// cluster and the topic, or with what is wrong with it.
    private func mostRecords(_ call: KafkaRESTCall, topic: String) -> Int {
        let each = call.replyBytes(cluster: broker.clusterID.utf8.count, topic: topic.utf8.count)
        return min(jsonLimits.elements, Self.maxResultsBytes / each)
    }

    private func refuseKafka(_ problem: Problem) -> Completion {
        countRejected(max(1, events.count), reason: problem.kind.code)
        answer(problem, instance: head.path)
        return .answered
    }

    // MARK: Reading

    private func readKafkaRecords(
        _ body: UnsafeRawBufferPointer, _ call: KafkaRESTCall, atMost most: Int
    ) -> Problem? {
        // The text holds all records, and what one may hold.
        var limits = jsonLimits
        limits.keys = Self.keysOfRecord * limits.elements
        limits.tokens = 2 * limits.keys
        var scanner = JSONScanner(body, limits: limits)
        do throws(JSONFailure) {
            if scanner.peek() == nil, scanner.position == body.count { return bodyRequired() }
            guard call == .v3 else {
                let start = scanner.position
                let kind = try scanner.onlyValue()
                return readList(in: body, start, kind, call, atMost: most)
            }
            var texts: [JSONRange] = []
            while scanner.peek() != nil || scanner.position < body.count {
                guard texts.count < most else { return tooManyRecords(most) }
                let start = scanner.position
                _ = try scanner.value()
                texts.append(JSONRange(start, scanner.position))
            }
            let reader = KafkaRecordReader(.v3, body)
            let walk = JSONWalk(body)
            for text in texts { read(walk.value(text), reader) }
            return nil
        } catch {
            return Problem(error, limits: limits)
        }
    }

    private func readList(
        in body: UnsafeRawBufferPointer, _ start: Int, _ kind: JSONKind, _ call: KafkaRESTCall, atMost most: Int
    ) -> Problem? {
        let member = call == .v2 ? "records" : "entries"
        let walk = JSONWalk(body)
        guard kind == .object,
            let list = walk.member(Array(member.utf8), of: JSONRange(start, body.count)), list.kind == .array
        else { return Problem(.missingField, "\(member) is required, and a list") }
        let reader = KafkaRecordReader(call == .v2 ? .v2(kafkaEncoding()) : .v3, body)
        var problem = Self.problem(ofMembers: walk, JSONRange(start, body.count), but: member)
        if let problem { return problem }
        walk.elements(of: list.range) { element in
            if events.count == most {
                problem = tooManyRecords(most)
                return false
            }
            read(element, reader)
            if call == .batch { readName(of: element, walk) }
            return true
        }
        if problem == nil, events.isEmpty { return Problem(.emptyBatch, "\(member) is empty.") }
        return problem
    }

    /// A second list would be dropped, and schemas are promises that nobody keeps here.
    private static func problem(ofMembers walk: JSONWalk, _ object: JSONRange, but known: String) -> Problem? {
        var (problem, isKnown) = (Problem?.none, false)
        walk.members(of: object) { member in
            let name = String(decoding: member.key.bytes(of: walk.text), as: UTF8.self)
            if !walk.equals(member.key, Array(known.utf8)) {
                problem = Problem(
                    .invalidField, "\(KafkaRecordReader.quoted(name)) is not known here: there is \(known) alone.")
            } else if isKnown {
                problem = Problem(.duplicateKey, "The member \(known) stands twice.")
            }
            isKnown = true
            return problem == nil
        }
        return problem
    }

    private func tooManyRecords(_ most: Int) -> Problem {
        Problem(.tooManyEvents, "There are more than \(most) records.", limit: most)
    }

    /// The name by which an entry of a batch is answered: without one nobody would know which it was.
    private func readName(of entry: JSONWalk.Value, _ walk: JSONWalk) {
        var name: [UInt8]?
        if entry.kind == .object, let id = walk.member(KafkaRESTCall.idKey, of: entry.range), id.kind == .string {
            name = walk.string(id)
        }
        let isGood = name.map { (1...KafkaRESTCall.maxIDBytes).contains($0.count) } ?? false
        routed.names.append(isGood ? name! : [])
        if isGood || rejections.last?.index == events.count - 1 { return }
        reject(events.count - 1, .invalidRecordFormat, "id must be a string of 1 to \(KafkaRESTCall.maxIDBytes) bytes")
    }

    private func read(_ record: JSONWalk.Value, _ reader: KafkaRecordReader) {
        var found: [JSONRange] = []
        swap(&found, &events)
        let words = reader.read(record, into: routed, &found)
        swap(&found, &events)
        guard let words else { return }
        rejections.append(
            Rejection(
                index: events.count - 1, kind: .invalidRecordFormat, detail: "", finding: EventFinding("", "", words)))
    }

    private func kafkaEncoding() -> KafkaRecordReader.Encoding {
        switch mediaType() {
        case .kafkaBinary?: .binary
        case .kafkaText?: .text
        default: .json
        }
    }

    // MARK: Appending

    private func appendKafka(_ topic: Topic, _ call: KafkaRESTCall) -> Completion {
        let settings = topic.partitions[0].settings
        routed.offsets.append(contentsOf: repeatElement(-1, count: events.count))
        recordHeaders.removeAll()
        checkKafka(topic, settings.maxBatchBytes, needsKey: settings.isCompacted)
        if call == .v2, let first = rejections.first {
            return refuseKafka(
                Problem(first.kind, "Record \(first.index): \(first.finding?.words ?? first.detail.description)"))
        }
        choosePartitions(of: topic)
        buildRouted(
            routed.source.bytes, UUIDv7(high: 0, low: 0),
            maxBatchBytes: claim.isHeld
                ? settings.maxBatchBytes : min(settings.maxBatchBytes, Self.preferredBatchBytes))
        if let problem = claimProblem(batches: routed.batches.count, limit: settings.maxBatchBytes) {
            return refuseKafka(problem)
        }
        switch appendRouted(to: topic) {
        case .failure(let refusal): return refuseKafka(Self.problem(of: refusal, limit: settings.maxBatchBytes))
        case .success(let placement):
            routeRow.pointee.counters.accepted.add(placement.count)
            countRejections()
            switch call {
            case .v2: writeV2Reply()
            case .v3: writeV3Reply(topic, placement)
            case .batch: writeBatchReply(topic, placement)
            }
            return !placement.commits.isEmpty
                ? .gated(placement.commits, bytes: placement.bytes) : .answered
        }
    }

    /// Refuses records that the topic cannot take. `rejections` stay in the order of the records.
    private func checkKafka(_ topic: Topic, _ maxBatchBytes: Int, needsKey: Bool) {
        let known = rejections
        rejections.removeAll(keepingCapacity: true)
        var next = 0
        for index in events.indices {
            if next < known.count, known[next].index == index {
                rejections.append(known[next])
                next += 1
                continue
            }
            let (headers, _) = routed.recordHeaders[index]
            let size = events[index].count + (routed.keys[index]?.count ?? 0) + headers.count
            if Int(routed.wanted[index]) >= topic.partitions.count {
                reject(index, .partitionNotFound, "The topic has the partitions 0 to \(topic.partitions.count - 1)")
            } else if size > min(options.maxEventBytes, maxBatchBytes - Self.recordOverhead) {
                reject(index, .eventTooLarge, "The record is larger than the limit")
            } else if needsKey, routed.keys[index] == nil {
                reject(index, .keyRequired, "The topic is compacted: its records need a key")
            }
        }
    }

    private func reject(_ index: Int, _ kind: ProblemKind, _ words: String) {
        rejections.append(Rejection(index: index, kind: kind, detail: "", finding: EventFinding("", "", words)))
    }

    // MARK: Replies

    private func writeV2Reply() {
        reply.contentType = ErrorDialect.kafkaV2.mediaType
        out.removeAll()
        out.text("{\"offsets\":[")
        for index in events.indices {
            out.text(index == 0 ? "{\"partition\":" : ",{\"partition\":")
            out.decimal(Int(routed.partitions[index]))
            let offset = routed.offsets[index]
            if offset >= 0 {
                out.text(",\"offset\":")
                out.decimal(Int(offset))
                out.text(",\"error_code\":null,\"error\":null}")
            } else {
                // 2: may be sent again.
                out.text(",\"offset\":null,\"error_code\":2,\"error\":\"The broker stopped taking writes\"}")
            }
        }
        out.text("],\"key_schema_id\":null,\"value_schema_id\":null}")
    }

    private func writeV3Reply(_ topic: Topic, _ placement: Placement) {
        out.removeAll()
        let timestamp = timestampText(placement)
        var next = 0
        for index in events.indices {
            if index > 0 { out.text("\n") }
            if next < rejections.count, rejections[next].index == index {
                out.text("{")
                writeError(rejections[next], first: true)
                next += 1
            } else {
                writeRecord(index, topic, timestamp, beginning: "{\"error_code\":200,")
            }
            out.text("}")
        }
        // The one record of a request says by its status what became of it.
        if events.count == 1, let only = rejections.first { reply.status = only.kind.status }
    }

    private func writeBatchReply(_ topic: Topic, _ placement: Placement) {
        reply.status = 207
        out.removeAll()
        out.text("{\"successes\":[")
        let timestamp = timestampText(placement)
        var isFirst = true
        for index in events.indices where routed.offsets[index] >= 0 {
            out.text(isFirst ? "{\"id\":" : ",{\"id\":")
            isFirst = false
            routed.names[index].withUnsafeBytes { JSONText.write($0, into: &out) }
            writeRecord(index, topic, timestamp, beginning: ",")
            out.text("}")
        }
        out.text("],\"failures\":[")
        isFirst = true
        var next = 0
        for index in events.indices where routed.offsets[index] < 0 {
            out.text(isFirst ? "{\"id\":" : ",{\"id\":")
            isFirst = false
            routed.names[index].withUnsafeBytes { JSONText.write($0, into: &out) }
            let isRejected = next < rejections.count && rejections[next].index == index
            writeError(
                isRejected
                    ? rejections[next]
                    : Rejection(
                        index: index, kind: .storageUnavailable,
                        detail: "The broker stopped taking writes; send it again"),
                first: false)
            if isRejected { next += 1 }
            out.text("}")
        }
        out.text("]}")
    }

    private func writeError(_ rejection: Rejection, first: Bool) {
        out.member("error_code", first: first)
        out.decimal(rejection.kind.number)
        out.member("message")
        JSONText.write(rejection.finding?.words ?? rejection.detail.description, into: &out)
    }

    private func writeRecord(_ index: Int, _ topic: Topic, _ timestamp: [UInt8], beginning: StaticString) {
        out.text(beginning)
        out.text("\"cluster_id\":")
        JSONText.write(broker.clusterID, into: &out)
        out.text(",\"topic_name\":\"")
        out.bytes(topic.nameBytes)
        out.text("\",\"partition_id\":")
        out.decimal(Int(routed.partitions[index]))
        out.text(",\"offset\":")
        out.decimal(Int(routed.offsets[index]))
        out.text(",\"timestamp\":\"")
        out.bytes(timestamp)
        out.text("\"")
        if let key = routed.keys[index] {
            out.text(",\"key\":{\"size\":")
            out.decimal(key.count)
            out.text("}")
        }
        if events[index] != RoutedEvents.noValue {
            out.text(",\"value\":{\"size\":")
            out.decimal(events[index].count)
            out.text("}")
        }
    }
}
