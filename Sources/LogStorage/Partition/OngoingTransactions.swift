import ByteBuffers

/// Where a partition's transactions begin that hold back the last stable offset: those that are open, and those whose marker
/// readers do not see yet.
///
/// They are in the order of their first offsets, which is the order in which they begin. One that has ended goes when it is
/// the first, and sooner when most of them have: so they take as much memory as a few times the open ones
/// (`ProducerStates.maxOpenTransactions`).
struct OngoingTransactions: Sendable {
    struct Item: Sendable {
        var firstOffset: Int64
        /// Bytes of the log before it, counted as `watermarkPosition` is.
        var position: Int64
        /// Offset of its marker; `Int64.max` while it is open.
        var markerOffset: Int64 = .max
    }

    private var items: ContiguousArray<Item> = []
    private var head = 0
    /// Of those behind `head`.
    private var endedCount = 0
    private(set) var openCount = 0

    /// Ended ones that are not worth moving the others for.
    private static let keptEnded = 64

    var isEmpty: Bool { head == items.count }
    /// The one that holds the last stable offset back.
    var first: Item? { head < items.count ? items[head] : nil }

    /// A transaction begins at the log's end.
    mutating func begin(at offset: Int64, position: Int64) {
        items.append(Item(firstOffset: offset, position: position))
        openCount += 1
    }

    /// The transaction that begins at `offset` has its marker. It counts until readers see that.
    mutating func end(_ offset: Int64, markerOffset: Int64) {
        let place = (head..<items.count).partitioningIndex { items[$0].firstOffset >= offset }
        guard place < items.count, items[place].firstOffset == offset, items[place].markerOffset == .max else {
            preconditionFailure("no transaction begins at \(offset)")
        }
        items[place].markerOffset = markerOffset
        openCount -= 1
        endedCount += 1
    }

    /// Where the first open transaction begins, but for the one at `offset`.
    func firstOffset(except offset: Int64) -> Int64? {
        for place in head..<items.count where items[place].markerOffset == .max && items[place].firstOffset != offset {
            return items[place].firstOffset
        }
        return nil
    }

    /// Readers see everything below `highWatermark`.
    mutating func advance(to highWatermark: Int64) {
        while head < items.count, items[head].markerOffset < highWatermark {
            head += 1
            endedCount -= 1
        }
        if head == items.count {
            items.removeAll(keepingCapacity: items.count <= Self.keptEnded)
            head = 0
        } else if head + endedCount > Self.keptEnded, (head + endedCount) * 2 > items.count {
            items.removeSubrange(..<head)
            head = 0
            items.removeAll { $0.markerOffset < highWatermark }
            endedCount = items.count - openCount
        }
    }
}
