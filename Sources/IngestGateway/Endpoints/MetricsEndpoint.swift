import Security
import Telemetry

/// `GET /metrics`: the Prometheus page.
enum MetricsEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.describe) }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.reply.contentType = "text/plain; version=0.0.4; charset=utf-8"
        loop.metrics.registry.render(into: &loop.out)
        return .answered
    }
}
