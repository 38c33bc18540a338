import BrokerCore
import ByteBuffers
import HTTPWire
import Security
import Telemetry

/// `GET /stats`: the counts of all routes and forwarders since the start, as JSON.
enum StatisticsEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.describe) }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.writeStatistics()
        return .answered
    }
}

extension GatewayLoop {
    fileprivate func writeStatistics() {
        let all = metrics.allRoutes
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
        out.decimal(Int(all.reduce(0) { $0 + $1.counters.accepted.value }))
        out.text(",\"rejected\":")
        out.decimal(Int(all.reduce(0) { $0 + $1.counters.rejected.value }))
        out.text(",\"rejected_by_reason\":{")
        for (place, reason) in metrics.rejectionTotals.enumerated() {
            out.text(place == 0 ? "\"" : ",\"")
            out.utf8(reason.reason)
            out.text("\":")
            out.decimal(Int(reason.count))
        }
        out.text("},\"routes\":{")
        let requests = metrics.requestTotals
        for (place, route) in all.enumerated() {
            writeStatistics(
                of: route.label, route.counters, requests.filter { $0.route == route.label }, first: place == 0)
        }
        out.text("},\"forwarders\":{")
        for (place, forwarder) in broker.forwarders.statuses.enumerated() {
            let definition = forwarder.definition
            writeStatistics(
                definition.name,
                [("from", definition.from), ("to", definition.to), ("trouble", forwarder.trouble)],
                [
                    ("records", forwarder.records), ("batches", forwarder.batches), ("bytes", forwarder.bytes),
                    ("refused", forwarder.refused), ("failures", forwarder.failures), ("lag", forwarder.lag),
                ], first: place == 0)
        }
        out.text("},\"subscriptions\":{")
        for (place, subscription) in broker.subscriptions.statuses.enumerated() {
            let definition = subscription.definition
            writeStatistics(
                definition.name,
                [("from", definition.from), ("to", definition.shownURL), ("trouble", subscription.trouble)],
                [
                    ("records", subscription.records), ("batches", subscription.batches),
                    ("bytes", subscription.bytes), ("failed_records", subscription.failedRecords),
                    ("failures", subscription.failures), ("under_way", subscription.underWay),
                    ("lag", subscription.lag),
                ], first: place == 0)
        }
        out.text("}}")
    }

    /// Of one forwarder or subscription. A text may be null.
    private func writeStatistics(
        _ name: String, _ texts: [(name: String, text: String?)], _ numbers: [(name: String, number: Int)], first: Bool
    ) {
        out.text(first ? "" : ",")
        JSONText.write(name, into: &out)
        out.text(":{")
        for (name, text) in texts {
            JSONText.write(name, into: &out)
            out.text(":")
            if let text { JSONText.write(text, into: &out) } else { out.text("null") }
            out.text(",")
        }
        for (place, (name, number)) in numbers.enumerated() {
            out.text(place == 0 ? "" : ",")
            JSONText.write(name, into: &out)
            out.text(":")
            out.decimal(number)
        }
        out.text("}")
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
        out.text("}\n")
    }
}
