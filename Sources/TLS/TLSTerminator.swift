internal import ByteBuffers
internal import Glibc
internal import Synchronization
public import Telemetry
public import Transport

/// The TLS of one listener: the context that new connections get, and how it gets another.
///
/// A reload reads everything again and exchanges the context only when all of it is sound, and not for certificates that clients
/// refuse for their time, as long as those in force are taken; connections keep the one they have.
public final class TLSTerminator: Sendable {
    private let settings: TLSSettings
    let metrics: TLSMetrics
    private let current: Lock<Current>
    /// By the loop's index.
    private let buffers = Lock<[Int: LoopBuffers]>([:])

    private struct Current {
        var context: TLSContext
        /// Of the files that the context is from.
        var stamps: [PEMFile.Stamp?]
        /// Why the last try since then has failed: told once, not at every look.
        var failure: TLSConfigurationError?
    }

    /// The last of `warningDays` that was told.
    private let told = Atomic<Int>(0)
    private let overdueIsTold = Atomic<Bool>(false)

    /// Days before its end at which a certificate is spoken of, also while the broker runs; 0: it has ended.
    static let warningDays: [Int64] = [30, 7, 1, 0]

    /// Reads files: at the start, not on an event loop.
    public init(_ settings: TLSSettings) throws(TLSConfigurationError) {
        self.settings = settings
        metrics = TLSMetrics(listener: settings.listener)
        let stamps = Self.stamps(settings)
        let context = try TLSContext(settings)
        current = Lock(Current(context: context, stamps: stamps))
        tell(context)
    }

    /// Whether clients that connect by an address can check the certificate.
    public var namesAddress: Bool { context.namesAddress }

    public func show(in registry: MetricsRegistry) { metrics.show(in: registry) }

    /// The TLS of one more connection.
    public func transform(on loop: EventLoop) -> any StreamTransform { stream(buffers(of: loop)) }

    func stream(_ buffers: LoopBuffers, calls: SocketCalls = .system) -> TLSStream {
        TLSStream(context, self, buffers, calls: calls)
    }

    /// What connections to come get.
    var context: TLSContext { current.withLock { $0.context } }

    private func buffers(of loop: EventLoop) -> LoopBuffers {
        if let made = buffers.withLock({ $0[loop.index] }) { return made }
        let made = LoopBuffers(pool: loop.pool)
        buffers.withLock { $0[loop.index] = made }
        loop.atEnd { [buffers, index = loop.index] in buffers.withLock { $0[index] = nil } }
        return made
    }

    /// Takes the files' new content for connections to come, if they have changed. Reads files: not on an event loop.
    public func reloadIfChanged() {
        let stamps = Self.stamps(settings)
        if current.withLock({ $0.stamps != stamps }) { reload(stamps, tellsAgain: false) }
        _ = remind(at: Int64(time(nil)))
    }

    /// The same, whether they have changed or not: somebody asks for it, and the log says what came of it.
    public func reload() { reload(Self.stamps(settings), tellsAgain: true) }

    private func reload(_ stamps: [PEMFile.Stamp?], tellsAgain: Bool) {
        do throws(TLSConfigurationError) {
            let context = try TLSContext(settings)
            // Sooner or later somebody copies the old file over the new one.
            let now = Int64(time(nil))
            let former = self.context
            if let untimely = context.untimely(at: now), former.untimely(at: now) == nil {
                throw untimely
            }
            current.withLock { $0 = Current(context: context, stamps: stamps) }
            metrics.reloads.add()
            Log.info("certificates read again", "listener", settings.listener)
            tellOfOtherNames(former, context)
            tell(context)
        } catch {
            // The stamps stay those of what is in force, so that the next look tries again: what failed may have been no fault of the
            // file (a descriptor, a disk).
            let isKnown = current.withLock { current in
                defer { current.failure = error }
                return current.failure == error
            }
            if isKnown, !tellsAgain { return }
            metrics.failedReloads.add()
            Log.error(
                "certificates not taken, those from before stay in force", "listener", settings.listener, "reason",
                error.description)
        }
    }

    /// Whoever pins the owner of a certificate, or connects by a name that it has no more, fails from now on. It may be meant so: the file
    /// is the administrator's.
    private func tellOfOtherNames(_ former: TLSContext, _ context: TLSContext) {
        for (old, new) in zip(former.shownNames, context.shownNames) {
            if old.owner != new.owner {
                Log.warning("the certificate has another owner than the one before", "listener", settings.listener)
            }
            if !old.alternatives.isSubset(of: new.alternatives) {
                Log.warning(
                    "the certificate does not have all names of the one before", "listener", settings.listener)
            }
        }
    }

    /// Remembers and tells when the certificates end.
    private func tell(_ context: TLSContext) {
        metrics.endsAt.store(context.endsAt, ordering: .relaxed)
        metrics.listsEndAt.store(context.listsEndAt, ordering: .relaxed)
        overdueIsTold.store(false, ordering: .relaxed)
        told.store(0, ordering: .relaxed)
        _ = remind(at: Int64(time(nil)))
    }

    /// Tells once at each of `warningDays` that a certificate is about to end. True: it did now.
    func remind(at now: Int64) -> Bool {
        if metrics.listsEndAt.load(ordering: .relaxed) <= now, !overdueIsTold.exchange(true, ordering: .relaxed) {
            let file = settings.revocationFile ?? ""
            if settings.takesOutdatedLists {
                Log.warning(
                    "the next revocation list is overdue, and the one before holds on: put the next one into the file",
                    "listener", settings.listener, "file", file)
            } else {
                Log.error(
                    "the next revocation list is overdue, and clients of its authority are refused: put the next one into the file",
                    "listener", settings.listener, "file", file)
            }
        }
        let left = metrics.endsAt.load(ordering: .relaxed) - now
        let passed = Self.warningDays.filter { left < $0 * 86_400 || left < 0 }.count
        guard told.exchange(passed, ordering: .relaxed) < passed else { return false }
        if left < 0 {
            Log.error("the certificate has ended, and clients will refuse it", "listener", settings.listener)
        } else {
            Log.warning("the certificate ends soon", "listener", settings.listener, "days", left / 86_400)
        }
        return true
    }

    private static func stamps(_ settings: TLSSettings) -> [PEMFile.Stamp?] {
        (settings.keystoreFiles + [settings.truststoreFile, settings.revocationFile].compactMap { $0 }).map(
            PEMFile.stamp)
    }
}
