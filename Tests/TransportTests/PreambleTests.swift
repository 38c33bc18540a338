import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    /// What proxies put before a connection: two bytes `#`, and the last byte of an address.
    @Suite struct PreambleTests {
        private static func preamble(timeout: Duration = .seconds(20)) -> StreamPreamble {
            StreamPreamble(maxBytes: 8, timeout: timeout) { bytes, peer in
                guard bytes.prefix(2).allSatisfy({ $0 == UInt8(ascii: "#") }) else { return .refused("no header") }
                guard bytes.count >= 3 else { return .incomplete }
                let source = SocketAddress(high: 0, low: 0xc000_0200 | UInt64(bytes[2]), isIPv6: false, port: 0)
                return .whole(length: 3, source: bytes[2] == 0 ? nil : source)
            }
        }

        private func server(
            timeout: Duration = .seconds(20), perPeer: Int = .max,
            _ configure: (inout ListenerOptions) -> Void = { _ in }
        ) throws -> Server {
            try Server(
                configure: {
                    $0.preamble = Self.preamble(timeout: timeout)
                    $0.maxConnectionsPerIP = perPeer
                    configure(&$0)
                },
                onFrame: { body, connection in
                    echo(body, connection)
                    let host = Array(connection.peerAddress.host.utf8)
                    connection.write { $0.int32(Int32(host.count)) }
                    host.withUnsafeBytes { connection.write(copying: $0) }
                })
        }

        private func header(_ last: UInt8) -> [UInt8] { Array("##".utf8) + [last] }

        /// The body of one frame, and whose the connection is.
        private func ask(_ client: Client) -> [String] {
            [client.receiveFrame(), client.receiveFrame()].map { $0.map { String(decoding: $0, as: UTF8.self) } ?? "-" }
        }

        @Test func theConnectionIsWhoseTheHeaderSays() throws {
            let server = try server()
            for (last, host) in [(7, "192.0.2.7"), (0, "127.0.0.1")] as [(UInt8, String)] {
                let whole = try Client(port: server.port)
                whole.send(header(last) + frame(Array("a".utf8)) + frame(Array("b".utf8)))
                #expect(ask(whole) == ["a", host] && ask(whole) == ["b", host])
                let slow = try Client(port: server.port)
                for byte in header(last) + frame(Array("c".utf8)) { slow.send([byte]) }
                #expect(ask(slow) == ["c", host])
                slow.send(frame(Array("d".utf8)))
                #expect(ask(slow) == ["d", host])
            }
        }

        @Test func itStandsBelowTheTransform() throws {
            let script = Lock(Masking.Script())
            let server = try server { $0.makeTransform = { Masking(script, $0, hasHandshake: false) } }
            let client = try Client(port: server.port)
            client.send(header(9) + frame(Array("a".utf8)).map { $0 ^ 0x5a })
            let reply = client.receive(5 + 4 + 9).map { $0 ^ 0x5a }
            #expect(reply == frame(Array("a".utf8)) + frame(Array("192.0.2.9".utf8)))
        }

        @Test func withoutItNothingIsRead() throws {
            let server = try server()
            for bytes in [frame([1]), Array("#x".utf8)] {
                let client = try Client(port: server.port)
                client.send(bytes)
                #expect([.orderly, .reset].contains(client.receiveEnd()))
            }
            // The peer's end in the middle of it.
            let half = try Client(port: server.port)
            half.send(Array("##".utf8))
            half.finishSending()
            #expect([.orderly, .reset].contains(half.receiveEnd()))
            let empty = try Client(port: server.port)
            empty.finishSending()
            #expect(empty.receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed.count == 4 })
            #expect(server.log.now.frames == 0)
            #expect(server.counters.closedStreamRefused.value == 2)
        }

        /// Who may not send it is not waited for, and takes no place of those who may.
        @Test func strangersAreTurnedAwayAtOnce() throws {
            let server = try server {
                $0.preamble = StreamPreamble(isExpected: { _ in false }, maxBytes: 8, timeout: .seconds(3600)) { _, _ in
                    .incomplete
                }
                $0.maxConnections = 1
            }
            for _ in 0..<20 {
                let silent = try Client(port: server.port)
                #expect([.orderly, .reset].contains(silent.receiveEnd()))
            }
            #expect(server.counters.refusedStrangers.value == 20 && server.counters.refusedByTotal.value == 0)
            #expect(server.counters.accepted.value == 0 && server.listener.openConnections == 0)
        }

        @Test func whoDoesNotSendItInTimeIsClosed() throws {
            let server = try server(timeout: .milliseconds(20))
            let silent = try Client(port: server.port)
            let half = try Client(port: server.port)
            half.send(Array("#".utf8))
            #expect(silent.receiveEnd() != .bytes && half.receiveEnd() != .bytes)
            #expect(eventually { server.counters.closedInHandshake.value == 2 })
        }

        /// Not of the proxy, whose connections are those of many.
        @Test func theLimitOfAPeerIsAboutWhoIsNamed() throws {
            let server = try server(perPeer: 2) { $0.refusal = { Array("full".utf8) } }
            func connect(_ last: UInt8) throws -> Client {
                let client = try Client(port: server.port)
                client.send(header(last) + frame(Array("a".utf8)))
                return client
            }
            var kept: [Client] = []
            for last: UInt8 in [1, 1, 2, 2, 3] {
                let client = try connect(last)
                #expect(ask(client) == ["a", "192.0.2.\(last)"])
                kept.append(client)
            }
            let refused = try connect(1)
            #expect(refused.receive(4) == Array("full".utf8) && refused.receiveEnd() != .bytes)
            #expect(server.counters.refusedByPeer.value == 1)
            // One that goes leaves room for one, and no more.
            kept.removeFirst()
            #expect(eventually { server.listener.openConnections == 4 })
            kept.append(try connect(1))
            #expect(ask(kept[kept.count - 1]) == ["a", "192.0.2.1"])
            #expect(try connect(1).receive(4) == Array("full".utf8))
            kept.removeAll()
            #expect(eventually { server.listener.openConnections == 0 })
        }

        @Test func peersThatAreNotCountedAreNoLimit() throws {
            let server = try Server(configure: {
                $0.maxConnectionsPerIP = 1
                $0.isUncounted = { _ in true }
            })
            let clients = try (0..<3).map { _ in try Client(port: server.port) }
            for client in clients {
                client.send(frame([1]))
                #expect(client.receiveFrame() == [1])
            }
        }
    }
}
