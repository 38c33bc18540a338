import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct InputTests {
        @Test func framesSentByteByByteArriveWhole() throws {
            let server = try Server()
            let client = try Client(port: server.port)
            for round in 0..<3 {
                let body = pattern(37, seed: round)
                for byte in frame(body) { client.send([byte]) }
                #expect(client.receiveFrame() == body)
            }
            #expect(server.log.now.frames == 3)
        }

        @Test func coalescedFramesAreAnsweredInOrder() throws {
            let server = try Server()
            let client = try Client(port: server.port)
            let bodies = (0..<500).map { pattern($0, seed: $0) }
            client.send(bodies.flatMap { frame($0) })
            for body in bodies { #expect(client.receiveFrame() == body) }
        }

        @Test(arguments: [4096, 65_532, 65_536, 262_140, 262_144, 1 << 20, 3_000_001, 9 << 20])
        func framesOfAnySizeComeBackUnchanged(size: Int) throws {
            let server = try Server(configure: { $0.limits.maxPendingOutput = 64 << 20 })
            let client = try Client(port: server.port)
            // Twice: the second time the connection is trusted with the size at once.
            for round in 0..<2 {
                let body = pattern(size, seed: round)
                client.send(frame(body))
                #expect(client.receiveFrame() == body)
            }
        }

        @Test func whatFollowsALargeFrameIsNotLost() throws {
            let server = try Server()
            let client = try Client(port: server.port)
            let bodies = [700_000, 3, 200_000, 0, 1, 90_000, 5].enumerated().map { pattern($1, seed: $0) }
            let sender = Thread(name: "sender") { [fd = client.fd] in
                let bytes = bodies.flatMap { frame($0) }
                var sent = 0
                while sent < bytes.count {
                    let count = bytes.withUnsafeBytes { write(fd, $0.baseAddress! + sent, bytes.count - sent) }
                    if count <= 0 { break }
                    sent += count
                }
            }
            for body in bodies { #expect(client.receiveFrame() == body) }
            sender.join()
        }

        @Test func announcedFramesCostNothingUntilTheyArrive() throws {
            let server = try Server()
            let idle = server.group.pool.outstandingBytes
            let clients = try (0..<200).map { _ in try Client(port: server.port) }
            let announcement: [UInt8] = withUnsafeBytes(of: UInt32(90 << 20).bigEndian) { Array($0) } + [1, 2, 3]
            for client in clients { client.send(announcement) }
            #expect(eventually { server.log.now.calls >= 200 })
            // One smallest chunk each.
            #expect(server.group.pool.outstandingBytes - idle <= 200 * 4096)
            // Half a MB of it: at most four times that.
            clients[0].send([UInt8](repeating: 0, count: 500_000))
            #expect(eventually { server.counters.bytesReceived.value >= 200 * 7 + 500_000 })
            #expect(server.group.pool.outstandingBytes - idle <= 200 * 4096 + 2_000_000 + 65_536)
        }

        @Test func idleConnectionsHoldNoBuffer() throws {
            let server = try Server()
            let idle = server.group.pool.outstandingBytes
            let clients = try (0..<50).map { _ in try Client(port: server.port) }
            for client in clients {
                client.send(frame([1, 2, 3]))
                #expect(client.receiveFrame() == [1, 2, 3])
            }
            #expect(eventually { server.group.pool.outstandingBytes == idle })
        }

        @Test func takenSlicesKeepTheirBytes() throws {
            let kept = Lock<[ByteSlice]>([])
            let server = try Server { body, connection in
                kept.withLock { $0.append(body) }
                connection.write { $0.int32(0) }
            }
            let client = try Client(port: server.port)
            // More than two read chunks in all, each frame by its own read.
            let bodies = (0..<60).map { pattern(9_000 + $0, seed: $0) }
            for body in bodies {
                client.send(frame(body))
                #expect(client.receiveFrame() == [])
            }
            let slices = kept.withLock { $0 }
            #expect(slices.map { Array($0.bytes) } == bodies)
        }

        @Test func aFrameAboveTheLimitClosesTheConnection() throws {
            let server = try Server(configure: { $0.limits.maxFrameBytes = 1000 })
            let client = try Client(port: server.port)
            client.send(frame(pattern(996)))
            #expect(client.receiveFrame() == pattern(996))
            client.send(Array(frame(pattern(997))[0..<4]))
            #expect(client.receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed == [.inputLimit] })
        }

        @Test func unknownLengthsAreOfferedAsTheyGrow() throws {
            /// Lines: the handler never knows how much it needs.
            final class Lines: ConnectionHandler {
                func received(_ input: inout ConnectionInput, on connection: Connection) {
                    while let end = input.readable.firstIndex(of: 10) {
                        let line = input.take(end)
                        input.consume(1)
                        connection.write { $0.int32(Int32(line.count)) }
                        connection.write(line)
                    }
                }
            }
            let server = try Server(configure: { options in
                options = ListenerOptions(host: "127.0.0.1", port: 0) { _, _ in Lines() }
                options.limits.maxFrameBytes = 400_000
            })
            let client = try Client(port: server.port)
            let line = [UInt8](repeating: 7, count: 300_000)
            client.send(line + [10, 65, 10])
            #expect(client.receiveFrame() == line)
            #expect(client.receiveFrame() == [65])
            // Never a line end: closed at the limit.
            client.send([UInt8](repeating: 7, count: 900_000))
            #expect(client.receiveEnd() != .bytes)
            #expect(eventually { server.counters.closedByLimit.value == 1 })
        }

        @Test func peersThatVanishMidFrameLeaveNothingBehind() throws {
            let server = try Server()
            let idle = server.group.pool.outstandingBytes
            for round in 0..<20 {
                let client = try Client(port: server.port)
                client.send(Array(frame(pattern(100_000))[0..<(1 + round * 3_000)]))
                if round % 2 == 0 { client.resetOnClose() }
            }
            #expect(eventually { server.log.now.closed.count == 20 })
            #expect(server.listener.openConnections == 0)
            #expect(eventually { server.group.pool.outstandingBytes == idle })
        }

        @Test func aStalledFrameIsClosed() throws {
            let server = try Server(configure: {
                $0.limits.partialInputTimeout = .milliseconds(50)
                $0.limits.minimumInputRate = 1 << 20
            })
            let client = try Client(port: server.port)
            client.send([0, 0, 1, 0, 9])
            #expect(client.receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed == [.inputStalled] })
            // Between frames there is no such clock.
            let quiet = try Client(port: server.port)
            quiet.send(frame([1]))
            #expect(quiet.receiveFrame() == [1])
            #expect(server.onConnection(1) { $0.partialSince } == 0)
        }
    }
}
