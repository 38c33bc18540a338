import ByteBuffers
import KafkaModel
import Security
import Synchronization
import Telemetry

/// What has become of one issuer's keys.
enum KeyNews {
    /// The fetch of that number brought these.
    case fetched(JSONWebKeySet, fetch: Int)
    /// The fetch of that number has ended otherwise: with the same keys as before, or with none.
    case ended(fetch: Int, hasFailed: Bool)
    /// They are too old to be used.
    case outdated
}

/// Keeps the keys of one issuer fresh, on a thread of its own: an issuer that does not answer holds up no other.
final class KeyWatch: Sendable {
    let settings: IssuerSettings
    private let fetcher: any KeyFetcher
    private let clock: @Sendable () -> MonotonicTime
    private let tell: @Sendable (KeyNews) -> Void
    private let state: Lock<State>
    private let wake = Signal()
    private let isStopping = Atomic<Bool>(false)
    private let thread = Lock<Thread?>(nil)
    let fetches = Counter()
    let failures = Counter()

    private struct State {
        var schedule: KeySchedule
        /// The last good one: another writing of the same keys is rare, and costs a cache.
        var document: [UInt8] = []
        var isFailing = false
    }

    init(
        _ settings: IssuerSettings, interval: Duration, fetcher: any KeyFetcher,
        clock: @escaping @Sendable () -> MonotonicTime, tell: @escaping @Sendable (KeyNews) -> Void
    ) {
        self.settings = settings
        self.fetcher = fetcher
        self.clock = clock
        self.tell = tell
        state = Lock(State(schedule: KeySchedule(interval: interval, now: clock())))
    }

    func start() {
        let started = Thread(name: "issuer-keys") { [self] in
            while !isStopping.load(ordering: .acquiring) {
                let pause = turn()
                wake.wait(timeoutMs: max(1, pause.milliseconds))
            }
        }
        thread.withLock { $0 = started }
    }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        wake.raise()
        thread.withLock { thread in
            defer { thread = nil }
            return thread
        }?.join()
    }

    /// A token names a key that is not there. The number of the fetch that may bring it; nil: none does, for now.
    func ask() -> Int? {
        let number = state.withLock { $0.schedule.ask(now: clock()) }
        if number != nil { wake.raise() }
        return number
    }

    func age() -> Duration? { state.withLock { $0.schedule.age(now: clock()) } }

    /// Does what is due, and returns how long there is nothing to do. Called by the thread, or by tests.
    @discardableResult
    func turn() -> Duration {
        let began = clock()
        let fetch = state.withLock { state -> Int? in
            guard state.schedule.next <= began else { return nil }
            state.schedule.begin(now: began)
            return state.schedule.begun
        }
        if let fetch { run(fetch) }
        let now = clock()
        let (isOutdated, next) = state.withLock { state -> (Bool, MonotonicTime) in
            guard let end = state.schedule.outdated else { return (false, state.schedule.next) }
            guard end <= now else { return (false, min(end, state.schedule.next)) }
            state.schedule.forget()
            state.document = []
            return (true, state.schedule.next)
        }
        if isOutdated {
            Log.error(
                "an issuer's keys are too old to be used: its tokens are refused", "issuer", name, "from",
                settings.location)
            tell(.outdated)
        }
        return max(.zero, next - now)
    }

    private func run(_ fetch: Int) {
        var found: JSONWebKeySet?
        var bytes: [UInt8] = []
        var problem = ""
        do throws(KeyFetchError) {
            bytes = try fetcher.document(at: settings.location, names: settings.issuer.names) { [self] in
                isStopping.load(ordering: .acquiring)
            }
            found = JSONWebKeySet(parsing: bytes)
            // Without a key that can be used it is a mistake rather than an end: the keys before stay, until they are too old.
            if found?.keys.isEmpty ?? true {
                found = nil
                problem = "there is no key in it that can be used"
            }
        } catch {
            problem = error.reason
        }
        (found == nil ? failures : fetches).add()
        let (isNew, tells) = state.withLock { state -> (Bool, Bool) in
            let isNew = found != nil && state.document != bytes
            if isNew { state.document = bytes }
            let tells = state.isFailing != (found == nil)
            state.isFailing = found == nil
            return (isNew, tells)
        }
        // Told before it counts as ended: whoever asks in between is told to wait for it, and finds that it is there. The other way
        // round he would be told that no fetch is worth waiting for, while its keys are not there yet.
        defer { state.withLock { $0.schedule.end(isGood: found != nil, now: clock()) } }
        if let found {
            if isNew || tells {
                Log.info("an issuer's keys were fetched", "issuer", name, "keys", found.keys.count)
            }
            tell(isNew ? .fetched(found, fetch: fetch) : .ended(fetch: fetch, hasFailed: false))
        } else {
            if tells, !isStopping.load(ordering: .acquiring) {
                Log.warning(
                    "an issuer's keys cannot be fetched", "issuer", name, "from", settings.location, "reason", problem)
            }
            tell(.ended(fetch: fetch, hasFailed: true))
        }
    }

    var name: String { settings.issuer.names.map(\.text).sorted().joined(separator: ", ") }
}
