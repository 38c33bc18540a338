import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import Security
import Telemetry

/// `POST /v1/topics/{t}/events`: one or many events, kept byte for byte.
///
/// Order: syntax of all -> topic -> sizes of all -> one append -> reply, gated by the commit. Nothing is appended before
/// everything was looked at.
enum EventsEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { ["results"] }
    static var fields: KnownFields { KnownFields(.batchMode, .partitionKey) }
    static var target: EventTarget? { .path }
    static var takesWindows: Bool { true }

    /// A request that says nothing of its length is told so: nothing at all would be a mistake of its own here.
    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForEvents(needsLength: true) }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.postEvents(loop.route.topic, body)
    }
}

extension GatewayLoop {
    enum BatchMode { case atomic, partial }
    enum ResultsWanted { case none, errors, all }

    /// Results are listed by default up to this many events.
    static let listedByDefault = 100

    /// Returns the body's media type; `nil` when none is named, for one that is not read, or for a charset that is not
    /// UTF-8.
    func mediaType() -> MediaTypes? {
        head[.contentType].flatMap { Self.mediaType(of: $0) }
    }

    static func mediaType(of value: UnsafeRawBufferPointer) -> MediaTypes? {
        if Self.isPlainJSON(value) { return .json }
        let semicolon = value.firstIndex(of: UInt8(ascii: ";")) ?? value.count
        let type = RequestHead.trimmed(UnsafeRawBufferPointer(rebasing: value[..<semicolon]))
        guard Self.isUTF8(parameters: UnsafeRawBufferPointer(rebasing: value[semicolon...])) else { return nil }
        if RequestHead.equals(type, "application/json") { return .json }
        if RequestHead.equals(type, "application/x-ndjson") || RequestHead.equals(type, "application/jsonl") {
            return .lines
        }
        return Self.unusualTypes.first { RequestHead.equals(type, $0.0) }?.1
    }

    /// Media types that only configured routes take.
    private static let unusualTypes: [(StaticString, MediaTypes)] = [
        ("text/csv", .csv), ("application/x-www-form-urlencoded", .form), ("application/cloudevents+json", .cloudEvent),
        ("application/cloudevents-batch+json", .cloudEvents), ("application/vnd.kafka.json.v2+json", .kafkaJSON),
        ("application/vnd.kafka.binary.v2+json", .kafkaBinary), ("application/vnd.kafka.text.v2+json", .kafkaText),
        ("multipart/form-data", .multipart),
    ]

    /// Whether the media type is written as nearly all clients write it.
    private static func isPlainJSON(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count == 16, let base = value.baseAddress else { return false }
        // "applicat" and "ion/json" as little-endian words.
        return ByteScan.word(base, 0) == 0x7461_6369_6c70_7061 && ByteScan.word(base, 8) == 0x6e6f_736a_2f6e_6f69
    }

    /// Whether no parameter names another charset than UTF-8. `parameters` begins with its semicolon, or is empty.
    private static func isUTF8(parameters: UnsafeRawBufferPointer) -> Bool {
        var isUTF8 = true
        forEachParameter(parameters) { name, value in
            guard RequestHead.equals(name, "charset") else { return }
            isUTF8 = isUTF8 && (RequestHead.equals(value, "utf-8") || RequestHead.equals(value, "\"utf-8\""))
        }
        return isUTF8
    }

    private static func forEachParameter(
        _ parameters: UnsafeRawBufferPointer,
        _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void
    ) {
        var rest = parameters
        while rest.count > 1 {
            rest = UnsafeRawBufferPointer(rebasing: rest[1...])
            let end = rest.firstIndex(of: UInt8(ascii: ";")) ?? rest.count
            let parameter = RequestHead.trimmed(UnsafeRawBufferPointer(rebasing: rest[..<end]))
            rest = UnsafeRawBufferPointer(rebasing: rest[end...])
            guard let equals = parameter.firstIndex(of: UInt8(ascii: "=")) else { continue }
            body(
                UnsafeRawBufferPointer(rebasing: parameter[..<equals]),
                UnsafeRawBufferPointer(rebasing: parameter[(equals + 1)...]))
        }
    }

    private var contentTypeParameters: UnsafeRawBufferPointer? {
        head[.contentType].flatMap { value in
            value.firstIndex(of: UInt8(ascii: ";")).map { UnsafeRawBufferPointer(rebasing: value[$0...]) }
        }
    }

    /// Whether the Content-Type names a charset that is not read.
    var namesOtherCharset: Bool { contentTypeParameters.map { !Self.isUTF8(parameters: $0) } ?? false }

