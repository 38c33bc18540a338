import BrokerCore
import ByteBuffers
import HTTPWire
import LogStorage
import Telemetry

/// `GET /healthz`, `/readyz`, `/metrics`, `/stats`.
extension GatewayLoop {
    /// Answers that the process lives.
    func getHealth() { out.text("{\"status\":\"ok\"}") }

    /// Answers whether the broker is ready, which means that it can commit: started, not draining, the data folder
    /// takes writes.
    func getReadiness() {
        if broker.isReady, !gateway.isDraining {
            out.text("{\"status\":\"ready\"")
            // Damage does not make the broker unready: all but the quarantined ranges is served.
            let damage = broker.store.damage
            if !damage.isEmpty {
                out.text(",\"quarantined_partitions\":")
                out.decimal(damage.count)
                out.text(",\"partitions_refusing_appends\":")
                out.decimal(damage.count(where: \.refusesAppends))
            }
            out.text("}")
            return
        }
        if gateway.isDraining {
            return answer(Problem(.storageUnavailable, "The broker is shutting down."), instance: head.path)
        }
        let why = broker.store.fullness.map { "No events are taken: \($0)." }
        answer(
            Problem(.storageUnavailable, why ?? "The broker cannot commit writes at the moment."), instance: head.path)
    }

    func getMetrics() {
        reply.contentType = "text/plain; version=0.0.4; charset=utf-8"
        metrics.registry.render(into: &out)
    }

    func getStatistics() {
        let routes = metrics.allRoutes
        out.text("{\"status\":")
        out.text(broker.isReady && !gateway.isDraining ? "\"ready\"" : "\"not_ready\"")
        out.text(",\"uptime_seconds\":")
        out.decimal(Int((now - gateway.startedAt) / 1_000_000_000))
        out.text(",\"topics\":")
        out.decimal(broker.catalog.topics.filter { !$0.isInternal }.count)
        out.text(",\"connections\":")
        out.decimal(Int(metrics.connections.value))
        out.text(",\"received_bytes\":")
        out.decimal(Int(metrics.receivedBytes.value))
        out.text(",\"accepted\":")
        out.decimal(Int(routes.reduce(0) { $0 + $1.counters.accepted.value }))
        out.text(",\"rejected\":")
        out.decimal(Int(routes.reduce(0) { $0 + $1.counters.rejected.value }))
        out.text(",\"rejected_by_reason\":{")
        for (place, reason) in metrics.rejectionTotals.enumerated() {
            out.text(place == 0 ? "\"" : ",\"")
            out.utf8(reason.reason)
            out.text("\":")
            out.decimal(Int(reason.count))
        }
        out.text("},\"routes\":{")
        let requests = metrics.requestTotals
        for (place, route) in routes.enumerated() {
            writeStatistics(
                of: route.label, route.counters, requests.filter { $0.route == route.label }, first: place == 0)
        }
        out.text("}}")
    }

    private func writeStatistics(
        of label: String, _ counters: RouteCounters, _ requests: [(route: String, status: Int, count: UInt64)],
        first: Bool
    ) {
        out.text(first ? "" : ",")
        JSONText.write(label, into: &out)
        out.text(":{\"requests\":")
        out.decimal(Int(requests.reduce(0) { $0 + $1.count }))
        out.text(",\"failed\":")
        out.decimal(Int(requests.filter { $0.status >= 400 }.reduce(0) { $0 + $1.count }))
        out.text(",\"accepted\":")
        out.decimal(Int(counters.accepted.value))
        out.text(",\"rejected\":")
        out.decimal(Int(counters.rejected.value))
        out.text(",\"handling_p50_us\":")
        out.decimal(Int(counters.handling.quantile(0.5) / 1000))
        out.text(",\"handling_p99_us\":")
        out.decimal(Int(counters.handling.quantile(0.99) / 1000))
        out.text("}")
    }
}
