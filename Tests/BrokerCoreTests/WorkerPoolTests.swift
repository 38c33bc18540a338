import ByteBuffers
import Testing

@testable import BrokerCore

@Suite struct WorkerPoolTests {
    @Test func everyPieceRunsOnceAndStopWaitsForAll() {
        let pool = WorkerPool(name: "test", threads: 3)
        let ran = Lock<[Int]>([])
        for piece in 0..<3000 { #expect(pool.submit { ran.withLock { $0.append(piece) } }) }
        pool.stop()
        #expect(ran.withLock { $0.sorted() } == Array(0..<3000))
        #expect(!pool.submit {})
    }

    @Test func aPieceThatBlocksHoldsUpNoOther() {
        let pool = WorkerPool(name: "test", threads: 2)
        let release = Signal()
        let done = Signal()
        pool.submit { release.wait() }
        pool.submit { done.raise() }
        done.wait()
        release.raise()
        pool.stop()
    }

    @Test func sleepingWorkersAreWokenForEachPiece() {
        let pool = WorkerPool(name: "test", threads: 2)
        for _ in 0..<200 {
            let done = Signal()
            pool.submit { done.raise() }
            done.wait()
        }
        pool.stop()
    }

    @Test func aFullQueueRefusesAndTakesAgainLater() {
        let pool = WorkerPool(name: "test", threads: 1)
        let began = Signal()
        let release = Signal()
        let ran = Lock(0)
        pool.submit {
            began.raise()
            release.wait()
        }
        began.wait()
        for _ in 0..<WorkerPool.maxQueued { #expect(pool.submit { ran.withLock { $0 += 1 } }) }
        #expect(!pool.submit {})
        release.raise()
        let last = Signal()
        while !pool.submit({ last.raise() }) {}
        last.wait()
        pool.stop()
        #expect(ran.withLock { $0 } == WorkerPool.maxQueued)
    }
}
