import Security
import Telemetry

/// `GET /trace`: what took long, of the whole process, as JSON.
enum TraceEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .cluster(.describe) }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        StallTrace.shared.writeJSON(into: &loop.out)
        return .answered
    }
}
