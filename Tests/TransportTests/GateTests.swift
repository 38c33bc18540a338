import BrokerTestKit
import ByteBuffers
import Glibc
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct GateTests {
        /// Each frame is eight bytes of ticket: the echo waits for it; 0: it does not wait.
        static func gated(_ body: ByteSlice, _ connection: Connection) {
            var reader = ByteReader(body)
            let ticket = (try? reader.int64()) ?? 0
            if ticket > 0 { connection.gate(ticket: UInt64(ticket)) }
            echo(body, connection)
        }

        static func request(_ ticket: Int) -> [UInt8] { frame(body(ticket)) }
        static func body(_ ticket: Int) -> [UInt8] { withUnsafeBytes(of: UInt64(ticket).bigEndian) { Array($0) } }

        static func server(_ clock: CommitClock, loops: Int = 1) throws -> Server {
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            options.loops = loops
            return try Server(group: options, onFrame: gated)
        }

        @Test func aReplyWaitsForItsTicket() throws {
            let clock = CommitClock()
            let server = try Self.server(clock)
            let client = try Client(port: server.port)
            client.send(Self.request(5))
            #expect(eventually { server.log.now.frames == 1 })
            clock.publish(4)
            _ = server.onLoop { _ in 0 }
            #expect(client.receiveAvailable() == [])
            clock.publish(5)
            #expect(client.receiveFrame() == Self.body(5))
        }

        @Test func whatFollowsAGateWaitsBehindIt() throws {
            let clock = CommitClock()
            let server = try Self.server(clock)
            let client = try Client(port: server.port)
            client.send([0, 3, 0, 7, 0].flatMap { Self.request($0) })
            // The first is free; the others stand in line.
            #expect(client.receiveFrame() == Self.body(0))
            #expect(eventually { server.log.now.frames == 5 })
            _ = server.onLoop { _ in 0 }
            #expect(client.receiveAvailable() == [])
            clock.publish(6)
            #expect(client.receiveFrame() == Self.body(3))
            #expect(client.receiveFrame() == Self.body(0))
            _ = server.onLoop { _ in 0 }
            #expect(client.receiveAvailable() == [])
            clock.publish(9)
            #expect(client.receiveFrame() == Self.body(7))
            #expect(client.receiveFrame() == Self.body(0))
        }

        /// What waits for commits is bounded for each connection: the rest stays with the peer until some are through.
        @Test func whatWaitsForCommitsIsBounded() throws {
            let clock = CommitClock()
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            options.loops = 1
            let server = try Server(
                group: options, configure: { $0.limits.maxUncommitted = 250 },
                onFrame: { body, connection in
                    var reader = ByteReader(body)
                    let ticket = (try? reader.int64()) ?? 0
                    connection.gate(ticket: UInt64(ticket), weight: 100)
                    echo(body, connection)
                })
            let client = try Client(port: server.port)
            client.send((1...6).flatMap { Self.request($0) })
            #expect(eventually { server.log.now.frames == 3 })
            clock.publish(1)
            _ = server.onLoop { _ in 0 }
            #expect(client.receiveFrame() == Self.body(1))
            #expect(server.log.now.frames == 3)
            clock.publish(2)
            #expect(client.receiveFrame() == Self.body(2))
            #expect(eventually { server.log.now.frames == 5 })
            clock.publish(5)
            for ticket in 3...5 { #expect(client.receiveFrame() == Self.body(ticket)) }
            #expect(eventually { server.log.now.frames == 6 })
            clock.publish(6)
            #expect(client.receiveFrame() == Self.body(6))
        }

        @Test func aTicketThatIsPublishedGatesNothing() throws {
            let clock = CommitClock(published: 10)
            let server = try Self.server(clock)
            let client = try Client(port: server.port)
            client.send(Self.request(10))
            #expect(client.receiveFrame() == Self.body(10))
        }

        @Test func aLaterTicketNeverOvertakes() throws {
            let clock = CommitClock()
            let server = try Self.server(clock)
            let client = try Client(port: server.port)
            // A retry is answered with an older ticket than the request before it.
            client.send([9, 4].flatMap { Self.request($0) })
            #expect(eventually { server.log.now.frames == 2 })
            clock.publish(4)
            _ = server.onLoop { _ in 0 }
            #expect(client.receiveAvailable() == [])
            clock.publish(9)
            #expect(client.receiveFrame() == Self.body(9))
            #expect(client.receiveFrame() == Self.body(4))
        }

        @Test func aConnectionDoesNotWaitForTheTicketOfAnother() throws {
            let clock = CommitClock()
            let server = try Self.server(clock)
            let later = try Client(port: server.port)
            let earlier = try Client(port: server.port)
            later.send(Self.request(9))
            #expect(eventually { server.log.now.frames == 1 })
            earlier.send(Self.request(4))
            #expect(eventually { server.log.now.frames == 2 })
            clock.publish(4)
            #expect(earlier.receiveFrame() == Self.body(4))
            clock.publish(9)
            #expect(later.receiveFrame() == Self.body(9))
        }

        @Test func aFailedTicketClosesWithoutItsReply() throws {
            let clock = CommitClock()
            let server = try Self.server(clock)
            let failing = try Client(port: server.port)
            let sound = try Client(port: server.port)
            failing.send([0, 7].flatMap { Self.request($0) })
            #expect(failing.receiveFrame() == Self.body(0))
            sound.send(Self.request(3))
            #expect(eventually { server.log.now.frames == 3 })
            clock.fail(from: 5)
            #expect(failing.receiveEnd() == .reset)
            #expect(eventually { server.log.now.closed == [.commitFailed] })
            // Before the failed ones: still good.
            clock.publish(4)
            #expect(sound.receiveFrame() == Self.body(3))
            // A new request whose ticket has failed is not answered either.
            sound.send(Self.request(8))
            #expect(sound.receiveEnd() == .reset)
        }

        @Test func aFailedRangeIsNotReleasedByALaterCommit() throws {
            let clock = CommitClock()
            let server = try Self.server(clock)
            let failing = try Client(port: server.port)
            let later = try Client(port: server.port)
            failing.send(Self.request(5))
            later.send(Self.request(8))
            #expect(eventually { server.log.now.frames == 2 })
            clock.fail(from: 4, through: 6)
            clock.publish(8)
            #expect(failing.receiveEnd() == .reset)
            #expect(later.receiveFrame() == Self.body(8))
        }

        /// A reply about several partitions rests on two commits, if one began between its appends: what the later one has stored
        /// says nothing of what the earlier one has left out.
        @Test(arguments: [false, true]) func aReplyThatRestsOnTwoCommitsWaitsForBoth(isLate: Bool) throws {
            let clock = CommitClock()
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            options.loops = 1
            let server = try Server(group: options) { body, connection in
                var commits = CommitSpan(5)
                commits.add(7)
                connection.gate(commits)
                echo(body, connection)
            }
            let client = try Client(port: server.port)
            if isLate {
                clock.fail(from: 5, through: 5)
                clock.publish(6)
            }
            client.send(Self.request(1))
            #expect(eventually { server.log.now.frames == 1 })
            if !isLate {
                clock.fail(from: 5, through: 5)
                clock.publish(6)
            }
            // It is not decided yet.
            _ = server.onLoop { _ in 0 }
            #expect(server.log.now.closed.isEmpty && client.receiveAvailable() == [])
            clock.publish(7)
            #expect(client.receiveEnd() == .reset)
        }

        @Test func oneCommitReleasesAllConnectionsOfAllLoops() throws {
            let clock = CommitClock()
            let server = try Self.server(clock, loops: 2)
            let clients = try (0..<30).map { _ in try Client(port: server.port) }
            for (index, client) in clients.enumerated() { client.send(Self.request(1 + index % 5)) }
            #expect(eventually { server.log.now.frames == 30 })
            clock.publish(5)
            for (index, client) in clients.enumerated() { #expect(client.receiveFrame() == Self.body(1 + index % 5)) }
        }

        @Test func anEdgeMayCommitAtTheEndOfTheTurn() throws {
            let clock = CommitClock()
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            options.setUp = { loop in
                let pending = Pending()
                loop.localState = pending
                loop.onTickEnd = { _ in
                    // The edge's own group commit: one for all that the turn has brought.
                    if pending.highest > clock.published { clock.publish(pending.highest) }
                }
                loop.onCommit = { _ in pending.commits += 1 }
            }
            let server = try Server(group: options) { body, connection in
                var reader = ByteReader(body)
                let ticket = UInt64((try? reader.int64()) ?? 0)
                (connection.loop.localState as! Pending).highest = ticket
                connection.gate(ticket: ticket)
                echo(body, connection)
            }
            let client = try Client(port: server.port)
            for ticket in 1...20 {
                client.send(Self.request(ticket))
                #expect(client.receiveFrame() == Self.body(ticket))
            }
            #expect(server.onLoop { ($0.localState as! Pending).commits } == 20)
        }

        final class Pending {
            var highest: UInt64 = 0
            var commits = 0
        }

        @Test func noCommitIsMissedByALoopThatFallsAsleep() throws {
            // Requests and commits race as closely as they can: a lost wake would leave a reply behind.
            let clock = CommitClock()
            let server = try Self.server(clock, loops: 2)
            let clients = try (0..<4).map { _ in try Client(port: server.port) }
            for ticket in 1...1_500 {
                let client = clients[ticket % 4]
                client.send(Self.request(ticket))
                if ticket % 3 == 0 { sched_yield() }
                clock.publish(UInt64(ticket))
                #expect(client.receiveFrame() == Self.body(ticket))
            }
        }
    }
}
