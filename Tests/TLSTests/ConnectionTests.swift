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
                onFrame: @escaping @Sendable (ByteSlice, Connection) -> Void = { $1.write($0) }
            ) throws {
                group = try EventLoopGroup()
                let closed = closed
                var options = ListenerOptions(host: "127.0.0.1", port: 0) { _, _ in Echo(closed, onFrame) }
                options.makeTransform = { terminator.transform(on: $0) }
                options.limits = limits
                listener = try group.listen(options)
            }

            deinit { group.stop(within: .zero) }
        }

        /// OpenSSL's client on a blocking socket.
        private final class SocketClient {
            let descriptor: Int32
            let session: OpaquePointer
            private let context: OpaquePointer

            init(_ port: UInt16, version: Int32 = TLS1_3_VERSION) {
                let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                var limit = timeval(tv_sec: 20, tv_usec: 0)
                setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = port.bigEndian
                address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
                let connected = withUnsafePointer(to: &address) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
                precondition(connected == 0, "no connection: errno \(errno)")
                self.descriptor = descriptor
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

        private func eventually(_ condition: () -> Bool) -> Bool {
            for _ in 0..<20_000 {
                if condition() { return true }
                usleep(500)
            }
            return false
        }

        private let terminator = try! TLSTerminator(.test())

        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func framesOfAllSizesComeBack(version: Int32) throws {
            let server = try TLSServer(terminator)
            let client = SocketClient(server.listener.port, version: version)
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
            let client = SocketClient(server.listener.port)
            #expect(client.shakeHands())
            client.write(frame([1]))
            #expect(client.read(600_008) == [0, 0, 0, 1] + pattern(700_000)[5..<600_005] + [0, 0, 0, 2])
        }

        @Test func aReplyAndTheEndAreTold() throws {
            let server = try TLSServer(terminator) { frame, connection in
                connection.write(frame)
                connection.closeAfterFlush()
            }
            let client = SocketClient(server.listener.port)
            #expect(client.shakeHands())
            client.write(frame(pattern(500_000)))
            #expect(client.read(500_004) == frame(pattern(500_000)))
            #expect(client.readEnd() == SSL_ERROR_ZERO_RETURN)
        }

        @Test func aConnectionThatIsClosedAtOnceSaysSo() throws {
            let server = try TLSServer(terminator) { _, connection in connection.close() }
            let client = SocketClient(server.listener.port)
            #expect(client.shakeHands())
            client.write(frame([1]))
            #expect(client.readEnd() == SSL_ERROR_ZERO_RETURN)
        }

        @Test func whoSpeaksPlainTextIsEnded() throws {
            let server = try TLSServer(terminator)
            let client = SocketClient(server.listener.port)
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
            let client = SocketClient(server.listener.port)
            let hello: [UInt8] = [22, 3, 1, 2, 0, 1]
            #expect(send(client.descriptor, hello, hello.count, 0) == hello.count)
            var byte: UInt8 = 0
            #expect(recv(client.descriptor, &byte, 1, 0) <= 0)
            #expect(eventually { server.closed.withLock { $0 } == [.handshakeTimeout] })
        }

        @Test func aClientThatDoesNotReadHoldsNoMoreThanInPlainText() throws {
            let server = try TLSServer(terminator) { frame, connection in
                for _ in 0..<8 { connection.write(frame) }
            }
            let client = SocketClient(server.listener.port)
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

/// A file that is gone with its last reference.
private final class TemporaryBytes: ByteFile {
    let descriptor: Int32

    struct Failure: Error {}

    init(_ bytes: [UInt8]) throws {
        var name = Array("/tmp/millrace-tls-XXXXXX".utf8CString)
        descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw Failure() }
        unlink(name)
        guard write(descriptor, bytes, bytes.count) == bytes.count else { throw Failure() }
    }

    deinit { close(descriptor) }
}
