import BrokerCore
import ByteBuffers
import Glibc
import JobLedger
import LogStorage
import Synchronization
import Telemetry

/// Takes the files of watched directories, on a thread of its own that is there while there are any.
///
/// How often it is done anew: with each other configuration. What is at hand then is left, and taken up again.
final class Watchers: Sendable {
    private struct State {
        var definitions: [WatcherDefinition] = []
        var run: WatchRun?
        var thread: Thread?
    }

    private let state = Lock(State())
    /// One change at a time.
    private let changes = Lock(())

    /// Has exactly these directories watched. Waits for the thread, which may wait for a disk.
    func replace(by definitions: [WatcherDefinition], _ gateway: Gateway) {
        changes.withLock { _ in
            if state.withLock({ $0.definitions == definitions && ($0.thread != nil) == !definitions.isEmpty }) {
                return
            }
            end()
            guard !definitions.isEmpty else { return }
            let run = WatchRun(definitions, gateway)
            let thread = Thread(name: "watchers") { run.run() }
            state.withLock { $0 = State(definitions: definitions, run: run, thread: thread) }
        }
    }

    func stop() { changes.withLock { _ in end() } }

    /// There are other routes: it goes by those, and keeps no other.
    func noticeRoutes() { state.withLock { $0.run }?.wake() }

    private func end() {
        let (run, thread) = state.withLock { state in
            defer { state = State() }
            return (state.run, state.thread)
        }
        run?.stop()
        thread?.join()
    }

    var statuses: [WatcherStatus] { state.withLock { $0.run }?.statuses ?? [] }
}

/// What the thread does.
///
/// ```
///   files at hand: a step each ─► their commits, all at once ─► the next step …      at most `mostAtHand`
///        ▲ a place is free ── the next file of a directory that has one
/// ```
final class WatchRun: @unchecked Sendable {
    // SAFETY: what is not Sendable is the thread's own; others see `isStopping`, `events` and `shown` alone.
    private let gateway: Gateway
    private let broker: Broker
    private let watchers: [Watcher]
    private let events = DirectoryEvents()
    private let isStopping = Atomic<Bool>(false)
    private let shown: Lock<[WatcherStatus]>
    private let registers: GatewayLoop
    private var files: [(watcher: Watcher, file: WatchedFile)] = []
    /// Files that are taken and not out of their directories yet.
    private var leftovers: [(watcher: Watcher, file: WatchedFolder.Found, job: JobID, shelf: WatchedFolder.Shelf)] = []
    private var retryMs: Int64 = 0
    private var hasJobs = false

    /// Files at a time: each may take the memory of a body in windows, and all share a commit.
    static let mostAtHand = 8

    init(_ definitions: [WatcherDefinition], _ gateway: Gateway) {
        self.gateway = gateway
        broker = gateway.broker
        watchers = definitions.map { Watcher($0) }
        shown = Lock(definitions.map { WatcherStatus($0) })
        registers = gateway.registersForFiles()
    }

