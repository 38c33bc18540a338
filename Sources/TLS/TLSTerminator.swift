internal import ByteBuffers
internal import Glibc
internal import Synchronization
public import Telemetry
public import Transport

/// The TLS of one listener: the context that new connections get, and how it gets another.
///
/// A reload reads everything again and exchanges the context only when all of it is sound; connections keep the one they have.
public final class TLSTerminator: Sendable {
    private let settings: TLSSettings
    private let metrics: TLSMetrics
    private let current: Lock<Current>

    private struct Current {
        var context: TLSContext
        var stamps: [PEMFile.Stamp?]
    }

    /// Certificates that end within so many seconds are spoken of at each start and reload: 30 days.
    static let warningSeconds: Int64 = 30 * 86_400

    /// Reads files: at the start, not on an event loop.
    public init(_ settings: TLSSettings) throws(TLSConfigurationError) {
        self.settings = settings
        metrics = TLSMetrics(listener: settings.listener)
        let stamps = Self.stamps(settings)
        let context = try TLSContext(settings)
        current = Lock(Current(context: context, stamps: stamps))
        tell(context)
    }

    public func show(in registry: MetricsRegistry) { metrics.show(in: registry) }

    /// The TLS of one more connection.
    public func transform(on loop: EventLoop) -> any StreamTransform { stream(pool: loop.pool) }

    func stream(pool: ChunkPool, calls: SocketCalls = .system) -> TLSStream {
        TLSStream(current.withLock { $0.context }, metrics, pool: pool, calls: calls)
    }

    /// Takes the files' new content for connections to come, if they have changed. Reads files: not on an event loop.
    public func reloadIfChanged() {
        let stamps = Self.stamps(settings)
        guard current.withLock({ $0.stamps != stamps }) else { return }
        reload(stamps)
    }

    private func reload(_ stamps: [PEMFile.Stamp?]) {
        do throws(TLSConfigurationError) {
            let context = try TLSContext(settings)
            current.withLock { $0 = Current(context: context, stamps: stamps) }
            metrics.reloads.add()
            Log.info("certificates read again", "listener", settings.listener)
            tell(context)
        } catch {
            // Once for each change: what is half written now is looked at again when it is whole.
            current.withLock { $0.stamps = stamps }
            metrics.failedReloads.add()
            Log.error(
                "certificates not taken, those from before stay in force", "listener", settings.listener, "reason",
                error.description)
        }
    }

    /// Remembers and tells when the certificates end.
    private func tell(_ context: TLSContext) {
        metrics.endsAt.store(context.endsAt, ordering: .relaxed)
        let left = context.endsAt - Int64(time(nil))
        if left < 0 {
            Log.error("the certificate has ended, and clients will refuse it", "listener", settings.listener)
        } else if left < Self.warningSeconds {
            Log.warning("the certificate ends soon", "listener", settings.listener, "days", left / 86_400)
        }
    }

    private static func stamps(_ settings: TLSSettings) -> [PEMFile.Stamp?] {
        (settings.keystoreFiles + (settings.truststoreFile.map { [$0] } ?? [])).map(PEMFile.stamp)
    }
}
