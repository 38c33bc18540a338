/// `GET /healthz`: the process lives.
enum HealthEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.out.text("{\"status\":\"ok\"}\n")
        return .answered
    }
}
