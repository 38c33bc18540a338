import BrokerCore
import ByteBuffers
import HTTPWire
import JobLedger
import KafkaModel
import LogStorage
import RecordFormat
import Telemetry
import Transport

/// One run of a pull, as a job; on the pull's thread, which may wait.
///
/// ```
///   place ─► ask, again and again ─► page ─► its rows: topic and quarantine ─► on disk ─► job: the next place, floors ─┐
///     ▲                                                                                                                │
///     └────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
/// ```
/// The job's record is written when all rows before its place are on disk, and before any of the page there is appended: its floors are the
/// ends of that moment. So what of that page is on disk when a process dies stands behind them, each row with its number. Who goes on asks
/// for the page once more, and leaves out the rows that are there.
final class PullRun {
    /// How a run ends.
    enum End {
        case finished
        case failed(String)
        case cancelled(String)
        /// The server stops: the next process goes on.
        case left
        /// Nobody knows yet what is on disk.
        case unsettled(String)
    }

    /// What a run needs of whoever has it.
    struct Surroundings {
        let gateway: Gateway
        let pool: ChunkPool
        let source: any PullSource
        /// Why no more is to be done; nil: nothing speaks against it. On any thread.
        let stop: @Sendable () -> End?
        /// Waits for so long at most, or until somebody says that it is to stop.
        let rest: (_ milliseconds: Int64) -> Void
    }

    private let definition: PullDefinition
    private let around: Surroundings
    private let job: Job
    private let running: RunningJob
    private let upload: FileUpload
    private var pages: PullPages
    private var random = SystemRandomNumberGenerator()
    private var jobs: Jobs { around.gateway.broker.jobs }

    /// How long it is waited until a look at whether the job was cancelled.
    private static let lookMs: Int64 = 200

    init(_ definition: PullDefinition, _ job: Job, _ running: RunningJob, _ commits: CommitSpan, _ around: Surroundings)
    {
        (self.definition, self.around, self.job, self.running) = (definition, around, job, running)
        pages = PullPages(definition.pages, place: job.pull?.place, count: job.pull?.pages ?? 0)
        upload = FileUpload(
            id: job.id, topic: job.topic, plan: definition.plan, route: job.route, owner: job.owner, format: .lines,
            formats: .lines, boundary: nil, maxBytes: .max, isPull: true, jobs: around.gateway.broker.jobs)
        upload.didBegin(running, commits)
        upload.goOn(at: job.progress, accepted: 0, rejected: 0)
        begun = commits
    }

    private let begun: CommitSpan
    /// The record of the page before.
    private var noted = CommitSpan()

    /// Runs, and ends the job. Gives why it has not finished.
    func run() -> String? {
        let end = pull()
        switch end {
        case .finished: conclude(JobEnd(job.id, .finished, rejected: upload.rejected))
        case .failed(let reason): conclude(JobEnd(job.id, .failed, reason: reason, rejected: upload.rejected))
        case .cancelled(let reason):
            conclude(JobEnd(job.id, .cancelled, reason: reason, rejected: upload.rejected))
        case .left:
            upload.didEnd()
            jobs.leave(running)
        case .unsettled(let reason): upload.settle(reason)
        }
        switch end {
        case .failed(let reason), .unsettled(let reason), .cancelled(let reason): return reason
        case .finished, .left: return nil
        }
    }

    private func conclude(_ end: JobEnd) {
        do throws(JobRefusal) {
            _ = jobs.isOnDisk(try jobs.end(end, upload.progress), of: job)
            upload.didEnd()
        } catch {
            // It is ended when its log works again.
            upload.settle(end)
        }
    }

    private func stopped() -> End? {
        running.isCancelled ? .cancelled("The job was cancelled.") : around.stop()
    }

    // MARK: Pages

    private func pull() -> End {
        guard jobs.isOnDisk(begun, of: job) else { return .unsettled(Self.noDisk) }
        if let reason = makeTopic() { return .failed(reason) }
        var known: Set<Int64>
        do throws(JobRefusal) {
            let stored = try jobs.storedLines(of: job)
            known = stored.accepted.union(stored.rejected)
            upload.goOn(at: job.progress, accepted: stored.accepted.count, rejected: stored.rejected.count)
        } catch {
            return .unsettled("What is stored could not be counted: \(error).")
        }
        while true {
            guard let address = pages.address else {
                return .failed("The place of page \(pages.count + 1) leads nowhere.")
            }
            let (page, rows, body): (PulledPage, [JSONRange], [UInt8])
            switch ask(address) {
            case .failure(let ended): return ended.end
            case .success(let found): (page, rows, body) = found
            }
            let step = pages.take(page)
            if case .wrong(let reason, storesPage: false) = step { return .failed(reason) }
            let bytes = upload.progress.bytes + Int64(body.count)
            let lines = body.withUnsafeBytes {
                PageReader.lines(rows, of: $0, from: Int64(upload.line) + 1, without: known)
            }
            // Asking for the page took its time, most often longer than the disk.
            guard noted.isEmpty || jobs.isOnDisk(noted, of: job) else { return .unsettled(Self.noDisk) }
            if let end = store(lines) { return end }
            upload.didTakePage(bytes: bytes)
            known = []
            switch step {
            case .wrong(let reason, _):
                // Told with the page that has led there.
                return note() ?? .failed(reason)
            case .last: return note() ?? .finished
            case .next: if let end = note() { return end }
            }
        }
    }

