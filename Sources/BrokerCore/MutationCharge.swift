import ByteBuffers
import KafkaModel
public import Security

/// What one request takes of its client's `controller_mutation_rate`: a token for each partition that it makes or removes.
///
/// Strict where the version of the API has an error for it (THROTTLING_QUOTA_EXCEEDED): what comes while the client is in debt is
/// refused. Else all is done, and the reply makes the client wait. Used by one thread after the other. Source: KIP-599.
public final class MutationCharge: Sendable {
    private struct Wait {
        var time = Duration.zero
        var from = MonotonicTime(milliseconds: 0)
    }

    private let keeper: QuotaKeeper
    private let limit: ClientLimits.Limit
    private let isStrict: Bool
    private let wait = Lock<Wait>(Wait())

    public init(_ keeper: QuotaKeeper, _ limit: ClientLimits.Limit, isStrict: Bool) {
        self.keeper = keeper
        self.limit = limit
        self.isStrict = isStrict
    }

    /// Why `partitions` must not be made or removed now.
    public func take(_ partitions: Int, nowMs: Int64 = BrokerClock.monotonicMs()) -> TopicRefusal? {
        let now = MonotonicTime(milliseconds: nowMs)
        let (isTaken, time) = keeper.takeMutations(partitions, limit, isStrict: isStrict, now: now)
        if let time { wait.withLock { $0 = Wait(time: time, from: now) } }
        return isTaken ? nil : TopicRefusal(.throttlingQuotaExceeded, "The throttling quota has been exceeded.")
    }

    /// What is left of the wait that the last refusal, or the debt, has brought.
    public func rest(now: MonotonicTime) -> Duration {
        wait.withLock { max(.zero, $0.time - (now - $0.from)) }
    }
}
