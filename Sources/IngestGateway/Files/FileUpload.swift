import BrokerCore
import ByteBuffers
import HTTPWire
import JobLedger
import KafkaModel
import LogStorage

/// A file that is taken row by row as a job: what its request says of it, and how far it is.
///
/// ```
///   head ─► windows of its text ─► the topics are made ─► the job has begun, on disk ─┐
///      ┌──────────────────────────────────────────────────────────────────────────────┘
///      ▼
///   a window: rows ─► topic, bad rows ─► quarantine, the rows before ─► job ─► on disk ─► the next one ─► the end ─► job ─► on disk ─► reply
/// ```
/// It belongs to a `WindowedBody`, and is with whoever has that. What becomes of a request that ends early is counted from its topics
/// (`Jobs.settle`): nobody has to be there for it.
final class FileUpload {
    let id: JobID
    let topic: String
    let quarantine: String
    let plan: IngestPlan
    /// Bytes of its text, inclusive.
    let maxBytes: Int
    /// It is the rows of a pull, a text for each page: whoever pulls begins and ends the job, and says how far it is. Records have the
    /// numbers of their rows.
    let isPull: Bool
    private let route: String
    private let owner: String?
    private let jobs: Jobs
    /// Of a file of a watched directory: which one it is, and its name.
    let source: FileIdentity?
    private let name: String?
    /// Of one that was begun before: what is stored of it.
    private(set) var stored: StoredRows?
    /// Of its rows that were met since the last window was counted.
    private var met = 0
    /// What it needs is there, and its job has begun.
    var isReady = false

    /// nil: its part of the form says it.
    private(set) var format: FileFormat?
    /// Which formats are taken.
    private let formats: MediaTypes
    /// nil: the body is the file.
    let form: MultipartForm?
    /// What of a form was unpacked and not gone through.
    var staged = ByteWriter(capacity: 64, limit: FileUpload.formPiece)
    /// Bytes of a form that are gone through at a time.
    static let formPiece = 64 << 10
    /// What its buffers take at most.
    static let formBytes = formPiece + MultipartForm.mostHeld(piece: formPiece)

    // The job.
    private(set) var job: RunningJob?
    /// As it was begun, or taken up: what tells it from others does not change.
    private(set) var begun: Job?
    /// What is on disk for certain, and with it what was appended.
    private(set) var progress = JobProgress()
    private var pending = JobProgress()
    /// The first rows that were not acceptable.
    private(set) var rejected: [RejectedRow] = []
    /// How many of these are on disk for certain.
    private var listed = 0
    private var newestTicket: UInt64 = 0
    /// Its job has ended, or somebody else is told to end it.
    private(set) var isEnded = false
    /// Where the rows of the window at hand stand.
    let rows = RowPlaces()

    // The loop's own, while a worker has it.
    private var settled: Told?

    /// What may be said of it.
    struct Told {
        var progress: JobProgress
        var hasJob: Bool
        var rejected: [RejectedRow]
    }

    init(
        id: JobID, topic: String, plan: IngestPlan, route: String, owner: String?, format: FileFormat?,
        formats: MediaTypes, boundary: [UInt8]?, maxBytes: Int, isPull: Bool = false, jobs: Jobs,
        source: FileIdentity? = nil, name: String? = nil
    ) {
        self.id = id
        self.topic = topic
        quarantine = plan.file?.quarantine ?? FilePlan.quarantinePrefix + topic
        self.plan = plan
        self.route = route
        self.owner = owner
        self.format = format
        self.formats = formats
        form = boundary.map { MultipartForm(boundary: $0, piece: Self.formPiece) }
        self.maxBytes = maxBytes
        self.isPull = isPull
        self.jobs = jobs
        self.source = source
        self.name = name
    }

    /// As its client calls it, or its directory; nil: nobody says a name.
    var fileName: String? { name ?? form?.fileName }

    deinit { if job != nil, !isEnded { settle("The request ended before the file did.") } }

    // MARK: The text

    /// Goes through what of a form was staged, and hands the file's bytes on. Gives why nothing more is taken.
    func takeStaged(_ take: (UnsafeRawBufferPointer) -> Void) -> Problem? {
        defer { staged.removeAll() }
        return form?.take(staged.bytes, take)
    }

    /// Says how the text is cut, once what says so has come; gives why it cannot be said.
    func chooseFormat() -> Problem? {
        if format == nil, let form {
            let type = form.contentType.flatMap { type in type.withUnsafeBytes { GatewayLoop.mediaType(of: $0) } }
            format = FileFormat(type) ?? form.fileName.flatMap { FileFormat(fileName: $0) }
        }
        guard let format, formats.contains(format.mediaType) else {
            let taken = formats.intersection(FileFormat.mediaTypes)
            if source != nil {
                return Problem(
                    .unsupportedMediaType,
                    "Neither the watcher's format nor the file's name says that it is one of \(taken.names).")
            }
            return Problem(
                .unsupportedMediaType,
                "Neither the part's Content-Type nor the file's name says that it is one of \(taken.names): send it with "
                    + "curl -F 'file=@NAME;type=\(taken.firstName)'.")
        }
        return nil
    }

    // MARK: The job

    /// What of a file that is not taken on is in its topic, for people.
    var stopWords: String {
        if pending.rows == 0 { return "nothing of it is stored" }
        // An array may be one line.
        return format == .array
            ? "its first \(pending.rows) elements are taken" : "its rows up to line \(pending.line) are taken"
    }

