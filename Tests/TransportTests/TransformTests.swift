import ByteBuffers
import Glibc
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct TransformTests {
        /// Not a cipher: enough to see that every byte passes through, in small pieces, with refusals in between.
        final class Masking: StreamTransform {
            var turn = 0

            func receive(into buffer: UnsafeMutableRawBufferPointer, from socket: Int32) -> StreamResult {
                let count = recv(socket, buffer.baseAddress, min(buffer.count, 1000), 0)
                if count == 0 { return .end }
                if count < 0 { return errno == EAGAIN ? .wouldBlock : .failed(errno: errno) }
                for index in 0..<count { buffer[index] ^= 0x5a }
                return .bytes(count)
            }

            func send(_ buffer: UnsafeRawBufferPointer, to socket: Int32) -> StreamResult {
                let masked = buffer.prefix(700).map { $0 ^ 0x5a }
                let count = Glibc.send(socket, masked, masked.count, Int32(MSG_NOSIGNAL))
                if count < 0 { return errno == EAGAIN ? .wouldBlock : .failed(errno: errno) }
                return .bytes(count)
            }

            func finish(on socket: Int32) {}
        }

        @Test func allBytesPassThroughTheTransform() throws {
            let server = try Server(configure: { $0.makeTransform = { Masking() } })
            let client = try Client(port: server.port)
            for size in [1, 900, 5_000, 300_000] {
                let body = pattern(size)
                client.send(frame(body).map { $0 ^ 0x5a })
                let reply = client.receive(size + 4).map { $0 ^ 0x5a }
                #expect(reply == frame(body))
            }
            client.finishSending()
            #expect(client.receiveEnd() == .orderly)
        }
    }
}
