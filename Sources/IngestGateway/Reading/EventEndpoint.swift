import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import Security
import Transport

/// `GET /v1/events/{event}?topic=`: the event that has this id, where it stands: in its topic, partition and offset.
enum EventEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topicOfQuery(.read) }
    static var parameters: [StaticString]? { ["topic"] }
    static var operation: OperationText {
        OperationText(
            summary: "Finds an event by its id", outcome: "The event, as the only record.", schema: "Records")
    }

    static func wish(on loop: GatewayLoop) -> BodyWish { loop.wishForNoBody() }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion { loop.findEvent() }
}

extension GatewayLoop {
    fileprivate func findEvent() -> Completion {
        guard let timeMs = UUIDv7(text: route.topic)?.milliseconds else { return refuse(.noSuchEvent) }
        var partitions: [(topic: Topic, log: PartitionLog)] = []
        switch topicsToSearch() {
        case .failure(let problem): return refuse(problem)
        case .success(let topics): for topic in topics { partitions += topic.partitions.map { (topic, $0) } }
        }
        guard partitions.count <= RecordsReply.maxPartitions else {
            return refuse(
                Problem(
                    .invalidParameter,
                    "The event would be looked for in \(partitions.count) partitions: name its topic, topic=.",
                    limit: RecordsReply.maxPartitions))
        }
        return .suspended(.work(EventWork(Array(route.topic), timeMs: timeMs, partitions, broker, pool)))
    }

    /// The one that is named, or all that who asks may read.
    private func topicsToSearch() -> Result<[Topic], Problem> {
        var items = QueryItems(head.query)
        while let item = items.next() {
            guard let name = PercentDecoding.string(item.value, plusIsSpace: true),
                let topic = broker.catalog.topic(named: name)
            else { return .failure(Problem(.topicNotFound, "There is no such topic.")) }
            return .success([topic])
        }
        return .success(broker.catalog.topics.filter { !$0.isInternal && mayRead($0, asker) })
    }

    private func refuse(_ problem: Problem) -> Completion {
        answer(problem, instance: head.path)
        return .answered
    }
}

/// The search for an event, which reads logs.
final class EventWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: `search`, `place` and `refusal` are with one thread at a time: with that which does the work until it calls `done`, then
    // with the loop.

    private let text: [UInt8]
    private let partitions: [(topic: Topic, log: PartitionLog)]
    private let broker: Broker
    private let pool: ChunkPool
    private let isGivenUp = Lock(false)
    private var search: EventSearch
    private var place: (topic: Topic, log: PartitionLog, offset: Offset)?
    private var refusal: Problem?

    init(
        _ text: [UInt8], timeMs: Int64, _ partitions: [(topic: Topic, log: PartitionLog)], _ broker: Broker,
        _ pool: ChunkPool
    ) {
        self.text = text
        self.partitions = partitions
        self.broker = broker
        self.pool = pool
        search = EventSearch(timeMs: timeMs)
    }

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        broker.workers.submit { [self] in
            run()
            done()
        }
    }

    private func run() {
        let isGivenUp = { [self] in broker.workers.isStopping || self.isGivenUp.withLock { $0 } }
        let look = EventLook(text, pool: pool, isGivenUp: isGivenUp)
        for (topic, log) in partitions where place == nil && !search.isCut && !isGivenUp() {
            let (start, end, _) = log.offsets
            if let offset = search.find(from: start, to: end, { look.look(log, at: $0) }) {
                place = (topic, log, offset)
            }
        }
    }

    func refuse() { refusal = .noWorker }

    func cancel() { isGivenUp.withLock { $0 = true } }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        guard let place, refusal == nil else {
            loop.answer(refusal ?? (search.isCut ? .eventNotReached : .noSuchEvent), instance: loop.head.path)
            return .answered
        }
        var question = RecordsReply.Question()
        question.partition = Int(place.log.partitionIndex)
        question.start = .position(ReadPosition([place.log.partitionIndex: place.offset]))
        question.limit = 1
        return loop.read(place.topic, [place.log], question, nil)
    }

    var lateProblem: Problem {
        Problem(.commitTimeout, "The event was not found in time.", retryAfter: 5)
    }
}

extension Problem {
    fileprivate static var noSuchEvent: Problem { Problem(.notFound, "There is no event of this id.") }

    fileprivate static var eventNotReached: Problem {
        Problem(
            .notFound,
            "There is no event of this id in the \(EventSearch.mostReadBytes >> 20) MiB that were read around its time: name its topic, topic=."
        )
    }
}