    /// Tells that all before the place at hand is on disk. Before more is appended that is waited for: a start knows the rows of one page alone.
    private func note() -> End? {
        let progress = PullProgress(name: definition.name, pages: pages.count, place: pages.place)
        do throws(JobRefusal) {
            noted = try jobs.progress(
                of: running, upload.progress, jobs.floors(topic: job.topic, quarantine: job.quarantine), pull: progress)
            return nil
        } catch {
            return .unsettled("The run could not be noted: \(error).")
        }
    }

    // MARK: One page

    private enum Trouble {
        case passing(String, askedMs: Int64?)
        case lasting(String)
    }

    private typealias Found = (page: PulledPage, rows: [JSONRange], body: [UInt8])

    /// Asks for a page until it is there.
    private func ask(_ address: WebAddress) -> Result<Found, EndOfRun> {
        var retry = PullRetry(definition.retry)
        while true {
            if let end = stopped() { return .failure(EndOfRun(end)) }
            let trouble: Trouble
            switch askOnce(address) {
            case .success(let found): return .success(found)
            case .failure(let found): trouble = found.trouble
            }
            if let end = stopped() { return .failure(EndOfRun(end)) }
            switch trouble {
            case .lasting(let reason): return .failure(EndOfRun(.failed("Page \(pages.count + 1) \(reason).")))
            case .passing(let reason, let askedMs):
                guard let waitMs = retry.failed(askedMs: askedMs, random: { .random(in: $0, using: &random) }) else {
                    return .failure(
                        EndOfRun(
                            .failed("Page \(pages.count + 1) was asked for \(retry.failures) times, and \(reason).")))
                }
                wait(waitMs)
            }
        }
    }

    private struct EndOfRun: Error {
        let end: End
        init(_ end: End) { self.end = end }
    }

    private struct Failed: Error {
        let trouble: Trouble
    }

    private func wait(_ milliseconds: Int64) {
        let end = MonotonicClock.nanoseconds / 1_000_000 + milliseconds
        while stopped() == nil {
            let left = end - MonotonicClock.nanoseconds / 1_000_000
            if left <= 0 { return }
            around.rest(min(left, Self.lookMs))
        }
    }

    /// Asks once, wherever that leads.
    private func askOnce(_ wanted: WebAddress) -> Result<Found, Failed> {
        var address = wanted
        let lines = definition.headers.map(\.line)
        let (running, stop) = (running, around.stop)
        for _ in 0...definition.maxRedirects {
            // What logs in at one origin is no other's to know.
            let headers = address.origin == definition.pages.address.origin ? lines : []
            let reply: PullReply
            switch around.source.get(
                address, headers: headers, isStopping: { running.isCancelled || stop() != nil })
            {
            case .failure(.passing(let reason)): return .failure(Failed(trouble: .passing(reason, askedMs: nil)))
            case .failure(.lasting(let reason)): return .failure(Failed(trouble: .lasting(reason)))
            case .success(let found): reply = found
            }
            guard [301, 302, 303, 307, 308].contains(reply.status) else {
                return judge(reply, from: address)
            }
            guard let target = reply.location.flatMap({ address.resolving($0) }) else {
                return .failure(
                    Failed(trouble: .lasting("was answered \(reply.status) without an address of http or https")))
            }
            if !address.isPlain, target.isPlain {
                return .failure(Failed(trouble: .lasting("was to be asked for without TLS at \(target.origin)")))
            }
            address = target
        }
        return .failure(
            Failed(trouble: .lasting("was redirected more than \(definition.maxRedirects) times (redirects)")))
    }

    private func judge(_ reply: PullReply, from address: WebAddress) -> Result<Found, Failed> {
        switch reply.status {
        case 200..<300: break
        case 408, 429, 500..<600:
            let askedMs = reply.retryAfter.flatMap { PullRetry.milliseconds(of: $0, nowMs: BrokerClock.wallMs()) }
            return .failure(Failed(trouble: .passing("was answered \(reply.status)", askedMs: askedMs)))
        default: return .failure(Failed(trouble: .lasting("was answered \(reply.status)")))
        }
        let reader = PageReader(records: definition.records, pagination: definition.pages.pagination)
        switch reader.read(reply, from: address) {
        case .page(let page, let rows): return .success((page, rows, reply.body))
        case .wrong(let reason): return .failure(Failed(trouble: .lasting(reason)))
        case .cut: return .failure(Failed(trouble: .passing("ended in the middle", askedMs: nil)))
        }
    }

