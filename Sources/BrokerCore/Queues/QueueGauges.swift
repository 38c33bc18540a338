import QueueLedger
public import Telemetry

/// What the page of metrics shows of queues. Their counts wait for ledgers, so a page shows what was there when somebody last looked.
public final class QueueGauges: Sendable {
    /// Queues that are looked at, the first ones by their names: each is up to eight series.
    public static let maxQueues = 500
    /// Messages of the last one or two minutes without which nothing is said of how long receivers work.
    static let leastWorked = 20

    private let queues: any QueueService
    private let messages, oldestAge, deadLetters, drain, work, paused: ListedGauge

    private struct Seen {
        let name: String
        let settings: QueueSettings
        let counts: QueueCounts
        let flow: QueueFlow
        let oldestAgeMs: Int64
        /// Another queue's dead letters come to it.
        let takesDeadLetters: Bool
    }

    public init(_ queues: any QueueService, in metrics: MetricsRegistry) {
        self.queues = queues
        messages = metrics.list(
            "millrace_queue_messages",
            help: "Messages of a queue that have not ended, by state, when they were last looked at.")
        oldestAge = metrics.list(
            "millrace_queue_oldest_age_seconds",
            help:
                "Time since a queue's oldest message that has not ended was sent, when it was last looked at. Without one 0."
        )
        deadLetters = metrics.list(
            "millrace_queue_dead_letters",
            help: "Messages of a queue that dead letters of others come to, when they were last looked at.")
        drain = metrics.list(
            "millrace_queue_drain_seconds",
            help:
                "Time in which what waits in a queue is worked off at the rate of the last minute, were nothing to come any more; a year at most."
        )
        work = metrics.list(
            "millrace_queue_work_visibility_ratio",
            help:
                "Time within which 99 of 100 messages of a queue were acknowledged once they were received, as a share of its visibility."
        )
        paused = metrics.list(
            "millrace_queue_paused", help: "1: a queue with a breaker gives out nothing, as its messages were lost.")
    }

    /// Looks at the queues now. May wait for the disk.
    ///
    /// - Parameter nowMs: milliseconds since 1970.
    public func look(nowMs: Int64) {
        let seen = queues.queues(prefix: "", after: nil, limit: Self.maxQueues).compactMap { look(at: $0, nowMs) }
        messages.set(
            seen.flatMap { queue in
                [
                    ("visible", queue.counts.visible), ("in_flight", queue.counts.inFlight),
                    ("delayed", queue.counts.delayed),
                ].map { state, count in (["queue": queue.name, "state": state], Double(count)) }
            })
        oldestAge.set(seen.map { (["queue": $0.name], Double($0.oldestAgeMs) / 1000) })
        deadLetters.set(
            seen.filter(\.takesDeadLetters).map { queue in
                (["queue": queue.name], Double(queue.counts.visible + queue.counts.inFlight + queue.counts.delayed))
            })
        // Dead letters wait for nobody.
        drain.set(
            seen.filter { !$0.takesDeadLetters }.compactMap { queue in
                queue.flow.drainSeconds.map { (["queue": queue.name], $0) }
            })
        work.set(
            seen.compactMap { queue in
                Self.workShare(queue.flow.work, queue.settings).map { (["queue": queue.name], $0) }
            })
        paused.set(
            seen.filter { $0.settings.deadLetterBreaker != nil }.map { queue in
                (["queue": queue.name], queue.counts.pausedMs > 0 ? 1 : 0)
            })
    }

    private func look(at queue: QueueDescription, _ nowMs: Int64) -> Seen? {
        // What cannot be counted just now is left out; of a queue whose oldest message cannot be read, its age.
        let found =
            (try? queues.counts(of: queue.name, withOldest: true).answer.get())
            ?? (try? queues.counts(of: queue.name, withOldest: false).answer.get())
        return found.map { counts in
            Seen(
                name: queue.name, settings: queue.settings, counts: counts,
                flow: (try? queues.flow(of: queue.name).answer.get()) ?? QueueFlow(),
                oldestAgeMs: Self.age(of: counts.oldestSentMs, nowMs),
                takesDeadLetters: !queues.deadLetterSources(of: queue.name).isEmpty)
        }
    }

    /// A record of a client's has whatever time he has written: one from before 1970 tells of no age.
    static func age(of sentMs: Int64?, _ nowMs: Int64) -> Int64 {
        guard let sentMs, sentMs >= 0 else { return 0 }
        return max(0, nowMs - sentMs)
    }

    /// Nil: there were too few messages, or they are anybody's as soon as they are received.
    static func workShare(_ work: WorkTimes, _ settings: QueueSettings) -> Double? {
        guard work.count >= leastWorked, settings.visibilityMs > 0, let longest = work.percentileMs(99) else {
            return nil
        }
        return Double(longest) / Double(settings.visibilityMs)
    }
}

extension QueueFlow {
    /// A queue that takes longer to empty takes as long.
    static let maxDrainSeconds = 31_536_000.0

    /// Seconds in which what is there is worked off at the rate of the last minute, were nothing to come any more; `maxDrainSeconds` at most. So a
    /// queue that is busy and has little in it is no slow one. Nil: nothing comes and nothing is acknowledged, or that is not known.
    var drainSeconds: Double? {
        guard let arrivedPerSecond, let acknowledgedPerSecond else { return nil }
        let backlog = counts.visible + counts.inFlight + counts.delayed + counts.ending
        if backlog == 0 { return 0 }
        guard arrivedPerSecond > 0 || acknowledgedPerSecond > 0 else { return nil }
        return min(Double(backlog) / acknowledgedPerSecond, Self.maxDrainSeconds)
    }
}
