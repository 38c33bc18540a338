import BrokerCore
import ByteBuffers
import JobLedger
import Telemetry

/// One watched directory: when it is gone through, how far that is, and what is known of its files. With the thread of all.
///
/// ```
///   quiet ── something has come, a file has settled, a minute is over ─► a pass through its names ─► quiet
///                                                 each file that has settled is taken, as soon as there is a place
/// ```
/// The directory is the waiting list: between two passes nothing is kept of what is in it.
final class Watcher {
    enum Turn {
        case file(WatchedFolder.Found)
        /// There are more names.
        case more
        /// The pass is over, or none is due.
        case over
    }

    let definition: WatcherDefinition
    /// Jobs of its files that run and that nobody is at: of a process that is gone, or of a file that was left. And, until the first
    /// pass is over, those that have ended: their files may be there still.
    private var known: [FileIdentity: Job] = [:]
    /// Of them, those whose files were there in this pass.
    private var seen: Set<FileIdentity> = []
    private(set) var folder: WatchedFolder?
    /// As inotify calls it; nil: it does not watch it.
    private(set) var watch: Int32?
    private var hasNews = true
    /// Monotonic milliseconds: the next pass, whatever comes.
    private var dueMs: Int64 = 0
    private var earliestMs: Int64 = 0
    private var nextSettledMs: Int64 = .max
    private var found = Finding()
    private(set) var status: WatcherStatus

    private struct Finding {
        var unsettled = 0
        var special = 0
        var unreadable = 0
    }

    /// Names that one turn goes through.
    private static let namesOfTurn = 4_096
    /// Between two passes: from the end of one to the next where nothing is told, and at least.
    private static let roundMs: Int64 = 60_000
    private static let pauseMs: Int64 = 200
    /// After a failure that may be over later.
    static let retryMs: Int64 = 5_000

    init(_ definition: WatcherDefinition) {
        self.definition = definition
        status = WatcherStatus(definition)
    }

    func notice() { hasNews = true }

    /// Takes a file out of the directory, for its job has ended. Gives where it has gone.
    func takeOut(
        _ file: WatchedFolder.Found, to shelf: WatchedFolder.Shelf, _ job: JobID
    ) throws(FileFailure) -> WatchedFolder.Shelf {
        var folder = folder
        if folder == nil { folder = try WatchedFolder(definition.directory) }
        let isDeleted = shelf == .done && definition.after == .delete
        let gone = try folder?.remove(file.name, file.identity, to: isDeleted ? nil : shelf, job) ?? shelf
        if gone != shelf {
            Log.warning(
                "a file was written to after it was taken", "watcher", definition.name, "file", file.name, "job",
                job.text)
        }
        if gone == .done { status.done += 1 } else { status.failed += 1 }
        return gone
    }

    /// Milliseconds until a pass is due, at least.
    func waitMs(_ nowMs: Int64) -> Int64 {
        if folder != nil { return 0 }
        return max(0, max(earliestMs, hasNews ? 0 : dueMs) - nowMs)
    }

    /// Takes no file for a while, for this reason; the pass begins anew.
    func pause(_ reason: String, _ nowMs: Int64) {
        if status.problem != reason {
            Log.warning("files of a directory wait", "watcher", definition.name, "reason", reason)
        }
        status.problem = reason
        folder = nil
        hasNews = true
        earliestMs = nowMs + Self.retryMs
    }

    // MARK: Jobs

    /// Begins with what the ledger has of its files.
    func begin(_ jobs: [Job]) {
        // The newest of each file: it is there because the ones before have not taken it.
        for job in jobs.sorted(by: { $0.id < $1.id }) { leave(job) }
    }

    /// A file of it was left; its job runs.
    func leave(_ job: Job) {
        if let source = job.source { known[source] = job }
    }

    /// The job of a file, which is taken up, or whose file is taken out.
    func takeJob(of file: WatchedFolder.Found) -> Job? {
        let name = MultipartForm.words(Array(file.name.utf8))
        guard let job = known[file.identity], job.fileName == name else { return nil }
        return known.removeValue(forKey: file.identity)
    }

    /// Jobs that run and whose files were not there in a whole pass.
    private func lost() -> [Job] {
        let lost = known.filter { $0.value.state == .running && !seen.contains($0.key) }
        known = known.filter { seen.contains($0.key) }
        return lost.values.sorted { $0.id < $1.id }
    }

    // MARK: A pass

    /// Goes on with a pass, or begins one that is due. `isTaken`: whether a file of that name is at hand already. `lost`: is told of jobs
    /// whose files are gone.
    func turn(
        _ nowMs: Int64, _ events: DirectoryEvents, isTaken: (String) -> Bool, lost tell: ([Job]) -> Void
    ) -> Turn {
        guard let folder = folder ?? begin(nowMs, events) else { return .over }
        for _ in 0..<Self.namesOfTurn {
            guard let entry = folder.nextEntry(like: definition.pattern) else {
                end(nowMs)
                tell(lost())
                return .over
            }
            switch entry {
            case .nothing: continue
            case .special: found.special += 1
            case .file(let file):
                if isTaken(file.name) { continue }
                if known[file.identity] != nil { seen.insert(file.identity) }
                let age = BrokerClock.wallMs() - file.changedNs / 1_000_000
                guard age >= definition.settleMs else {
                    found.unsettled += 1
                    nextSettledMs = min(nextSettledMs, nowMs + definition.settleMs - age)
                    continue
                }
                return .file(file)
            }
        }
        return .more
    }

    func countUnreadable() { found.unreadable += 1 }

    private func begin(_ nowMs: Int64, _ events: DirectoryEvents) -> WatchedFolder? {
        guard nowMs >= earliestMs, hasNews || nowMs >= dueMs else { return nil }
        // Before the names are read: what comes meanwhile is told of.
        watch = events.watch(definition.directory)
        (hasNews, found, nextSettledMs, seen) = (false, Finding(), .max, [])
        do throws(FileFailure) {
            let folder = try WatchedFolder(definition.directory)
            if status.problem != nil {
                Log.info("files of a directory are taken again", "watcher", definition.name)
            }
            status.problem = nil
            self.folder = folder
            return folder
        } catch {
            pause(error.reason, nowMs)
            return nil
        }
    }

    private func end(_ nowMs: Int64) {
        folder = nil
        if found.special > status.special || found.unreadable > status.unreadable {
            Log.warning(
                "files of a directory cannot be taken", "watcher", definition.name, "unreadable", found.unreadable,
                "special", found.special)
        }
        (status.unsettled, status.special, status.unreadable) = (found.unsettled, found.special, found.unreadable)
        earliestMs = nowMs + Self.pauseMs
        dueMs = min(nextSettledMs, nowMs + Self.roundMs)
    }
}

/// What a watcher tells of itself.
struct WatcherStatus: Sendable {
    let name: String
    let directory: String
    let route: String
    /// Files since the start, by what became of them.
    var done = 0
    var failed = 0
    /// Of the last whole pass: files that have changed just now, that cannot be read, and what is no file.
    var unsettled = 0
    var unreadable = 0
    var special = 0
    /// Files that are at hand.
    var running = 0
    /// Why nothing is taken at the moment.
    var problem: String?

    init(_ definition: WatcherDefinition) {
        (name, directory, route) = (definition.name, definition.directory, definition.route)
    }
}
