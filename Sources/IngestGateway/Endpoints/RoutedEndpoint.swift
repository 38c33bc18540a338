import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import QueueLedger
import Security
import Telemetry

/// A configured route that takes one event a request.
enum RoutedEventEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { [] }
    static var fields: KnownFields { KnownFields(.partitionKey) }
    static var target: EventTarget? { .row }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForEvents() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.postRouted(body, .one)
    }
}

/// A configured route that takes many.
enum RoutedBatchEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { ["results"] }
    static var fields: KnownFields { KnownFields(.batchMode, .partitionKey) }
    static var target: EventTarget? { .row }
    static var takesWindows: Bool { true }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForEvents() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        switch (loop.batchMode(), loop.resultsWanted()) {
        case (.failure(let problem), _), (_, .failure(let problem)): loop.refuseEvents(problem)
        case (.success(let mode), .success(let wanted)): loop.postRouted(body, .many(mode, wanted))
        }
    }
}

/// What was asked of a configured route.
enum RoutedRequest {
    case one
    case many(GatewayLoop.BatchMode, GatewayLoop.ResultsWanted?)

    var isAtomic: Bool {
        switch self {
        case .one: true
        case .many(let mode, _): mode == .atomic
        }
    }
}

/// Order: syntax of all -> topic -> schema, key and size of all -> one append -> reply, gated by the commit.
extension GatewayLoop {
    func postRouted(_ body: UnsafeRawBufferPointer, _ request: RoutedRequest) -> Completion {
        guard let plan = window?.upload?.plan ?? routeRow.pointee.plan else {
            preconditionFailure("a configured route without a plan")
        }
        events.removeAll(keepingCapacity: true)
        rejections.removeAll(keepingCapacity: true)
        routed.source.removeAll()
        routed.formulas = 0
        let format = routedFormat()
        let source: UnsafeRawBufferPointer
        if let window {
            source = splitRoutedWindow(body, window)
            if events.isEmpty { return .answered }
        } else {
            switch splitRouted(body, format, plan) {
            case .failure(let problem): return refuseText(problem, of: body)
            case .success(let text): source = text
            }
        }
        if let problem = queueRefusal(plan) { return refuseEvents(problem) }
        switch topicOfEvents() {
        case .unready(let work): return .suspended(.work(work))
        case .refused(let problem): return refuseEvents(problem)
        case .found(let topic): return append(to: topic, source, of: body, format, request, plan)
        }
    }

    private func topicOfEvents() -> TopicChoice {
        guard let upload = window?.upload else { return topicForAppend(routeRow.pointee.topic) }
        return Array(upload.topic.utf8).withUnsafeBytes { topicForAppend($0) }
    }

    /// Why the route's queue takes no messages; nil: it does, or the events are none.
    private func queueRefusal(_ plan: IngestPlan) -> Problem? {
        routed.messageLimit = .max
        guard let name = plan.queue else { return nil }
        guard let queue = broker.queues.queue(named: name) else {
            return Problem(.queueNotFound, "There is no queue \(name).")
        }
        routed.messageLimit = queue.settings.maxMessageBytes
        // Its messages have de-duplication ids, and partitions by its own rule.
        return queue.settings.order == .fifo
            ? Problem(.queueRefused, "The queue \(name) is a FIFO queue, whose messages come by its own address.") : nil
    }

