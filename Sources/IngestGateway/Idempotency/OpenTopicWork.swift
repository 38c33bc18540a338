import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Transport

/// The preparation of a topic for requests with keys, which waits for the disk: on the broker's own thread, once a topic.
/// Afterwards the request is handled once more.
final class OpenTopicWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: `refusal` is with one thread at a time: with that which does the work until it calls `done`, then with the loop.

    private let gateway: Gateway
    private let topic: Topic
    private(set) var refusal: TopicRefusal?

    init(_ topic: Topic, _ gateway: Gateway) {
        self.gateway = gateway
        self.topic = topic
    }

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        gateway.broker.admin.submit { [self] in
            refusal = gateway.idempotency.open(topic)
            done()
        }
    }

    func refuse() { refusal = TopicRefusal(.kafkaStorageError, "too many changes of topics are under way") }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        guard let refusal else { return loop.perform(body) }
        loop.answer(GatewayLoop.problem(of: refusal), instance: loop.head.path)
        return .answered
    }

    var lateProblem: Problem {
        Problem(
            .commitTimeout, "The topic was not made ready for keys in time; nothing of the request is stored.",
            retryAfter: 5)
    }
}
