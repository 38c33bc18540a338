import BrokerCore
import ByteBuffers
import Forwarder
import HTTPClient
import IngestGateway
import KafkaModel
import Security
import Synchronization

/// A subscription's receiver: batches are posted to it as functions of AWS Lambda get them, signed as Standard Webhooks has it.
final class WebhookDestination: PushDestination {
    let definition: SubscriptionDefinition
    let region: String
    private unowned let broker: Broker
    private let stopping = Flag()

    final class Flag: Sendable {
        let value = Atomic(false)
    }

    /// How long a connection is waited for, TLS included: no longer than the whole request.
    static let connectTimeoutMs = 5_000
    /// An answer that names thousands of messages as failed has 60 bytes for each; a longer one is none.
    static let maxAnswerBytes = StrictJSON.maxBytes

    init(_ definition: SubscriptionDefinition, _ broker: Broker, region: String) {
        (self.definition, self.broker, self.region) = (definition, broker, region)
    }

    func connection() -> any PushConnection { Connection(self) }

    func interrupt() { stopping.value.store(true, ordering: .releasing) }

    private final class Connection: PushConnection {
        private let destination: WebhookDestination
        /// Made with the first call, which tells what is missing.
        private var caller: HTTPCaller?

        init(_ destination: WebhookDestination) { self.destination = destination }

        func push(_ messages: [ReceivedMessage]) -> PushOutcome {
            let request = destination.request(messages, atMs: WallClock.milliseconds)
            let flag = destination.stopping
            do throws(HTTPCallFailure) {
                let caller = if let known = self.caller { known } else { try HTTPCaller() }
                self.caller = caller
                let answer = try caller.perform(request, isStopping: { flag.value.load(ordering: .acquiring) })
                return PushAnswer.outcome(answer, messages.map(\.id))
            } catch {
                // Given up by us, which is no fault of the messages.
                if flag.value.load(ordering: .acquiring) {
                    return .untouched(PushFailure(.lost, "the subscription is being stopped"), pauseMs: nil)
                }
                return PushAnswer.outcome(error)
            }
        }
    }

    func request(_ messages: [ReceivedMessage], atMs nowMs: Int64) -> HTTPCall {
        let settings = broker.queues.queue(named: definition.from)?.settings
        let body = PushEvent.body(messages, of: definition.from, settings, region: region)
        var call = SignedCall.make(
            SignedCall.newID(), to: definition.url, body, key: definition.signingKey,
            reach: .notMetadata(except: definition.linkLocal), maxBodyBytes: Self.maxAnswerBytes, atMs: nowMs)
        call.authorities = definition.authorityFile
        call.connectTimeoutMs = min(Self.connectTimeoutMs, Int(definition.timeoutMs))
        call.timeoutMs = Int(definition.timeoutMs)
        return call
    }
}

/// What a receiver's answer says of a batch. Source: AWS Lambda, "Handling errors for an SQS event source" (ReportBatchItemFailures).
enum PushAnswer {
    static func outcome(_ failure: HTTPCallFailure) -> PushOutcome {
        switch failure.kind {
        case .notSent, .forbidden: .untouched(PushFailure(.unreachable, failure.reason), pauseMs: nil)
        case .lost: .failed(PushFailure(.lost, failure.reason))
        case .timedOut: .failed(PushFailure(.timedOut, failure.reason))
        case .tooLong: .failed(PushFailure(.unreadable, failure.reason))
        }
    }

    /// - Parameter ids: of the batch's messages, in their order.
    static func outcome(_ answer: HTTPAnswer, _ ids: [String]) -> PushOutcome {
        let reason = "the receiver answers \(answer.status)"
        switch answer.status {
        case 200..<300:
            guard let failed = failed(answer.body, ids) else {
                return .failed(PushFailure(.unreadable, "\(reason), with a body that does not say what has failed"))
            }
            return .answered(failed: failed)
        case 429, 503:
            // Whoever says when is asked again then, and has not looked at the messages.
            guard let text = answer.retryAfter else { return .failed(PushFailure(.busy, reason)) }
            // A date is a pause like any other.
            let seconds = UInt32(text).map(Int64.init)
            return .untouched(PushFailure(.busy, reason), pauseMs: seconds.map { $0 * 1000 })
        case 300..<400: return .failed(PushFailure(.redirect, "\(reason), and redirections are not followed"))
        case 400..<500: return .failed(PushFailure(.clientError, reason))
        default: return .failed(PushFailure(.serverError, reason))
        }
    }

    /// The places of messages that have failed; nil: the body does not say, or names one that was not in the batch.
    static func failed(_ body: [UInt8], _ ids: [String]) -> [Int]? {
        if body.allSatisfy({ $0 <= 0x20 }) { return [] }
        guard let json = StrictJSON(parsing: body), case .object = json else { return nil }
        switch json["batchItemFailures"] {
        case nil, .null?: return []
        case .array(let entries)?:
            let places = Dictionary(ids.enumerated().map { ($1, $0) }) { first, _ in first }
            var failed: Set<Int> = []
            for entry in entries {
                guard let id = entry["itemIdentifier"]?.text, let place = places[id] else { return nil }
                failed.insert(place)
            }
            return failed.sorted()
        default: return nil
        }
    }
}
