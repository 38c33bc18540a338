internal import Synchronization
internal import Telemetry

/// What the TLS of one listener has come to, readable from any thread.
final class TLSMetrics: Sendable {
    let listener: String
    let full = Counter()
    let resumed = Counter()
    let refused = Counter()
    private let plainTexts = Counter()
    let reloads = Counter()
    let failedReloads = Counter()
    /// Seconds since 1970.
    let endsAt = Atomic<Int64>(0)
    /// The same of the revocation lists; `.max`: there is none, or none that ends.
    let listsEndAt = Atomic<Int64>(.max)

    init(listener: String) { self.listener = listener }

    /// Counts a client that speaks no TLS: the commonest mistake of all.
    func plainText() { plainTexts.add() }

    func show(in registry: MetricsRegistry) {
        let name = "millrace_tls_handshakes_total"
        let help = "Handshakes that came to an end, by what became of them."
        for (counter, result) in [
            (full, "full"), (resumed, "resumed"), (refused, "refused"), (plainTexts, "plain_text"),
        ] {
            registry.show(counter, as: name, help: help, labels: ["listener": listener, "result": result])
        }
        for (counter, result) in [(reloads, "done"), (failedReloads, "failed")] {
            registry.show(
                counter, as: "millrace_tls_reloads_total", help: "Certificates read again because a file has changed.",
                labels: ["listener": listener, "result": result])
        }
        registry.reading(
            "millrace_tls_certificate_end_seconds",
            help: "When the listener's certificate, or the first of several, ends: seconds since 1970.",
            labels: ["listener": listener]
        ) { [self] in Double(endsAt.load(ordering: .relaxed)) }
        registry.reading(
            "millrace_tls_crl_end_seconds",
            help: "When the first of the listener's revocation lists is overdue: seconds since 1970. Without one +Inf.",
            labels: ["listener": listener]
        ) { [self] in
            let end = listsEndAt.load(ordering: .relaxed)
            return end == .max ? .infinity : Double(end)
        }
    }
}
