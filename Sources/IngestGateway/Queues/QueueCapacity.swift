import BrokerCore
import ByteBuffers
import HTTPWire
import QueueLedger
import Security

/// What a queue's receivers can do, and what that comes to: the arithmetic of waiting lines. Each member is nil where something that it
/// needs is not known.
struct QueueCapacity: Equatable {
    /// Messages that come a second, and that are acknowledged.
    var arrivals: Double?
    var acknowledged: Double?
    /// Milliseconds that a receiver works on a message.
    var serviceMs: Double?
    /// Receivers, of one message at a time each.
    var workers: Int?
    /// Messages that are not ended.
    var backlog: Int

    /// Messages a second of one receiver.
    var workerRate: Double? { serviceMs.flatMap { $0 > 0 ? 1000 / $0 : nil } }

    /// Messages a second of all receivers: whole ones from 100 on, else in three digits, rounded down, as nobody should count on the rest.
    var rate: Double? {
        guard let workers, let serviceMs, serviceMs > 0 else { return nil }
        let exact = Double(workers) * 1000 / serviceMs
        var unit = 1.0
        while exact * unit < 100, unit < 1e9 { unit *= 10 }
        return (exact * unit).rounded(.down) / unit
    }

    /// Receivers that are as fast as messages come.
    var requiredWorkers: Int? {
        guard let arrivals, let serviceMs else { return nil }
        return Int(clampedOf: (arrivals * serviceMs / 1000).rounded(.up))
    }

    /// The share of their time that receivers work; above 1: they are too few.
    var utilization: Double? {
        guard let arrivals, let workers, let serviceMs, workers > 0 else { return nil }
        return arrivals * serviceMs / (Double(workers) * 1000)
    }

    /// Messages a second by which the backlog grows, negative where it becomes less. Of receivers that nobody has told of it is what
    /// they did of late.
    var growth: Double? {
        guard let arrivals, let done = rate ?? acknowledged else { return nil }
        return arrivals - done
    }

    /// Messages that are not ended an hour from now.
    var backlogInHour: Int? { growth.map { Int(clampedOf: max(0, Double(backlog) + $0 * 3600)) } }

    /// Seconds until there are none; nil also where there will always be some, or nobody lives to see it.
    var drainSeconds: Double? {
        if backlog == 0 { return 0 }
        guard let growth, growth < 0 else { return nil }
        let seconds = Double(backlog) / -growth
        return seconds < 1e15 ? seconds : nil
    }
}

extension Int {
    /// The nearest number that there is.
    fileprivate init(clampedOf value: Double) { self = Int(exactly: value.rounded()) ?? (value < 0 ? .min : .max) }
}

