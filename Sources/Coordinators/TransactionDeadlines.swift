import ByteBuffers
import KafkaModel

/// When the open transactions of a shard have been open for too long, earliest first.
///
/// A transaction that ends leaves its entry behind: what comes out is held against its id. When most entries are such, the heap
/// is made anew of the others. So it takes as much memory as twice the open transactions, and a transaction costs one insertion.
struct TransactionDeadlines: Sendable {
    struct Entry: HeapElement, Sendable {
        /// Wall clock; it is due later than that.
        var atMs: Int64
        /// Which of the id's transactions it is: the one that began then.
        let startMs: Int64
        let id: ExactString

        func precedes(_ other: Entry) -> Bool { atMs != other.atMs ? atMs < other.atMs : id < other.id }
    }

    private var heap = BinaryHeap<Entry>()

    /// Entries of transactions that have ended are not worth making the heap anew for while there are so few.
    static let keptAlways = 64

    var count: Int { heap.count }

    /// Whether there are more than `openCount` transactions are worth.
    func isOutgrown(_ openCount: Int) -> Bool { heap.count > 2 * openCount + Self.keptAlways }

    mutating func push(_ entry: Entry) { heap.insert(entry) }

    /// Takes out the earliest entry that is due.
    mutating func popDue(_ nowMs: Int64) -> Entry? {
        guard let first = heap.first, first.atMs < nowMs else { return nil }
        heap.removeFirst()
        return first
    }

    func isDue(_ nowMs: Int64) -> Bool { heap.first.map { $0.atMs < nowMs } ?? false }

    /// Keeps one entry of each transaction that is open.
    mutating func keep(where isOpen: (Entry) -> Bool) {
        var seen: Set<ExactString> = []
        heap.filter { isOpen($0) && seen.insert($0.id).inserted }
    }
}
