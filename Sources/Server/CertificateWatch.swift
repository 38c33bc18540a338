import ByteBuffers
import Synchronization
import TLS

/// Looks at the files of certificates now and then, on a thread of its own: reading them takes milliseconds, and may wait for a disk.
final class CertificateWatch: Sendable {
    private let wake = Signal()
    private let isStopping = Atomic<Bool>(false)
    private let isAsked = Atomic<Bool>(false)
    private let thread = Lock<Thread?>(nil)

    /// Milliseconds between two looks: whoever renews a certificate does not wait for it, and a look is a `stat` a file.
    private static let intervalMs: Int64 = 10_000

    init(_ terminators: [TLSTerminator]) {
        let started = Thread(name: "certificates") { [self] in
            while true {
                wake.wait(timeoutMs: Self.intervalMs)
                if isStopping.load(ordering: .acquiring) { return }
                let readsAll = isAsked.exchange(false, ordering: .acquiring)
                for terminator in terminators {
                    if readsAll { terminator.reload() } else { terminator.reloadIfChanged() }
                }
            }
        }
        thread.withLock { $0 = started }
    }

    /// Reads them at once, changed or not: whoever asks for it sees in the log what came of it.
    func look() {
        isAsked.store(true, ordering: .releasing)
        wake.raise()
    }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        wake.raise()
        thread.withLock { $0 }?.join()
        thread.withLock { $0 = nil }
    }
}
