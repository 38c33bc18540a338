public import ByteBuffers
import Coordinators
public import JobLedger
import KafkaModel
import LogStorage
import Synchronization
import Telemetry

/// Keeps the ledger of jobs: what runs, how far it is, and how what ran has ended, as records of the topic `__jobs`.
///
/// ```
///   begin ─► progress … ─► end         each is a record, and can be told once that is on disk
///                  └─ settle ──► thread "jobs": the job's commits are over ─► its topics are counted ─► end
///   a start ─► files that were sent and redrives that run, and are nobody's ─► their topics are counted ─► end: failed
///           ├► pulls that run stay so, for who goes on with them: adopt, storedLines
///           └► so do files of watched directories: resume ─► their topics are counted ─► progress … ─► end
/// ```
/// Progress is of what is on disk for certain, and so behind what its topics have. What they have more is found by its marks
/// (``JobMark``) behind the floors that each record of progress has: the same count after a crash, after a commit that failed or came too
/// late, and after a client that has gone.
///
/// The topic is made with the first job; until then there is none, and no thread's time. Calls may wait for a lock, not for a disk, but
/// for those that say so.
public final class Jobs: StateCoordinator {
    struct Shard: StoredShard {
        var machine = JobShard()
        let log: PartitionLog
        var term: LeaderEpoch?
        var ticket: UInt64 = 0
        var countedBytes = 0
        var isSuspended = false
        var suspensions = 0
        var resumption = Resumption()

        mutating func beginLoading() { machine.beginLoading() }
        mutating func wasReplayed(_ bytes: Int64) {}
        mutating func wasAppended(_ receipt: AppendReceipt, _ bytes: Int) {}
    }

    struct Wiring {
        unowned var broker: Broker
        var shards: [Lock<Shard>] = []
        var thread: Thread?
        var isActive = false
        var stopping = false
    }

    /// A job that is to end once its commits are over.
    private struct Settlement {
        var end: JobEnd
        var ticket: UInt64
    }

    static let suspendedMessage: StaticString = "jobs are not kept until their log works again"
    static let resumedMessage: StaticString = "jobs are kept again"
    /// The cleaner never touches an active segment, and a start replays all of it.
    static let segmentBytes = 4 << 20
    /// How often jobs that wait for their commits are looked at.
    private static let settlementMs: Int64 = 20

    private let wiring = Lock<Wiring?>(nil)
    /// The jobs of this process.
    private let live = Lock<[JobID: RunningJob]>([:])
    private let settlements = Lock<[Settlement]>([])
    let signal = Signal()

    init() {}

    func attach(_ broker: Broker) { wiring.withLock { $0 = Wiring(broker: broker) } }

    private var broker: Broker { wiring.withLock { $0!.broker } }
    var shards: [Lock<Shard>] { wiring.withLock { $0!.shards } }
    var isActive: Bool { wiring.withLock { $0!.isActive } }

    // MARK: Jobs

    /// Whether the topic of jobs is there: else `open` makes it.
    public var isOpen: Bool { !shards.isEmpty }

    /// Makes the topic of jobs where it is missing. Waits for the disk: on `Broker.admin`.
    public func makeTopic() -> TopicRefusal? {
        if isOpen { return nil }
        let topic: Topic
        if let made = broker.catalog.topic(named: Topic.jobsTopicName) {
            topic = made
        } else {
            switch broker.createTopic(
                Topic.jobsTopicName, isOwn: true, partitions: 1,
                settings: [
                    "cleanup.policy": "compact", "compression.type": "producer",
                    "segment.bytes": String(Self.segmentBytes),
                ])
            {
            case .success(let made): topic = made
            case .failure(let refusal): return refusal
            }
        }
        serve(topic)
        for log in topic.partitions where log.leadership.isLeader { load(log) }
        return nil
    }