    private func append(
        to topic: Topic, _ source: UnsafeRawBufferPointer, of body: UnsafeRawBufferPointer, _ format: RoutedFormat,
        _ request: RoutedRequest, _ plan: IngestPlan
    ) -> Completion {
        if let window, let problem = windowMayGo(to: topic, window) { return refuseEvents(problem) }
        let settings = topic.partitions[0].settings
        let firstID = identifiers.next(atMs: wallClockMs, count: events.count)
        receivedAt.update(toMs: wallClockMs)
        routed.begin(events.count)
        if let problem = writeHeaders(of: plan, format) ?? addedTooMuch(plan) { return refuseEvents(problem) }
        checkEvents(of: source, format, plan, needsKey: settings.isCompacted)
        let haveKeys = hasEventKeys(plan)
        if haveKeys, let rule = plan.idempotency {
            if let problem = readEventKeys(source, format, rule) { return refuseText(problem, of: body) }
        } else if rejections.isEmpty, let answered = claimByContent(source, format, plan, to: topic) {
            return answered
        }
        if claim.isHeld || haveKeys, !gateway.idempotency.isOpen(topic) {
            return .suspended(.work(OpenTopicWork(topic, gateway)))
        }
        let text = format.isJSON ? addMembers(to: source, firstID) : source
        let mark = window?.upload?.markBytes ?? 0
        let longestKey = routed.keys.lazy.map { $0?.count ?? 0 }.max() ?? 0
        switch longestEvent(keyBytes: longestKey + mark, maxBatchBytes: settings.maxBatchBytes) {
        case .failure(let problem): return refuseEvents(problem)
        case .success(let bytes): rejectOversized(min(bytes, routed.messageLimit))
        }
        if haveKeys, let problem = claimEvents(of: topic) { return refuseEvents(problem) }
        if !rejections.isEmpty, window == nil, request.isAtomic || rejections.count == events.count {
            return refuseAll()
        }
        if let work = quarantineWork() { return .suspended(.work(work)) }
        choosePartitions(of: topic)
        if request.isAtomic, let last = routed.order.last,
            routed.partitions[last] != routed.partitions[routed.order[0]]
        {
            return refuseEvents(
                Problem(.batchTooLarge, "An atomic batch goes to one partition, and these keys lead to several."))
        }
        let most =
            request.isAtomic || claim.isHeld
            ? settings.maxBatchBytes : min(settings.maxBatchBytes, Self.preferredBatchBytes)
        buildRouted(text, firstID, maxBatchBytes: most)
        if request.isAtomic, routed.batches.count > 1 {
            return refuseEvents(
                Problem(
                    .batchTooLarge, "An atomic batch must fit into one record batch of the topic.",
                    limit: settings.maxBatchBytes))
        }
        if let problem = claimProblem(batches: routed.batches.count, limit: settings.maxBatchBytes) {
            return refuseEvents(problem)
        }
        switch appendRouted(to: topic) {
        case .failure(let refusal): return refuseEvents(Self.problem(of: refusal, limit: settings.maxBatchBytes))
        case .success(let placement): return accept(topic, placement, firstID, text, request, plan)
        }
    }

    /// Answers a request of which nothing is appended because of its events.
    private func refuseAll() -> Completion {
        if events.count == 1 {
            let rejection = rejections[0]
            let words = rejection.finding?.words ?? rejection.detail.description
            return refuseEvents(Problem(rejection.kind, words), errors: rejection.finding == nil ? [] : rejections)
        }
        if rejections.allSatisfy({ $0.kind.number == ProblemKind.idempotencyInFlight.number }) {
            return refuseEvents(
                Problem(.idempotencyInFlight, "Events with these keys are being stored at this moment.", retryAfter: 1),
                errors: rejections)
        }
        let isSize = rejections.allSatisfy { $0.kind.status == 413 }
        return refuseEvents(
            Problem(
                isSize ? .eventTooLarge : .batchRejected,
                "\(rejections.count) of \(events.count) events are not acceptable; nothing was appended."),
            errors: rejections)
    }

    private func accept(
        _ topic: Topic, _ placement: Placement, _ firstID: UUIDv7, _ text: UnsafeRawBufferPointer,
        _ request: RoutedRequest, _ plan: IngestPlan
    ) -> Completion {
        routeRow.pointee.counters.accepted.add(placement.count)
        countRejections()
        if routed.formulas > 0 { metrics.formulas.add(routed.formulas) }
        let known = knownCount + routed.passed
        if let window { return settleRouted(window, topic, placement, firstID, known: known) }
        let isWhole = placement.count + known == events.count
        reply.isReplay = known == events.count
        reply.status = isWhole ? plan.status : 207
        if placement.count < routed.order.count
            || rejections.contains(where: { $0.kind.number == ProblemKind.idempotencyInFlight.number })
        {
            reply.retryAfter = 1
        }
        // Nothing of it waits for the disk.
        if placement.count == 0, known > 0 {
            writeResults(of: request, topic, placement, firstID)
            return .answered
        }
        switch plan.reply {
        case .list: writeResults(of: request, topic, placement, firstID)
        case .event: writeAccepted(topic, placement, firstID)
        case .shard(let message, let echo): writeShard(placement, firstID, text, message, echo)
        }
        switch plan.acknowledgement {
        case .disk: return .gated(placement.commits, bytes: placement.bytes)
        case .nothing:
            metrics.unacknowledged.add(placement.count)
            return .answered
        }
    }

    private func writeResults(
        of request: RoutedRequest, _ topic: Topic, _ placement: Placement, _ firstID: UUIDv7
    ) {
        var asked: ResultsWanted?
        if case .many(_, let wanted) = request { asked = wanted }
        let usual: ResultsWanted = events.count <= Self.listedByDefault ? .all : .errors
        writeRoutedResults(topic, placement, firstID, asked ?? usual)
    }
}
