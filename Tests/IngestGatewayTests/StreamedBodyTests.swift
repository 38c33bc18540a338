import BrokerTestKit
import ByteBuffers
import HTTPWire
import Testing

@testable import IngestGateway

/// Bodies that an endpoint takes piece by piece.
@Suite struct StreamedBodyTests {
    private static let most = 1 << 20

    private func node() throws -> GatewayHarness {
        let node = try GatewayHarness()
        try node.gateway.replaceRoutes([
            RouteDefinition(
                id: "sum", paths: ["/sum"], methods: .post, endpoint: SumEndpoint.self, maxBodyBytes: Self.most)
        ])
        return node
    }

    private static func chunked(_ body: [UInt8], _ size: Int) -> [UInt8] {
        var request = Array("POST /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
        for start in stride(from: 0, to: body.count, by: size) {
            let part = body[start..<min(start + size, body.count)]
            request += Array("\(String(part.count, radix: 16))\r\n".utf8) + part + Array("\r\n".utf8)
        }
        return request + Array("0\r\n\r\n".utf8)
    }

    @Test(arguments: [0, 1, 7, 100_000])
    func everyByteIsHandedOnOnceAndInOrder(count: Int) throws {
        let node = try node()
        let body = (0..<count).map { UInt8($0 % 251) }
        let wanted = SumReader.sum(of: body)
        let client = try node.connect()
        for request in [HTTPClient.request("POST", "/sum", body), Self.chunked(body, 1000), Self.chunked(body, 7)] {
            try client.send(request + HTTPClient.request("POST", "/sum", [1]))
            let reply = try client.receive()
            #expect(reply.status == 200 && reply.number("bytes") == count && reply.number("sum") == wanted)
            #expect(try client.receive().number("bytes") == 1)
        }
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func piecesArriveByteByByte() throws {
        let node = try node()
        let body = Array("abc".utf8)
        for request in [HTTPClient.request("POST", "/sum", body), Self.chunked(body, 2)] {
            let client = try node.connect()
            for byte in request { try client.send([byte]) }
            let reply = try client.receive()
            #expect(reply.number("bytes") == 3 && reply.number("sum") == SumReader.sum(of: body))
        }
    }

    @Test func aReaderCanRefuseInTheMiddle() throws {
        let node = try node()
        let bad = [UInt8](repeating: 1, count: 70_000) + [SumReader.refused] + [UInt8](repeating: 1, count: 70_000)
        for request in [HTTPClient.request("POST", "/sum", bad), Self.chunked(bad, 5000)] {
            let client = try node.connect()
            try client.send(request)
            let reply = try client.receive()
            #expect(reply.status == 400 && reply.string("code") == "invalid_json")
            #expect(client.isClosed())
        }
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
    }

    @Test func moreThanTheEndpointWantsIs413() throws {
        let node = try node()
        let client = try node.connect()
        try client.send("POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: \(Self.most + 1)\r\n\r\n")
        #expect(try client.receive().status == 413)
        let chunks = try node.connect()
        try chunks.send("POST /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n")
        #expect(try chunks.receive().status == 413)
        #expect(chunks.isClosed())
    }

    @Test func aBodyThatStandsStillGets408() throws {
        var options = GatewayOptions()
        options.bodyIdleTimeout = .milliseconds(100)
        let node = try GatewayHarness(options)
        try node.gateway.replaceRoutes([
            RouteDefinition(
                id: "sum", paths: ["/sum"], methods: .post, endpoint: SumEndpoint.self, maxBodyBytes: Self.most)
        ])
        let client = try node.connect()
        try client.send("POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nab")
        #expect(try client.receive().string("code") == "body_timeout")
        #expect(client.isClosed())
    }
}

/// Adds up what it is sent.
private enum SumEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .nothing }
    static func wish(on loop: GatewayLoop) -> BodyWish {
        .streamed(SumReader(), upTo: loop.routeRow.pointee.maxBodyBytes)
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        preconditionFailure("a streamed body has come in one piece")
    }
}

private final class SumReader: BodyReader {
    static let refused: UInt8 = 0xff
    private var bytes = 0
    private var total = 0

    /// Depends on the order.
    static func sum(of bytes: [UInt8]) -> Int { bytes.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff_ffff } }

    func take(_ piece: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Problem? {
        bytes += piece.count
        total = piece.reduce(total) { ($0 &* 31 &+ Int($1)) & 0xffff_ffff }
        return piece.contains(Self.refused) && bytes > 1000 ? Problem(.invalidJSON, "This byte is refused.") : nil
    }

    func end(on loop: GatewayLoop) -> Completion {
        loop.out.text("{\"bytes\":")
        loop.out.decimal(bytes)
        loop.out.text(",\"sum\":")
        loop.out.decimal(total)
        loop.out.text("}")
        return .answered
    }
}