    var statuses: [WatcherStatus] { shown.withLock { $0 } }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        events.wake()
    }

    func wake() { events.wake() }

    private var stops: Bool { isStopping.load(ordering: .acquiring) }
    private var nowMs: Int64 { BrokerClock.monotonicMs() }

    func run() {
        while !stops {
            registers.takeNewestRoutes()
            if !hasJobs { takeJobs() }
            if hasJobs {
                fill()
                if !files.isEmpty { step() }
                takeOut()
            }
            show()
            rest()
        }
        // Their jobs run on, for the next one.
        for (_, file) in files {
            record(file)
            file.upload.leave()
        }
        files = []
        broker.store.kick()
    }

    /// Waits until there is something to do.
    private func rest() {
        let now = nowMs
        var waits = watchers.map { $0.waitMs(now) }
        if !leftovers.isEmpty { waits = [max(1, retryMs - now)] }
        if !hasJobs { waits = [Self.loadMs] }
        // What has come meanwhile is noticed, whatever is at hand.
        if stops || !files.isEmpty { waits = [0] }
        switch events.wait(timeoutMs: waits.min()) {
        case .none: break
        case .all: for watcher in watchers { watcher.notice() }
        case .directories(let names):
            for watcher in watchers where watcher.watch.map({ names.contains($0) }) ?? false { watcher.notice() }
        }
    }

    private func show() {
        let statuses = watchers.map { watcher in
            var status = watcher.status
            status.running = files.count { $0.watcher === watcher }
            return status
        }
        shown.withLock { $0 = statuses }
    }

    // MARK: Jobs

    /// How often it is asked whether jobs are kept already.
    private static let loadMs: Int64 = 200

    /// Reads what the ledger has of files, once it has begun.
    private func takeJobs() {
        guard let jobs = try? broker.jobs.jobs() else { return }
        for watcher in watchers {
            watcher.begin(jobs.filter { $0.kind == .watch && $0.route == watcher.definition.jobRoute })
        }
        hasJobs = true
    }

    /// Ends jobs whose files are gone, or were changed.
    private func end(_ jobs: [Job]) {
        // What they have appended is counted: it was left, and nobody waits for it any more.
        if !jobs.isEmpty { broker.store.commitPending() }
        for job in jobs {
            broker.jobs.settle(
                JobEnd(job.id, .failed, reason: "The file is not there any more, or is another one."), after: 0)
        }
    }

    // MARK: Files

    /// Takes files as long as there are places.
    private func fill() {
        var isDone = false
        while !isDone, !stops {
            isDone = true
            for watcher in watchers where files.count < Self.mostAtHand && leftovers.isEmpty {
                let turn = watcher.turn(
                    nowMs, events,
                    isTaken: { name in files.contains { $0.watcher === watcher && $0.file.name == name } },
                    lost: end)
                switch turn {
                case .over: continue
                case .more: isDone = false
                case .file(let found):
                    isDone = false
                    take(found, of: watcher)
                }
            }
        }
    }

    private func take(_ found: WatchedFolder.Found, of watcher: Watcher) {
        guard let folder = watcher.folder else { return }
        let job: Job?
        let left = watcher.takeJob(of: found)
        do throws(JobRefusal) { job = try left.flatMap { left throws(JobRefusal) in try newest(left) } } catch {
            if let left { watcher.leave(left) }
            return watcher.pause(Problem(error).detail, nowMs)
        }
        if let job, job.state != .running {
            return leftovers.append((watcher, found, job.id, job.state == .finished ? .done : .failed))
        }
        let file: Int32
        do throws(FileFailure) { file = try folder.openFile(found) } catch {
            if let job { watcher.leave(job) }
            return watcher.countUnreadable()
        }
        switch gateway.upload(of: found, watcher.definition, job, on: registers) {
        case .failure(let problem):
            close(file)
            if let job { watcher.leave(job) }
            watcher.pause(problem.detail, nowMs)
        case .success(let (upload, body)):
            files.append((watcher, WatchedFile(found, file: file, route: watcher.definition.route, upload, body)))
        }
    }

    /// A job that was left as it is now: somebody may have cancelled it since. nil: it is forgotten.
    private func newest(_ left: Job) throws(JobRefusal) -> Job? {
        do throws(JobRefusal) { return try broker.jobs.job(left.id) } catch {
            if error == .notFound { return nil }
            throw error
        }
    }

    /// A step of each file, and their commits.
    private func step() {
        var awaited = CommitSpan()
        var over: [(watcher: Watcher, file: WatchedFile, problem: Problem?)] = []
        for (watcher, file) in files {
            switch file.step(on: registers) {
            case .again: continue
            case .await(let commits): awaited.add(commits)
            case .perform(let work): perform(work, file)
            case .over(let problem): over.append((watcher, file, problem))
            }
        }
        files.removeAll { entry in over.contains { $0.file === entry.file } }
        if !areOnDisk(awaited) { leaveAll() }
        for (watcher, file, problem) in over { end(file, of: watcher, problem) }
    }

    private func perform(_ work: any TopicMaking, _ file: WatchedFile) {
        let done = Signal()
        let isTaken = broker.admin.submit {
            work.make()
            done.raise()
        }
        if isTaken { done.wait() } else { work.refuse() }
        file.body.didPerform(work)
    }

    /// Waits until commits are on disk. False: they are not, or a part of them is not.
    private func areOnDisk(_ commits: CommitSpan) -> Bool {
        if commits.isEmpty { return true }
        let (store, pause) = (broker.store, Signal())
        // Of a stop, for a commit that another thread is at: about as many milliseconds.
        var patience = 2_000
        while store.durableTicket < commits.last {
            if store.isOffline { return false }
            if store.commitPending() { continue }
            if stops {
                patience -= 1
                if patience < 0 || store.isHoldingCommit { return false }
            }
            // Another thread is at it, or there is no room.
            pause.wait(timeoutMs: store.isHoldingCommit ? 100 : 1)
        }
        return !files.contains {
            broker.jobs.hasLeftOutAppends([$0.file.upload.topic, $0.file.upload.quarantine, Topic.jobsTopicName])
        }
    }

    /// Has the job of a file all of which is on disk count that, so that nothing is looked for behind its floors: another route may send
    /// its rows elsewhere. Where it cannot be told they are looked for.
    private func record(_ file: WatchedFile) {
        let upload = file.upload
        guard let job = upload.job, !file.body.isOver, upload.isPastStored else { return }
        upload.isOnDisk()
        let floors = broker.jobs.floors(topic: upload.topic, quarantine: upload.quarantine)
        do throws(JobRefusal) {
            upload.didRecord(try broker.jobs.progress(of: job, upload.progress, floors))
        } catch {
            Log.info(
                "a file is left with rows that its job does not count", "job", upload.id.text, "reason", "\(error)")
        }
    }

    /// Nobody knows what is on disk of the last step: it is looked for when they are taken up again.
    private func leaveAll() {
        for (watcher, file) in files { leave(file, of: watcher, "what was appended is not on disk") }
        files = []
    }

    private func leave(_ file: WatchedFile, of watcher: Watcher, _ reason: String) {
        file.upload.leave()
        if file.upload.job != nil, let job = file.upload.begun { watcher.leave(job) }
        watcher.pause(reason, nowMs)
    }

    /// Nothing more is taken of a file.
    private func end(_ file: WatchedFile, of watcher: Watcher, _ problem: Problem?) {
        if let problem, problem.kind.isRetryable { return leave(file, of: watcher, problem.detail) }
        if file.upload.job == nil, let problem {
            Log.warning(
                "a file cannot be taken", "watcher", watcher.definition.name, "file", file.name, "reason",
                problem.detail)
        }
        leftovers.append((watcher, file.found, file.upload.id, problem == nil ? .done : .failed))
    }

    /// Takes files out of their directories whose jobs have ended. Until that is done no other is taken.
    private func takeOut() {
        guard !leftovers.isEmpty, nowMs >= retryMs else { return }
        leftovers.removeAll { watcher, found, job, shelf in
            do throws(FileFailure) {
                gateway.metrics.watchedFiles(try watcher.takeOut(found, to: shelf, job)).add()
                return true
            } catch {
                watcher.pause("the file \(found.name): \(error.reason)", nowMs)
                retryMs = nowMs + Watcher.retryMs
                return false
            }
        }
    }
}

