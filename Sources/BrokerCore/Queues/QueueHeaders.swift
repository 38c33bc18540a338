import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Security

/// The headers by which a queue's record says what it is beside its value. Whoever produces by Kafka's protocol may set them, too: a
/// de-duplication id then counts from when the ledger hears of it, and a delay where the ledger reads the record (`QueueCoordinator`,
/// how ledgers hear of their messages), of a queue with a delay always.
///
/// | header | value |
/// |---|---|
/// | `queue.group` | the message group; without it the record's key is the group, and without a key the record is of the group of none |
/// | `queue.deduplication` | the de-duplication id |
/// | `queue.delay_ms` | milliseconds from the record's time on, as text; without it the queue's delay |
/// | `dead_letter.queue`, `.topic_id`, `.partition`, `.offset`, `.sent_ms`, `.receive_count`, `.first_received_ms`, `.reason`, `.error`, `.key_sha256` | where a dead letter was, and why it is none any more |
/// | `dead_letter.omitted_bytes` | of a letter that its queue's log has no room for: bytes of the body, which is left out, with the key and the sender's headers |
/// | `dead_letter.redrives` | how often it was moved back |
enum QueueHeader {
    static let ownPrefixes = ["queue.", "dead_letter."]
    static let group = "queue.group"
    static let deduplication = "queue.deduplication"
    static let delay = "queue.delay_ms"
    static let originQueue = "dead_letter.queue"
    static let originTopicID = "dead_letter.topic_id"
    static let originPartition = "dead_letter.partition"
    static let originOffset = "dead_letter.offset"
    static let originSentMs = "dead_letter.sent_ms"
    static let receiveCount = "dead_letter.receive_count"
    static let firstReceivedMs = "dead_letter.first_received_ms"
    static let reason = "dead_letter.reason"
    static let error = "dead_letter.error"
    static let keyDigest = "dead_letter.key_sha256"
    static let omittedBytes = "dead_letter.omitted_bytes"
    static let redrives = "dead_letter.redrives"

    static func isOwn(_ name: String) -> Bool { ownPrefixes.contains { name.utf8.starts(with: $0.utf8) } }

    static func isOwn(_ name: UnsafeRawBufferPointer) -> Bool { ownPrefixes.contains { name.starts(with: $0.utf8) } }

    static func header(_ name: String, _ value: String) -> RecordHeader {
        RecordHeader(key: name, value: Array(value.utf8))
    }

    static func header(_ name: String, _ value: some BinaryInteger) -> RecordHeader { header(name, "\(value)") }
}

/// What a ledger wants to know of a record.
struct QueueRecordMarks {
    var group: NameDigest
    var deduplication: UnsafeRawBufferPointer?
    var delayMs: Int64?

    init(_ record: RecordView) {
        var groupBytes = record.key
        for header in record.headers {
            if header.key.elementsEqual(QueueHeader.group.utf8) { groupBytes = header.value ?? groupBytes }
            if header.key.elementsEqual(QueueHeader.deduplication.utf8) { deduplication = header.value }
            if header.key.elementsEqual(QueueHeader.delay.utf8) {
                delayMs = header.value.flatMap { Int64(String(decoding: $0, as: UTF8.self)) }
            }
        }
        group = groupBytes.map { NameDigest(of: $0) } ?? NameDigest(high: 0, low: 0)
    }

    /// What the record's de-duplication id counts as; nil: it has none, or its queue does not go by them.
    func deduplicationID(_ settings: QueueSettings) -> NameDigest? {
        guard settings.order == .fifo, let deduplication else { return nil }
        return NameDigest(
            deduplication: deduplication, group: settings.deduplicationScope == .messageGroup ? group : nil)
    }

    /// From when on it may be received, in milliseconds since 1970; 0: at once. In steps of a tenth of a second, so that messages of one
    /// time are one run of the ledger; a producer's clock that is ahead delays nothing.
    func visibleAtMs(_ record: RecordView, _ settings: QueueSettings, nowMs: Int64) -> Int64 {
        let delay = delayMs.map { min(max($0, 0), QueueSettings.maxDelayMs) } ?? settings.delayMs
        if delay == 0 { return 0 }
        let at = min(max(record.timestampMs, 0), nowMs) + delay
        return (at + Self.stepMs - 1) / Self.stepMs * Self.stepMs
    }