    /// Begins a job of this process. It is known to a start once the commit that is named is on disk.
    public func begin(_ job: Job) throws(JobRefusal) -> (job: RunningJob, commits: CommitSpan) {
        let running = RunningJob(job.id)
        // Before its record: a shard that is loaded in between takes it for its own.
        live.withLock { $0[job.id] = running }
        do throws(JobRefusal) {
            let commits = try change { ledger throws(JobRefusal) in try ledger.begin(job) }
            return (running, commits)
        } catch {
            live.withLock { $0[job.id] = nil }
            throw error
        }
    }

    /// Tells what of a job is on disk, and the ends of its topics before anything else of it was appended.
    ///
    /// - Parameter pull: of a pull how far it is.
    public func progress(
        of job: RunningJob, _ progress: JobProgress, _ floors: JobFloors, pull: PullProgress? = nil
    ) throws(JobRefusal) -> CommitSpan {
        try change { ledger throws(JobRefusal) in
            [try ledger.progress(of: job.id, progress, floors, pull: pull, nowMs: BrokerClock.wallMs())]
        }
    }

    /// Goes on with the job of a pull that a process has left behind; throws where it has ended, or somebody of this process has it.
    public func adopt(_ id: JobID) throws(JobRefusal) -> (running: RunningJob, job: Job) {
        let running = RunningJob(id)
        let isFree = live.withLock { live in
            if live[id] != nil { return false }
            live[id] = running
            return true
        }
        guard isFree else { throw .unavailable("the job is somebody's") }
        do throws(JobRefusal) {
            let job = try job(id)
            guard job.state == .running else { throw .ended }
            return (running, job)
        } catch {
            live.withLock { $0[id] = nil }
            throw error
        }
    }

    /// Leaves the job of a pull as it is, for the next process.
    public func leave(_ job: RunningJob) { live.withLock { $0[job.id] = nil } }

    /// Whether somebody of this process has it.
    public func isOwned(_ id: JobID) -> Bool { live.withLock { $0[id] != nil } }

    /// The rows that a pull has behind its floors, in its topic and in its quarantine, by their numbers. On a thread that may wait.
    public func storedLines(of job: Job) throws(JobRefusal) -> (accepted: Set<Int64>, rejected: Set<Int64>) {
        let catalog = broker.catalog
        return (
            try JobMark.lines(of: job.id, in: catalog.topic(named: job.topic), behind: job.floors.topic),
            try JobMark.lines(of: job.id, in: catalog.topic(named: job.quarantine), behind: job.floors.quarantine)
        )
    }

    /// Where the topics of a job end now.
    public func floors(topic: String, quarantine: String) -> JobFloors {
        let catalog = broker.catalog
        func ends(_ name: String) -> JobFloors.Ends? {
            catalog.topic(named: name).map { topic in
                JobFloors.Ends(topicID: topic.id, offsets: topic.partitions.map(\.logEndOffset))
            }
        }
        return JobFloors(topic: ends(topic), quarantine: ends(quarantine))
    }

    /// Waits until commits are on disk, or known not to be just now; whether they are, with all that its topics and that of jobs had appended.
    public func isOnDisk(_ commits: CommitSpan, of job: Job) -> Bool {
        broker.queues.areDurable(commits) && !hasLeftOutAppends([job.topic, job.quarantine, Topic.jobsTopicName])
    }

    /// Ends a job all of which is on disk. One that could not be ended stays this process' own, for `settle`: a shard that is loaded
    /// in between leaves it alone.
    public func end(_ end: JobEnd, _ progress: JobProgress) throws(JobRefusal) -> CommitSpan {
        let commits = try change { ledger throws(JobRefusal) in
            [
                try ledger.end(
                    end.id, end.state, reason: end.reason, progress, rejected: end.rejected,
                    nowMs: BrokerClock.wallMs())
            ]
        }
        live.withLock { $0[end.id] = nil }
        return commits
    }

