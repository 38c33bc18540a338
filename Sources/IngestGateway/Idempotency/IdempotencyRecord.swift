import ByteBuffers
import KafkaModel

/// One line of the log of requests, the value of a record of `__gateway_requests`:
///
/// ```
/// kind u8 | time i64, milliseconds since 1970 | …
///   1 opened   topicID 16 | count u32 | count × floor i64        a place for each partition, from 0 on
///   2 stored   key 16 | fingerprint 16 | topicID 16 | partitionIndex i32 | baseOffset i64 | lastOffset i64 | floor i64 |
///              status u16 | form u8 | retryAfter u16 (0: none) | length u32 | length bytes, the reply's body
///   3 void     key 16                                            of an earlier line: its events are not in their log
///   4 owned    owner 8 | as stored                               what is written of a request since owners have shares
///   5 events   owner 8 | topicID 16 | partitionIndex i32 | floor i64 | count u32 |
///              count × (key 16 | fingerprint 16 | offset i64)    the events of one batch that have keys of their own
/// ```
/// A *floor* of a partition: each batch with a mark below it has its line before this one. So a start looks for batches
/// without a line from the newest floor on alone.
enum IdempotencyRecord: Equatable {
    case opened(TopicID, floors: [Int64])
    case stored(StoredRequest, floor: Int64)
    case void(ShortDigest)
    case events(StoredEvents, floor: Int64)

    private enum Kind: UInt8 {
        case opened = 1
        case stored = 2
        case void = 3
        case owned = 4
        case events = 5
    }

    /// Partitions whose floors one line has room for.
    static let maxFloors = 100_000

    func encode(atMs timeMs: Int64, into out: inout ByteWriter) {
        func put(_ digest: ShortDigest) {
            out.integer(digest.high)
            out.integer(digest.low)
        }
        func begin(_ kind: Kind) {
            out.integer(kind.rawValue)
            out.int64(timeMs)
        }
        switch self {
        case .opened(let topic, let floors):
            begin(.opened)
            out.integer(topic.high)
            out.integer(topic.low)
            out.uint32(UInt32(floors.count))
            for floor in floors { out.int64(floor) }
        case .stored(let request, let floor):
            begin(.owned)
            out.integer(request.owner.digest)
            put(request.key)
            put(request.fingerprint)
            out.integer(request.partition.topicID.high)
            out.integer(request.partition.topicID.low)
            out.int32(request.partition.partitionIndex)
            out.int64(request.baseOffset)
            out.int64(request.lastOffset)
            out.int64(floor)
            out.uint16(UInt16(request.reply.status))
            out.integer(request.reply.form.rawValue)
            out.uint16(UInt16(clamping: request.reply.retryAfter ?? 0))
            out.uint32(UInt32(request.reply.body.count))
            out.bytes(request.reply.body)
        case .void(let key):
            begin(.void)
            put(key)
        case .events(let stored, let floor):
            begin(.events)
            out.integer(stored.owner.digest)
            out.integer(stored.partition.topicID.high)
            out.integer(stored.partition.topicID.low)
            out.int32(stored.partition.partitionIndex)
            out.int64(floor)
            out.uint32(UInt32(stored.events.count))
            for event in stored.events {
                put(event.key.key)
                put(event.key.fingerprint)
                out.int64(event.offset)
            }
        }
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> (
        record: IdempotencyRecord, timeMs: Int64
    ) {
        var reader = ByteReader(bytes)
        guard let kind = Kind(rawValue: try reader.integer(UInt8.self)) else {
            throw .invalid("kind of a line", position: 0)
        }
        let time = try reader.int64()
        let record: IdempotencyRecord
        switch kind {
        case .opened:
            let topic = TopicID(high: try reader.integer(), low: try reader.integer())
            let count = try reader.uint32()
            guard count <= maxFloors else { throw .invalid("number of floors", position: reader.position) }
            var floors: [Int64] = []
            for _ in 0..<count { floors.append(try reader.int64()) }
            record = .opened(topic, floors: floors)
        case .stored: record = try stored(&reader, of: .nobody, timeMs: time)
        case .owned:
            let owner = KeyOwner(digest: try reader.integer())
            record = try stored(&reader, of: owner, timeMs: time)
        case .void: record = .void(ShortDigest(high: try reader.integer(), low: try reader.integer()))
        case .events: record = try events(&reader, timeMs: time)
        }
        guard reader.isAtEnd else { throw .invalid("length of a line", position: reader.position) }
        return (record, time)
    }

    private static func events(
        _ reader: inout ByteReader, timeMs: Int64
    ) throws(DecodeError) -> IdempotencyRecord {
        let owner = KeyOwner(digest: try reader.integer())
        let topic = TopicID(high: try reader.integer(), low: try reader.integer())
        let partition = TopicPartition(topicID: topic, partitionIndex: try reader.int32())
        let floor = try reader.int64()
        let count = try reader.uint32()
        guard count <= EventDigests.most else { throw .invalid("number of events", position: reader.position) }
        var stored = StoredEvents(owner: owner, partition: partition, timeMs: timeMs)
        for _ in 0..<count {
            let key = ShortDigest(high: try reader.integer(), low: try reader.integer())
            let fingerprint = ShortDigest(high: try reader.integer(), low: try reader.integer())
            stored.events.append(
                StoredEvents.Event(key: EventDigests(key: key, fingerprint: fingerprint), offset: try reader.int64()))
        }
        return .events(stored, floor: floor)
    }

    private static func stored(
        _ reader: inout ByteReader, of owner: KeyOwner, timeMs: Int64
    ) throws(DecodeError) -> IdempotencyRecord {
        let key = ShortDigest(high: try reader.integer(), low: try reader.integer())
        let fingerprint = ShortDigest(high: try reader.integer(), low: try reader.integer())
        let topic = TopicID(high: try reader.integer(), low: try reader.integer())
        let partition = TopicPartition(topicID: topic, partitionIndex: try reader.int32())
        let base = try reader.int64()
        let last = try reader.int64()
        let floor = try reader.int64()
        let status = try reader.uint16()
        guard let form = StoredReply.Form(rawValue: try reader.integer(UInt8.self)) else {
            throw .invalid("form of a reply", position: reader.position)
        }
        let retryAfter = try reader.uint16()
        let body = try reader.bytes(Int(try reader.uint32()))
        let reply = StoredReply(
            status: Int(status), form: form, retryAfter: retryAfter == 0 ? nil : Int(retryAfter), body: Array(body))
        return .stored(
            StoredRequest(
                key: key, fingerprint: fingerprint, owner: owner, partition: partition, baseOffset: base,
                lastOffset: last, timeMs: timeMs, reply: reply), floor: floor)
    }
}

/// A request whose events were appended, as long as its key is remembered.
struct StoredRequest: Equatable {
    var key: ShortDigest
    var fingerprint: ShortDigest
    var owner: KeyOwner
    var partition: TopicPartition
    /// Of its one batch, both inclusive.
    var baseOffset: Int64
    var lastOffset: Int64
    /// Milliseconds since 1970.
    var timeMs: Int64
    var reply: StoredReply

