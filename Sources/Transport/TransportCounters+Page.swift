public import Telemetry

extension TransportCounters {
    /// Shows the counters on the metrics page, for the life of the process.
    public func show(in registry: MetricsRegistry) {
        registry.show(accepted, as: "millrace_transport_accepted_total", help: "Connections accepted and kept.")
        let refused = "millrace_transport_refused_total"
        let refusedHelp = "Connections refused, by the limit that was reached."
        registry.show(refusedByTotal, as: refused, help: refusedHelp, labels: ["limit": "connections"])
        registry.show(refusedByPeer, as: refused, help: refusedHelp, labels: ["limit": "connections_per_ip"])
        registry.show(refusedByRate, as: refused, help: refusedHelp, labels: ["limit": "connection_creation_rate"])
        registry.show(refusedStrangers, as: refused, help: refusedHelp, labels: ["limit": "trusted_proxies"])
        registry.show(
            acceptPostponed, as: "millrace_transport_accept_postponed_total",
            help: "Times that accepting was put off for want of descriptors or memory.")
        for (counter, reason) in [
            (closedByHandler, "broker"), (closedByPeer, "peer"), (closedByFailure, "failed"), (closedIdle, "idle"),
            (closedInputStalled, "input_stalled"), (closedWriteStalled, "write_stalled"), (closedByLimit, "limit"),
            (closedCommitFailed, "commit_failed"), (closedStreamRefused, "tls_refused"),
            (closedInHandshake, "handshake_timeout"), (closedExpired, "certificate_ended"), (closedByStop, "stop"),
        ] {
            registry.show(
                counter, as: "millrace_transport_closed_total", help: "Connections that ended, by reason.",
                labels: ["reason": reason])
        }
        registry.reading("millrace_transport_connections", help: "Open connections of all listeners.") { [self] in
            // The two are not read at one instant.
            Double(accepted.value) - Double(min(closed.value, accepted.value))
        }
        registry.show(
            bytesReceived, as: "millrace_transport_received_bytes_total", help: "Bytes that came over connections.")
        registry.show(bytesSent, as: "millrace_transport_sent_bytes_total", help: "Bytes that left over connections.")
        registry.show(
            bytesSentFromFiles, as: "millrace_transport_sent_from_files_bytes_total",
            help: "Part of the bytes sent: those that the kernel took from segments in its page cache.")
        registry.show(turns, as: "millrace_transport_loop_turns_total", help: "Turns of all event loops.")
        registry.show(
            budgetPauses, as: "millrace_transport_budget_pauses_total",
            help: "Times that connections of a loop began to wait because queued.max.request.bytes was used up.")
    }
}
