import Testing

@testable import ByteBuffers

@Suite struct FIFOTests {
    private final class Element {
        let number: Int
        init(_ number: Int) { self.number = number }
    }

    @Test(arguments: [1, 99_000, 99_999, 100_000])
    func theMemoryOfABurstIsGivenBack(_ atOnce: Int) {
        var queue = FIFO<Int>()
        for number in 0..<100_000 { queue.append(number) }
        queue.removeFirst(atOnce)
        while queue.count > 1 { queue.removeFirst() }
        #expect(queue.elements.capacity <= FIFO<Int>.keptCapacity)
        if !queue.isEmpty { queue.removeFirst() }
        for number in 0..<10 {
            queue.append(number)
            queue.removeFirst()
        }
        #expect(queue.elements.capacity <= FIFO<Int>.keptCapacity)
    }

    @Test func whatIsRemovedIsLetGoAtOnce() {
        var queue = FIFO<Element>()
        for number in 0..<10 { queue.append(Element(number)) }
        weak let second = queue[1]
        weak let third = queue[2]
        queue.removeFirst(2)
        #expect(second == nil)
        #expect(third?.number == 2)
    }

    @Test func elementsKeepTheirOrderWhileTheFrontMoves() {
        var queue = FIFO<Int>()
        var next = 0
        var expected = 0
        for round in 0..<500 {
            for _ in 0..<(round % 7) {
                queue.append(next)
                next += 1
            }
            let removed = min(queue.count, round % 5)
            queue.removeFirst(removed)
            expected += removed
            #expect(queue.first == (queue.isEmpty ? nil : expected))
            #expect(queue.count == next - expected)
            if !queue.isEmpty { #expect(queue[queue.count - 1] == next - 1) }
        }
    }
}