    // MARK: Rows

    /// Stores rows, each a line; gives why the run ends.
    private func store(_ lines: [UInt8]) -> End? {
        if lines.isEmpty { return nil }
        let body: WindowedBody
        do throws(CompressionError) {
            body = try WindowedBody(.lines, nil, wanted: .none, around.gateway.options, upload: upload)
        } catch {
            return .failed("There was no memory for its rows.")
        }
        var at = 0
        while true {
            while !body.isFull, at < lines.count {
                let end = min(lines.count, at + min(body.room, WindowedBody.pieceBytes))
                lines[at..<end].withUnsafeBytes { body.take($0) }
                at = end
            }
            if at == lines.count { body.end() }
            guard onWorker({ [name = definition.name] in $0.takePage(of: body, name) }) else {
                return stopped() ?? .left
            }
            switch body.outcome {
            case .appended(let commits):
                guard jobs.isOnDisk(commits, of: job) else {
                    upload.takeBack()
                    return .unsettled(Self.noDisk)
                }
                upload.isOnDisk()
            case .suspended(let work): if let end = perform(work, for: body) { return end }
            case .starved, .more, .over: break
            }
            body.outcome = .starved
            if body.isOver { break }
            // Between two windows: what is not stored of the page is asked for again.
            if let end = stopped() { return end }
        }
        guard let problem = body.problem else { return nil }
        return problem.kind.number == ProblemKind.jobCancelled.number
            ? .cancelled(problem.detail) : .failed("Page \(pages.count): \(problem.detail)")
    }

    private static let noDisk = "The disk takes nothing just now."

    /// Has registers of workers do something, and waits for it. False: they are not to be had while anybody wants it.
    private func onWorker(_ work: @escaping @Sendable (GatewayLoop) -> Void) -> Bool {
        let (gateway, pool, done) = (around.gateway, around.pool, Signal())
        while !gateway.broker.workers.submit({
            gateway.workerRegisters.lend(gateway, pool, work)
            done.raise()
        }) {
            if stopped() != nil { return false }
            around.rest(Self.lookMs)
        }
        done.wait()
        return true
    }

    /// Makes what a window waits for.
    private func perform(_ work: any ExchangeWork, for body: WindowedBody) -> End? {
        let done = Signal()
        switch work {
        case let work as FileTopicWork where work.begin({ done.raise() }): done.wait()
        case let work as FileTopicWork: work.refuse()
        default: return .failed("The topic \(job.topic) is not there any more.")
        }
        body.didPerform(work)
        return nil
    }

    /// Makes the topic where it is missing; gives why it is not there.
    private func makeTopic() -> String? {
        let broker = around.gateway.broker
        if broker.catalog.topic(named: job.topic) != nil { return nil }
        let (done, refusal) = (Signal(), Lock<TopicRefusal?>(nil))
        let isTaken = broker.admin.submit { [topic = job.topic] in
            if case .failure(let found) = broker.topicCreatingIfAllowed(topic) { refusal.withLock { $0 = found } }
            done.raise()
        }
        guard isTaken else { return "Too many changes of topics are under way." }
        done.wait()
        return refusal.withLock { $0 }.map { "There is no topic \(job.topic): \($0.message)" }
    }
}

extension GatewayLoop {
    /// Takes the next windows of a page, as a request at hand: of the route that asks for runs, and with the job's name. On a worker.
    fileprivate func takePage(of body: WindowedBody, _ name: String) {
        guard let upload = body.upload else { preconditionFailure("a page without its job") }
        let (text, id) = (
            Array("POST /v1/pulls/\(name):run HTTP/1.1\r\nHost: pull\r\n\r\n".utf8), Array(upload.id.text.utf8)
        )
        text.withUnsafeBytes { text in
            var progress = HeadProgress()
            guard case .complete = head.parse(text, &progress) else { preconditionFailure("a head that is none") }
            id.withUnsafeBytes { id in
                begin(id, gateway.routes, nil, now: MonotonicClock.nanoseconds, wallClockMs: BrokerClock.wallMs())
            }
            peer = PeerKey(isIPv6: false, bits: 0)
            body.outcome = handleFile(upload, of: body)
        }
        trim()
        // No loop's turn ends behind this: the committing thread is told.
        if case .appended = body.outcome { broker.store.kick() }
    }
}
