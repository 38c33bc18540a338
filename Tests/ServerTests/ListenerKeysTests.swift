import BrokerTestKit
import Configuration
import Glibc
import Testing

@testable import Server

/// `listener.name.NAME.KEY` reaches the listener.
@Suite struct NodeListenerKeysTests {
    /// What SaslHandshake says of a mechanism that there is not: which there are.
    private func mechanisms(at port: UInt16) throws -> [String] {
        let socket = try Loopback.connect(port: port)
        defer { close(socket) }
        let request: [UInt8] = [0, 0, 0, 13, 0, 17, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 1, UInt8(ascii: "X")]
        try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
        func read(_ count: Int) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: count)
            return recv(socket, &bytes, count, Int32(MSG_WAITALL)) == count ? bytes : []
        }
        func number(_ bytes: some Sequence<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
        let reply = read(number(read(4)))
        try #require(reply.count > 10 && number(reply[4..<6]) == 33)
        var rest = reply[10...]
        return (0..<number(reply[6..<10])).map { _ in
            let length = number(rest.prefix(2))
            defer { rest = rest.dropFirst(2 + length) }
            return String(decoding: rest.dropFirst(2).prefix(length), as: UTF8.self)
        }
    }

    @Test func eachListenerHasItsMechanisms() throws {
        let data = try TemporaryFolder()
        let node = try Node.start(
            folder: data.path,
            [
                "listeners": "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.1:0", "authorizer.enable": "true",
                "listener.security.protocol.map": "INSIDE:SASL_PLAINTEXT,OUTSIDE:SASL_PLAINTEXT",
                "sasl.enabled.mechanisms": "SCRAM-SHA-256",
                "listener.name.outside.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            ])
        #expect(try mechanisms(at: node.kafkaAddresses[0].endpoint.port) == ["SCRAM-SHA-256"])
        #expect(try mechanisms(at: node.kafkaAddresses[1].endpoint.port) == ["SCRAM-SHA-512", "PLAIN"])
        try node.stop()
    }

    /// As in Kafka it counts beside the broker's own limit.
    @Test func eachListenerHasItsConnections() throws {
        let data = try TemporaryFolder()
        let node = try Node.start(
            folder: data.path,
            [
                "listeners": "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.1:0",
                "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
                "listener.name.outside.max.connections": "1",
            ])
        let ports = node.kafkaAddresses.map(\.endpoint.port)
        var open: [Int32] = []
        defer { for socket in open { close(socket) } }
        /// Whether ApiVersions is answered.
        func isServed(_ port: UInt16) throws -> Bool {
            let socket = try Loopback.connect(port: port)
            open.append(socket)
            let request: [UInt8] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]
            _ = send(socket, request, request.count, Int32(MSG_NOSIGNAL))
            var byte: UInt8 = 0
            return recv(socket, &byte, 1, 0) == 1
        }
        #expect(try isServed(ports[1]) && !isServed(ports[1]))
        #expect(try isServed(ports[0]) && isServed(ports[0]))
        try node.stop()
    }
}
