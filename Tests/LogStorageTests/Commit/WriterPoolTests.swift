import ByteBuffers
import Testing

@testable import LogStorage

@Suite struct WriterPoolTests {
    /// Helpers that wake late find the next run's work, or none: no piece is done twice or left out.
    @Test func everyPieceIsDoneOnceBeforeARunReturns() {
        let pool = WriterPool()
        defer { pool.stop() }
        for count in 1...300 {
            let done = Lock([Int](repeating: 0, count: count))
            pool.run(count) { index in done.withLock { $0[index] += 1 } }
            #expect(done.withLock { $0.allSatisfy { $0 == 1 } })
        }
    }
}
