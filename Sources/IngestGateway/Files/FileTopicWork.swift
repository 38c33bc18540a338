import BrokerCore
import HTTPWire
import KafkaModel
import Transport

/// The making of a topic that jobs need, which waits for the disk: on the broker's own thread. Afterwards the window is taken once more, or
/// the request handled that begins a job.
final class FileTopicWork: TopicMaking, @unchecked Sendable {
    // SAFETY: `refusal` is with one thread at a time: with that which does the work until it calls `done`, then with the loop.

    enum Kind {
        case jobs
        /// Made whether or not topics are made by themselves: its rows have no other place.
        case quarantine(String)
    }

    private let kind: Kind
    let broker: Broker
    private(set) var refusal: TopicRefusal?

    init(_ kind: Kind, _ broker: Broker) {
        self.kind = kind
        self.broker = broker
    }

    func make() {
        switch kind {
        case .jobs: refusal = broker.jobs.makeTopic()
        case .quarantine(let name):
            if case .failure(let refusal) = broker.createTopic(name, partitions: 1),
                refusal.code != .topicAlreadyExists
            {
                self.refusal = refusal
            }
        }
    }

    func refuse() { refusal = TopicRefusal(.kafkaStorageError, "too many changes of topics are under way") }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        guard let refusal else { return loop.perform(body) }
        loop.answer(GatewayLoop.problem(of: refusal), instance: loop.head.path)
        return .answered
    }

    var lateProblem: Problem { Problem(.commitTimeout, "The topic was not made in time.", retryAfter: 5) }
}
