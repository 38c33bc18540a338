import BrokerCore
import KafkaModel
import KafkaWire

/// The steps of one request, each by itself, and the result that they fill: changes of metadata, or look-ups that may wait
/// for the disk.
struct SlicedPlan<Result: Sendable>: Sendable {
    var count: Int
    /// How long the client waits, 0 when it does not say; what has not begun by then is not done.
    var timeoutMs = ChangeLimits.maxTimeMs
    /// Takes step number n, which may block, and puts what came of it into the result.
    var step: @Sendable (Int, inout Result) -> Void
    /// Puts into the result that there was no time for step number n.
    var timedOut: @Sendable (Int, inout Result) -> Void
}

extension SlicedPlan {
    /// Takes all steps at once, on this thread.
    func run(from result: Result) -> Result {
        var result = result
        for number in 0..<count { step(number, &result) }
        return result
    }
}

enum ChangeLimits {
    /// Topics, partitions and settings that one request may change, as Kafka's controller: more are refused as a whole,
    /// with POLICY_VIOLATION.
    static let maxRecords = 10_000
    static let tooMany = TopicRefusal(.policyViolation, "Unable to perform excessively large batch operation.")
    static let late = TopicRefusal(.requestTimedOut, "The request timed out before this was begun.")
    /// The longest that one request's changes may go on, whatever its client says; a client has long given up then.
    static let maxTimeMs: Int64 = 300_000
    /// How long one request's steps go on before other clients' have their turn.
    static let sliceMs: Int64 = 20
}

/// Runs a plan on the broker's admin thread or on workers, some steps at a time, so that a request of thousands does not hold
/// up the others.
final class SlicedRun<Result: Sendable>: @unchecked Sendable {
    // SAFETY: used by one thread at a time: the one that starts it, then jobs, each of which the one before has submitted.
    private let plan: SlicedPlan<Result>
    private var result: Result
    private var next = 0
    private let submit: @Sendable (@escaping @Sendable () -> Void) -> Bool
    private let deadlineMs: Int64
    private let standing: Standing?
    private let finish: @Sendable (Result?) -> Void

    /// Makes a run on the admin thread. `finish` gets what the steps have made of `result`, or nil when that thread's
    /// queue is full.
    convenience init(
        _ plan: SlicedPlan<Result>, from result: Result, on admin: WorkQueue, for standing: Standing? = nil,
        finish: @escaping @Sendable (Result?) -> Void
    ) {
        self.init(plan, from: result, for: standing, submit: { admin.submit($0) }, finish: finish)
    }

    /// Makes a run. `submit` puts a slice behind all that waits, or says that too much does. What `standing` does not hold for
    /// any more is left undone: nobody waits for its answer, for the connection is closed.
    init(
        _ plan: SlicedPlan<Result>, from result: Result, for standing: Standing? = nil,
        submit: @escaping @Sendable (@escaping @Sendable () -> Void) -> Bool,
        finish: @escaping @Sendable (Result?) -> Void
    ) {
        self.result = result
        self.standing = standing
        self.plan = plan
        self.submit = submit
        self.finish = finish
        deadlineMs =
            BrokerClock.monotonicMs()
            + (plan.timeoutMs > 0 ? min(plan.timeoutMs, ChangeLimits.maxTimeMs) : ChangeLimits.maxTimeMs)
    }

    func start() {
        if !submit({ self.runSlice() }) { finish(nil) }
    }

    /// Takes steps until the slice's time is over. Called from a thread that is one of those it runs on.
    func runSlice() {
        let begin = BrokerClock.monotonicMs()
        var now = begin
        if let standing, !standing.holds { return finish(result) }
        while next < plan.count, now - begin < ChangeLimits.sliceMs {
            // The first step is always taken.
            if now > deadlineMs, next > 0 {
                plan.timedOut(next, &result)
            } else {
                plan.step(next, &result)
            }
            next += 1
            now = BrokerClock.monotonicMs()
        }
        if next < plan.count { start() } else { finish(result) }
    }
}