    /// The job as it begins.
    func newJob(_ floors: JobFloors, nowMs: Int64) -> Job {
        let job = Job(
            id: id, route: route, topic: topic, quarantine: quarantine, owner: owner, fileName: fileName,
            source: source, createdMs: nowMs, floors: floors)
        begun = job
        return job
    }

    func didBegin(_ job: RunningJob, _ commits: CommitSpan) {
        self.job = job
        newestTicket = max(newestTicket, commits.last)
    }

    /// Goes on with a job that was begun before: the file is read from its beginning, and what is stored of it is passed over.
    func goOn(_ resumed: ResumedJob) {
        (job, begun) = (resumed.running, resumed.job)
        let told = resumed.job.progress
        progress = JobProgress(bytes: 0, accepted: told.accepted, rejected: told.rejected, line: 0)
        pending = progress
        stored = StoredRows(resumed)
    }

    /// Says where rows without a key go: of a watched file always to the same partition, so that it is known when it is taken up again.
    /// Gives why it cannot be.
    func choosePartition(of topic: Topic, _ body: WindowedBody) -> Problem? {
        guard source != nil else { return nil }
        let count = topic.partitions.count
        if let stored, !stored.isMet, let before = stored.partitionCount, before != count {
            return Problem(
                .topicNotFound,
                "The topic had \(before) partitions when the file was begun, and has \(count): it is not known which rows are stored."
            )
        }
        // The number of a job is as good as chance, at its end.
        body.partition = Int32(id.low % UInt64(count))
        return nil
    }

    /// Nothing that was stored before is left to be met.
    var isPastStored: Bool { stored.map { $0.isMet && pending.rows > Int64($0.counted) } ?? true }

    /// Its job counts what is on disk.
    func didRecord(_ commits: CommitSpan) { newestTicket = max(newestTicket, commits.last) }

    /// Whether a row is stored already; asked once for each that is acceptable, in their order. `partition`: where it goes.
    func isStored(row: Int, in partition: Int) -> Bool {
        guard stored != nil else { return false }
        if row < stored!.counted { return true }
        guard stored!.takeRow(of: partition) else { return false }
        met += 1
        return true
    }

    /// The same of one that is not acceptable, for which it is told where it is.
    func quarantined(row: Int) -> StoredRows.Place {
        guard stored != nil else { return .nowhere }
        if row < stored!.counted { return .counted }
        return stored!.takeQuarantined() ? .behind : .nowhere
    }

    /// Rows that were met in the window that is counted.
    func takeMet() -> Int {
        defer { met = 0 }
        return met
    }

    /// Left as it is: its job runs on, for who takes the file up again.
    func leave() {
        isEnded = true
        job?.leave(after: newestTicket)
    }

    /// All that was appended is on disk.
    func isOnDisk() { (progress, listed) = (pending, rejected.count) }

    /// What a window has come to, once it is on disk.
    ///
    /// - Parameters:
    ///   - line: the last of its lines; nil: not all of the window was taken.
    func didAppend(
        accepted: Int, rejected rows: [RejectedRow], count: Int, bytes: Int, line: Int?, _ commits: CommitSpan
    ) {
        pending.accepted += Int64(accepted)
        pending.rejected += Int64(count)
        if let line { (pending.bytes, pending.line) = (pending.bytes + Int64(bytes), Int64(line)) }
        rejected += rows.prefix(max(0, JobLimits.mostListed - rejected.count))
        newestTicket = max(newestTicket, commits.last)
    }

    /// Goes on with the run of a pull.
    ///
    /// - Parameters:
    ///   - progress: up to the page at hand.
    ///   - accepted, rejected: rows of that page that are on disk.
    func goOn(at progress: JobProgress, accepted: Int, rejected: Int) {
        pending = progress
        pending.accepted += Int64(accepted)
        pending.rejected += Int64(rejected)
        isOnDisk()
    }

    /// A page of a pull is on disk. `bytes`: of all pages so far.
    func didTakePage(bytes: Int64) {
        pending.bytes = bytes
        isOnDisk()
    }

    /// Bytes that a record has of its job at most.
    var markBytes: Int { JobMark.bytes + (isPull ? JobMark.lineBytes : 0) }

    /// The last line that was taken.
    var line: Int { Int(pending.line) }

    /// How its job ends.
    func end(_ problem: Problem?) -> JobEnd {
        guard let problem else { return JobEnd(id, .finished, rejected: rejected) }
        let isCancelled = problem.kind.number == ProblemKind.jobCancelled.number
        return JobEnd(id, isCancelled ? .cancelled : .failed, reason: problem.detail, rejected: rejected)
    }

    func didEnd() { isEnded = true }

    /// Has its job end by what its topics have of it, once that is settled.
    func settle(_ reason: String) { settle(JobEnd(id, .failed, reason: reason, rejected: rejected)) }

    func settle(_ end: JobEnd) {
        if isEnded || job == nil { return }
        isEnded = true
        jobs.settle(end, after: newestTicket)
    }

    // MARK: A worker

    /// Goes to a worker.
    func goAway() { settled = current }

    func cameBack() { settled = nil }

    /// What was appended last may be there and may not.
    func takeBack() {
        pending = progress
        // What is not counted is not listed.
        rejected.removeLast(rejected.count - listed)
    }

    private var current: Told { Told(progress: pending, hasJob: job != nil, rejected: rejected) }

    /// What may be told of it: while a worker has it, what was on disk before.
    var told: Told { settled ?? current }
}
