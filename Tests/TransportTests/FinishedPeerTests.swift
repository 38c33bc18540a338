import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    /// A peer that has finished sending while something keeps its connection.
    @Suite struct FinishedPeerTests {
        @Test func theHandlerIsToldWhileMuted() throws {
            let server = try Server { _, connection in connection.pauseReading() }
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(eventually { server.log.now.frames == 1 })
            client.finishSending()
            #expect(eventually { server.log.now.finished > 0 })
        }

        /// The end comes in the same read as the frame that parks.
        @Test func theHandlerIsToldWhenTheEndCameFirst() throws {
            let server = try Server { body, connection in
                if body.count == 1 {
                    usleep(20_000)
                    connection.pauseReading()
                }
            }
            let client = try Client(port: server.port)
            client.send(frame([1]))
            client.finishSending()
            #expect(eventually { server.log.now.finished > 0 })
        }

        @Test func aParkedRequestKeepsItsConnectionNoLongerThanTheLimit() throws {
            let server = try Server(
                configure: { $0.limits.finishedTimeout = .milliseconds(20) },
                onFrame: { _, connection in connection.pauseReading() })
            do {
                let client = try Client(port: server.port)
                client.send(frame([1]))
                #expect(eventually { server.log.now.frames == 1 })
            }
            #expect(eventually { server.log.now.closed == [.closedByPeer] })
            #expect(eventually { server.listener.openConnections == 0 })
        }

        @Test func aGatedReplyKeepsItsConnectionNoLongerThanTheLimit() throws {
            let clock = CommitClock()
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            let server = try Server(
                group: options, configure: { $0.limits.finishedTimeout = .milliseconds(20) }, onFrame: GateTests.gated)
            do {
                let client = try Client(port: server.port)
                client.send(GateTests.request(5))
                #expect(eventually { server.log.now.frames == 1 })
            }
            #expect(eventually { server.log.now.closed == [.closedByPeer] })
        }

        @Test func aHalfClosedPeerHasItsGatedReply() throws {
            let clock = CommitClock()
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            let server = try Server(
                group: options, configure: { $0.limits.finishedTimeout = .seconds(60) }, onFrame: GateTests.gated)
            let client = try Client(port: server.port)
            client.send(GateTests.request(5))
            client.finishSending()
            #expect(eventually { server.log.now.frames == 1 })
            clock.publish(5)
            #expect(client.receiveFrame() == GateTests.body(5))
            #expect(client.receiveEnd() == .orderly)
        }

        /// What was sent before the end is still handled, in order, after the wait.
        @Test func requestsBehindTheParkedOneAreHandled() throws {
            let server = try Server(
                onFinished: { connection in
                    connection.write {
                        $0.int32(1); $0.int8(9)
                    }
                    connection.resumeReading()
                },
                onFrame: { body, connection in
                    if body.count == 1 { connection.pauseReading() } else { echo(body, connection) }
                })
            let client = try Client(port: server.port)
            // As much as the sockets take from a peer that is not read: the end stands behind it.
            let large = pattern(20_000)
            client.send(frame([1]))
            #expect(eventually { server.log.now.frames == 1 })
            client.send(frame([2, 2]) + frame(large))
            client.finishSending()
            #expect(client.receiveFrame() == [9])
            #expect(client.receiveFrame() == [2, 2])
            #expect(client.receiveFrame()?.count == large.count)
            #expect(client.receiveEnd() == .orderly)
        }

        /// A connection that waits for the byte budget is gone as well when its peer is.
        @Test func theByteBudgetKeepsNoClosedConnection() throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 1 << 20
            let kept = Lock<[ByteSlice]>([])
            let server = try Server(
                group: options, configure: { $0.limits.finishedTimeout = .milliseconds(20) },
                onFrame: { body, _ in kept.withLock { $0.append(body) } })
            let first = try Client(port: server.port)
            first.send(frame(pattern(2 << 20)))
            #expect(eventually { server.log.now.frames == 1 })
            do {
                let second = try Client(port: server.port)
                second.send(frame([1]))
                #expect(eventually { server.log.now.ids.count == 2 })
                // The first had waited for its turn, the second waits now.
                #expect(eventually { server.counters.budgetPauses.value == 2 })
            }
            #expect(eventually { server.log.now.closed == [.closedByPeer] })
        }
    }

    @Suite struct StaleTimerTests {
        @Test func cancelledTimersDoNotFillTheHeap() throws {
            let server = try Server()
            let most = server.onLoop { loop in
                var most = 0
                let kept = loop.schedule(after: .seconds(500)) { _ in }
                for _ in 0..<20_000 {
                    loop.cancel(loop.schedule(after: .seconds(500)) { _ in })
                    most = max(most, loop.timers.count)
                }
                loop.cancel(kept)
                return most
            }
            #expect(most <= 2 * EventLoop.keptStaleTimers)
        }

        @Test func timersOfConnectionsThatAreGoneDoNotFillTheHeap() throws {
            let server = try Server()
            for number in 1...600 {
                let client = try Client(port: server.port)
                client.send(frame([1]))
                #expect(client.receiveFrame() == [1])
                _ = number
            }
            #expect(eventually { server.log.now.closed.count == 600 })
            #expect(server.onLoop { $0.timers.count } <= 2 * EventLoop.keptStaleTimers)
        }

        @Test func aTimerThatIsBroughtForwardAgainAndAgainKeepsOneEntry() throws {
            let log = ServerLog()
            let server = try Server(onTimer: { id, _ in log.add { $0.numbers.append(id) } })
            let client = try Client(port: server.port)
            let most = server.onConnection { connection in
                var most = 0
                for step in 0..<5_000 {
                    connection.setTimer(1, after: .seconds(10_000 - step))
                    most = max(most, connection.loop.timers.count)
                }
                connection.setTimer(1, after: .milliseconds(1))
                return most
            }
            #expect(try #require(most) <= 2 * EventLoop.keptStaleTimers)
            #expect(eventually { log.now.numbers == [1] })
            withExtendedLifetime(client) {}
        }
    }
}