    /// Ends a job of which nobody knows what is on disk: it is counted when that is settled, by this process or by the next.
    ///
    /// - Parameter ticket: that of its newest append; 0: none.
    public func settle(_ end: JobEnd, after ticket: UInt64) {
        settlements.withLock { $0.append(Settlement(end: end, ticket: ticket)) }
        signal.raise()
    }

    /// Goes on with the job of a watched file that runs and that nobody is at. On a thread that may wait.
    ///
    /// - Throws: it has ended; or what it has appended is not on disk yet, and so it cannot be said what is there.
    public func resume(_ id: JobID) throws(JobRefusal) -> ResumedJob {
        let job = try job(id)
        guard job.state == .running else { throw .ended }
        let running = live.withLock { live in
            let running = live[id] ?? RunningJob(id)
            live[id] = running
            return running
        }
        let store = broker.store
        if store.durableTicket < running.newestTicket { store.commitPending() }
        guard store.durableTicket >= running.newestTicket,
            !hasLeftOutAppends([job.topic, job.quarantine, Topic.jobsTopicName])
        else {
            throw .unavailable("what the job has appended is not on disk")
        }
        let catalog = broker.catalog
        return ResumedJob(
            job: job, running: running,
            rows: try JobMark.rowsByPartition(
                of: id, in: catalog.topic(named: job.topic), behind: job.floors.topic),
            quarantined: try JobMark.rows(
                of: id, in: catalog.topic(named: job.quarantine), behind: job.floors.quarantine))
    }

    /// Whether something of a job's topics is in no file yet, though its commit is over: it may be written later, and is not to be
    /// missing from a count. Asked after the durable ticket: who sees a ticket durable sees what its commit left out.
    public func hasLeftOutAppends(_ topics: [String]) -> Bool {
        let catalog = broker.catalog
        return topics.compactMap { catalog.topic(named: $0) }.flatMap(\.partitions).contains { $0.hasLeftOutAppends }
    }

    /// Has a job end at its next window; a pull that nobody goes on with at once. nil: it is known, and runs.
    public func cancel(_ id: JobID) -> JobRefusal? {
        if let running = live.withLock({ $0[id] }) {
            running.cancel()
            return nil
        }
        do throws(JobRefusal) {
            let job = try job(id)
            if job.state != .running { return .ended }
            if job.kind == .upload { return .unavailable("the job is being counted") }
            settle(JobEnd(id, .cancelled, reason: "The job was cancelled."), after: 0)
            return nil
        } catch {
            return error
        }
    }

    public func job(_ id: JobID) throws(JobRefusal) -> Job {
        guard let job = try read({ $0[id] }) else { throw .notFound }
        return job
    }

    /// All that are known, newest first.
    public func jobs() throws(JobRefusal) -> [Job] { try read { $0.newestFirst } }

    // MARK: The ledger

    private func read<Result>(_ body: (JobLedger) -> Result) throws(JobRefusal) -> Result {
        guard let lock = shards.first else { return body(JobLedger()) }
        return try lock.withLock { shard throws(JobRefusal) in
            try check(&shard)
            return body(shard.machine.ledger)
        }
    }

    /// Appends what the ledger says and takes it in. The result rests on the commit that is named.
    private func change(_ body: (JobLedger) throws(JobRefusal) -> [JobChange]) throws(JobRefusal) -> CommitSpan {
        guard let lock = shards.first else { throw .unavailable("no job was begun yet") }
        let commits = try lock.withLock { shard throws(JobRefusal) in
            try check(&shard)
            shard.prepare(memoryBytes: 0)
            try Self.append(try body(shard.machine.ledger), &shard)
            return CommitSpan(shard.ticket)
        }
        broker.store.kick()
        return commits
    }

    private static func append(_ changes: [JobChange], _ shard: inout Shard) throws(JobRefusal) {
        let records = changes.map { CoordinatorRecord(key: $0.key, value: $0.value) }
        guard shard.append(records, BrokerClock.now()) else {
            throw .unavailable("the log of jobs takes nothing just now")
        }
        for change in changes { shard.machine.ledger.apply(change) }
    }

