import BrokerTestKit
import ByteBuffers
import CSystem
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    /// The mark below which a socket is not readable.
    @Suite struct ArrivalTests {
        private func server(
            gathers: Bool = true, _ change: @escaping (inout ConnectionLimits) -> Void = { _ in }
        ) throws -> Server {
            try Server(configure: {
                $0.gathersFrames = gathers
                // Only the tests of it wait for it.
                $0.limits.gatherTimeout = .seconds(1000)
                change(&$0.limits)
            })
        }

        /// The first bytes of a frame, each piece read before the next one comes. Returns the rest.
        private func begin(_ frame: [UInt8], _ server: Server, _ client: Client, pieces: Int) -> ArraySlice<UInt8> {
            let before = server.counters.bytesReceived.value
            for piece in 1...pieces {
                client.send(Array(frame[((piece - 1) * 10)..<(piece * 10)]))
                #expect(eventually { server.counters.bytesReceived.value == before + UInt64(piece) * 10 })
            }
            return frame[(pieces * 10)...]
        }

        private func mark(_ server: Server) -> Int {
            server.onConnection { connection in
                var bytes: Int32 = 0
                var length = socklen_t(MemoryLayout<Int32>.size)
                #expect(getsockopt(connection.fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, &length) == 0)
                #expect(connection.arrival.mark == Int(bytes))
                return Int(bytes)
            } ?? 0
        }

        private func unread(_ server: Server) -> Int {
            server.onConnection { Int(millrace_unread_bytes($0.fd)) } ?? -1
        }

        @Test func smallPiecesOfALongFrameAreGathered() throws {
            let server = try server()
            let client = try Client(port: server.port)
            let body = pattern(300_000)
            let whole = frame(body)
            _ = begin(whole, server, client, pieces: Int(Arrival.smallPieces) - 1)
            #expect(mark(server) == Arrival.anyByte)
            client.send(Array(whole[30..<40]))
            #expect(eventually { server.counters.bytesReceived.value == 40 })
            #expect(mark(server) == Arrival.mostMark)
            // Below the mark nobody is woken; with it all that is there is read.
            client.send(Array(whole[40..<20_000]))
            #expect(eventually { unread(server) == 19_960 })
            #expect(server.counters.bytesReceived.value == 40)
            client.send(Array(whole[20_000..<33_000]))
            #expect(eventually { server.counters.bytesReceived.value == 33_000 })
            client.send(Array(whole[33_000...]))
            #expect(client.receiveFrame() == body)
            #expect(mark(server) == Arrival.anyByte)
            client.send(frame([1, 2]))
            #expect(client.receiveFrame() == [1, 2])
        }

        @Test func theMarkIsNeverMoreThanTheFrameLacks() throws {
            let server = try server()
            let client = try Client(port: server.port)
            let body = pattern(20_000)
            let rest = begin(frame(body), server, client, pieces: 4)
            #expect(mark(server) == 20_004 - 40)
            client.send(Array(rest.dropLast()))
            #expect(eventually { unread(server) == rest.count - 1 })
            #expect(server.counters.bytesReceived.value == 40)
            client.send([rest.last!])
            #expect(client.receiveFrame() == body)
            #expect(mark(server) == Arrival.anyByte)
        }

        @Test func framesThatAreNearlyWholeHaveNoMark() throws {
            let server = try server()
            let client = try Client(port: server.port)
            let body = pattern(Arrival.leastMark + 30)
            let rest = begin(frame(body), server, client, pieces: 4)
            #expect(rest.count < Arrival.leastMark)
            #expect(mark(server) == Arrival.anyByte)
            client.send(Array(rest))
            #expect(client.receiveFrame() == body)
        }

        @Test func aHandlerThatWatchesItsFramesHasNoMark() throws {
            let server = try server(gathers: false)
            let client = try Client(port: server.port)
            _ = begin(frame(pattern(300_000)), server, client, pieces: 6)
            #expect(mark(server) == Arrival.anyByte)
        }

        @Test func aFrameWithoutAClockHasNoMark() throws {
            let server = try server { $0.partialInputTimeout = nil }
            let client = try Client(port: server.port)
            _ = begin(frame(pattern(300_000)), server, client, pieces: 6)
            #expect(mark(server) == Arrival.anyByte)
        }

        @Test func thePeersEndIsSeenBelowTheMark() throws {
            let server = try server()
            let client = try Client(port: server.port)
            let rest = begin(frame(pattern(300_000)), server, client, pieces: 4)
            client.send(Array(rest.prefix(100)))
            client.finishSending()
            #expect(client.receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed == [.closedByPeer] })
            #expect(eventually { server.counters.bytesReceived.value == 140 })
        }

        @Test func whatWaitsBelowTheMarkEarnsTheFrameTime() throws {
            let server = try server {
                $0.partialInputTimeout = .seconds(1000)
                $0.minimumInputRate = 1
            }
            let client = try Client(port: server.port)
            let rest = begin(frame(pattern(300_000)), server, client, pieces: 4)
            client.send(Array(rest.prefix(5_000)))
            #expect(eventually { unread(server) == 5_000 })
            // The frame began 4,000 seconds ago: its first bytes are worth 40 of them, those that nobody has read 5,000.
            let isOpen = server.onConnection { connection in
                connection.partialSince = connection.loop.now - 4_000 * 1_000_000_000
                connection.timerFired(Connection.OwnTimer.partialInput)
                return connection.isOpen
            }
            #expect(isOpen == true)
            #expect(server.counters.bytesReceived.value == 40)
            let isOpenStill = server.onConnection { connection in
                connection.partialSince = connection.loop.now - 7_000 * 1_000_000_000
                connection.timerFired(Connection.OwnTimer.partialInput)
                return connection.isOpen
            }
            #expect(isOpenStill == false)
            #expect(eventually { server.log.now.closed == [.inputStalled] })
        }

        /// A frame that goes on by small pieces is gathered; many small requests before it are none of its pieces.
        @Test func smallRequestsCountForNoFrame() throws {
            let server = try server()
            let client = try Client(port: server.port)
            for _ in 1...6 {
                client.send(frame([1, 2]))
                #expect(client.receiveFrame() == [1, 2])
            }
            // The counter moves at the end of a turn, behind the reply.
            #expect(eventually { server.counters.bytesReceived.value == 6 * 6 })
            let body = pattern(300_000)
            let rest = begin(frame(body), server, client, pieces: Int(Arrival.smallPieces) - 1)
            #expect(mark(server) == Arrival.anyByte)
            client.send(Array(rest))
            #expect(client.receiveFrame() == body)
        }

        @Test func whatWaitsBelowTheMarkIsReadWhenNothingElseComes() throws {
            let server = try server { $0.gatherTimeout = .milliseconds(20) }
            let client = try Client(port: server.port)
            let rest = begin(frame(pattern(300_000)), server, client, pieces: 4)
            client.send(Array(rest.prefix(5_000)))
            #expect(eventually { server.counters.bytesReceived.value == 5_040 })
            #expect(mark(server) == Arrival.anyByte)
        }

        @Test func aConnectionThatClosesReadsEveryByte() throws {
            let server = try server { $0.lingerTimeout = .seconds(20) }
            let client = try Client(port: server.port)
            _ = begin(frame(pattern(300_000)), server, client, pieces: 4)
            #expect(mark(server) == Arrival.mostMark)
            _ = server.onConnection { $0.closeAfterFlush() }
            #expect(client.receiveEnd() == .orderly)
            // Lingering: one byte is read and dropped.
            client.send([1])
            #expect(eventually { unread(server) == 0 })
            #expect(mark(server) == Arrival.anyByte)
        }
    }
}
