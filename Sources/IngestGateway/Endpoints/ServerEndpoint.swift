/// `OPTIONS *`: which methods the server has at all. The parser lets no other method through to `*`.
enum ServerEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        preconditionFailure("only OPTIONS is sent to *")
    }
}