    private func check(_ shard: inout Shard) throws(JobRefusal) {
        let store = broker.store
        if shard.term == nil { throw .unavailable("another node keeps the jobs") }
        if store.isOffline { throw .unavailable("the data folder takes no writes") }
        if !shard.isSuspended, !shard.follow(store) {
            shard.machine.beginLoading()
            suspendEmptied(&shard)
        }
        guard !shard.isSuspended, shard.machine.phase == .active else {
            throw .unavailable("the jobs are being loaded")
        }
    }

    // MARK: A start, and an end

    private func serve(_ topic: Topic) {
        let shards = topic.partitions.prefix(1).map { Lock(Shard(log: $0)) }
        wiring.withLock { $0!.shards = shards }
    }

    /// Takes up the topic where it is there already.
    func open() {
        if let topic = broker.catalog.topic(named: Topic.jobsTopicName) { serve(topic) }
    }

    /// Ends what ran in a process that is gone, and keeps the jobs from then on. Waits for the disk.
    func begin(_ shard: Lock<Shard>) {
        let known = shard.withLock { shard in
            shard.term != nil && !shard.isSuspended && shard.machine.phase == .loading
                ? (shard.machine.ledger, shard.suspensions) : nil
        }
        guard let (ledger, suspensions) = known else { return }
        let mine = live.withLock { Set($0.keys) }
        let ended = ledger.running.filter { ![.pull, .watch].contains($0.kind) && !mine.contains($0.id) }.map { job in
            counted(job, JobEnd(job.id, .failed, reason: Self.stopReason(of: job.kind)), ledger)
        }
        shard.withLock { shard in
            guard shard.term != nil, !shard.isSuspended, shard.suspensions == suspensions else { return }
            shard.machine.phase = .active
            do throws(JobRefusal) {
                if !ended.isEmpty { try Self.append(ended, &shard) }
            } catch {
                // They are told as they are all the same, and the next start finds them again.
                for change in ended { shard.machine.ledger.apply(change) }
                Log.warning("jobs that a stop has ended are counted again at the next start", "reason", "\(error)")
            }
        }
        broker.store.kick()
    }

    private static func stopReason(of kind: Job.Kind) -> String {
        kind == .redrive
            ? "The server stopped while messages were moved: what was not moved is still there, and some of the last may be in both queues."
            : "The server stopped while the file came."
    }

    /// The end of a job by what its topics have of it; of a redrive, whose messages are in no batches of its own, by what was told last.
    private func counted(_ job: Job, _ end: JobEnd, _ ledger: JobLedger) -> JobChange {
        if job.kind == .redrive { return Self.ended(job, end, job.progress, end.reason, ledger) }
        var (progress, reason) = (job.progress, end.reason)
        let catalog = broker.catalog
        do throws(JobRefusal) {
            progress.accepted += try JobMark.rows(
                of: job.id, in: catalog.topic(named: job.topic), behind: job.floors.topic)
            progress.rejected += try JobMark.rows(
                of: job.id, in: catalog.topic(named: job.quarantine), behind: job.floors.quarantine)
        } catch {
            progress = job.progress
            reason = (reason ?? "") + " What is stored behind line \(progress.line) could not be counted."
            Log.error("a job's rows cannot be counted", "job", job.id.text, "reason", "\(error)")
        }
        return Self.ended(job, end, progress, reason, ledger)
    }

    private static func ended(
        _ job: Job, _ end: JobEnd, _ progress: JobProgress, _ reason: String?, _ ledger: JobLedger
    ) -> JobChange {
        do throws(JobRefusal) {
            return try ledger.end(
                job.id, end.state, reason: reason, progress, rejected: end.rejected, nowMs: BrokerClock.wallMs())
        } catch {
            preconditionFailure("a job that runs cannot end: \(error)")
        }
    }

