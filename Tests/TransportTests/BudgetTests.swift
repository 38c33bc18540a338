import BrokerTestKit
import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
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
            for _ in 0..<20_000 where received < count {
                kept.withLock { $0.removeAll() }
                received += client.receiveAvailable().count / 4
                usleep(200)
            }
            #expect(received == count)
            sender.join()
            #expect(server.log.now.frames == count)
        }

        @Test func aFrameThatStallsAboveTheBudgetMakesWayForTheNextOne() throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 1 << 20
            options.budgetTurnLimit = .milliseconds(50)
            let server = try Server(group: options)
            let stalling = try Client(port: server.port)
            stalling.send(Array(frame(pattern(4 << 20))[0..<1_500_000]))
            #expect(eventually { server.counters.budgetPauses.value > 0 })
            // One that needs little does not wait, and does not drive it away.
            let small = try Client(port: server.port)
            small.send(frame(pattern(10_000)))
            #expect(small.receiveFrame() == pattern(10_000))
            #expect(server.log.now.closed == [])
            let large = try Client(port: server.port)
            large.send(frame(pattern(2 << 20)))
            #expect(large.receiveFrame() == pattern(2 << 20))
            #expect(server.log.now.closed == [.memoryPressure])
        }

        /// For ever, if nobody else wants its turn: a slow link is no offence.
        @Test func aFrameThatStallsAloneIsLeftAlone() throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 1 << 20
            options.budgetTurnLimit = .milliseconds(1)
            let server = try Server(group: options)
            let client = try Client(port: server.port)
            let bytes = frame(pattern(4 << 20))
            client.send(Array(bytes[0..<1_500_000]))
            #expect(eventually { server.counters.budgetPauses.value > 0 })
            usleep(50_000)
            client.send(Array(bytes[1_500_000...]))
            #expect(client.receiveFrame()?.count == 4 << 20)
        }

        @Test func halfSentFramesDoNotStopTheOthers() throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 4 << 20
            options.budgetTurnLimit = .seconds(3600)
            let server = try Server(group: options)
            let half = Array(frame(pattern(3 << 20))[0..<(2 << 20)])
            let stalling = try (0..<8).map { _ in try Client(port: server.port) }
            let senders = stalling.map { client in Thread(name: "sender") { client.send(half) } }
            #expect(eventually { server.counters.budgetPauses.value > 0 })
            let small = try Client(port: server.port)
            for size in [1, 100, 10_000, 60_000] {
                small.send(frame(pattern(size)))
                #expect(small.receiveFrame() == pattern(size))
            }
            #expect(server.log.now.closed == [])
            // What has not been read of them is in the senders' sockets.
            server.group.stop(within: .zero)
            for sender in senders { sender.join() }
        }

        @Test func unreadRepliesDoNotStopTheOthers() throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 16 << 20
            let server = try Server(
                group: options, configure: { $0.limits.writeStallTimeout = .seconds(3600) }, onFrame: OutputTests.fetch)
            let clients = try (0..<100).map { _ in try Client(port: server.port, receiveBuffer: 4096) }
            let requests = (0..<500).flatMap { _ in OutputTests.request(10_000) }
            for client in clients { client.send(requests) }
            // All are behind with their replies, and none is read any more.
            #expect(
                eventually {
                    server.onLoop { loop in
                        var behind = 0
                        loop.forEachConnection { if $0.isBackPressured || $0.isBudgetQueued { behind += 1 } }
                        return behind
                    } == clients.count
                })
            #expect(server.group.pool.outstandingBytes < 16 << 20)
            let reader = try Client(port: server.port)
            for _ in 0..<20 {
                reader.send(OutputTests.request(10_000))
                #expect(reader.receiveFrame()?.count == 10_000)
            }
        }

        /// However near the budget a frame comes, its beginning is not copied for every few bytes of its rest.
        @Test(arguments: [3, 5, 7, 9]) func aLargeFrameIsCopiedFewTimes(megabytes: Int) throws {
            var options = EventLoopGroup.Options()
            options.byteBudget = 8 << 20
            let server = try Server(group: options)
            let body = pattern(megabytes << 20)
            let client = try Client(port: server.port)
            let sender = Thread(name: "sender") { client.send(frame(body)) }
            #expect(client.receiveFrame() == body)
            sender.join()
            #expect(server.onLoop { $0.movedInput } <= 2 * body.count)
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
