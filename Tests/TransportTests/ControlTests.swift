import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct ControlTests {
        @Test func aMutedConnectionIsOfferedNothingUntilItResumes() throws {
            let server = try Server { body, connection in
                if body.count == 1 { connection.pauseReading() }
                echo(body, connection)
            }
            let client = try Client(port: server.port)
            // The frame that parks, and two behind it in the same read.
            client.send(frame([1]) + frame([2, 2]) + frame([3, 3]))
            #expect(client.receiveFrame() == [1])
            #expect(server.log.now.frames == 1)
            // And one that comes later.
            client.send(frame([4, 4]))
            _ = server.onLoop { _ in 0 }
            #expect(server.log.now.frames == 1)
            _ = server.onConnection { $0.resumeReading() }
            for body: [UInt8] in [[2, 2], [3, 3], [4, 4]] { #expect(client.receiveFrame() == body) }
        }

        /// What has come in one read is handled in several rounds, and others have their turn between.
        @Test func aConnectionThatGivesWayLetsOthersIn() throws {
            let isBegun = Lock(false)
            let go = Lock(false)
            let order = ServerLog()
            var options = EventLoopGroup.Options()
            options.loops = 1
            let server = try Server(group: options) { body, connection in
                order.add { $0.numbers.append(body.count) }
                if body.count == 1 {
                    isBegun.withLock { $0 = true }
                    // Until the other's frame is there.
                    while !go.withLock({ $0 }) { usleep(200) }
                }
                echo(body, connection)
                connection.giveWay()
            }
            let many = try Client(port: server.port)
            let other = try Client(port: server.port)
            other.send(frame([0, 0, 0]))
            #expect(other.receiveFrame() == [0, 0, 0])
            many.send(frame([1]) + (0..<100).flatMap { _ in frame([2, 2]) })
            #expect(eventually { isBegun.withLock { $0 } })
            other.send(frame([3, 3, 3]))
            go.withLock { $0 = true }
            #expect(other.receiveFrame() == [3, 3, 3])
            #expect(many.receiveFrame() == [1])
            for _ in 0..<100 { #expect(many.receiveFrame() == [2, 2]) }
            let place = try #require(order.now.numbers.lastIndex(of: 3))
            #expect(place < 10)
        }

        /// A frame that arrives in pieces while its connection gives way, and the peer's end behind it.
        @Test func nothingIsLostByGivingWay() throws {
            let server = try Server { body, connection in
                echo(body, connection)
                connection.giveWay()
            }
            let client = try Client(port: server.port)
            let large = pattern(300_000)
            let bytes = (0..<50).flatMap { frame([UInt8($0), 1]) } + frame(large) + frame([9])
            let sender = Thread(name: "sender") {
                client.send(bytes); client.finishSending()
            }
            for number in 0..<50 { #expect(client.receiveFrame() == [UInt8(number), 1]) }
            #expect(client.receiveFrame()?.count == large.count)
            #expect(client.receiveFrame() == [9])
            #expect(client.receiveEnd() == .orderly)
            sender.join()
        }

        @Test func aMutedConnectionCostsNoTurns() throws {
            let server = try Server { body, connection in connection.pauseReading() }
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(eventually { server.log.now.frames == 1 })
            // More input than the sockets hold, so that the client is stopped and not the loop kept busy.
            let flood = [UInt8](repeating: 0, count: 16 << 20)
            let fits = client.sendWhatFits(flood)
            #expect(fits < flood.count)
            #expect(eventually { server.onConnection { $0.isArmed } == false })
            let before = server.counters.turns.value
            for _ in 0..<50 {
                _ = client.sendWhatFits([0])
                usleep(1000)
            }
            #expect(server.counters.turns.value - before <= 2)
        }

        @Test func anIdleLoopTakesNoTurns() throws {
            let server = try Server()
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(client.receiveFrame() == [1])
            // A timer that was cancelled and one that is far away wake nobody.
            _ = server.onConnection { connection in
                connection.setTimer(1, after: .milliseconds(5))
                connection.cancelTimer(1)
                connection.setTimer(2, after: .milliseconds(5))
                connection.setTimer(2, after: .seconds(1000))
            }
            let before = server.onLoop { loop in loop.shared.counters.turns.value }
            usleep(60_000)
            // The turn of the look itself is counted after it.
            #expect(server.counters.turns.value - before <= 1)
        }

        @Test func aVanishedPeerIsNoticedWhileMuted() throws {
            let server = try Server { _, connection in connection.pauseReading() }
            do {
                let client = try Client(port: server.port)
                client.send(frame([1]))
                #expect(eventually { server.log.now.frames == 1 })
                client.resetOnClose()
            }
            #expect(eventually { server.log.now.closed.count == 1 })
        }

        @Test func aHalfClosedMutedConnectionStillGetsItsReply() throws {
            let server = try Server(
                configure: { $0.limits.finishedTimeout = .seconds(60) },
                onFrame: { _, connection in connection.pauseReading() })
            let client = try Client(port: server.port)
            client.send(frame([1]))
            client.finishSending()
            #expect(eventually { server.log.now.frames == 1 })
            _ = server.onConnection { connection in
                connection.write {
                    $0.int32(1); $0.int8(6)
                }
                connection.resumeReading()
            }
            #expect(client.receiveFrame() == [6])
            #expect(client.receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed == [.closedByPeer] })
        }

        @Test func timersFireOnceInTheirOrder() throws {
            let log = ServerLog()
            let server = try Server(onTimer: { id, _ in log.add { $0.numbers.append(id) } })
            let client = try Client(port: server.port)
            _ = server.onConnection { connection in
                connection.setTimer(3, after: .milliseconds(30))
                connection.setTimer(1, after: .milliseconds(10))
                connection.setTimer(2, after: .milliseconds(20))
                // Cancelled.
                connection.setTimer(4, after: .milliseconds(15))
                connection.cancelTimer(4)
                // Brought forward, and put off.
                connection.setTimer(5, after: .seconds(100))
                connection.setTimer(5, after: .milliseconds(5))
                connection.setTimer(6, after: .milliseconds(1))
                connection.setTimer(6, after: .milliseconds(40))
                connection.loop.schedule(after: .milliseconds(25)) { _ in log.add { $0.numbers.append(100) } }
                let cancelled = connection.loop.schedule(after: .milliseconds(26)) { _ in
                    log.add { $0.numbers.append(101) }
                }
                connection.loop.cancel(cancelled)
            }
            #expect(eventually { log.now.numbers.count == 6 })
            #expect(log.now.numbers == [5, 1, 2, 100, 3, 6])
            withExtendedLifetime(client) {}
        }

        @Test func aTimerSetForNowByItselfDoesNotKeepTheLoop() throws {
            let log = ServerLog()
            let server = try Server(onTimer: { id, connection in
                log.add { $0.numbers.append(id) }
                connection.setTimer(id, after: .zero)
            })
            let client = try Client(port: server.port)
            _ = server.onConnection { $0.setTimer(1, after: .zero) }
            #expect(eventually { log.now.numbers.count > 10 })
            client.send(frame([1]))
            #expect(client.receiveFrame() == [1])
        }

        @Test func jobsOfManyThreadsAllRunAndEachThreadsInOrder() throws {
            let server = try Server()
            let log = ServerLog()
            let handle = server.group.loops[0]
            let threads = (0..<4).map { thread in
                Thread(name: "jobs") {
                    for number in 0..<500 {
                        handle.submit { _ in log.add { $0.numbers.append(thread * 1000 + number) } }
                    }
                }
            }
            for thread in threads { thread.join() }
            #expect(eventually { log.now.numbers.count == 2000 })
            for thread in 0..<4 {
                #expect(log.now.numbers.filter { $0 / 1000 == thread } == (0..<500).map { thread * 1000 + $0 })
            }
        }

        @Test func theIdentifierOfAClosedConnectionAnswersNothing() throws {
            let server = try Server()
            var client: Client? = try Client(port: server.port)
            client?.send(frame([1]))
            #expect(client?.receiveFrame() == [1])
            let first = server.log.now.ids[0]
            client = nil
            #expect(eventually { server.log.now.closed.count == 1 })
            #expect(server.onLoop { $0.connection(first) == nil })
            // The next connection has its place, and another identifier.
            let next = try Client(port: server.port)
            next.send(frame([2]))
            #expect(next.receiveFrame() == [2])
            let second = server.log.now.ids[1]
            #expect(second.slot == first.slot)
            #expect(second != first)
            #expect(server.onLoop { $0.connection(first) == nil && $0.connection(second) != nil })
        }

        @Test func anIdleConnectionIsClosedAndABusyOneIsNot() throws {
            let server = try Server(
                configure: { $0.limits.idleTimeout = .milliseconds(60) },
                onFrame: { body, connection in
                    if body.count == 1 { connection.pauseReading() } else { echo(body, connection) }
                })
            let idle = try Client(port: server.port)
            idle.send(frame([1, 2]))
            #expect(idle.receiveFrame() == [1, 2])
            let parked = try Client(port: server.port)
            parked.send(frame([1]))
            #expect(idle.receiveEnd() == .orderly)
            #expect(eventually { server.log.now.closed == [.idle] })
            usleep(80_000)
            #expect(server.log.now.closed == [.idle])
            _ = server.onConnection(1) { connection in
                connection.write { $0.int32(0) }
                connection.resumeReading()
            }
            #expect(parked.receiveFrame() == [])
        }
    }
}