extension Gateway {
    /// What a file is taken by: its upload, which goes on with its job where that runs, and its text.
    fileprivate func upload(
        of found: WatchedFolder.Found, _ definition: WatcherDefinition, _ job: Job?, on registers: GatewayLoop
    ) -> Result<(FileUpload, WindowedBody), Problem> {
        let id = job?.id ?? registers.nextJobID()
        registers.beginFile(id, route: definition.route)
        guard let plan = registers.routeRow.pointee.plan, plan.file != nil else {
            return .failure(Problem(.notFound, "The route \(definition.route) is not there."))
        }
        let upload = FileUpload(
            id: id, topic: String(decoding: registers.routeRow.pointee.topic, as: UTF8.self), plan: plan,
            route: definition.jobRoute, owner: nil,
            format: definition.format ?? FileFormat(fileName: found.name),
            formats: registers.routeRow.pointee.mediaTypes, boundary: nil, maxBytes: options.maxFileBytes,
            jobs: broker.jobs, source: found.identity, name: MultipartForm.words(Array(found.name.utf8)))
        if let job, job.topic != upload.topic || job.quarantine != upload.quarantine {
            // What it has appended is counted: it was left, and nobody waits for it any more.
            broker.store.commitPending()
            let reason = "The route has another topic or quarantine than when the file was begun."
            broker.jobs.settle(JobEnd(id, .failed, reason: reason), after: 0)
            return .failure(
                Problem(.overloaded, "The job of a file is ended: its route has another topic.", retryAfter: 1))
        }
        do {
            if job != nil { upload.goOn(try broker.jobs.resume(id)) }
            return .success((upload, try WindowedBody(.lines, nil, wanted: .none, options, upload: upload)))
        } catch let refusal as JobRefusal {
            return .failure(Problem(refusal))
        } catch {
            return .failure(Problem(.overloaded, "There is no memory for a file.", retryAfter: 1))
        }
    }
}
