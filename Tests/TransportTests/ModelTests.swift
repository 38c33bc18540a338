import BrokerTestKit
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

        /// Bytes, parts of a file and gates in any order: what leaves, what is held behind a failed gate, and what is left
        /// when that is replaced.
        @Test(arguments: 0..<40)
        func filesAndGatesInAnyOrder(seed: UInt64) throws {
            var random = SplitMix(state: seed)
            let file = OutputTests.PatternFile(4000)
            let stored = pattern(4000, seed: 9)
            // Slices of one chunk, one behind the other, which the queue may join.
            let chunk = ChunkPool().chunk(atLeast: 4000)
            var used = 0
            var queue = OutputQueue()
            var expected: [UInt8] = []
            var gates: [(ticket: UInt64, position: Int)] = []
            for round in 0..<40 {
                if Int.random(in: 0..<4, using: &random) == 0 {
                    gates.append((UInt64(gates.count + 1), expected.count))
                    queue.gate(CommitSpan(UInt64(gates.count)), tag: 1)
                }
                let count = Int.random(in: 0...50, using: &random)
                if Bool.random(using: &random) {
                    let position = Int.random(in: 0...(4000 - count), using: &random)
                    queue.append(FileSlice(file: file, position: Int64(position), count: count))
                    expected += stored[position..<(position + count)]
                } else {
                    let bytes = pattern(count, seed: round)
                    UnsafeMutableRawBufferPointer(start: chunk.base + used, count: count).copyBytes(from: bytes)
                    queue.append(ByteSlice(chunk: chunk, offset: used, count: count))
                    used += count
                    expected += bytes
                }
            }
            #expect(queue.pending == expected.count)
            // Some gates are opened, some of what is before the next one leaves, and one behind it fails.
            let opened = Int.random(in: 0...gates.count, using: &random)
            queue.release(UInt64(opened))
            let limit = gates.dropFirst(opened).first?.position ?? expected.count
            var sent: [UInt8] = []
            let goal = Int.random(in: 0...limit, using: &random)
            func sendSome(upTo goal: Int) {
                while sent.count < goal {
                    let count: Int
                    if let next = queue.nextFile {
                        count = Int.random(in: 1...min(next.count, goal - sent.count), using: &random)
                        sent += stored[Int(next.position)..<(Int(next.position) + count)]
                    } else {
                        let most = min(queue.sendableFromMemory.count, queue.segments.first?.count ?? 0)
                        count = Int.random(in: 1...min(most, goal - sent.count), using: &random)
                        sent += queue.segments.first!.bytes.prefix(count)
                    }
                    queue.didSend(count)
                }
            }
            sendSome(upTo: goal)
            #expect(queue.sendable == limit - goal)
            let first = opened + 1 + Int.random(in: 0..<max(1, gates.count - opened), using: &random)
            let failed = UInt64(first)...UInt64(first + Int.random(in: 0...2, using: &random))
            // Gates of one place are one.
            let closed = Dictionary(grouping: gates, by: \.position).sorted { $0.key < $1.key }
                .filter { $0.value.last!.ticket > opened }
            let isFailed = closed.map { $0.value.contains { failed.contains($0.ticket) } }
            guard let held = queue.held({ $0.first <= failed.upperBound && failed.lowerBound <= $0.last }) else {
                #expect(!isFailed.contains(true))
                return
            }
            let place = try #require(isFailed.firstIndex(of: true))
            let start = closed[place].key
            let end = (place..<closed.count).first { !isFailed[$0] }.map { closed[$0].key } ?? expected.count
            #expect(held.isWhole && held.bytes == Array(expected[start..<end]))
            let instead = pattern(Int.random(in: 0...30, using: &random), seed: 77)
            let isLast = Bool.random(using: &random)
            let slice = instead.withUnsafeBytes { ChunkPool().slice(copying: $0) }
            queue.replace(held, by: instead.isEmpty ? nil : slice, isLast: isLast)
            expected = expected[..<start] + instead + (isLast ? [] : expected[end...])
            #expect(queue.pending == expected.count - goal)
            queue.release(.max)
            sendSome(upTo: expected.count)
            #expect(sent == expected)
            #expect(queue.pending == 0 && queue.nextFile == nil && queue.segments.isEmpty)
        }

        @Test func outputLeavesUpToTheFirstClosedGate() {
            let pool = ChunkPool()
            var queue = OutputQueue()
            let slice = pool.slice(copying: UnsafeRawBufferPointer(start: pool.chunk(atLeast: 100).base, count: 100))
            queue.append(slice.slice(0, count: 10))
            queue.gate(CommitSpan(3))
            queue.append(slice.slice(10, count: 10))
            queue.gate(CommitSpan(2))
            queue.gate(CommitSpan(5))
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
