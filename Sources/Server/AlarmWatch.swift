import Alarms
import BrokerCore
import ByteBuffers
import IngestGateway
import KafkaModel
import LogStorage
import RecordFormat
import Synchronization
import Telemetry

/// Looks at the alarms, on a thread of its own, and has a worker look at queues for the page of metrics: those may wait for a disk, and
/// alarms are not to. What has changed is logged, becomes a record where the alarm names a topic, and is posted where it names a webhook.
final class AlarmWatch: Sendable {
    private let broker: Broker
    private let board: AlarmBoard
    private let metrics: MetricsRegistry
    private let gauges: QueueGauges
    private let wake = Signal()
    private let isStopping = Atomic<Bool>(false)
    /// A worker looks at the queues, or is about to.
    private let isLooking = Atomic<Bool>(false)
    private let thread = Lock<Thread?>(nil)
    /// For webhooks, since the thread's last turn.
    private let told = Lock<[(Alarm.News, AlarmWebhook)]>([])

    init(_ broker: Broker, _ board: AlarmBoard, _ metrics: MetricsRegistry) {
        (self.broker, self.board, self.metrics) = (broker, board, metrics)
        gauges = QueueGauges(broker.queues, in: metrics)
        metrics.show(
            broker.queues.unreadableMessages, as: "millrace_queue_unreadable_messages_total",
            help: "Messages of queues that have ended as no reader can make out what their producer has packed.")
        let started = Thread(name: "alarms") { [self] in
            let posts = AlarmPosts()
            while !isStopping.load(ordering: .acquiring) {
                turn(at: Int64(MonotonicClock.nanoseconds / 1_000_000))
                for (news, webhook) in takeTold() { posts.add(news, to: webhook) }
                posts.turn(nowMs: BrokerClock.wallMs()) { [self] in isStopping.load(ordering: .acquiring) }
                wake.wait(timeoutMs: AlarmBoard.turnMs)
            }
        }
        thread.withLock { $0 = started }
    }

    /// - Parameter at: milliseconds of the monotonic clock.
    func turn(at: Int64) {
        let nowMs = BrokerClock.wallMs()
        beginLooking()
        for news in board.turn(at: at, nowMs: nowMs, { metrics.read($0) }) { tell(news, nowMs) }
    }

    /// Has the queues looked at, unless the look before is not over: alarms go by what was seen last.
    private func beginLooking() {
        if isLooking.exchange(true, ordering: .acquiringAndReleasing) { return }
        let isTaken = broker.workers.submit { [self] in
            lookAtQueues()
            isLooking.store(false, ordering: .releasing)
        }
        if !isTaken { isLooking.store(false, ordering: .releasing) }
    }

    func lookAtQueues() { gauges.look(nowMs: BrokerClock.wallMs()) }

    private func takeTold() -> [(Alarm.News, AlarmWebhook)] {
        told.withLock { told in
            defer { told = [] }
            return told
        }
    }

    private func tell(_ news: Alarm.News, _ nowMs: Int64) {
        let (name, state) = (news.rule.name, news.change.state)
        let value = news.change.value.map { "\($0)" } ?? "nothing"
        if state == .alarm {
            Log.warning("an alarm begins", "alarm", name, "value", value, "metric", "\(news.rule.metric)")
        } else {
            let words: StaticString =
                news.before == .alarm ? "an alarm is over" : "an alarm has nothing to see any more"
            Log.info(words, "alarm", name, "state", state.rawValue, "value", value)
        }
        if let webhook = news.rule.webhook {
            told.withLock { $0.append((news, webhook)) }
        }
        guard let topicName = news.rule.topic else { return }
        // All in the first partition: in the order in which they came.
        guard let topic = broker.catalog.topic(named: topicName), !topic.isInternal, let log = topic.partition(0) else {
            return Log.warning(
                "an alarm could not be told, as its topic is not there", "alarm", name, "topic", topicName)
        }
        var text = ByteWriter(capacity: 512)
        AlarmText.write(news, into: &text)
        var builder = RecordBatchBuilder(pool: broker.store.chunkPool)
        builder.append(key: Array(name.utf8), value: text.array, timestampMs: nowMs)
        do throws(CompressionError) {
            if case .failure(let refusal) = log.append(try builder.finish(), origin: .client, nowMs: nowMs) {
                Log.warning("an alarm could not be told", "alarm", name, "topic", topicName, "reason", refusal.message)
            }
        } catch {
            preconditionFailure("no codec ran: \(error)")
        }
        broker.store.kick()
    }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        wake.raise()
        thread.withLock { $0 }?.join()
        thread.withLock { $0 = nil }
    }
}
