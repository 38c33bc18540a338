/// A queue with random access: elements are appended at the back and removed from the front, both in constant time
/// amortised. It allocates nothing once it has grown to its working size, and gives the memory back after a burst.
public struct FIFO<Element> {
    /// Removed elements are `nil` until their places are cut off, so that what they refer to is released at once.
    @usableFromInline var elements: ContiguousArray<Element?> = []
    @usableFromInline var head = 0

    /// Room in elements that an empty queue keeps.
    @usableFromInline static var keptCapacity: Int { 256 }

    /// Removed elements whose places are not worth moving the others for.
    @usableFromInline static var keptPlaces: Int { 64 }

    @inlinable public init() {}

    @inlinable public var isEmpty: Bool { head == elements.count }
    @inlinable public var count: Int { elements.count - head }

    /// The oldest element.
    @inlinable public var first: Element? { head < elements.count ? elements[head] : nil }

    /// The newest element, which can be replaced.
    @inlinable public var last: Element? {
        get { head < elements.count ? elements[elements.count - 1] : nil }
        set { elements[elements.count - 1] = newValue }
    }

    /// The element that `index` others stand before.
    @inlinable public subscript(index: Int) -> Element { elements[head + index]! }

    @inlinable public mutating func append(_ element: Element) { elements.append(element) }

    /// Exchanges the element with the one before it.
    @inlinable public mutating func moveUp(_ index: Int) { elements.swapAt(head + index, head + index - 1) }

    /// Replaces the oldest element.
    @inlinable public mutating func replaceFirst(_ element: Element) { elements[head] = element }

    @inlinable public mutating func removeFirst() {
        elements[head] = nil
        head += 1
        cutRemoved()
    }

    /// Removes the oldest `number` elements.
    @inlinable public mutating func removeFirst(_ number: Int) {
        precondition(number <= count, "\(number) elements removed from a queue of \(count)")
        for index in head..<head + number { elements[index] = nil }
        head += number
        cutRemoved()
    }

    @inlinable public mutating func removeAll() {
        elements.removeAll()
        head = 0
    }

    /// Cuts off the places of removed elements once they are the larger part, or all.
    @inlinable mutating func cutRemoved() {
        if head == elements.count {
            if head == 1, elements.capacity <= Self.keptCapacity {
                // The usual case, without the general machinery of emptying an array.
                elements.removeLast()
            } else {
                elements.removeAll(keepingCapacity: elements.capacity <= Self.keptCapacity)
            }
            head = 0
        } else if head > Self.keptPlaces, head * 2 >= elements.count {
            if elements.capacity > max(Self.keptCapacity, 4 * count) {
                // Into room of their own size: the burst is over.
                elements = ContiguousArray(elements[head...])
            } else {
                elements.removeSubrange(0..<head)
            }
            head = 0
        }
    }

    /// Returns the index of the first element for which `predicate` holds, given that it holds for all behind it;
    /// `count` if it holds for none.
    @inlinable public func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
        (0..<count).partitioningIndex { predicate(self[$0]) }
    }
}

extension FIFO: Sendable where Element: Sendable {}
