import ByteBuffers
import Testing

@testable import LogStorage

@Suite struct CrewTests {
    /// Helpers that wake late find the next run's work, or none: no piece is done twice or left out.
    @Test func everyPieceIsDoneOnceBeforeARunReturns() {
        let crew = Crew()
        defer { crew.stop() }
        for count in 1...300 {
            let done = Lock([Int](repeating: 0, count: count))
            crew.run(count) { index in done.withLock { $0[index] += 1 } }
            #expect(done.withLock { $0.allSatisfy { $0 == 1 } })
        }
    }
}