    func unload(_ log: PartitionLog) {
        shard(of: log)?.withLock { shard in
            shard.term = nil
            shard.isSuspended = false
            shard.ticket = 0
            shard.machine.beginLoading()
        }
    }

    /// Jobs are kept from now on; without the thread.
    func activate() {
        wiring.withLock { $0!.isActive = true }
        beginAll()
    }

    func start() {
        activate()
        // It holds the broker until `stop`.
        let thread = Thread(name: "jobs") { [self, broker] in withExtendedLifetime(broker) { runThread() } }
        wiring.withLock { $0!.thread = thread }
    }

    func stop() {
        let thread = wiring.withLock { wiring in
            wiring!.stopping = true
            defer { wiring!.thread = nil }
            return wiring!.thread
        }
        signal.raise()
        thread?.join()
    }

    // MARK: The thread

    private func runThread() {
        while true {
            let nowMs = BrokerClock.monotonicMs()
            let resumeMs = resumeSuspended(nowMs).map { max(1, $0 - nowMs) }
            let settleMs = settleDue() ? Self.settlementMs : nil
            // What can be settled is, once more: a stop leaves as little as it can to the next start.
            if wiring.withLock({ $0!.stopping }) { return }
            signal.wait(timeoutMs: [resumeMs, settleMs].compactMap(\.self).min())
        }
    }

    /// Ends the jobs whose commits are over; gives whether others wait.
    func settleDue() -> Bool {
        let durable = broker.store.durableTicket
        let due = settlements.withLock { all in
            defer { all.removeAll { $0.ticket <= durable } }
            return all.filter { $0.ticket <= durable }
        }
        for settlement in due where !settle(settlement.end) {
            settlements.withLock { $0.append(settlement) }
        }
        // What is offline stays so, and the next start counts.
        return !broker.store.isOffline && settlements.withLock { !$0.isEmpty }
    }

    /// False: not just now.
    private func settle(_ end: JobEnd) -> Bool {
        guard let lock = shards.first else { return true }
        do throws(JobRefusal) {
            let (job, ledger) = try read { ($0[end.id], $0) }
            if let job, job.state == .running {
                if hasLeftOutAppends([job.topic, job.quarantine]) { return false }
                let change = counted(job, end, ledger)
                try lock.withLock { shard throws(JobRefusal) in
                    try check(&shard)
                    try Self.append([change], &shard)
                }
                broker.store.kick()
            }
            live.withLock { $0[end.id] = nil }
            return true
        } catch {
            return false
        }
    }
}

/// A job of this process, for who runs it.
public final class RunningJob: Sendable {
    public let id: JobID
    private let cancelled = Atomic<Bool>(false)
    private let ticket = Atomic<UInt64>(0)

    init(_ id: JobID) { self.id = id }

    /// Nobody is at it any more, and it runs on. `newest`: the ticket of its newest append.
    public func leave(after newest: UInt64) { ticket.store(newest, ordering: .releasing) }

    /// Of what was appended before it was left.
    var newestTicket: UInt64 { ticket.load(ordering: .acquiring) }

    /// It is to take nothing more.
    public var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    func cancel() { cancelled.store(true, ordering: .relaxed) }
}

/// A job of a watched file that somebody goes on with.
public struct ResumedJob: Sendable {
    /// As its log has it.
    public let job: Job
    public let running: RunningJob
    /// Rows behind its floors: in each partition of its topic (empty: it is not there, or another one), and in its quarantine.
    public let rows: [Int64]
    public let quarantined: Int64
}

/// How a job ends.
public struct JobEnd: Sendable {
    public let id: JobID
    public let state: Job.State
    /// Why it did not finish.
    public let reason: String?
    /// The first rows that were not acceptable.
    public let rejected: [RejectedRow]

    public init(_ id: JobID, _ state: Job.State, reason: String? = nil, rejected: [RejectedRow] = []) {
        self.id = id
        self.state = state
        self.reason = reason
        self.rejected = rejected
    }
}
