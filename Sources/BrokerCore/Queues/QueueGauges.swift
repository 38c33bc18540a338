import ByteBuffers
public import Telemetry

/// What the page of metrics shows of queues. Their counts wait for ledgers, so a page shows what was there when somebody last looked.
public final class QueueGauges: Sendable {
    /// Queues that are looked at, the first ones by their names: each is up to five series.
    public static let maxQueues = 500

    private let queues: any QueueService
    private let seen = Lock<[Seen]>([])

    private struct Seen {
        let name: String
        let counts: QueueCounts
        let oldestAgeMs: Int64
        /// Another queue's dead letters come to it.
        let takesDeadLetters: Bool
    }

    public init(_ queues: any QueueService, in metrics: MetricsRegistry) {
        self.queues = queues
        metrics.list(
            "millrace_queue_messages",
            help: "Messages of a queue that have not ended, by state, when they were last looked at."
        ) { [self] in
            seen.withLock { $0 }.flatMap { queue in
                [
                    ("visible", queue.counts.visible), ("in_flight", queue.counts.inFlight),
                    ("delayed", queue.counts.delayed),
                ].map { state, count in (["queue": queue.name, "state": state], Double(count)) }
            }
        }
        metrics.list(
            "millrace_queue_oldest_age_seconds",
            help:
                "Time since a queue's oldest message that has not ended was sent, when it was last looked at. Without one 0."
        ) { [self] in
            seen.withLock { $0 }.map { (["queue": $0.name], Double($0.oldestAgeMs) / 1000) }
        }
        showDeadLetters(in: metrics)
    }

    private func showDeadLetters(in metrics: MetricsRegistry) {
        metrics.list(
            "millrace_queue_dead_letters",
            help: "Messages of a queue that dead letters of others come to, when they were last looked at."
        ) { [self] in
            seen.withLock { $0 }.filter(\.takesDeadLetters).map { queue in
                (["queue": queue.name], Double(queue.counts.visible + queue.counts.inFlight + queue.counts.delayed))
            }
        }
    }

    /// Looks at the queues now. May wait for the disk.
    ///
    /// - Parameter nowMs: milliseconds since 1970.
    public func look(nowMs: Int64) {
        let seenNow = queues.queues(prefix: "", after: nil, limit: Self.maxQueues).compactMap { queue -> Seen? in
            // What cannot be counted just now is left out; of a queue whose oldest message cannot be read, its age.
            let found =
                (try? queues.counts(of: queue.name, withOldest: true).answer.get())
                ?? (try? queues.counts(of: queue.name, withOldest: false).answer.get())
            return found.map { counts in
                Seen(
                    name: queue.name, counts: counts, oldestAgeMs: Self.age(of: counts.oldestSentMs, nowMs),
                    takesDeadLetters: !queues.deadLetterSources(of: queue.name).isEmpty)
            }
        }
        seen.withLock { $0 = seenNow }
    }

    /// A record of a client's has whatever time he has written: one from before 1970 tells of no age.
    static func age(of sentMs: Int64?, _ nowMs: Int64) -> Int64 {
        guard let sentMs, sentMs >= 0 else { return 0 }
        return max(0, nowMs - sentMs)
    }
}
