import BrokerCore
import ByteBuffers
import JobLedger
import KafkaModel
import Synchronization
import Telemetry

/// The gateway's pulls, each with a thread of its own, which runs it one time after the other.
///
/// What a run has to know when it goes on stands in its job (`PullRun`), and when the next one is due follows from the newest job: there is
/// no other state.
public final class Pulls: Sendable {
    /// Each has a thread, and the bytes of a page while it runs; a configuration with more is refused.
    public static let maxPulls = 16

    private struct State {
        var pool: ChunkPool?
        var all: [Pull] = []
        var isStopped = false
    }

    private let state = Lock(State())
    /// Held by who changes which ones there are.
    private let changing = Lock<Void>(())

    init() {}

    /// Memory for what is stored: the edges' own.
    func use(_ pool: ChunkPool) { state.withLock { $0.pool = $0.pool ?? pool } }

    /// In the order of their names.
    var all: [Pull] { state.withLock { $0.all }.sorted { $0.definition.name < $1.definition.name } }

    subscript(name: String) -> Pull? { state.withLock { $0.all }.first { $0.definition.name == name } }

    /// Lets exactly these be there. One that stays as it is goes on; the run of one that has changed, or is gone, ends. Blocks until it has.
    ///
    /// - Parameter source: makes who asks the server of a definition.
    public func replace(
        _ definitions: [PullDefinition], of gateway: Gateway, source: (PullDefinition) -> any PullSource
    ) {
        precondition(definitions.count <= Self.maxPulls, "\(definitions.count) pulls")
        changing.withLock { _ in
            let before = all
            let (kept, ended) = (
                before.filter { definitions.contains($0.definition) },
                before.filter { !definitions.contains($0.definition) }
            )
            for pull in ended { pull.interrupt(.removed) }
            for pull in ended { pull.join() }
            let pool = state.withLock { $0.pool } ?? .shared
            let made = definitions.filter { definition in !kept.contains { $0.definition == definition } }
                .map { Pull($0, gateway, pool, source($0)) }
            let isStopped = state.withLock { state in
                if !state.isStopped { state.all = kept + made }
                return state.isStopped
            }
            if isStopped { return }
            Self.endOrphans(of: gateway.broker, but: Set(definitions.map(\.name)))
            for pull in made { pull.start() }
        }
    }

    /// Ends runs that nobody goes on with.
    private static func endOrphans(of broker: Broker, but names: Set<String>) {
        guard let jobs = try? broker.jobs.jobs() else { return }
        for job in jobs where job.state == .running {
            guard let pull = job.pull, !names.contains(pull.name), !broker.jobs.isOwned(job.id) else { continue }
            broker.jobs.settle(
                JobEnd(job.id, .failed, reason: "The configuration has no such pull any more."), after: 0)
        }
    }

    /// Stops all; runs go on with the next start.
    public func stop() {
        let all = state.withLock { state in
            state.isStopped = true
            return state.all
        }
        for pull in all { pull.interrupt(.server) }
        for pull in all { pull.join() }
    }
}

/// One pull at work.
final class Pull: @unchecked Sendable {
    // SAFETY: `source` is the thread's alone; the rest is constant or has its lock.
    let definition: PullDefinition
    private unowned let gateway: Gateway
    private let pool: ChunkPool
    private let source: any PullSource
    private let signal = Signal()
    private let stopping = Atomic<Int>(0)
    private let thread = Lock<Thread?>(nil)
    private let state = Lock(State())

    enum Stop: Int {
        /// The server stops: the run goes on later.
        case server = 1
        /// The pull is another one now, or none.
        case removed
    }

    private enum Stage {
        /// It is not known whether a run was left behind.
        case starting
        case idle
        case wanted(Begun)
        case running
        /// Its thread has ended.
        case ended
    }

    struct Begun {
        let job: Job
        let running: RunningJob
        let commits: CommitSpan
    }

    private struct State {
        var stage = Stage.starting
        var trouble: String?
        var nextMs: Int64?
    }

    /// How long it is waited until something is tried again that did not work, in milliseconds.
    private static let againMs: Int64 = 1_000

    init(_ definition: PullDefinition, _ gateway: Gateway, _ pool: ChunkPool, _ source: any PullSource) {
        (self.definition, self.gateway, self.pool, self.source) = (definition, gateway, pool, source)
    }

    private var jobs: Jobs { gateway.broker.jobs }

    /// The address as it may be shown.
    var shownAddress: String { definition.pages.address.withoutQuery }

    // MARK: The thread

    func start() {
        thread.withLock { thread in
            thread = Thread(name: "pull") { [self, gateway] in withExtendedLifetime(gateway) { runThread() } }
        }
    }

    func interrupt(_ stop: Stop) {
        stopping.store(stop.rawValue, ordering: .releasing)
        signal.raise()
    }

    func join() {
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
        let stage = state.withLock { state in
            defer { state.stage = .ended }
            return state.stage
        }
        // What was asked for and not begun.
        guard case .wanted(let begun) = stage else { return }
        run(begun)
        state.withLock { $0.stage = .ended }
    }

    private var isStopping: Bool { stopping.load(ordering: .acquiring) != 0 }

    private func runThread() {
        while !isStopping {
            let waitMs = turn()
            if isStopping { return }
            signal.wait(timeoutMs: waitMs)
        }
    }