    /// Whether rows say by their Content-Type that there is a header; nil: they say nothing of it. Source: RFC 4180, section 3.
    var saysHeader: Bool? {
        var says: Bool?
        guard let parameters = contentTypeParameters else { return nil }
        Self.forEachParameter(parameters) { name, value in
            guard RequestHead.equals(name, "header") else { return }
            if RequestHead.equals(value, "absent") || RequestHead.equals(value, "\"absent\"") { says = false }
            if RequestHead.equals(value, "present") || RequestHead.equals(value, "\"present\"") { says = true }
        }
        return says
    }

    fileprivate func postEvents(_ rawTopic: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer) -> Completion {
        if PercentDecoding.isPlain(rawTopic) { return postEvents(named: rawTopic, body) }
        guard var name = PercentDecoding.string(rawTopic) else {
            answer(Problem(.invalidTopic, "The topic's name is not percent-encoded UTF-8."), instance: head.path)
            return .answered
        }
        return name.withUTF8 { postEvents(named: UnsafeRawBufferPointer($0), body) }
    }

    /// Refuses all events of the request at hand, or the rest of a body that is taken in windows.
    func refuseEvents(_ problem: Problem, errors: [Rejection] = []) -> Completion {
        countRejected(max(1, events.count), reason: problem.kind.code)
        if let window {
            window.stop(problem)
        } else {
            answer(problem, instance: head.path, errors: errors)
        }
        return .answered
    }

    private func postEvents(named name: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer) -> Completion {
        events.removeAll(keepingCapacity: true)
        rejections.removeAll(keepingCapacity: true)
        let mode: BatchMode
        let wanted: ResultsWanted?
        switch (batchMode(), resultsWanted()) {
        case (.failure(let problem), _), (_, .failure(let problem)): return refuseEvents(problem)
        case (.success(let chosen), .success(let asked)): (mode, wanted) = (chosen, asked)
        }
        if let window {
            splitWindow(body, window)
            if events.isEmpty { return .answered }
        } else if let problem = splitEvents(body) {
            return refuseText(problem, of: body)
        }

        let topic: Topic
        switch topicForAppend(name) {
        case .found(let found): topic = found
        case .unready(let work): return .suspended(.work(work))
        case .refused(let problem): return refuseEvents(problem)
        }
        if let window, let problem = windowMayGo(to: topic, window) { return refuseEvents(problem) }
        let key = head[.partitionKey]
        let partition = partition(of: topic, key: key)
        let settings = partition.settings
        if settings.isCompacted, key == nil { return refuseEvents(keyRequired()) }
        let maxBatchBytes = settings.maxBatchBytes
        let headers = writeRecordHeaders(requestID: false, receivedAt: false, eventID: options.stampsEvents)
        let keyBytes = key?.count ?? 0
        if let problem = repeatedTooMuch(events: events.count, keyBytes: keyBytes) { return refuseEvents(problem) }
        let maxEvent: Int
        switch longestEvent(keyBytes: keyBytes, maxBatchBytes: maxBatchBytes) {
        case .failure(let problem): return refuseEvents(problem)
        case .success(let bytes): maxEvent = bytes
        }
        rejectOversized(maxEvent)
        if !rejections.isEmpty, window == nil, mode == .atomic || rejections.count == events.count {
            return refuseEvents(wholeRefusal(maxEvent), errors: events.count > 1 ? rejections : [])
        }

        let accepted = events.count - rejections.count
        let firstID = identifiers.next(atMs: wallClockMs, count: accepted)
        buildBatches(
            of: body, key: key, headerCount: headers.count, eventID: headers.eventID.map { (firstID, $0) },
            maxBatchBytes: mode == .atomic || claim.isHeld
                ? maxBatchBytes : min(maxBatchBytes, Self.preferredBatchBytes))
        defer { dropBatches() }
        if let problem = batchProblem(mode, limit: maxBatchBytes) { return refuseEvents(problem) }
        switch appendBatches(to: partition) {
        case .failure(let refusal): return refuseEvents(Self.problem(of: refusal, limit: maxBatchBytes))
        case .success(let placement):
            didAppend(placement, to: topic)
            routeRow.pointee.counters.accepted.add(placement.count)
            countRejections()
            if let window {
                return settle(window, topic, placement, firstID: options.stampsEvents ? firstID : nil)
            }
            reply.status = placement.count == events.count ? 201 : 207
            if placement.count < accepted { reply.retryAfter = 1 }
            writeResults(
                topic: topic, placement: placement, firstID: options.stampsEvents ? firstID : nil,
                wanted: wanted ?? (events.count <= Self.listedByDefault ? .all : .errors))
            return .gated(placement.commits, bytes: placement.bytes)
        }
    }

    private func batchProblem(_ mode: BatchMode, limit: Int) -> Problem? {
        guard mode == .atomic, batches.count > 1 else { return claimProblem(batches: batches.count, limit: limit) }
        return Problem(.batchTooLarge, "An atomic batch must fit into one record batch of the topic.", limit: limit)
    }