    /// Bytes that it counts in the table: its places in the dictionary and in the queue, and its reply.
    var weight: Int { Self.fixedWeight + reply.body.count }
    static let fixedWeight = 320
}

/// Events of one batch that have keys of their own.
struct StoredEvents: Equatable {
    struct Event: Equatable {
        let key: EventDigests
        let offset: Int64
    }

    let owner: KeyOwner
    let partition: TopicPartition
    /// Milliseconds since 1970.
    let timeMs: Int64
    var events: [Event] = []

    /// Each as it is remembered: like a request of its own whose reply nobody keeps.
    var requests: some Sequence<StoredRequest> {
        events.lazy.map { event in
            StoredRequest(
                key: event.key.key, fingerprint: event.key.fingerprint, owner: owner, partition: partition,
                baseOffset: event.offset, lastOffset: event.offset, timeMs: timeMs, reply: .ofAnother)
        }
    }
}

/// The reply that a repeat of the request gets.
struct StoredReply: Equatable {
    var status: Int
    var form: Form
    /// Seconds.
    var retryAfter: Int?
    var body: [UInt8]

    /// In place of that of a request with other events.
    static let ofAnother = StoredReply(status: 0, form: .json, retryAfter: nil, body: [])

    enum Form: UInt8 {
        case json = 1
        /// Of Kafka REST's second version.
        case kafkaV2 = 2

        var mediaType: StaticString {
            switch self {
            case .json: "application/json"
            case .kafkaV2: ErrorDialect.kafkaV2.mediaType
            }
        }
    }

    /// A longer body is not kept; the repeat is told the counts and the place.
    static let maxBytes = 8 << 10
}