    /// Does what is due; gives the milliseconds until there is more. nil: that is told.
    private func turn() -> Int64? {
        switch state.withLock({ $0.stage }) {
        case .starting: return takeUp()
        case .idle: return schedule()
        case .wanted(let begun):
            state.withLock { $0.stage = .running }
            run(begun)
            return 0
        case .running, .ended: preconditionFailure("a pull that runs twice")
        }
    }

    private func run(_ begun: Begun) {
        Log.info(
            "a run of a pull begins", "pull", definition.name, "job", begun.job.id.text, "page",
            "\((begun.job.pull?.pages ?? 0) + 1)")
        let run = PullRun(
            definition, begun.job, begun.running, begun.commits,
            PullRun.Surroundings(
                gateway: gateway, pool: pool, source: source, stop: { [self] in stopEnd },
                rest: { [signal] in _ = signal.wait(timeoutMs: $0) }))
        let reason = run.run()
        if let reason {
            Log.warning(
                "a run of a pull has not finished", "pull", definition.name, "job", begun.job.id.text, "reason", reason)
        } else {
            Log.info("a run of a pull is over", "pull", definition.name, "job", begun.job.id.text)
        }
        state.withLock { $0.stage = .idle }
    }

    private var stopEnd: PullRun.End? {
        switch Stop(rawValue: stopping.load(ordering: .acquiring)) {
        case nil: nil
        case .server: .left
        case .removed: .cancelled("The pull was changed, or taken out of the configuration.")
        }
    }

    // MARK: Runs

    /// Goes on with the run that a process has left behind.
    private func takeUp() -> Int64? {
        do throws(JobRefusal) {
            let left = try jobs.jobs().first { $0.state == .running && $0.pull?.name == definition.name }
            guard let left else {
                state.withLock { ($0.stage, $0.trouble) = (.idle, nil) }
                return 0
            }
            // One of another definition is being ended.
            if jobs.isOwned(left.id) { return Self.againMs }
            let (running, job) = try jobs.adopt(left.id)
            guard job.route == shownAddress, job.topic == definition.topic, job.quarantine == definition.quarantine
            else {
                jobs.settle(
                    JobEnd(job.id, .failed, reason: "The pull has another address or topic than when it began."),
                    after: 0)
                return Self.againMs
            }
            state.withLock { ($0.stage, $0.trouble) = (.running, nil) }
            run(Begun(job: job, running: running, commits: CommitSpan()))
            return 0
        } catch {
            return wait(for: error)
        }
    }

    private func wait(for refusal: JobRefusal) -> Int64 {
        let words = Problem(refusal).detail
        state.withLock { $0.trouble = words }
        return Self.againMs
    }

    /// Begins the run that is due.
    private func schedule() -> Int64? {
        guard let everyMs = definition.everyMs else { return nil }
        do throws(JobRefusal) {
            let nowMs = BrokerClock.wallMs()
            let newest = try jobs.jobs().first { $0.pull?.name == definition.name }
            // By a clock that was set back the wait is no longer than it may be.
            let dueMs = newest.map { min($0.createdMs, nowMs) + everyMs } ?? nowMs
            state.withLock { $0.nextMs = dueMs }
            if nowMs < dueMs { return dueMs - nowMs }
            if let refusal = makeJobs() { throw .unavailable(refusal.message) }
            switch begin(owner: nil) {
            case .success: return 0
            case .failure(let refusal): throw refusal
            }
        } catch {
            return wait(for: error)
        }
    }

    private func makeJobs() -> TopicRefusal? {
        if jobs.isOpen { return nil }
        let (work, done) = (FileTopicWork(.jobs, gateway.broker), Signal())
        if work.begin({ done.raise() }) { done.wait() } else { work.refuse() }
        return work.refusal
    }

    /// Begins a run, unless one is under way, which is `ended`: its job, which rests on a commit. The topic of jobs is there.
    func begin(owner: String?) -> Result<Begun, JobRefusal> {
        let outcome: Result<Begun, JobRefusal> = state.withLock { state in
            switch state.stage {
            case .starting, .ended: return .failure(.unavailable("the pull is not ready yet"))
            case .wanted, .running: return .failure(.ended)
            case .idle: break
            }
            var identifiers = UUIDv7Generator()
            let nowMs = BrokerClock.wallMs()
            let id = identifiers.next(atMs: nowMs)
            let job = Job(
                id: JobID(high: id.high, low: id.low), route: shownAddress, topic: definition.topic,
                quarantine: definition.quarantine, owner: owner, fileName: nil, createdMs: nowMs,
                floors: jobs.floors(topic: definition.topic, quarantine: definition.quarantine),
                pull: PullProgress(name: definition.name))
            do throws(JobRefusal) {
                let (running, commits) = try jobs.begin(job)
                let begun = Begun(job: job, running: running, commits: commits)
                (state.stage, state.trouble) = (.wanted(begun), nil)
                return .success(begun)
            } catch {
                return .failure(error)
            }
        }
        if case .success = outcome { signal.raise() }
        return outcome
    }

    /// When the next run is due, in milliseconds since 1970, and why it does not begin; nil: neither.
    var outlook: (nextMs: Int64?, trouble: String?) {
        state.withLock { state in (definition.everyMs == nil ? nil : state.nextMs, state.trouble) }
    }
}
