import BrokerTestKit
import ByteBuffers
import Glibc
import Synchronization
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct OutputTests {
        /// Answers each frame with as many bytes as its first four say, by reference.
        static func fetch(_ body: ByteSlice, _ connection: Connection) {
            var reader = ByteReader(body)
            let size = Int((try? reader.int32()) ?? 0)
            let slice = reply(size).withUnsafeBytes { connection.loop.pool.slice(copying: $0) }
            connection.write { $0.int32(Int32(size)) }
            connection.write(slice)
        }

        static func request(_ size: Int) -> [UInt8] {
            frame(withUnsafeBytes(of: UInt32(size).bigEndian) { Array($0) })
        }

        static func reply(_ size: Int) -> [UInt8] { pattern(size, seed: size) }

        @Test func aSlowReaderIsNotReadAndItsOutputIsBounded() throws {
            let server = try Server { body, connection in
                Self.fetch(body, connection)
            }
            let client = try Client(port: server.port, receiveBuffer: 65536)
            // 300 requests for 300 KB, in one piece: all are in the loop's buffer at once.
            client.send((0..<300).flatMap { _ in Self.request(300_000) })
            #expect(eventually { server.onConnection { $0.isBackPressured } == true })
            let frames = server.log.now.frames
            #expect(frames < 60)
            // At most the high-water mark and the one reply that passed it.
            let pending = try #require(server.onConnection { $0.pendingOutputBytes })
            #expect(pending <= (1 << 20) + 300_004)
            // And it stays so: no turn is spent on it.
            let turns = server.counters.turns.value
            usleep(50_000)
            #expect(server.counters.turns.value - turns <= 2)
            #expect(server.log.now.frames == frames)
            // Reading brings the rest, in order.
            let expected = Self.reply(300_000)
            for _ in 0..<300 { #expect(client.receiveFrame() == expected) }
            #expect(server.log.now.drained > 0)
        }

        @Test func aReaderThatStoppedIsClosedAfterTheStallTimeout() throws {
            let server = try Server(
                configure: { $0.limits.writeStallTimeout = .milliseconds(50) }, onFrame: Self.fetch)
            let idle = server.group.pool.outstandingBytes
            let client = try Client(port: server.port, receiveBuffer: 65536)
            client.send((0..<40).flatMap { _ in Self.request(1 << 20) })
            #expect(eventually { server.log.now.closed == [.writeStalled] })
            #expect(eventually { server.group.pool.outstandingBytes == idle })
        }

        @Test func aBurstBeyondTheLimitClosesTheConnection() throws {
            let server = try Server(
                configure: { $0.limits.maxPendingOutput = 1 << 20 },
                onFrame: { _, connection in
                    let chunk = connection.loop.pool.chunk(atLeast: 65536)
                    for _ in 0..<1000 { connection.write(ByteSlice(chunk: chunk, offset: 0, count: 65536)) }
                })
            let client = try Client(port: server.port)
            client.send(frame([]))
            #expect(eventually { server.log.now.closed == [.outputLimit] })
        }

        @Test func writesOfAllKindsLeaveInOrder() throws {
            let server = try Server { body, connection in
                connection.write { writer in
                    writer.int32(0)
                    writer.utf8("head")
                    writer.overwrite(Int32(4 + 30_000 + 20_000 + 100 + 5), at: 0)
                }
                pattern(30_000, seed: 1).withUnsafeBytes { connection.write(copying: $0) }
                connection.write(upTo: 20_480) { space in
                    space.copyBytes(from: pattern(20_000, seed: 2))
                    return 20_000
                }
                connection.write(upTo: 512) { space in
                    space.copyBytes(from: pattern(100, seed: 3))
                    return 100
                }
                connection.write(body)
            }
            let client = try Client(port: server.port)
            let expected =
                Array("head".utf8) + pattern(30_000, seed: 1) + pattern(20_000, seed: 2) + pattern(100, seed: 3)
                + [1, 2, 3, 4, 5]
            for _ in 0..<20 {
                client.send(frame([1, 2, 3, 4, 5]))
                #expect(client.receiveFrame() == expected)
            }
        }

        /// A file of its own that holds `pattern(count, seed: 9)`; removed as soon as it is open.
        final class PatternFile: ByteFile {
            let descriptor: Int32

            init(_ count: Int) {
                var name = Array("/tmp/millrace-transport-XXXXXX".utf8CString)
                descriptor = mkstemp(&name)
                unlink(name)
                let bytes = pattern(count, seed: 9)
                precondition(write(descriptor, bytes, count) == count)
            }

            deinit { close(descriptor) }
        }

        @Test func partsOfFilesLeaveInOrder() throws {
            let file = PatternFile(9 << 20)
            let server = try Server { _, connection in
                let sizes = [1, 300_000, 5 << 20]
                connection.write { $0.int32(Int32(sizes.reduce(0, +) + 3 * 5)) }
                for (index, size) in sizes.enumerated() {
                    // From one piece of memory, so that only the file stands between.
                    connection.write { $0.utf8("piece") }
                    connection.write(FileSlice(file: file, position: Int64(index * 1000), count: size))
                }
            }
            // A small window, so that the kernel takes a part in pieces.
            let client = try Client(port: server.port, receiveBuffer: 65536)
            let bytes = pattern(9 << 20, seed: 9)
            let expected = [1, 300_000, 5 << 20].enumerated().flatMap { index, size in
                Array("piece".utf8) + bytes[(index * 1000)..<(index * 1000 + size)]
            }
            for _ in 0..<4 { client.send(frame([])) }
            for _ in 0..<4 { #expect(client.receiveFrame() == expected) }
        }

        @Test func aFileThatIsShorterThanPromisedClosesTheConnection() throws {
            let file = PatternFile(1000)
            let failures = ServerLog()
            let server = try Server { _, connection in
                connection.write { $0.int32(2000) }
                connection.write(
                    FileSlice(file: file, position: 0, count: 2000) { failures.add { $0.calls += 1 } })
            }
            let client = try Client(port: server.port)
            client.send(frame([]))
            #expect(client.receive(1004).count == 1004)
            #expect(eventually { server.log.now.closed == [.failed(errno: EIO)] })
            #expect(failures.now.calls == 1)
            #expect(server.counters.bytesSentFromFiles.value == 1000)
        }

        @Test func peersThatVanishAmidAFileAreForgotten() throws {
            let file = PatternFile(8 << 20)
            let server = try Server { _, connection in
                connection.write(FileSlice(file: file, position: 0, count: 8 << 20))
            }
            for _ in 0..<5 {
                let client = try Client(port: server.port, receiveBuffer: 65536)
                client.send(frame([]))
                #expect(client.receive(1000).count == 1000)
                client.resetOnClose()
            }
            #expect(eventually { server.log.now.closed.count == 5 })
        }

        @Test func manySlicesLeaveInOneOrder() throws {
            let server = try Server { body, connection in
                connection.write { $0.int32(300) }
                // More than one vector's worth, not adjacent.
                let chunk = connection.loop.pool.chunk(atLeast: 600)
                for index in 0..<300 {
                    chunk.base.storeBytes(of: UInt8(truncatingIfNeeded: index), toByteOffset: index * 2, as: UInt8.self)
                    connection.write(ByteSlice(chunk: chunk, offset: index * 2, count: 1))
                }
            }
            let client = try Client(port: server.port)
            client.send(frame([]))
            #expect(client.receiveFrame() == (0..<300).map { UInt8(truncatingIfNeeded: $0) })
        }

        @Test func peersThatVanishMidReplyAreForgotten() throws {
            let server = try Server(onFrame: Self.fetch)
            let idle = server.group.pool.outstandingBytes
            for round in 0..<10 {
                let client = try Client(port: server.port, receiveBuffer: 65536)
                client.send(Self.request(8 << 20))
                #expect(client.receive(1000).count == 1000)
                if round % 2 == 0 { client.resetOnClose() }
            }
            #expect(eventually { server.log.now.closed.count == 10 })
            #expect(eventually { server.group.pool.outstandingBytes == idle })
        }

        @Test func aReplyBeforeCloseReachesAPeerThatStillSends() throws {
            let server = try Server { _, connection in
                connection.write {
                    $0.int32(2); $0.int16(7)
                }
                connection.closeAfterFlush()
            }
            let client = try Client(port: server.port)
            // Unread input at close would reset the connection and take the reply with it.
            client.send(frame([1]) + [UInt8](repeating: 0, count: 2 << 20))
            #expect(client.receiveFrame() == [0, 7])
            #expect(client.receiveEnd() == .orderly)
            client.finishSending()
            #expect(eventually { server.log.now.closed == [.closedByHandler] })
        }

        @Test func aPeerThatFinishesSendingGetsAllItsReplies() throws {
            let server = try Server()
            let client = try Client(port: server.port)
            let bodies = (0..<50).map { pattern(1000 + $0, seed: $0) }
            client.send(bodies.flatMap { frame($0) })
            client.finishSending()
            for body in bodies { #expect(client.receiveFrame() == body) }
            #expect(client.receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed == [.closedByPeer] })
        }

        @Test func workElsewhereHoldsAHalfClosedConnectionOpen() throws {
            let server = try Server { body, connection in
                connection.beginWork()
                let id = connection.id
                let handle = connection.loop.handle
                _ = Thread(name: "elsewhere") {
                    usleep(20_000)
                    handle.submit { loop in
                        guard let connection = loop.connection(id) else { return }
                        connection.write {
                            $0.int32(1); $0.int8(9)
                        }
                        connection.endWork()
                    }
                }
            }
            let client = try Client(port: server.port)
            client.send(frame([1]))
            client.finishSending()
            #expect(client.receiveFrame() == [9])
            #expect(client.receiveEnd() == .orderly)
        }
    }
}
