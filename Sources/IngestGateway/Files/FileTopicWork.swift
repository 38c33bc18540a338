import BrokerCore
import KafkaModel
import Transport

/// The making of a topic that files need, which waits for the disk: on the broker's own thread. Afterwards the window is taken once more.
final class FileTopicWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: `refusal` is with one thread at a time: with that which does the work until it calls `done`, then with the loop.

    enum Kind {
        case jobs
        /// Made whether or not topics are made by themselves: its rows have no other place.
        case quarantine(String)
    }

    private let kind: Kind
    private let broker: Broker
    private(set) var refusal: TopicRefusal?

    init(_ kind: Kind, _ broker: Broker) {
        self.kind = kind
        self.broker = broker
    }

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        broker.admin.submit { [self] in
            switch kind {
            case .jobs: refusal = broker.jobs.makeTopic()
            case .quarantine(let name):
                if case .failure(let refusal) = broker.createTopic(name, partitions: 1),
                    refusal.code != .topicAlreadyExists
                {
                    self.refusal = refusal
                }
            }
            done()
        }
    }

    func refuse() { refusal = TopicRefusal(.kafkaStorageError, "too many changes of topics are under way") }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        preconditionFailure("a file that is not taken in windows")
    }

    var lateProblem: Problem { Problem(.commitTimeout, "The topic was not made in time.", retryAfter: 5) }
}
