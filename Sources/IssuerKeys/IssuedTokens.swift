import ByteBuffers
public import Security
import Synchronization
public import Telemetry

/// Checks tokens of the configured issuers, and keeps their keys fresh.
///
/// ```
///  remembered ── known by its digest ──► who it is
///  check ──► worker: verify ──┬── good, or wrong ──► verdict
///                             └── its key is not there ──► the issuer's keys are fetched, if that may be now ──► verify again
/// ```
public final class IssuedTokens: TokenAuthority {
    /// Each has a thread.
    public static let maxIssuers = 16
    /// Checks that wait for a worker, or for keys. Beyond it nobody can tell, and the client tries again.
    static let maxPending = 1_000
    /// Of those, from one address (or network of IPv6), so that one leaves room to all others.
    static let maxPendingOfOne = 100

    private let state: Lock<State>
    private let submit: @Sendable (@escaping @Sendable () -> Void) -> Bool
    private let wall: @Sendable () -> UnixTime
    private let watches = Lock<[KeyWatch]>([])
    private let keyChanges = Atomic<Int>(0)
    private let accepted = Counter()
    private let unavailable = Counter()
    private let refused: [TokenRefusal: Counter]

    private struct Check: Sendable {
        let token: Secret
        let digest: [UInt8]
        let source: NetworkAddress?
        let pending = PendingCheck()
        let done: @Sendable (TokenVerdict) -> Void
    }

    private struct State {
        var cache: TokenCache
        private(set) var pending = 0
        private var pendingOf: [NetworkAddress?: Int] = [:]
        var issuers: [Issuer]
        var isStopped = false

        init(cache: TokenCache, issuers: [Issuer]) {
            self.cache = cache
            self.issuers = issuers
        }

        /// False: too many wait, of all or of this source.
        mutating func take(_ source: NetworkAddress?) -> Bool {
            if !hasRoom(for: source) { letGo() }
            guard !isStopped, hasRoom(for: source) else { return false }
            pending += 1
            pendingOf[source, default: 0] += 1
            return true
        }

        private func hasRoom(for source: NetworkAddress?) -> Bool {
            pending < IssuedTokens.maxPending && pendingOf[source, default: 0] < IssuedTokens.maxPendingOfOne
        }

        mutating func release(_ source: NetworkAddress?) {
            pending -= 1
            let left = pendingOf[source, default: 1] - 1
            pendingOf[source] = left > 0 ? left : nil
        }

        /// Makes room by what waits for keys and was given up: that may go on for as long as a fetch does, while it costs nothing
        /// to send such tokens and to close. What was given up in a worker's queue leaves that as fast as it is worked off.
        private mutating func letGo() {
            for index in issuers.indices {
                for one in issuers[index].waiting where one.check.pending.isGivenUp { release(one.check.source) }
                issuers[index].waiting.removeAll { $0.check.pending.isGivenUp }
            }
        }
    }

    private struct Issuer {
        /// The last fetch that has ended, and how.
        var fetch = 0
        var hasFailed = false
        /// What waits for the fetch of that number.
        var waiting: [(check: Check, fetch: Int)] = []

        /// Takes out what has waited for that fetch.
        mutating func ended(_ fetch: Int, hasFailed: Bool) -> [Check] {
            self.fetch = fetch
            self.hasFailed = hasFailed
            defer { waiting.removeAll { $0.fetch <= fetch } }
            return waiting.filter { $0.fetch <= fetch }.map(\.check)
        }
    }

    /// - Parameters:
    ///   - interval: from one fetch of keys to the next.
    ///   - submit: runs a piece of work on another thread soon; false: it cannot.
    public convenience init(
        _ issuers: [IssuerSettings], interval: Duration, fetcher: any KeyFetcher,
        submit: @escaping @Sendable (@escaping @Sendable () -> Void) -> Bool
    ) throws(SecurityConfigurationError) {
        try self.init(
            issuers, interval: interval, fetcher: fetcher, submit: submit,
            clock: { MonotonicTime(milliseconds: MonotonicClock.milliseconds) },
            wall: { UnixTime(milliseconds: WallClock.milliseconds) })
    }

    init(
        _ issuers: [IssuerSettings], interval: Duration, fetcher: any KeyFetcher,
        submit: @escaping @Sendable (@escaping @Sendable () -> Void) -> Bool,
        clock: @escaping @Sendable () -> MonotonicTime, wall: @escaping @Sendable () -> UnixTime
    ) throws(SecurityConfigurationError) {
        let verifier = try TokenVerifier(issuers: issuers.map(\.issuer))
        state = Lock(State(cache: TokenCache(verifier), issuers: issuers.map { _ in Issuer() }))
        self.submit = submit
        self.wall = wall
        refused = Dictionary(uniqueKeysWithValues: TokenRefusal.allCases.map { ($0, Counter()) })
        let made = issuers.enumerated().map { index, settings in
            KeyWatch(
                settings, interval: settings.location.isFile ? min(interval, Self.fileInterval) : interval,
                fetcher: fetcher, clock: clock
            ) { [weak self] news in self?.take(news, of: index) }
        }
        watches.withLock { $0 = made }
    }

    /// Between two looks at a file: whoever exchanges keys does not wait for it.
    private static let fileInterval = Duration.seconds(10)

    /// Begins to fetch.
    public func start() { for watch in all { watch.start() } }