    // MARK: What was asked

    func batchMode() -> Result<BatchMode, Problem> {
        guard let value = head[.batchMode] else { return .success(.partial) }
        if RequestHead.equals(value, "atomic") { return .success(.atomic) }
        if RequestHead.equals(value, "partial") { return .success(.partial) }
        return .failure(Problem(.invalidHeader, "X-Batch-Mode is atomic or partial."))
    }

    func resultsWanted() -> Result<ResultsWanted?, Problem> {
        var items = QueryItems(head.query)
        var wanted: ResultsWanted?
        while let item = items.next() {
            guard item.name.equals("results") else { continue }
            if item.value.equals("none") {
                wanted = ResultsWanted.none
            } else if item.value.equals("errors") {
                wanted = .errors
            } else if item.value.equals("all") {
                wanted = .all
            } else {
                return .failure(Problem(.invalidParameter, "results is none, errors or all."))
            }
        }
        return .success(wanted)
    }

    // MARK: Validation

    /// Fills `events` and, of lines that are no JSON, `rejections`. A problem refuses the whole request.
    func splitEvents(_ body: UnsafeRawBufferPointer) -> Problem? {
        mediaType() == .lines ? splitLines(body) : splitJSON(body)
    }

    func splitJSON(_ body: UnsafeRawBufferPointer) -> Problem? {
        var scanner = JSONScanner(body, limits: jsonLimits)
        do throws(JSONFailure) {
            let kind = scanner.peek()
            if scanner.position == body.count { return bodyRequired() }
            if kind == .array {
                try scanner.onlyElements(into: &events)
                return events.isEmpty ? Problem(.emptyBatch, "The array has no events.") : nil
            }
            events.append(try scanner.onlyEvent())
            return nil
        } catch {
            return Problem(error, limits: jsonLimits)
        }
    }

    func splitLines(_ body: UnsafeRawBufferPointer) -> Problem? {
        var lines = NDJSONLines(body, limits: jsonLimits)
        var firstFailure: JSONFailure?
        var problem: Problem?
        // Out of the loop's property, so that it is looked up once a request instead of once an event.
        var found: [JSONRange] = []
        swap(&found, &events)
        while true {
            lines.appendSound(to: &found)
            let line = lines.next()
            if let first = found.count > jsonLimits.elements ? found[jsonLimits.elements] : line,
                found.count >= jsonLimits.elements
            {
                problem = Problem(
                    JSONFailure(reason: .tooManyElements, position: Int(first.start)), limits: jsonLimits)
                break
            }
            guard let line else { break }
            var scanner = JSONScanner(line.bytes(of: body), limits: jsonLimits)
            do throws(JSONFailure) {
                _ = try scanner.onlyValue()
            } catch {
                firstFailure = firstFailure ?? error
                let hasMark = line.bytes(of: body).starts(with: JSONText.byteOrderMark)
                rejections.append(
                    Rejection(
                        index: found.count, kind: ProblemKind(error),
                        detail: hasMark ? "There is a byte order mark before the event" : error.detail,
                        position: error.position))
            }
            found.append(line)
        }
        swap(&found, &events)
        if let problem { return problem }
        if events.isEmpty { return bodyRequired() }
        // One event is no batch: its own status says what is wrong.
        if events.count == 1, let firstFailure { return Problem(firstFailure, limits: jsonLimits) }
        return nil
    }

    func bodyRequired() -> Problem { Problem(.bodyRequired, "Request body is required") }

    /// Adds a rejection for each event above `limit`, in order with those that are there.
    func rejectOversized(_ limit: Int) {
        let largest = events.withUnsafeBufferPointer { $0.reduce(0) { max($0, $1.count) } }
        guard largest > limit else { return }
        let oversized = events.indices.filter { events[$0].count > limit }.map {
            Rejection(index: $0, kind: .eventTooLarge, detail: "The event is larger than the limit", position: nil)
        }
        let known = Set(rejections.map(\.index))
        rejections += oversized.filter { !known.contains($0.index) }
        rejections.sort { $0.index < $1.index }
    }

    /// Once a kind that follows itself: counting takes a lock.
    func countRejections() {
        var first = 0
        for index in rejections.indices {
            let next = index + 1
            if next < rejections.count, rejections[next].kind.number == rejections[first].kind.number { continue }
            countRejected(next - first, reason: rejections[first].kind.code)
            first = next
        }
    }

    private func wholeRefusal(_ maxEvent: Int) -> Problem {
        if rejections.allSatisfy({ $0.kind.status == 413 }) {
            return Problem(.eventTooLarge, "An event is larger than \(maxEvent) bytes.", limit: maxEvent)
        }
        let words = "\(rejections.count) of \(events.count) events are not acceptable; nothing was appended."
        return Problem(.batchRejected, words)
    }
}
