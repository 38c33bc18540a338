import BrokerTestKit
import ByteBuffers
import Glibc
import Synchronization
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    /// A loop whose work at the end of a turn waits, and what goes on beside it.
    @Suite struct ReliefTests {
        /// Work that waits until it is let go, in those turns that have asked for it.
        final class Disk: Sendable {
            let isWanted = Atomic<Bool>(false)
            let entered = Atomic<Int>(0)
            let done = Atomic<Int>(0)
            let release = Signal()

            var work: TurnWork {
                TurnWork(isWanted: { self.isWanted.exchange(false, ordering: .sequentiallyConsistent) }) {
                    self.entered.add(1, ordering: .sequentiallyConsistent)
                    self.release.wait()
                    self.done.add(1, ordering: .sequentiallyConsistent)
                }
            }
        }

        /// A frame that begins with 1 asks for work; every frame is echoed.
        static func server(_ disk: Disk, clock: CommitClock? = nil, loops: Int = 1) throws -> Server {
            var options = EventLoopGroup.Options()
            options.loops = loops
            options.commitClock = clock
            options.setUp = { $0.turnWork = disk.work }
            return try Server(group: options) { body, connection in
                if body.bytes.first == 1 { disk.isWanted.store(true, ordering: .sequentiallyConsistent) }
                if body.bytes.first == 2 { connection.gate(ticket: 1) }
                echo(body, connection)
            }
        }

        @Test func aLoopWhoseWorkWaitsGoesOn() throws {
            let disk = Disk()
            let server = try Self.server(disk)
            let first = try Client(port: server.port)
            let second = try Client(port: server.port)
            first.send(frame([1]))
            // Its reply leaves although the work that its turn ended with has not returned.
            #expect(first.receiveFrame() == [1])
            #expect(disk.entered.load(ordering: .sequentiallyConsistent) == 1)
            for _ in 0..<100 {
                second.send(frame([0]))
                #expect(second.receiveFrame() == [0])
            }
            let late = try Client(port: server.port)
            late.send(frame([3]))
            #expect(late.receiveFrame() == [3])
            #expect(disk.done.load(ordering: .sequentiallyConsistent) == 0)
            #expect(server.group.counters.reliefs.value == 1)
            disk.release.raise()
            #expect(eventually { disk.done.load(ordering: .sequentiallyConsistent) == 1 })
        }

        @Test func aThreadWhoseLoopWasTakenRelievesTheNextTime() throws {
            let disk = Disk()
            let server = try Self.server(disk, loops: 2)
            let clients = try (0..<4).map { _ in try Client(port: server.port) }
            for round in 1...20 {
                clients[round % 4].send(frame([1]))
                #expect(clients[round % 4].receiveFrame() == [1])
                for client in clients {
                    client.send(frame([0]))
                    #expect(client.receiveFrame() == [0])
                }
                disk.release.raise()
                #expect(eventually { disk.done.load(ordering: .sequentiallyConsistent) == round })
            }
            #expect(server.group.counters.reliefs.value == 20)
        }

        @Test func workThatIsQuickStaysWithItsThread() throws {
            let disk = Disk()
            let server = try Self.server(disk)
            let client = try Client(port: server.port)
            let before = server.onLoop { _ in UInt(pthread_self()) }
            for round in 1...50 {
                disk.release.raise()
                client.send(frame([1]))
                #expect(client.receiveFrame() == [1])
                #expect(eventually { disk.done.load(ordering: .sequentiallyConsistent) == round })
            }
            // A thread that was not scheduled for two scans may have been relieved; its loop is the other's then.
            if server.group.counters.reliefs.value == 0 {
                #expect(server.onLoop { _ in UInt(pthread_self()) } == before)
            }
        }

        /// The commit is published by the thread that has lost the loop.
        @Test func whatWaitsForTheWorkLeavesWhenItIsDone() throws {
            let disk = Disk()
            let clock = CommitClock()
            let server = try Self.server(disk, clock: clock)
            let waiting = try Client(port: server.port)
            let other = try Client(port: server.port)
            other.send(frame([1]))
            #expect(other.receiveFrame() == [1])
            waiting.send(frame([2]))
            other.send(frame([0]))
            #expect(other.receiveFrame() == [0])
            #expect(eventually { server.log.now.frames == 3 })
            _ = server.onLoop { _ in 0 }
            #expect(waiting.receiveAvailable() == [])
            clock.publish(1)
            disk.release.raise()
            #expect(waiting.receiveFrame() == [2])
        }

        @Test func aThreadKnowsWhetherItIsOnTheLoop() throws {
            let disk = Disk()
            let server = try Self.server(disk)
            let handle = server.group.loops[0]
            #expect(!handle.isOwnThread)
            #expect(server.onLoop { $0.handle.isOwnThread })
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(client.receiveFrame() == [1])
            #expect(server.onLoop { $0.handle.isOwnThread })
            disk.release.raise()
        }

        @Test func aStopWaitsForTheWork() throws {
            let disk = Disk()
            let server = try Self.server(disk)
            let client = try Client(port: server.port)
            client.send(frame([1]))
            #expect(client.receiveFrame() == [1])
            disk.release.raise()
            server.group.stop(within: .seconds(5))
            #expect(disk.done.load(ordering: .sequentiallyConsistent) == 1)
        }
    }
}
