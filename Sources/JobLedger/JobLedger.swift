public import ByteBuffers
import KafkaModel

/// Bounds of what is kept of jobs.
public struct JobLimits: Sendable {
    /// Files that are taken at a time; another one is refused (`tooManyRunning`).
    public var running = 64
    /// Redrives that run at a time; another one is refused like that. Source: SQS, StartMessageMoveTask.
    public var redrives = 100
    /// Jobs of each kind that have ended, at most, and how long each is known, in milliseconds: the oldest are forgotten when another one begins.
    public var remembered = 500
    public var rememberedMs: Int64 = 7 * 24 * 3_600_000
    /// Rows that were not acceptable of which one job tells; the quarantine has all of them.
    public var listed = Self.mostListed
    public static let mostListed = 100

    public init() {}
}

/// Why a job cannot be begun or changed.
public enum JobRefusal: Error, Equatable, Sendable {
    case tooManyRunning(Int)
    case notFound
    /// It has ended.
    case ended
    /// The log of jobs cannot be used just now.
    case unavailable(String)
}

/// One change of the ledger: what a record of its log says.
public enum JobChange: Equatable, Sendable {
    case put(Job)
    case forgotten(JobID)
}

/// All jobs that are known: what a log's records give. The same records in the same order, the same jobs.
///
/// A call gives the changes that it leads to and changes nothing: whoever has appended their records applies them. Times are told by
/// the caller, in milliseconds since 1970.
public struct JobLedger: Sendable {
    public let limits: JobLimits
    private var jobs: [JobID: Job] = [:]
    /// Bytes of memory, about.
    public private(set) var memoryBytes = 0

    public init(_ limits: JobLimits = JobLimits()) { self.limits = limits }

    public subscript(id: JobID) -> Job? { jobs[id] }

    /// Newest first.
    public var newestFirst: [Job] { jobs.values.sorted { $0.id > $1.id } }

    public var running: [Job] { jobs.values.filter { $0.state == .running }.sorted { $0.id < $1.id } }

    // MARK: Events

    /// Begins a job, and forgets the oldest ones that have ended beyond what is remembered.
    public func begin(_ job: Job) throws(JobRefusal) -> [JobChange] {
        precondition(jobs[job.id] == nil && job.state == .running, "job \(job.id.text) begins twice")
        let most = job.kind == .redrive ? limits.redrives : limits.running
        guard jobs.values.count(where: { $0.state == .running && $0.kind == job.kind }) < most else {
            throw .tooManyRunning(most)
        }
        return forgettable(nowMs: job.createdMs).map { .forgotten($0) } + [.put(job)]
    }

    /// Those that have ended and are not remembered any longer, the oldest first.
    private func forgettable(nowMs: Int64) -> [JobID] {
        let ended = jobs.values.filter { $0.state != .running }
            .sorted { ($0.changedMs, $0.id) < ($1.changedMs, $1.id) }
        // By kind: those of one push out none of another.
        var surplus = Dictionary(grouping: ended, by: \.kind).mapValues { $0.count - limits.remembered }
        let oldestMs = nowMs - limits.rememberedMs
        return ended.filter { job in
            defer { surplus[job.kind, default: 0] -= 1 }
            return surplus[job.kind, default: 0] > 0 || job.changedMs < oldestMs
        }.map(\.id)
    }

    /// Counts what is on disk of a job that runs.
    ///
    /// - Parameter pull: of a pull how far it is.
    public func progress(
        of id: JobID, _ progress: JobProgress, _ floors: JobFloors, pull: PullProgress? = nil, nowMs: Int64
    ) throws(JobRefusal) -> JobChange {
        var job = try runningJob(id)
        precondition((pull == nil) == (job.pull == nil), "progress of another kind of job")
        (job.progress, job.floors, job.changedMs, job.pull) = (progress, floors, nowMs, pull)
        return .put(job)
    }

    /// Ends a job, with all that is on disk of it.
    ///
    /// - Parameter rejected: the first rows that were not acceptable; those beyond `JobLimits.listed` are left out.
    public func end(
        _ id: JobID, _ state: Job.State, reason: String?, _ progress: JobProgress, rejected: [RejectedRow],
        nowMs: Int64
    ) throws(JobRefusal) -> JobChange {
        precondition(state != .running, "an end that is none")
        var job = try runningJob(id)
        (job.state, job.reason, job.progress, job.changedMs) = (state, reason, progress, nowMs)
        (job.floors, job.rejected) = (JobFloors(), Array(rejected.prefix(limits.listed)))
        return .put(job)
    }

    private func runningJob(_ id: JobID) throws(JobRefusal) -> Job {
        guard let job = jobs[id] else { throw .notFound }
        guard job.state == .running else { throw .ended }
        return job
    }

    // MARK: The log

    /// Takes in a change whose record was appended.
    public mutating func apply(_ change: JobChange) {
        switch change {
        case .put(let job):
            let old = jobs.updateValue(job, forKey: job.id)
            memoryBytes += job.memoryBytes - (old?.memoryBytes ?? 0)
        case .forgotten(let id): memoryBytes -= jobs.removeValue(forKey: id)?.memoryBytes ?? 0
        }
    }

    /// Takes in one record of the log, in the log's order.
    ///
    /// - Parameter value: null for a job that was forgotten.
    /// - Throws: the record is damaged or newer than this code.
    public mutating func replay(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?
    ) throws(DecodeError) {
        apply(try JobChange(key: key, value: value))
    }
}