    private static let stepMs: Int64 = 100
}

extension NameDigest {
    /// Of a name as its bytes are.
    init(of bytes: some Collection<UInt8>) {
        let hash = HashAlgorithm.sha256.hash(bytes)
        func word(_ start: Int) -> UInt64 { hash[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        self.init(high: word(0), low: word(8))
    }

    /// Of a de-duplication id, within what it counts in.
    init(deduplication id: some Collection<UInt8>, group: NameDigest?) {
        guard let group else {
            self.init(of: id)
            return
        }
        var bytes: [UInt8] = []
        for word in [group.high, group.low] { withUnsafeBytes(of: word.bigEndian) { bytes += $0 } }
        self.init(of: bytes + id)
    }
}

/// The name of a message for as long as it is there: the SHA-256 of where it is, as a UUID of RFC 9562's version 8.
enum QueueMessageID {
    static func text(_ partition: TopicPartition, _ offset: Offset) -> String {
        var place = ByteWriter(capacity: 32)
        place.integer(partition.topicID.high)
        place.integer(partition.topicID.low)
        place.int32(partition.partitionIndex)
        place.int64(offset.rawValue)
        var hash = HashAlgorithm.sha256.hash(place.array)[..<16]
        hash[6] = hash[6] & 0x0f | 0x80
        hash[8] = hash[8] & 0x3f | 0x80
        return UUIDText.text(hash)
    }
}

extension ReceivedMessage {
    init(_ record: RecordView, _ lease: LeasedMessage, of partition: QueuePartition, handle: String) {
        id = QueueMessageID.text(partition.id, record.offset)
        self.handle = handle
        body = record.value.map(Array.init) ?? []
        key = record.key.map(Array.init)
        receiveCount = lease.receiveCount
        firstReceivedMs = lease.firstReceivedMs
        deadlineMs = lease.deadlineMs
        sentMs = record.timestampMs
        topicName = partition.log.topicName
        partitionIndex = partition.log.partitionIndex
        offset = record.offset
        headers = []
        var own: [String: String] = [:]
        for header in record.headers {
            let copied = header.copied
            if QueueHeader.isOwn(copied.key) {
                own[copied.key] = copied.value.map { String(decoding: $0, as: UTF8.self) }
            } else {
                headers.append(copied)
            }
        }
        groupID = own[QueueHeader.group]
        deduplicationID = own[QueueHeader.deduplication]
        deadLetter = DeadLetterOrigin(own)
    }

    /// Bytes that a receive counts: all that the message has and a receiver may be told.
    var byteCount: Int {
        let own = (groupID?.utf8.count ?? 0) + (deduplicationID?.utf8.count ?? 0) + (deadLetter?.byteCount ?? 0)
        return headers.reduce(body.count + (key?.count ?? 0) + own) {
            $0 + $1.key.utf8.count + ($1.value?.count ?? 0)
        }
    }
}

extension DeadLetterOrigin {
    /// Its texts, and its numbers as they stand there.
    fileprivate var byteCount: Int { queue.utf8.count + reason.utf8.count + 64 }

    /// Nil: the record is no dead letter, or one whose headers are somebody else's.
    fileprivate init?(_ headers: [String: String]) {
        func number(_ name: String) -> Int64? { headers[name].flatMap { Int64($0) } }
        guard let queue = headers[QueueHeader.originQueue], let offset = number(QueueHeader.originOffset),
            let partition = number(QueueHeader.originPartition).flatMap({ Int32(exactly: $0) })
        else { return nil }
        self.init(
            queue: queue, partitionIndex: partition, offset: Offset(offset),
            sentMs: number(QueueHeader.originSentMs) ?? 0,
            receiveCount: Int(clamping: number(QueueHeader.receiveCount) ?? 0),
            reason: headers[QueueHeader.reason] ?? "",
            redriveCount: Int(clamping: number(QueueHeader.redrives) ?? 0),
            omittedBytes: number(QueueHeader.omittedBytes).map { Int(clamping: $0) })
    }
}
