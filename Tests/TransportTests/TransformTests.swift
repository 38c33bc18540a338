import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct TransformTests {
        private let script = Lock(Masking.Script())

        private func masked(_ bytes: [UInt8]) -> [UInt8] { bytes.map { $0 ^ 0x5a } }

        private func server(
            hasHandshake: Bool = false, limits: ConnectionLimits = ConnectionLimits(),
            _ onFrame: @escaping @Sendable (ByteSlice, Connection) -> Void = { echo($0, $1) }
        ) throws -> Server {
            let script = script
            return try Server(
                configure: {
                    $0.makeTransform = { Masking(script, $0, hasHandshake: hasHandshake) }
                    $0.limits = limits
                }, onFrame: onFrame)
        }

        @Test func allBytesPassThroughTheTransform() throws {
            let server = try server()
            let client = try Client(port: server.port)
            for size in [1, 900, 5_000, 300_000] {
                let body = pattern(size)
                client.send(masked(frame(body)))
                #expect(masked(client.receive(size + 4)) == frame(body))
            }
            client.finishSending()
            // The farewell, then the end.
            #expect(client.receive(1) == [0x5a])
            #expect(client.receiveEnd() == .orderly)
            #expect(script.withLock { $0.farewells } == 1)
        }

        @Test func smallPiecesOfOutputShareARecord() throws {
            let server = try server { _, connection in
                for piece in 0..<10 {
                    [UInt8](repeating: UInt8(piece), count: 30).withUnsafeBytes { connection.write(copying: $0) }
                }
                pattern(2_000).withUnsafeBytes { connection.write(connection.loop.pool.slice(copying: $0)) }
            }
            let client = try Client(port: server.port)
            client.send(masked(frame([1])))
            let expected = (0..<10).flatMap { [UInt8](repeating: $0, count: 30) } + pattern(2_000)
            #expect(masked(client.receive(2_300)) == expected)
            #expect(script.withLock { $0.records } == [700, 1_600])
        }

        @Test func partsOfFilesAreReadAndSealed() throws {
            let file = try TemporaryBytes(pattern(200_000))
            let server = try server { _, connection in
                connection.write { $0.int32(7) }
                connection.write(FileSlice(file: file, position: 1_000, count: 150_000))
                connection.write { $0.int32(8) }
            }
            let client = try Client(port: server.port)
            client.send(masked(frame([1])))
            let expected = [0, 0, 0, 7] + pattern(200_000)[1_000..<151_000] + [0, 0, 0, 8]
            #expect(masked(client.receive(150_008)) == Array(expected))
        }

        @Test func aFileThatIsShorterEndsTheConnection() throws {
            let file = try TemporaryBytes(pattern(500))
            let failures = Lock(0)
            let server = try server { _, connection in
                connection.write(
                    FileSlice(file: file, position: 0, count: 501, onReadFailure: { failures.withLock { $0 += 1 } }))
            }
            let client = try Client(port: server.port)
            client.send(masked(frame([1])))
            #expect(eventually { server.log.now.closed == [.failed(errno: EIO)] })
            #expect(failures.withLock { $0 } == 1)
        }

        @Test func aHandshakeThatStallsHasItsTime() throws {
            script.withLock { $0.stalls = true }
            var limits = ConnectionLimits()
            limits.handshakeTimeout = .milliseconds(50)
            let server = try server(hasHandshake: true, limits: limits)
            let silent = try Client(port: server.port)
            let slow = try Client(port: server.port)
            slow.send([1])
            #expect(silent.receiveEnd() == .orderly)
            #expect(slow.receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed == [.handshakeTimeout, .handshakeTimeout] })
            #expect(server.counters.closedInHandshake.value == 2)
        }

        @Test func aHandshakeThatIsOverHasNoTimer() throws {
            var limits = ConnectionLimits()
            limits.handshakeTimeout = .milliseconds(20)
            let server = try server(hasHandshake: true, limits: limits)
            let client = try Client(port: server.port)
            client.send([1])
            #expect(client.receive(1).count == 1)
            usleep(60_000)
            client.send(masked(frame([9])))
            #expect(masked(client.receive(5)) == frame([9]))
            #expect(server.log.now.closed == [])
        }

        /// What the peer has shown of itself ends while it is connected, or has ended already; nothing that is owed is lost.
        @Test func aConnectionEndsWithWhatItsPeerHasShown() throws {
            let server = try server(hasHandshake: true)
            let now = WallClock.milliseconds / 1000
            script.withLock { $0.peerEndsAt = now + 3_600 }
            let lasting = try Client(port: server.port)
            lasting.send([1])
            #expect(lasting.receive(1).count == 1)
            script.withLock { $0.peerEndsAt = now - 1 }
            let ended = try Client(port: server.port)
            ended.send([1])
            #expect(ended.receive(2).count == 2)
            #expect(ended.receiveEnd() == .orderly)
            ended.finishSending()
            #expect(eventually { server.log.now.closed == [.peerExpired] })
            // Asked again when the time has come that was said; the other one is served as before.
            script.withLock { $0.peerEndsAt = now + 1 }
            let short = try Client(port: server.port)
            short.send([1])
            #expect(short.receive(2).count == 2)
            #expect(short.receiveEnd() == .orderly)
            short.finishSending()
            #expect(eventually { server.counters.closedExpired.value == 2 })
            lasting.send(masked(frame([9])))
            #expect(masked(lasting.receive(5)) == frame([9]))
        }

        /// It may be taken back before it ends: it is asked for again in the time that the transform wishes.
        @Test func whatAPeerHasShownIsLookedAtAgain() throws {
            script.withLock { ($0.peerEndsAt, $0.peerReviewSeconds) = (WallClock.milliseconds / 1000 + 3_600, 1) }
            let server = try server(hasHandshake: true)
            let client = try Client(port: server.port)
            client.send([1])
            #expect(client.receive(1).count == 1)
            script.withLock { $0.peerEndsAt = 0 }
            #expect(client.receive(1).count == 1)
            #expect(client.receiveEnd() == .orderly)
            client.finishSending()
            #expect(eventually { server.counters.closedExpired.value == 1 })
        }

        /// Sixty clients connect at once, and each handshake takes a millisecond.
        @Test func aTurnHasFewHandshakes() throws {
            script.withLock { $0.handshakeWork = 1_000_000 }
            let server = try server(hasHandshake: true)
            // All are there before the loop looks.
            let held = Signal()
            server.group.loops[0].submit { _ in held.wait() }
            let clients = try (0..<60).map { _ in try Client(port: server.port) }
            for client in clients { client.send([1]) }
            held.raise()
            for client in clients { #expect(client.receive(1).count == 1) }
            let turns = script.withLock { $0.turns }
            #expect(turns.values.reduce(0, +) == 60)
            // The share of 2 ms: two, and the one that goes beyond it.
            #expect(turns.values.max()! <= 3)
        }

        @Test func whatIsRefusedIsToldAndCounted() throws {
            script.withLock { $0.refuses = true }
            let server = try server()
            let client = try Client(port: server.port)
            client.send(masked([0xff, 1, 2, 3]))
            #expect(client.receive(1) == [0x5a])
            #expect(client.receiveEnd() == .orderly)
            client.finishSending()
            #expect(eventually { server.log.now.closed == [.streamRefused] })
            #expect(server.counters.closedStreamRefused.value == 1)
        }

        @Test func aRecordThatDoesNotEndHasAClock() throws {
            script.withLock { $0.isMidRecord = true }
            var limits = ConnectionLimits()
            limits.partialInputTimeout = .milliseconds(50)
            let server = try server(limits: limits)
            let client = try Client(port: server.port)
            client.send(masked(frame([1])))
            #expect(masked(client.receive(5)) == frame([1]))
            #expect(eventually { server.log.now.closed == [.inputStalled] })
        }
    }
}
