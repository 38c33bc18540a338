import ByteBuffers
import Glibc
import Telemetry
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct ModelTests {
        /// Random frames in random pieces over several connections; the server mutes, gates and takes slices at random.
        /// Whatever it does, each connection gets its bodies back, whole and in order.
        @Test(arguments: [1, 2, 3, 4])
        func everyConnectionGetsItsBodiesBackInOrder(seed: UInt64) throws {
            let clock = CommitClock()
            let tickets = Lock<UInt64>(0)
            var options = EventLoopGroup.Options()
            options.commitClock = clock
            options.loops = 2
            options.byteBudget = 8 << 20
            let server = try Server(
                group: options,
                onTimer: { _, connection in connection.resumeReading() },
                onFrame: { body, connection in
                    // The first byte decides what the server does.
                    let choice = body.count > 0 ? body.bytes[0] : 0
                    if choice & 3 == 1 {
                        let ticket = tickets.withLock { next in
                            next += 1
                            return next
                        }
                        connection.gate(ticket: ticket)
                    }
                    if choice & 12 == 4 {
                        connection.pauseReading()
                        connection.setTimer(1, after: .milliseconds(Int(choice >> 6)))
                    }
                    if choice & 16 != 0 {
                        echo(body, connection)
                    } else {
                        connection.write { writer in
                            writer.int32(Int32(body.count))
                            writer.bytes(body.bytes)
                        }
                    }
                })
            let stop = ServerLog()
            let committer = Thread(name: "committer") {
                while stop.now.calls == 0 {
                    clock.publish(tickets.withLock { $0 })
                    usleep(700)
                }
            }
            let failures = ServerLog()
            let port = server.port
            let threads = (0..<4).map { number in
                Thread(name: "client") {
                    var random = SplitMix(state: seed &* 1000 &+ UInt64(number))
                    guard let client = try? Client(port: port) else { return }
                    for _ in 0..<6 {
                        let bodies = (0..<Int.random(in: 1...20, using: &random)).map { _ in
                            let size =
                                Int.random(in: 0..<10, using: &random) == 0
                                ? Int.random(in: 0...600_000, using: &random)
                                : Int.random(in: 0...3_000, using: &random)
                            return pattern(size, seed: Int.random(in: 0...255, using: &random))
                        }
                        let bytes = bodies.flatMap { frame($0) }
                        let sender = Thread(name: "sender") { [random] in
                            var random = random
                            var sent = 0
                            while sent < bytes.count {
                                let piece = min(
                                    bytes.count - sent,
                                    Int.random(
                                        in: 1...[10, 2_000, 200_000].randomElement(using: &random)!, using: &random))
                                client.send(Array(bytes[sent..<(sent + piece)]))
                                sent += piece
                            }
                        }
                        for body in bodies where client.receiveFrame() != body { failures.add { $0.calls += 1 } }
                        sender.join()
                    }
                    failures.add { $0.frames += 1 }
                }
            }
            for thread in threads { thread.join() }
            stop.add { $0.calls = 1 }
            committer.join()
            #expect(failures.now.calls == 0, "seed \(seed)")
            #expect(failures.now.frames == 4, "seed \(seed)")
            #expect(eventually { server.counters.closed.value == 4 })
        }

        @Test func timersFireInOrderWhateverIsSetAndCancelled() {
            var random = SplitMix(state: 42)
            var heap = TimerHeap()
            var expected: [Int64] = []
            for _ in 0..<2_000 {
                if Int.random(in: 0..<3, using: &random) > 0 || expected.isEmpty {
                    let deadline = Int64.random(in: 0..<1_000, using: &random)
                    heap.insert(TimerEntry(deadline: deadline, slot: 0, generation: 0, id: 0))
                    expected.append(deadline)
                    expected.sort()
                } else if Bool.random(using: &random) {
                    #expect(heap.first?.deadline == expected.removeFirst())
                    heap.removeFirst()
                } else {
                    let moved = expected.removeFirst() + Int64.random(in: 0..<500, using: &random)
                    heap.replaceFirst(TimerEntry(deadline: moved, slot: 0, generation: 0, id: 0))
                    expected.append(moved)
                    expected.sort()
                }
            }
            #expect(heap.count == expected.count)
        }

        @Test func outputLeavesUpToTheFirstClosedGate() {
            let pool = ChunkPool()
            var queue = OutputQueue()
            let slice = pool.slice(copying: UnsafeRawBufferPointer(start: pool.chunk(atLeast: 100).base, count: 100))
            queue.append(slice.slice(0, count: 10))
            queue.gate(3)
            queue.append(slice.slice(10, count: 10))
            queue.gate(2)
            queue.gate(5)
            queue.append(slice.slice(20, count: 5))
            #expect(queue.segments.count == 1)
            #expect((queue.pending, queue.sendable) == (25, 10))
            queue.didSend(4)
            queue.release(2)
            #expect((queue.pending, queue.sendable) == (21, 6))
            queue.release(4)
            #expect(queue.sendable == 16)
            queue.didSend(16)
            #expect(queue.sendable == 0)
            queue.release(5)
            queue.didSend(5)
            #expect(queue.pending == 0 && queue.segments.isEmpty && !queue.isGated)
        }
    }
}
