import ByteBuffers
import KafkaModel

/// What a loop keeps for requests of configured routes, beside the lists that all requests use in turn. The lists have an element
/// for each of `GatewayLoop.events`.
final class RoutedEvents {
    /// Events that were made of rows or fields.
    var source = ByteWriter(capacity: 64)
    /// Cells of those rows that a spreadsheet would take for a formula.
    var formulas = 0
    /// Events that are not as they came, because the gateway added members.
    var made = ByteWriter(capacity: 64)
    /// The bytes of all keys, and which of them each event has; nil: it has none.
    var keyBytes = ByteWriter(capacity: 64)
    var keys: [JSONRange?] = []
    /// Of Kafka REST: which partition each record is for (-1: its key's), its own headers as a range of `headerBytes` with their
    /// number, and the names by which its reply is to call it. Empty for other requests.
    var wanted: [Int32] = []
    var recordHeaders: [(range: JSONRange, count: Int32)] = []
    var headerBytes = ByteWriter(capacity: 64)
    var names: [[UInt8]] = []
    /// In place of the range of a value: there is none.
    static let noValue = JSONRange(Int(UInt32.max), Int(UInt32.max))
    /// Where each event goes, and where it went: -1 not appended.
    var partitions: [Int32] = []
    var offsets: [Int64] = []
    /// Where events have keys of their own: those keys (nil: it has none), and which of them are stored without being appended. Empty
    /// for other requests.
    var eventKeys: [EventDigests?] = []
    var known: [KnownEvent?] = []
    /// The batches of them that were appended.
    var appended: [AppendedBatch] = []
    /// The accepted events in the order of their partitions, and of the request within one.
    var order: [Int] = []
    var batches: [RoutedBatch] = []
    /// Of `GatewayLoop.recordHeaders`: how many there are, and where an event's identifier is to be written.
    var headerCount: Int32 = 0
    var idPlaces: [Int] = []
    /// What of the request's trace is added to events; nil: it has none, or nothing asks for it.
    var traceParent: String?
    var traceState: String?
    /// The members that events get.
    var members: [Enrichment] = []
    /// Bytes of an event at most, where its queue has a limit.
    var messageLimit = Int.max
    /// What was found wrong with events, in bytes.
    var findingBytes = 0
    /// Events of a file that are stored already, for it was begun before.
    var passed = 0

    /// Forgets the last request.
    func begin(_ count: Int) {
        made.removeAll()
        keyBytes.removeAll()
        headerBytes.removeAll()
        wanted.removeAll(keepingCapacity: true)
        recordHeaders.removeAll(keepingCapacity: true)
        names.removeAll()
        keys.removeAll(keepingCapacity: true)
        partitions.removeAll(keepingCapacity: true)
        offsets.removeAll(keepingCapacity: true)
        offsets.append(contentsOf: repeatElement(-1, count: count))
        order.removeAll(keepingCapacity: true)
        batches.removeAll(keepingCapacity: true)
        idPlaces.removeAll(keepingCapacity: true)
        eventKeys.removeAll(keepingCapacity: true)
        known.removeAll(keepingCapacity: true)
        appended.removeAll(keepingCapacity: true)
        headerCount = 0
        (findingBytes, passed) = (0, 0)
        (traceParent, traceState) = (nil, nil)
        members = []
    }

    /// What comes of the request's trace; nil: nothing.
    func text(of source: Enrichment.Source) -> String? {
        switch source {
        case .traceParent: traceParent
        case .traceState: traceState
        default: nil
        }
    }

    /// Bytes of made events, or of keys, that are kept for the next request.
    private static let keptBytes = 1 << 20

    /// Lets go of the bytes that an unusual request has taken: one event alone may have megabytes.
    func trimBytes() {
        if source.count > Self.keptBytes { source = ByteWriter(capacity: 64) }
        if made.count > Self.keptBytes { made = ByteWriter(capacity: 64) }
        if keyBytes.count > Self.keptBytes { keyBytes = ByteWriter(capacity: 64) }
        if headerBytes.count > Self.keptBytes { headerBytes = ByteWriter(capacity: 64) }
    }

    /// Lets go of the lists that it has taken.
    func trim(to elements: Int) {
        if keys.capacity <= elements { return }
        (wanted, recordHeaders, names) = ([], [], [])
        (keys, partitions, offsets, order, batches) = ([], [], [], [], [])
        (eventKeys, known, appended) = ([], [], [])
    }

    func key(of event: Int) -> UnsafeRawBufferPointer? { keys[event].map { $0.bytes(of: keyBytes.bytes) } }
}

/// A record batch of one partition: `order[first..<first + count]` are its events.
struct RoutedBatch {
    let partition: Int32
    let slice: ByteSlice
    let first: Int
    let count: Int
}

/// A record batch of events with keys of their own, once it is appended.
struct AppendedBatch {
    let partition: TopicPartition
    let baseOffset: Int64
    /// The commit that makes it durable.
    let ticket: UInt64
    /// Among `order`.
    let first: Int
    let count: Int
}
