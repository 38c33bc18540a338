import ByteBuffers
import COpenSSL
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    @Suite struct LoopBuffersTests {
        private let terminator = try! TLSTerminator(.test())
        private let buffers = LoopBuffers(pool: Pair.pool)

        private func open() -> Pair {
            let pair = Pair(terminator, sharing: buffers)
            pair.settle()
            precondition(!pair.server.isOpening)
            return pair
        }

        /// One request and its reply.
        private func exchange(_ pair: Pair) {
            let (received, answered) = (pair.received.count, pair.client.received.count)
            pair.client.write(pattern(300))
            pair.send(pair.client.takeOutput())
            pair.serve()
            pair.write(pattern(200))
            pair.deliver()
            _ = pair.client.step()
            #expect(Array(pair.received[received...]) == pattern(300))
            #expect(Array(pair.client.received[answered...]) == pattern(200))
        }

        private func keepsBuffers(_ pair: Pair) -> Bool {
            // A query: it changes no mode.
            SSL_ctrl(pair.session, SSL_CTRL_MODE, 0, nil) & Int(SSL_MODE_RELEASE_BUFFERS) == 0
        }

        @Test func thoseAtWorkLastKeepTheirBuffers() {
            let pairs = (0..<LoopBuffers.places + 3).map { _ in open() }
            for pair in pairs { exchange(pair) }
            #expect(pairs.map { $0.server.place == nil } == pairs.indices.map { $0 < 3 })
            #expect(pairs.map(keepsBuffers) == pairs.indices.map { $0 >= 3 })
            // Who comes to work again has the place of the one that came after those.
            exchange(pairs[0])
            #expect(pairs.map(keepsBuffers) == pairs.indices.map { $0 == 0 || $0 > 3 })
            for pair in pairs.reversed() { exchange(pair) }
            #expect(pairs.count(where: keepsBuffers) == LoopBuffers.places)
        }

        @Test func aHandshakeTakesNobodysPlace() {
            let pair = open()
            exchange(pair)
            let place = pair.server.place
            for _ in 0..<2 * LoopBuffers.places { _ = open() }
            #expect(place != nil && pair.server.place == place)
        }

        /// Libssl points into its buffer then: it is given back when the record is whole.
        @Test(arguments: [(3, 32 << 10), (200, 32 << 10), (.max, 1)])
        func amidARecordAPlaceCanBeLost(sent: Int, room: Int) {
            let pair = open()
            pair.client.write(pattern(1_000))
            let record = pair.client.takeOutput()
            pair.send(Array(record.prefix(sent)))
            let result = pair.serveOnce(room: room)
            #expect(result == (sent == .max ? .bytes(1) : .drained(0)))
            #expect(pair.server.place != nil)
            let others = (0..<LoopBuffers.places).map { _ in open() }
            for other in others { exchange(other) }
            #expect(pair.server.place == nil && !keepsBuffers(pair))
            pair.send(Array(record.dropFirst(sent)))
            pair.serve()
            #expect(pair.received == Array(pattern(1_000).dropFirst(sent == .max ? 1 : 0)))
            exchange(pair)
        }

        @Test func whoEndsLeavesItsPlace() {
            let pairs = (0..<LoopBuffers.places).map { _ in open() }
            for pair in pairs { exchange(pair) }
            pairs[7].server.end()
            #expect(pairs[7].server.place == nil)
            let next = open()
            exchange(next)
            #expect(next.server.place == 7)
            #expect(pairs.indices.allSatisfy { $0 == 7 || pairs[$0].server.place == $0 })
            // What is still said behind the end takes none.
            pairs[7].server.finish()
            _ = pairs[7].serveOnce()
            #expect(pairs[7].server.place == nil)
        }

        @Test func oneChunkGoesFromHandToHand() {
            let pool = ChunkPool()
            var buffers: LoopBuffers? = LoopBuffers(pool: pool)
            let small = buffers!.chunk(atLeast: 300)
            let place = small.base
            buffers!.giveBack(small)
            #expect(pool.outstandingBytes == 0)
            let again = buffers!.chunk(atLeast: 4_096)
            #expect(again === small && again.base == place && pool.outstandingBytes == 4 << 10)
            // A larger one takes its place, a much larger one does not.
            buffers!.giveBack(again)
            let large = buffers!.chunk(atLeast: 5_000)
            buffers!.giveBack(large)
            #expect(pool.outstandingBytes == 4 << 10, "the smaller one is held here")
            #expect(buffers!.chunk(atLeast: 1) === large)
            buffers!.giveBack(large)
            let largest = buffers!.chunk(atLeast: LoopBuffers.largestSpare + 1)
            buffers!.giveBack(largest)
            #expect(buffers!.chunk(atLeast: 1) === large)
            buffers!.giveBack(large)
            buffers = nil
            withExtendedLifetime((small, large, largest)) {
                #expect(pool.outstandingBytes == small.capacity + large.capacity + largest.capacity)
            }
        }
    }
}