/// `GET /v1/queues/{queue}/capacity?workers=&service_ms=&rate=&backlog=`: how messages come and go, and what that comes to. Each parameter
/// takes the place of what was observed: what would be if.
///
///     200 {"queue":"jobs","messages":{"visible":12,"in_flight":3,"delayed":0,"ending":0},
///          "observed":{"span_ms":58010,"arrivals_per_second":500,"acknowledged_per_second":333.2,"service_ms":{"mean":300.2,"p99":447},"visibility_ms":30000},
///          "worker_per_second":3.333,"workers_per_second":333,"required_workers":150,"utilization":1.5,
///          "growth_per_second":167,"backlog_in_1h":601200,"drain_seconds":null}
enum QueueCapacityEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .queue(.describe) }
    static var parameters: [StaticString]? { ["workers", "service_ms", "rate", "backlog"] }
    static var operation: OperationText {
        OperationText(
            summary: "Tells how messages come and go, how many receivers that needs, and when the backlog is gone",
            outcome: "What was observed of late, and what it comes to.")
    }

    /// What a parameter may be, inclusive.
    static let maxWorkers = 1_000_000
    static let maxRate = 1_000_000_000
    static let maxBacklog = 1_000_000_000_000

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForNoBody() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.withQueue { name in
            var asked = Asked()
            var items = QueryItems(loop.head.query)
            while let item = items.next() {
                if let problem = asked.read(item.name, item.value) { return loop.refuseQueue(problem) }
            }
            return loop.ask { [asked] queues, _, done in done(answer(name, asked, queues)) }
        }
    }

    /// What the request has said, in place of what was observed.
    struct Asked {
        var workers: Int?
        var serviceMs: Int?
        var rate: Int?
        var backlog: Int?

        mutating func read(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Problem? {
            let (place, lowest, most): (WritableKeyPath<Asked, Int?>, Int, Int) =
                if name.equals("workers") {
                    (\.workers, 1, maxWorkers)
                } else if name.equals("service_ms") {
                    (\.serviceMs, 1, Int(LedgerSettings.maxVisibilityMs))
                } else if name.equals("rate") {
                    (\.rate, 0, maxRate)
                } else {
                    (\.backlog, 0, maxBacklog)
                }
            guard let number = value.decimalValue, (lowest...most).contains(number) else {
                return Problem(
                    .invalidParameter,
                    "\(String(decoding: name, as: UTF8.self)) is a whole number from \(lowest) to \(most).",
                    limit: most)
            }
            self[keyPath: place] = number
            return nil
        }
    }

    static func answer(_ name: String, _ asked: Asked, _ queues: any QueueService) -> QueueAnswer {
        guard let queue = queues.queue(named: name) else {
            return QueueAnswer(Problem(.queueNotFound, "There is no such queue."))
        }
        let outcome = queues.flow(of: name)
        switch outcome.answer {
        case .failure(let refusal): return QueueAnswer(Problem(refusal))
        case .success(let flow):
            let counts = flow.counts
            let capacity = QueueCapacity(
                arrivals: asked.rate.map { Double($0) } ?? flow.arrivedPerSecond,
                acknowledged: flow.acknowledgedPerSecond,
                serviceMs: asked.serviceMs.map { Double($0) } ?? flow.work.meanMs, workers: asked.workers,
                backlog: asked.backlog ?? counts.visible + counts.inFlight + counts.delayed + counts.ending)
            return QueueAnswer(outcome.commits) { write(queue, flow, capacity, &$0) }
        }
    }

    private static func write(
        _ queue: QueueDescription, _ flow: QueueFlow, _ capacity: QueueCapacity, _ out: inout ByteWriter
    ) {
        out.text("{")
        out.member("queue", first: true)
        JSONText.write(queue.name, into: &out)
        out.member("messages")
        QueueText.write(flow.counts, &out, withOldest: false)
        out.member("observed")
        out.text("{")
        out.member("span_ms", first: true)
        out.decimal(Int(flow.spanMs))
        write("arrivals_per_second", flow.arrivedPerSecond, &out)
        write("acknowledged_per_second", flow.acknowledgedPerSecond, &out)
        out.member("service_ms")
        if let mean = flow.work.meanMs, let longest = flow.work.percentileMs(99) {
            out.text("{")
            write("mean", mean, &out, first: true)
            out.member("p99")
            out.decimal(Int(longest))
            out.text("}")
        } else {
            out.text("null")
        }
        out.member("visibility_ms")
        out.decimal(Int(queue.settings.visibilityMs))
        out.text("}")
        for (name, value) in [
            ("worker_per_second", capacity.workerRate), ("workers_per_second", capacity.rate),
            ("required_workers", capacity.requiredWorkers.map { Double($0) }), ("utilization", capacity.utilization),
            ("growth_per_second", capacity.growth), ("backlog_in_1h", capacity.backlogInHour.map { Double($0) }),
            ("drain_seconds", capacity.drainSeconds),
        ] as [(StaticString, Double?)] { write(name, value, &out) }
        out.text("}")
    }

    /// Writes a number with three digits behind the point at most; of one below 1, nine.
    private static func write(
        _ name: StaticString, _ number: Double?, _ out: inout ByteWriter, first: Bool = false
    ) {
        out.member(name, first: first)
        guard let number else { return out.text("null") }
        let unit = number.magnitude < 1 ? 1e9 : 1e3
        let rounded = (number * unit).rounded() / unit
        if let whole = Int(exactly: rounded) { out.decimal(whole) } else { out.utf8("\(rounded)") }
    }
}
