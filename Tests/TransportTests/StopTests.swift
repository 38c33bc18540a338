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

    @Suite struct BudgetTests {
        @Test func readingStopsAboveTheBudgetAndGoesOnBelow() throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 2 << 20
            let kept = Lock<[ByteSlice]>([])
            let server = try Server(group: options) { body, connection in
                kept.withLock { $0.append(body) }
                connection.write { $0.int32(0) }
            }
            let client = try Client(port: server.port)
            let count = 60
            let body = pattern(100_000)
            let sender = Thread(name: "sender") { [fd = client.fd] in
                let bytes = (0..<count).flatMap { _ in frame(body) }
                var sent = 0
                while sent < bytes.count {
                    let now = bytes.withUnsafeBytes { write(fd, $0.baseAddress! + sent, bytes.count - sent) }
                    if now <= 0 { break }
                    sent += now
                }
            }
            #expect(eventually { server.counters.budgetPauses.value > 0 })
            // At most one more chunk than the budget.
            #expect(server.group.pool.outstandingBytes <= (2 << 20) + (1 << 20))
            #expect(server.log.now.frames < count)
            var received = 0
            while received < count {
                kept.withLock { $0.removeAll() }
                received += client.receiveAvailable().count / 4
                usleep(200)
            }
            sender.join()
            #expect(server.log.now.frames == count)
        }

        @Test func aFrameThatStallsAboveTheBudgetMakesWay() throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 1 << 20
            options.budgetTurnLimit = .milliseconds(50)
            let server = try Server(group: options)
            let stalling = try Client(port: server.port)
            stalling.send(Array(frame(pattern(4 << 20))[0..<1_500_000]))
            #expect(eventually { server.counters.budgetPauses.value > 0 })
            let other = try Client(port: server.port)
            other.send(frame(pattern(100_000)))
            #expect(other.receiveFrame() == pattern(100_000))
            #expect(server.log.now.closed == [.memoryPressure])
        }

        @Test func partialFramesThatFillTheBudgetStillBecomeWhole() throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 2 << 20
            let server = try Server(group: options)
            // Twelve frames of 1 MB at once: no more than two or three fit.
            let clients = try (0..<12).map { _ in try Client(port: server.port) }
            let body = pattern(1_000_000)
            let senders = clients.map { client in
                Thread(name: "sender") { [fd = client.fd] in
                    let bytes = frame(body)
                    var sent = 0
                    while sent < bytes.count {
                        let now = bytes.withUnsafeBytes {
                            write(fd, $0.baseAddress! + sent, min(20_000, bytes.count - sent))
                        }
                        if now <= 0 { break }
                        sent += now
                    }
                }
            }
            for client in clients { #expect(client.receiveFrame() == body) }
            for sender in senders { sender.join() }
            #expect(server.counters.budgetPauses.value > 0)
        }
    }
}
