/// A queue with random access from its front: appending and removing from the front are O(1) amortised. What was removed
/// is let go at once, not when its place is used again.
struct Fifo<Element> {
    private var storage: [Element?] = []
    private var head = 0

    var count: Int { storage.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Element? { isEmpty ? nil : storage[head] }
    var last: Element? { isEmpty ? nil : storage[storage.count - 1] }

    subscript(index: Int) -> Element { storage[head + index]! }

    mutating func append(_ element: Element) { storage.append(element) }

    mutating func removeFirst(_ number: Int) {
        precondition(number <= count)
        for index in head..<head + number { storage[index] = nil }
        head += number
        if head == storage.count {
            storage.removeAll(keepingCapacity: head <= 4096)
            head = 0
        } else if head > 64, head > storage.count / 2 {
            storage.removeFirst(head)
            head = 0
        }
    }

    /// Index of the first element for which `predicate` holds, given that it holds for all after it.
    func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if predicate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