    /// Ends the threads. What waits for keys is told that nobody can tell.
    public func stop() {
        for watch in all { watch.stop() }
        let waiting = state.withLock { state -> [Check] in
            state.isStopped = true
            let waiting = state.issuers.flatMap { $0.waiting.map(\.check) }
            for index in state.issuers.indices { state.issuers[index].waiting = [] }
            return waiting
        }
        for check in waiting { end(check, .unavailable) }
    }

    var all: [KeyWatch] { watches.withLock { $0 } }

    // MARK: Tokens

    public var generation: Int { keyChanges.load(ordering: .acquiring) }

    public func remembered(_ token: Secret) -> TokenIdentity? {
        let digest = token.withBytes { TokenCache.digest($0) }
        let now = wall()
        return state.withLock { $0.cache.remembered(digest, now: now) }
    }

    public func check(
        _ token: Secret, from address: NetworkAddress?, _ done: @escaping @Sendable (TokenVerdict) -> Void
    ) -> PendingCheck? {
        let check = Check(
            token: token, digest: token.withBytes { TokenCache.digest($0) }, source: address?.limitKey, done: done)
        guard state.withLock({ $0.take(check.source) }) else { return nil }
        if submit({ [self] in run(check, mayWait: true) }) { return check.pending }
        release(check)
        return nil
    }

    private func run(_ check: Check, mayWait: Bool) {
        if check.pending.isGivenUp { return release(check) }
        let (verifier, generation) = state.withLock { ($0.cache.verifier, $0.cache.generation) }
        let now = wall()
        let result: Result<TokenIdentity, TokenRefusal> = check.token.withBytes { bytes in
            do throws(TokenRefusal) { return .success(try verifier.verify(bytes, now: now)) } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let identity):
            state.withLock { $0.cache.insert(identity, check.digest, generation: generation) }
            end(check, .accepted(identity))
        case .failure(.unknownKey):
            guard let index = check.token.withBytes({ verifier.claimedIssuer(of: $0) }) else {
                return end(check, .rejected(.unknownKey))
            }
            if mayWait, let fetch = all[index].ask() { return wait(check, for: fetch, of: index) }
            // Keys that have come since they were looked at.
            if state.withLock({ $0.cache.generation }) != generation { return run(check, mayWait: false) }
            end(check, verdict(onUnknownKeyOf: index, verifier))
        case .failure(let refusal): end(check, .rejected(refusal))
        }
    }

    /// The key may be one that could not be fetched: nobody can tell then.
    private func verdict(onUnknownKeyOf index: Int, _ verifier: TokenVerifier) -> TokenVerdict {
        let hasFailed = state.withLock { $0.issuers[index].hasFailed }
        return hasFailed || verifier.issuers[index].keys.keys.isEmpty ? .unavailable : .rejected(.unknownKey)
    }

    private func wait(_ check: Check, for fetch: Int, of index: Int) {
        enum Next { case waits, again, never }
        let next = state.withLock { state -> Next in
            if state.isStopped { return .never }
            // It has ended in between.
            if state.issuers[index].fetch >= fetch { return .again }
            state.issuers[index].waiting.append((check, fetch))
            return .waits
        }
        switch next {
        case .waits: break
        case .again: run(check, mayWait: false)
        case .never: end(check, .unavailable)
        }
    }

    private func end(_ check: Check, _ verdict: TokenVerdict) {
        switch verdict {
        case .accepted: accepted.add()
        case .rejected(let refusal): refused[refusal]?.add()
        case .unavailable: unavailable.add()
        }
        release(check)
        check.done(verdict)
    }

    private func release(_ check: Check) {
        state.withLock { $0.release(check.source) }
    }

    // MARK: Keys

    private func take(_ news: KeyNews, of index: Int) {
        let released = state.withLock { state -> [Check] in
            switch news {
            case .fetched(let keys, let fetch):
                state.cache.verifier = state.cache.verifier.replacing(keys, ofIssuer: index)
                return state.issuers[index].ended(fetch, hasFailed: false)
            case .ended(let fetch, let hasFailed): return state.issuers[index].ended(fetch, hasFailed: hasFailed)
            case .outdated:
                state.cache.verifier = state.cache.verifier.replacing(JSONWebKeySet(keys: []), ofIssuer: index)
                return []
            }
        }
        if case .ended = news {} else { keyChanges.wrappingAdd(1, ordering: .releasing) }
        for check in released where !submit({ [self] in run(check, mayWait: false) }) { end(check, .unavailable) }
    }

    // MARK: Metrics

    public func show(in metrics: MetricsRegistry) {
        let help = "Tokens that were looked at and not remembered, by what was found."
        for (counter, result) in [(accepted, "accepted"), (unavailable, "unavailable")]
            + refused.map({ ($0.value, $0.key.rawValue) }).sorted(by: { $0.1 < $1.1 })
        {
            metrics.show(counter, as: "millrace_token_checks_total", help: help, labels: ["result": result])
        }
        for watch in all {
            for (counter, result) in [(watch.fetches, "done"), (watch.failures, "failed")] {
                metrics.show(
                    counter, as: "millrace_token_key_fetches_total", help: "Fetches of an issuer's keys.",
                    labels: ["issuer": watch.name, "result": result])
            }
            metrics.reading(
                "millrace_token_key_age_seconds",
                help: "Seconds since an issuer's keys were fetched; -1: there are none.",
                labels: ["issuer": watch.name]
            ) { watch.age().map { Double($0.milliseconds) / 1_000 } ?? -1 }
        }
    }
}

extension KeyLocation {
    fileprivate var isFile: Bool { if case .file = self { true } else { false } }
}
