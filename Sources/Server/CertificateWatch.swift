import ByteBuffers
import Synchronization
import TLS

/// Looks at the files of certificates now and then, on a thread of its own: reading them takes milliseconds, and may wait for a disk.
final class CertificateWatch: Sendable {
    private let wake = Signal()
    private let isStopping = Atomic<Bool>(false)
    private let thread = Lock<Thread?>(nil)

    /// Milliseconds between two looks: whoever renews a certificate does not wait for it, and a look is a `stat` a file.
    private static let intervalMs: Int64 = 10_000

    init(_ terminators: [TLSTerminator]) {
        let started = Thread(name: "certificates") { [self] in
            while true {
                wake.wait(timeoutMs: Self.intervalMs)
                if isStopping.load(ordering: .acquiring) { return }
                for terminator in terminators { terminator.reloadIfChanged() }
            }
        }
        thread.withLock { $0 = started }
    }

    /// Looks at once.
    func look() { wake.raise() }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        wake.raise()
        thread.withLock { $0 }?.join()
        thread.withLock { $0 = nil }
    }
}
