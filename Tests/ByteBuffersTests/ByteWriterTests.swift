import ByteBuffers
import Testing

@Suite struct ByteWriterTests {
    @Test func whatFitsTheLimitIsWritten() {
        var writer = ByteWriter(capacity: 16, limit: 1000)
        for number in 0..<250 { writer.int32(Int32(number)) }
        let (isOver, count) = (writer.isOverLimit, writer.count)
        #expect(!isOver && count == 1000)
        #expect(writer.array.suffix(4) == [0, 0, 0, 249])
    }

    @Test func whatIsTakenFromTheFrontLeavesTheRest() {
        var writer = ByteWriter(capacity: 16, limit: 1000)
        writer.bytes(Array(0..<100))
        let capacity = writer.capacity
        writer.removeFirst(0)
        writer.removeFirst(30)
        #expect(writer.array == Array(30..<100))
        writer.int8(7)
        writer.removeFirst(70)
        #expect(writer.array == [7])
        writer.removeFirst(1)
        let (count, now) = (writer.count, writer.capacity)
        #expect(count == 0 && now == capacity && capacity >= 100)
    }

    /// It takes no more memory, however much is written, and the place of a length is no trap.
    @Test func whatDoesNotFitTheLimitIsLost() {
        var writer = ByteWriter(capacity: 4096, limit: 1000)
        writer.int32(0)
        var most = 0
        for _ in 0..<10_000 {
            writer.int64(7)
            most = max(most, writer.count)
        }
        #expect(most <= 1000)
        writer.removeAll()
        writer.overwrite(Int32(1), at: 500)
        // A field that is longer by itself.
        writer.bytes([UInt8](repeating: 1, count: 3000))
        let isOver = writer.isOverLimit
        #expect(isOver)
    }
}
