import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct RefusalTests {
        @Test func aConnectionOverALimitIsToldWhyAndDoesNotCount() throws {
            let words = Array("too many".utf8)
            let server = try Server(configure: {
                $0.maxConnectionsPerIP = 1
                $0.refusal = { words }
            })
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(client.receiveFrame() == [1])
            for round in 1...5 {
                let refused = try Client(port: server.port)
                refused.send(frame([2]))
                #expect(refused.receive(words.count) == words)
                #expect(refused.receiveEnd() == .orderly)
                #expect(server.counters.refusedByPeer.value == round)
                #expect(server.listener.openConnections == 1)
            }
            #expect(server.log.now.frames == 1)
        }

        @Test func onlySoManyAreToldAtATime() throws {
            let server = try Server(configure: {
                $0.maxConnections = 0
                $0.refusal = { [1] }
            })
            // None of them ends its side, so that each is lingered for.
            let clients = try (0..<ListenerState.maxRefusals + 10).map { _ in try Client(port: server.port) }
            let told = clients.filter { $0.receive(1) == [1] }
            #expect(told.count >= ListenerState.maxRefusals)
            #expect(server.counters.refusedByTotal.value == clients.count)
            #expect(server.counters.accepted.value == 0)
        }

        @Test func aFrameIsLookedAtWhileItArrives() throws {
            let counts = Lock<[Int]>([])
            let server = try Server(configure: {
                $0.makeHandler = { _, _ in
                    Reviewer { count in counts.withLock { $0.append(count) } }
                }
            })
            let client = try Client(port: server.port)
            client.send([1])
            for size in [99, 100, 200, 400] {
                client.send([UInt8](repeating: 0, count: size))
                let expected = size == 99 ? 100 : size * 2
                #expect(eventually { counts.withLock { $0.last == expected } })
            }
            client.send([UInt8](repeating: 0, count: 200))
            #expect(client.receive(1) == [1])
            // At 100, 200, 400, 800 bytes, and whole.
            #expect(counts.withLock { $0.suffix(5) } == [100, 200, 400, 800, 1000])
        }

        @Test func aReplyWhoseCommitIsLateIsReplacedOrTheConnectionReset() throws {
            let clock = CommitClock()
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            let server = try Server(
                group: options, configure: { $0.limits.commitTimeout = .milliseconds(50) }, onFrame: GateTests.gated)
            let patient = try Client(port: server.port)
            patient.send(GateTests.request(1))
            #expect(eventually { server.log.now.frames == 1 })
            clock.publish(1)
            #expect(patient.receiveFrame() == GateTests.body(1))
            // The timer of the first ticket goes over to the latest.
            patient.send(GateTests.request(2))
            #expect(patient.receiveEnd() == .reset)
            #expect(server.counters.closedCommitFailed.value == 1)
        }

        /// A frame is 1,000 bytes; wants to be asked at 100 and whenever the bytes have doubled.
        private final class Reviewer: ConnectionHandler {
            private let seen: (Int) -> Void

            init(_ seen: @escaping (Int) -> Void) { self.seen = seen }

            func received(_ input: inout ConnectionInput, on connection: Connection) {
                seen(input.count)
                guard input.count >= 1000 else {
                    input.needed = 1000
                    input.review = max(100, input.count * 2)
                    return
                }
                input.consume(1000)
                connection.write { $0.int8(1) }
            }
        }
    }
}
