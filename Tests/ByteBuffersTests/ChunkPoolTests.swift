import Testing

@testable import ByteBuffers

@Suite struct ChunkPoolTests {
    @Test func blocksAreTakenAgain() {
        let pool = ChunkPool()
        let first = pool.chunk(atLeast: 1 << 20).base
        #expect(pool.keptBytes == 1 << 20)
        #expect(pool.chunk(atLeast: (1 << 20) - 5).base == first)
        pool.trim()
        #expect(pool.keptBytes == 0)
        #expect(pool.outstandingBytes == 0)
    }

    @Test func whatALoadNeedsIsKeptAndABurstsMemoryIsGivenBack() {
        let pool = ChunkPool()
        func use(_ count: Int) { withExtendedLifetime((0..<count).map { _ in pool.chunk(atLeast: 1 << 20) }) {} }
        use(32)
        #expect(pool.keptBytes == 32 << 20)
        // In use since the last call: nothing is freed, whatever is free at the moment.
        pool.decay()
        use(32)
        pool.decay()
        #expect(pool.keptBytes == 32 << 20)
        // 8 are needed from now on; of the others half goes each time.
        for _ in 0..<6 {
            use(8)
            pool.decay()
        }
        #expect(pool.keptBytes == 8 << 20)
        for _ in 0..<5 { pool.decay() }
        #expect(pool.keptBytes == 0)
    }

    @Test func eachSizeIsKeptUpToItsBound() {
        let pool = ChunkPool()
        withExtendedLifetime((0..<10).map { _ in pool.chunk(atLeast: 4 << 20) }) {}
        #expect(pool.keptBytes == 32 << 20)
        _ = pool.chunk(atLeast: 5 << 20)
        #expect(pool.keptBytes == 32 << 20)
    }
}
