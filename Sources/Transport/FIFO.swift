/// A queue in an array: appended at the end, taken from the head. It allocates nothing once it has grown to its working
/// size, and gives the memory back after a burst.
struct FIFO<Element> {
    private var elements: ContiguousArray<Element?> = []
    private var head = 0

    /// Room in elements that an empty queue keeps.
    private static var keptCapacity: Int { 256 }

    var isEmpty: Bool { head == elements.count }
    var count: Int { elements.count - head }

    /// The oldest element.
    var first: Element? { head < elements.count ? elements[head] : nil }

    /// The newest element can be replaced, for merging.
    var last: Element? {
        get { head < elements.count ? elements[elements.count - 1] : nil }
        set { elements[elements.count - 1] = newValue }
    }

    subscript(index: Int) -> Element { elements[head + index]! }

    mutating func append(_ element: Element) { elements.append(element) }

    /// Exchanges the element with the one before it.
    mutating func moveUp(_ index: Int) { elements.swapAt(head + index, head + index - 1) }

    /// Replaces the oldest element.
    mutating func replaceFirst(_ element: Element) { elements[head] = element }

    mutating func removeFirst() {
        // Emptied, so that a reference in it is dropped now.
        elements[head] = nil
        head += 1
        if head == elements.count {
            if head == 1 {
                // The usual case, without the general machinery of emptying an array.
                elements.removeLast()
            } else {
                elements.removeAll(keepingCapacity: elements.capacity <= Self.keptCapacity)
            }
            head = 0
        } else if head >= 1024, head * 2 >= elements.count {
            elements.removeSubrange(0..<head)
            head = 0
        }
    }

    mutating func removeAll() {
        elements.removeAll()
        head = 0
    }
}
