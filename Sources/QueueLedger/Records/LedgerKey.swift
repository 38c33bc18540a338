public import ByteBuffers
public import KafkaModel

/// Whose state a ledger holds: one partition, for one of those that consume it.
public struct LedgerID: Hashable, Sendable {
    public var partition: TopicPartition
    /// The share group; empty for the queue itself.
    public var consumer: ExactString

    public init(partition: TopicPartition, consumer: ExactString = "") {
        self.partition = partition
        self.consumer = consumer
    }
}

/// The key of a ledger's record: what a compacted log keeps one value of.
///
/// ```
/// version 1 │ topic id 16 │ partition 4 │ consumer: length 2, UTF-8 │ kind 1 │ parity 1 │ number 4
/// ```
/// Changes behind a snapshot are numbered from 0, and so are the snapshot's parts. Both carry the parity of the
/// snapshot's epoch: those of the next epoch take other keys, so a crash while a snapshot is written leaves the one
/// before and its changes whole; those of the epoch after the next take the same keys, so the log never keeps more than
/// two epochs.
public struct LedgerKey: Hashable, Sendable {
    enum Kind: UInt8 { case change = 0, snapshot }

    public var ledger: LedgerID
    var kind: Kind
    var parity: UInt8
    var number: UInt32

    private static let version: UInt8 = 1
    /// Bytes of a consumer's name at most: Kafka's for a group.
    static let maxConsumerBytes = Int(Int16.max)

    init(_ ledger: LedgerID, _ kind: Kind, epoch: Int64, number: UInt32) {
        self.ledger = ledger
        self.kind = kind
        parity = UInt8(epoch & 1)
        self.number = number
    }

    public var bytes: [UInt8] {
        var out = ByteWriter(capacity: 48)
        out.integer(Self.version)
        out.integer(ledger.partition.topicID.high)
        out.integer(ledger.partition.topicID.low)
        out.int32(ledger.partition.partitionIndex)
        out.int16(Int16(ledger.consumer.text.utf8.count))
        out.utf8(ledger.consumer.text)
        out.integer(kind.rawValue)
        out.integer(parity)
        out.integer(number)
        return out.array
    }

    /// - Throws: the bytes are no key of a ledger, or a newer one.
    public init(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.integer(UInt8.self) == Self.version else {
            throw .invalid("version of a ledger's key", position: 0)
        }
        let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
        let partition = TopicPartition(topicID: topicID, partitionIndex: try reader.int32())
        let length = Int(try reader.int16())
        guard length >= 0, length <= Self.maxConsumerBytes else {
            throw .invalid("length of a consumer's name", position: reader.position)
        }
        ledger = LedgerID(partition: partition, consumer: ExactString(try reader.string(length)))
        guard let kind = Kind(rawValue: try reader.integer(UInt8.self)) else {
            throw .invalid("kind of a ledger's key", position: reader.position)
        }
        self.kind = kind
        parity = try reader.integer(UInt8.self)
        guard parity <= 1 else { throw .invalid("parity of a ledger's key", position: reader.position) }
        number = try reader.uint32()
        guard reader.isAtEnd else { throw .invalid("bytes behind a ledger's key", position: reader.position) }
    }
}

/// One record for the ledger's log.
public struct LedgerEntry: Equatable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]
}
