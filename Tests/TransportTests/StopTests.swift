import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct StopTests {
        @Test func aStopDeliversWhatIsOwed() throws {
            let clock = CommitClock()
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            options.loops = 2
            let server = try Server(group: options, onFrame: GateTests.gated)
            let clients = try (0..<10).map { _ in try Client(port: server.port) }
            for client in clients { client.send(GateTests.request(5)) }
            #expect(eventually { server.log.now.frames == 10 })
            let group = server.group
            let stopping = Thread(name: "stop") { group.stop(within: .seconds(20)) }
            // The commit comes while the loops stop.
            #expect(eventually { server.onLoop { $0.isStopping } })
            clock.publish(5)
            for client in clients {
                #expect(client.receiveFrame() == GateTests.body(5))
                #expect(client.receiveEnd() == .orderly)
            }
            stopping.join()
            #expect(server.log.now.closed.count == 10)
            #expect(!server.group.loops[0].submit { _ in })
        }

        @Test func aStopWaitsForParkedRequestsAndTellsTheEdge() throws {
            var options = EventLoopGroup.Options()
            options.setUp = { loop in
                loop.onStop = { loop in
                    loop.forEachConnection { connection in
                        guard connection.isMuted else { return }
                        connection.write {
                            $0.int32(1); $0.int8(4)
                        }
                        connection.resumeReading()
                    }
                }
            }
            let server = try Server(group: options) { _, connection in connection.pauseReading() }
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(eventually { server.log.now.frames == 1 })
            server.group.stop(within: .seconds(20))
            #expect(client.receiveFrame() == [4])
            #expect(server.log.now.closed == [.shutdown])
        }

        @Test func aStopEndsAtItsDeadline() throws {
            let server = try Server { _, connection in connection.pauseReading() }
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(eventually { server.log.now.frames == 1 })
            server.group.stop(within: .milliseconds(30))
            #expect(server.log.now.closed == [.shutdown])
            #expect(client.receiveEnd() != .bytes)
            #expect(server.listener.openConnections == 0)
        }
    }
}
