import BrokerTestKit
import ByteBuffers
import COpenSSL
import Glibc
import Telemetry
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    /// The stream under the transport's connections, with sockets.
    @Suite struct ConnectionTests {
        /// Frames of a four-byte length and a body; the answer is a frame of what `onFrame` makes of it.
        private final class Echo: ConnectionHandler {
            let onFrame: (ByteSlice, Connection) -> Void
            let closed: Lock<[CloseReason]>

            init(_ closed: Lock<[CloseReason]>, _ onFrame: @escaping (ByteSlice, Connection) -> Void) {
                self.closed = closed
                self.onFrame = onFrame
            }

            func received(_ input: inout ConnectionInput, on connection: Connection) {
                while connection.wantsInput {
                    guard input.count >= 4 else {
                        input.needed = 4
                        return
                    }
                    let length = Int(UInt32(bigEndian: input.readable.loadUnaligned(as: UInt32.self)))
                    guard input.count >= 4 + length else {
                        input.needed = 4 + length
                        return
                    }
                    let frame = input.take(4 + length)
                    onFrame(frame, connection)
                }
            }

            func closed(on connection: Connection, reason: CloseReason) { closed.withLock { $0.append(reason) } }
        }

        private final class TLSServer {
            let group: EventLoopGroup
            let listener: Listener
            let closed = Lock<[CloseReason]>([])

            init(
                _ terminator: TLSTerminator, _ limits: ConnectionLimits = ConnectionLimits(),
                gathersFrames: Bool = false,
                onFrame: @escaping @Sendable (ByteSlice, Connection) -> Void = { $1.write($0) }
            ) throws {
                group = try EventLoopGroup()
                let closed = closed
                var options = ListenerOptions(host: "127.0.0.1", port: 0) { _, _ in Echo(closed, onFrame) }
                options.makeTransform = { terminator.transform(on: $0) }
                options.limits = limits
                options.gathersFrames = gathersFrames
                listener = try group.listen(options)
            }

            deinit { group.stop(within: .zero) }
        }

        /// OpenSSL's client on a blocking socket.
        private final class SocketClient {
            let descriptor: Int32
            let session: OpaquePointer
            private let context: OpaquePointer

            init(_ port: UInt16, version: Int32 = TLS1_3_VERSION) throws {
                descriptor = try Loopback.connect(port: port)
                context = SSL_CTX_new(TLS_client_method())!
                _ = millrace_tls_set_versions(context, version, version)
                session = SSL_new(context)!
                SSL_set_fd(session, descriptor)
            }

            deinit {
                SSL_free(session)
                SSL_CTX_free(context)
                close(descriptor)
            }

            func shakeHands() -> Bool {
                ERR_clear_error()
                return SSL_connect(session) == 1
            }

            func write(_ bytes: [UInt8]) {
                ERR_clear_error()
                precondition(SSL_write(session, bytes, Int32(bytes.count)) == Int32(bytes.count))
            }

            func read(_ count: Int) -> [UInt8] {
                ERR_clear_error()
                var bytes = [UInt8](repeating: 0, count: count)
                var done = 0
                while done < count {
                    let got = bytes.withUnsafeMutableBytes {
                        SSL_read(session, $0.baseAddress! + done, Int32(count - done))
                    }
                    if got <= 0 { break }
                    done += Int(got)
                }
                return Array(bytes[..<done])
            }

            /// What a read of nothing comes to: SSL_ERROR_ZERO_RETURN is an orderly end.
            func readEnd() -> Int32 {
                ERR_clear_error()
                var byte: UInt8 = 0
                return SSL_get_error(session, SSL_read(session, &byte, 1))
            }
        }

        private func frame(_ body: [UInt8]) -> [UInt8] {
            withUnsafeBytes(of: UInt32(body.count).bigEndian) { Array($0) } + body
        }

        private let terminator = try! TLSTerminator(.test())

        /// As librdkafka seals them: a record for each piece.
        @Test func aLongFrameInManyRecordsArrivesWhole() throws {
            let server = try TLSServer(terminator, gathersFrames: true)
            let client = try SocketClient(server.listener.port)
            #expect(client.shakeHands())
            // The last one is just short of what a mark is set for.
            for size in [300_000, 1_000, 60_000, TLSStream.readBuffer + Arrival.leastMark, 20_000] {
                let whole = frame(pattern(size))
                var rest = whole[...]
                while !rest.isEmpty {
                    for count in [27, 1_041] where !rest.isEmpty {
                        client.write(Array(rest.prefix(count)))
                        rest = rest.dropFirst(count)
                    }
                }
                #expect(client.read(whole.count) == whole)
            }
        }

        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func framesOfAllSizesComeBack(version: Int32) throws {
            let server = try TLSServer(terminator)
            let client = try SocketClient(server.listener.port, version: version)
            #expect(client.shakeHands())
            for size in [0, 1, 1_000, 16_124, 16_128, 16_384, 70_000, 300_000, 3_000_000] {
                let sent = frame(pattern(size))
                client.write(sent)
                #expect(client.read(sent.count) == sent, "\(size) bytes")
            }
            SSL_shutdown(client.session)
            #expect(client.readEnd() == SSL_ERROR_ZERO_RETURN)
            #expect(eventually { server.closed.withLock { $0 } == [.closedByPeer] })
            #expect(server.group.pool.outstandingBytes < 1 << 20)
        }

        @Test func aPartOfAFileComesThroughARecord() throws {
            let file = try TemporaryBytes(pattern(700_000))
            let server = try TLSServer(terminator) { _, connection in
                connection.write { $0.int32(1) }
                connection.write(FileSlice(file: file, position: 5, count: 600_000))
                connection.write { $0.int32(2) }
            }
            let client = try SocketClient(server.listener.port)
            #expect(client.shakeHands())
            client.write(frame([1]))
            #expect(client.read(600_008) == [0, 0, 0, 1] + pattern(700_000)[5..<600_005] + [0, 0, 0, 2])
        }

        @Test func aReplyAndTheEndAreTold() throws {
            let server = try TLSServer(terminator) { frame, connection in
                connection.write(frame)
                connection.closeAfterFlush()
            }
            let client = try SocketClient(server.listener.port)
            #expect(client.shakeHands())
            client.write(frame(pattern(500_000)))
            #expect(client.read(500_004) == frame(pattern(500_000)))
            #expect(client.readEnd() == SSL_ERROR_ZERO_RETURN)
        }

        @Test func aConnectionThatIsClosedAtOnceSaysSo() throws {
            let server = try TLSServer(terminator) { _, connection in connection.close() }
            let client = try SocketClient(server.listener.port)
            #expect(client.shakeHands())
            client.write(frame([1]))
            #expect(client.readEnd() == SSL_ERROR_ZERO_RETURN)
        }

        @Test func whoSpeaksPlainTextIsEnded() throws {
            let server = try TLSServer(terminator)
            let client = try SocketClient(server.listener.port)
            let bytes: [UInt8] = frame(pattern(40))
            #expect(send(client.descriptor, bytes, bytes.count, 0) == bytes.count)
            var byte: UInt8 = 0
            // An orderly end, not a reset.
            #expect(recv(client.descriptor, &byte, 1, 0) == 0)
            shutdown(client.descriptor, Int32(SHUT_WR))
            #expect(eventually { server.closed.withLock { $0 } == [.streamRefused] })
            #expect(server.group.counters.closedStreamRefused.value == 1)
        }

        @Test func aHandshakeThatIsNotGoneOnWithEnds() throws {
            var limits = ConnectionLimits()
            limits.handshakeTimeout = .milliseconds(60)
            let server = try TLSServer(terminator, limits)
            let client = try SocketClient(server.listener.port)
            let hello: [UInt8] = [22, 3, 1, 2, 0, 1]
            #expect(send(client.descriptor, hello, hello.count, 0) == hello.count)
            var byte: UInt8 = 0
            #expect(recv(client.descriptor, &byte, 1, 0) <= 0)
            #expect(eventually { server.closed.withLock { $0 } == [.handshakeTimeout] })
        }

        /// What the handler would answer to the request cannot be sealed any more, and waits for nobody.
        @Test func aBadRecordBehindARequestEndsTheConnection() throws {
            let server = try TLSServer(terminator) { frame, connection in
                connection.write(frame)
                connection.closeAfterFlush()
            }
            let client = try SocketClient(server.listener.port)
            #expect(client.shakeHands())
            // Both come in one segment, so the loop cannot look between them.
            func cork(_ isOn: Int32) {
                var value = isOn
                #expect(setsockopt(client.descriptor, Int32(IPPROTO_TCP), TCP_CORK, &value, 4) == 0)
            }
            cork(1)
            client.write(frame([1]))
            let garbage = [23, 3, 3, 0, 35] + pattern(35)
            #expect(Glibc.write(client.descriptor, garbage, garbage.count) == garbage.count)
            cork(0)
            #expect(eventually { server.closed.withLock { $0 } == [.streamRefused] })
        }

        @Test func aClientThatDoesNotReadHoldsNoMoreThanInPlainText() throws {
            let server = try TLSServer(terminator) { frame, connection in
                for _ in 0..<8 { connection.write(frame) }
            }
            let client = try SocketClient(server.listener.port)
            #expect(client.shakeHands())
            let sent = frame(pattern(1_000_000))
            client.write(sent)
            usleep(20_000)
            for _ in 0..<8 { #expect(client.read(sent.count) == sent) }
            client.write(frame([7]))
            #expect(client.read(5) == frame([7]))
        }
    }
}
