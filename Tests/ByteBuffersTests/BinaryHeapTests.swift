import ByteBuffers
import Testing

@Suite struct BinaryHeapTests {
    private struct Due: HeapElement {
        let time: Int
        func precedes(_ other: Due) -> Bool { time < other.time }
    }

    @Test func elementsComeInOrderWhateverIsInsertedAndMoved() {
        var random = Random(state: 42)
        var heap = BinaryHeap<Due>()
        var expected: [Int] = []
        for _ in 0..<2_000 {
            if Int.random(in: 0..<3, using: &random) > 0 || expected.isEmpty {
                let time = Int.random(in: 0..<1_000, using: &random)
                heap.insert(Due(time: time))
                expected.append(time)
                expected.sort()
            } else if Bool.random(using: &random) {
                #expect(heap.first?.time == expected.removeFirst())
                heap.removeFirst()
            } else {
                let moved = expected.removeFirst() + Int.random(in: 0..<500, using: &random)
                heap.replaceFirst(Due(time: moved))
                expected.append(moved)
                expected.sort()
            }
        }
        #expect(heap.count == expected.count)
    }

    @Test func aHeapMadeOrFilteredAtOnceIsInOrder() {
        var random = Random(state: 7)
        for count in [0, 1, 2, 3, 64, 501] {
            let times = (0..<count).map { _ in Int.random(in: 0..<100, using: &random) }
            var heap = BinaryHeap(times.map(Due.init))
            heap.filter { $0.time % 3 != 0 }
            for time in times.filter({ $0 % 3 != 0 }).sorted() {
                #expect(heap.first?.time == time)
                heap.removeFirst()
            }
            #expect(heap.first == nil)
        }
    }
}

@Suite struct PartitioningIndexTests {
    @Test func everyPlaceIsFoundInEveryLength() {
        for count in 0..<40 {
            for end in 0...count { #expect((0..<count).partitioningIndex { $0 >= end } == end) }
        }
    }

    @Test func aSliceIsSearchedByItsOwnIndices() {
        let slice = [1, 3, 5, 7, 9][2...]
        #expect(slice.partitioningIndex { $0 > 5 } == 3)
        #expect(slice.partitioningIndex { $0 > 9 } == slice.endIndex)
    }

    @Test func anErrorOfThePredicateIsThrown() {
        struct Unreadable: Error {}
        #expect(throws: Unreadable.self) {
            try (0..<9).partitioningIndex { (_) throws(Unreadable) in throw Unreadable() }
        }
    }
}

/// A linear congruential generator, so that a failure can be repeated.
private struct Random: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 33
    }
}
