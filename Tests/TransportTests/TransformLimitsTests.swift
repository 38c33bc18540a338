import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    /// What a transform costs, holds up and leaves undone does not keep a connection, or a loop.
    @Suite struct TransformLimitsTests {
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

        /// Of too many handshakes, those that owe us bytes are closed: first those of which nothing has come.
        @Test func theSilentAreClosedFirst() throws {
            script.withLock { $0.stalls = true }
            let server = try server(hasHandshake: true)
            server.onLoop { $0.maxOpenings = 3 }
            let begun = try Client(port: server.port)
            begun.send([1])
            #expect(eventually { script.withLock { $0.handshakes } == 1 })
            // Each is accepted in a turn of its own.
            func connect() throws -> Client {
                let before = server.log.now.ids.count
                let client = try Client(port: server.port)
                #expect(eventually { server.log.now.ids.count > before })
                server.onLoop { _ in }
                return client
            }
            let silent = try (0..<3).map { _ in try connect() }
            #expect(silent[0].receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed == [.handshakeTimeout] })
            let late = try (0..<3).map { _ in try connect() }
            #expect(silent[1].receiveEnd() == .orderly)
            #expect(silent[2].receiveEnd() == .orderly)
            #expect(late[0].receiveEnd() == .orderly)
            // The one that has begun is there still, and goes on.
            script.withLock { $0.stalls = false }
            begun.send([1])
            #expect(begun.receive(1).count == 1)
            #expect(server.log.now.closed.count == 4)
        }

        /// A storm: more clients than there may be handshakes, and each has sent what it owes.
        @Test func handshakesThatWaitForUsAreNotClosed() throws {
            script.withLock { $0.handshakeWork = 1_000_000 }
            let server = try server(hasHandshake: true)
            server.onLoop { $0.maxOpenings = 4 }
            let held = Signal()
            server.group.loops[0].submit { _ in held.wait() }
            let clients = try (0..<40).map { _ in try Client(port: server.port) }
            for client in clients { client.send([1]) }
            held.raise()
            for client in clients { #expect(client.receive(1).count == 1) }
            #expect(server.log.now.closed == [])
        }

        /// A client whose hello stands in our queue when its time is over has not been slow.
        @Test func ourDelayIsNotCountedAgainstAHandshake() throws {
            script.withLock { $0.handshakeWork = 1_000_000 }
            var limits = ConnectionLimits()
            limits.handshakeTimeout = .milliseconds(400)
            let server = try server(hasHandshake: true, limits: limits)
            let clients = try (0..<20).map { _ in try Client(port: server.port) }
            #expect(eventually { server.log.now.ids.count == 20 })
            let held = Signal()
            server.group.loops[0].submit { _ in held.wait() }
            for client in clients { client.send([1]) }
            // All their times are over, and a turn has its share for two or three of them.
            usleep(500_000)
            held.raise()
            for client in clients { #expect(client.receive(1).count == 1) }
            #expect(server.log.now.closed == [])
        }

        /// Much work for few bytes: other connections have their turn between.
        @Test func aTurnsShareIsCountedByItsCost() throws {
            script.withLock { $0.cost = 40 << 10 }
            let server = try server()
            let client = try Client(port: server.port)
            // All is there before the loop looks.
            let held = Signal()
            server.group.loops[0].submit { _ in held.wait() }
            client.send(masked(frame(pattern(20_000))))
            held.raise()
            #expect(masked(client.receive(20_004)) == frame(pattern(20_000)))
            // 128 KiB: four as the socket is ready, four where the turn goes on with those that are not done. The bytes alone would let
            // all twenty-one into one turn.
            let turns = script.withLock { $0.receives }
            #expect(turns.values.max()! <= 8)
            #expect(turns.values.reduce(0, +) >= 21)
        }

        @Test func whatCannotBeSealedAnyMoreKeepsNoConnection() throws {
            let script = script
            let server = try server { body, connection in
                script.withLock { $0.fails = true }
                connection.write(body)
                connection.closeAfterFlush()
            }
            let client = try Client(port: server.port)
            client.send(masked(frame(pattern(100))))
            // The farewell stands for the alert: what was unsent leaves.
            #expect(client.receive(1) == [0x5a])
            #expect(client.receiveEnd() == .orderly)
            client.finishSending()
            #expect(eventually { server.log.now.closed.count == 1 })
        }

        /// The same when replies have made the connection wait: nothing is read any more that could tell of the failure.
        @Test func aFailureBehindBackPressureEndsTheConnection() throws {
            let script = script
            var limits = ConnectionLimits()
            limits.outputHighWater = 1_000
            let server = try server(limits: limits) { body, connection in
                script.withLock { $0.fails = true }
                connection.write(body)
            }
            let client = try Client(port: server.port)
            client.send(masked(frame(pattern(5_000))))
            #expect(client.receive(1) == [0x5a])
            #expect(client.receiveEnd() == .orderly)
            client.finishSending()
            #expect(eventually { server.log.now.closed == [.streamRefused] })
        }

        /// Output that nobody comes back for, by whatever fault of the transform's, has the clock of a peer that does not read.
        @Test func aTransformThatTakesNothingHasAClock() throws {
            let script = script
            script.withLock { $0.takesNothing = true }
            var limits = ConnectionLimits()
            limits.writeStallTimeout = .milliseconds(50)
            let server = try server(limits: limits)
            let client = try Client(port: server.port)
            client.send(masked(frame([1])))
            #expect(eventually { server.log.now.closed == [.writeStalled] })
        }

        @Test func aFarewellThatIsNotTakenHasAClock() throws {
            script.withLock { $0.blocksFarewell = true }
            var limits = ConnectionLimits()
            limits.writeStallTimeout = .milliseconds(50)
            let server = try server(limits: limits) { body, connection in
                echo(body, connection)
                connection.closeAfterFlush()
            }
            let client = try Client(port: server.port)
            client.send(masked(frame([1])))
            #expect(masked(client.receive(5)) == frame([1]))
            #expect(eventually { server.log.now.closed.count == 1 })
            #expect(server.counters.closedByHandler.value == 1)
        }

        @Test func sealedBytesAreTheConnections() throws {
            let server = try server { _, connection in
                pattern(2_000).withUnsafeBytes { connection.write(copying: $0) }
            }
            script.withLock { $0.blocksSending = true }
            let client = try Client(port: server.port)
            client.send(masked(frame([1])))
            #expect(eventually { server.onConnection { $0.heldForBudget } == 2_000 })
            #expect(server.onConnection { $0.output.pending } == 0)
            script.withLock { $0.blocksSending = false }
        }
    }
}
