import ByteBuffers
public import KafkaModel
public import Security
public import StorageIO

/// What all listeners share that ask for credentials: the users, decoys in place of who is none, and checks of passwords.
///
/// A password is checked by PBKDF2, 3 to 20 ms of a processor, so by a worker, a few at a time. What was found right is
/// remembered for a while, for clients that connect often.
public final class Authentication: Sendable {
    /// Checks at a time: half of the workers, so that whoever guesses passwords leaves the others to reads and long
    /// replies.
    static let maxRunning = Broker.workerThreads / 2
    /// The metadata's key of the secret behind decoys: with another, salts of who is no user would change at a restart,
    /// and show him for what he is.
    static let secretKey = "secrets/decoys"
    static let secretBytes = 32

    public let decoys: ScramDecoys
    private let broker: Broker
    private let remember: PasswordCache.Maker
    private let state = Lock(State())
    private let attempts = Lock(AttemptLimiter())
    private let begun: Lock<AttemptLimiter>

    /// Exchanges of SCRAM that one address may begin and leave unproven, a second and at once: each is some 30 us of an event loop,
    /// whether a wrong proof follows or none. Who has proven himself takes nothing from it, so a thousand clients of one address
    /// may come back at once.
    public static let exchanges = (perSecond: 100.0, atOnce: 1_000.0)

    private struct State {
        var running = 0
        var waiting = PasswordQueue()
        var cache = PasswordCache()
    }

    /// Blocks for the metadata store's sync at the first start with such a listener.
    ///
    /// - Parameter exchanges: of each address; tests have narrow ones.
    public init(
        _ broker: Broker,
        exchanges: AttemptLimiter = AttemptLimiter(
            perSecond: Authentication.exchanges.perSecond, burst: Authentication.exchanges.atOnce)
    ) throws(StorageError) {
        self.broker = broker
        begun = Lock(exchanges)
        decoys = ScramDecoys(secret: try Self.secret(of: broker))
        var key = Randomness.bytes(32)
        remember = PasswordCache.Maker(key: Secret(wiping: &key))
    }

    private static func secret(of broker: Broker) throws(StorageError) -> Secret {
        if let value = broker.metadata.read(secretKey), value.bytes.count >= secretBytes {
            return Secret(copying: value.bytes[...])
        }
        var made = Randomness.bytes(secretBytes)
        var transaction = MetadataTransaction()
        transaction.changes = [(secretKey, made)]
        _ = try broker.metadata.transact(transaction)
        return Secret(wiping: &made)
    }

    /// What an exchange is decided by, as of now.
    public var environment: SaslEnvironment { SaslEnvironment(credentials: broker.access, decoys: decoys) }

    /// Whether what an identity was shown by is still what its user has.
    public func isCurrent(_ identity: SaslIdentity) -> Bool {
        if identity.token != nil { return true }
        let (access, user) = (broker.access, identity.principal.name)
        // No two changes of credentials have one epoch.
        return ScramMechanism.allCases.contains {
            access.scramCredential(of: user, mechanism: $0)?.epoch == identity.epoch
        }
    }

    // MARK: Passwords

    /// Who it is, if the password was found right within the last minutes and has not changed since. Takes microseconds.
    public func remembered(_ user: ExactString, _ password: Secret) -> SaslIdentity? {
        // Nobody has epoch 0. Who is no user is looked for all the same: else he would be told by 15 us.
        let epoch = PasswordCheck.credential(of: user, in: broker.access)?.credential.epoch ?? 0
        // Outside of the lock that all loops and workers want.
        let entry = remember.entry(user: user, password: password, epoch: epoch)
        let isKnown = state.withLock { $0.cache.contains(entry, now: Self.now) }
        return isKnown ? SaslIdentity(principal: .user(user.text), epoch: epoch) : nil
    }

    /// Calls `done` once, from a worker, with what the check has found, unless it is given up before it has begun. Nil, and `done`
    /// is forgotten: too many wait.
    public func check(
        _ user: ExactString, _ password: Secret, from address: NetworkAddress?,
        _ done: @escaping @Sendable (SaslVerdict) -> Void
    ) -> PendingCheck? {
        let pending = PendingCheck()
        let check = PasswordQueue.Check(
            user: user, password: password, source: address?.siteKey, pending: pending, done: done)
        let (isTaken, begins) = state.withLock { state -> (Bool, Bool) in
            guard state.waiting.add(check) else { return (false, false) }
            guard state.running < Self.maxRunning else { return (true, false) }
            state.running += 1
            return (true, true)
        }
        if begins { runElsewhere() }
        return isTaken ? pending : nil
    }

    /// One piece of the workers' for each check: what else they have to do comes between.
    private func runElsewhere() {
        if broker.workers.submit({ [self] in runNext() }) { return }
        // The pool is full, or ends: nobody can tell.
        while let check = takeOrEnd() { check.done(.unavailable) }
    }

    /// The next check; nil when there is none, and one that ran does no more.
    private func takeOrEnd() -> PasswordQueue.Check? {
        state.withLock { state in
            if let check = state.waiting.take() { return check }
            state.running -= 1
            return nil
        }
    }

    private func runNext() {
        guard let check = takeOrEnd() else { return }
        let verdict = PasswordCheck.run(
            user: check.user, password: check.password, credentials: broker.access, decoys: decoys)
        if case .accepted(let identity) = verdict {
            let entry = remember.entry(user: check.user, password: check.password, epoch: identity.epoch)
            state.withLock { $0.cache.insert(entry, now: Self.now) }
        }
        check.done(verdict)
        runElsewhere()
    }

    // MARK: Guessing

    /// Whether a proof from there is looked at: of an address (or network of IPv6) with too many wrong ones lately none is, whatever
    /// name it is for, for ten a second would do for who guesses (`AttemptLimiter`). Names are never locked: that would be a way
    /// to keep a user out.
    public func mayTry(from address: NetworkAddress?, now: MonotonicTime = now) -> Bool {
        guard let address else { return true }
        return attempts.withLock { $0.wait(for: address, now: now) == nil }
    }

    /// Counts a wrong one.
    public func countFailure(from address: NetworkAddress?, now: MonotonicTime = now) {
        guard let address else { return }
        attempts.withLock { $0.countFailure(of: address, now: now) }
    }

    /// Whether an exchange of SCRAM may begin; it counts until `hasProven`.
    public func mayBegin(from address: NetworkAddress, now: MonotonicTime = now) -> Bool {
        begun.withLock { limiter in
            guard limiter.wait(for: address, now: now) == nil else { return false }
            limiter.countFailure(of: address, now: now)
            return true
        }
    }

    /// Takes back what the beginning has counted.
    public func hasProven(from address: NetworkAddress, now: MonotonicTime = now) {
        begun.withLock { $0.giveBack(to: address, now: now) }
    }

    public static var now: MonotonicTime { MonotonicTime(milliseconds: MonotonicClock.milliseconds) }
}
