/// An element of a heap, which knows whether it comes before another.
public protocol HeapElement {
    /// Whether this one comes before `other`; two of which neither does may come in any order.
    func precedes(_ other: Self) -> Bool
}

/// A binary heap: its first element is one that no other precedes. Insertion and removal of the first cost O(log n).
public struct BinaryHeap<Element: HeapElement> {
    @usableFromInline var elements: ContiguousArray<Element> = []

    @inlinable public init() {}

    /// Makes a heap of `elements`, in O(n).
    @inlinable public init(_ elements: some Sequence<Element>) {
        self.elements = ContiguousArray(elements)
        restoreOrder()
    }

    @inlinable public var first: Element? { elements.first }
    @inlinable public var count: Int { elements.count }

    @inlinable public mutating func insert(_ element: Element) {
        elements.append(element)
        var index = elements.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard element.precedes(elements[parent]) else { break }
            elements[index] = elements[parent]
            index = parent
        }
        elements[index] = element
    }

    @inlinable public mutating func removeFirst() {
        let last = elements.removeLast()
        if !elements.isEmpty { sink(last, from: 0) }
    }

    /// Replaces the first element by one that comes no earlier: one walk down instead of a removal and an insertion.
    @inlinable public mutating func replaceFirst(_ element: Element) { sink(element, from: 0) }

    /// Keeps the elements for which `isKept` holds.
    @inlinable public mutating func filter(_ isKept: (Element) -> Bool) {
        elements.removeAll { !isKept($0) }
        restoreOrder()
    }

    @inlinable mutating func restoreOrder() {
        for index in stride(from: elements.count / 2 - 1, through: 0, by: -1) { sink(elements[index], from: index) }
    }

    /// Puts `element` into the place at `start` or below it, where it precedes both children.
    @inlinable mutating func sink(_ element: Element, from start: Int) {
        var index = start
        while true {
            var child = index * 2 + 1
            if child >= elements.count { break }
            if child + 1 < elements.count, elements[child + 1].precedes(elements[child]) { child += 1 }
            guard elements[child].precedes(element) else { break }
            elements[index] = elements[child]
            index = child
        }
        elements[index] = element
    }
}

extension BinaryHeap: Sendable where Element: Sendable {}
