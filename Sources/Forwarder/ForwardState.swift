public import ByteBuffers
public import KafkaModel

/// One change of what a forwarder remembers of a queue's partition.
public enum ForwardChange: Equatable, Sendable {
    /// The forwarder of this name takes the queue's messages; nil: none does any more.
    case owner(String?)
    /// A batch is going to be sent.
    case intent(ForwardIntent)
    /// Nothing is under way to that partition of the destination.
    case settled(partitionIndex: Int32)
    /// The destination took the message at `Offset` not even alone, for this reason; nil: the dead letters have it.
    case refusal(Offset, String?)
}

/// What a forwarder remembers of a queue's partition, as its records give it: the same records in the same order, the same state.
/// The records stand in the log of the ledger whose messages they are about, so that one commit takes both.
public struct ForwardState: Equatable, Sendable {
    /// The forwarder that took messages last; nil: none has any.
    public private(set) var owner: String?
    /// By the destination's partition what may be under way.
    public private(set) var intents: [Int32: ForwardIntent] = [:]
    /// Why messages are on their way to the dead letters.
    public private(set) var refusals: [Offset: String] = [:]

    public init() {}

    public var isEmpty: Bool { owner == nil && intents.isEmpty && refusals.isEmpty }

    /// Bytes of memory, about. Kept up to date: whoever asks does so at every turn of a queue.
    public private(set) var memoryBytes = 0

    private static let refusalBytes = 64
    private static let intentBytes = 128

    public mutating func apply(_ change: ForwardChange) {
        switch change {
        case .owner(let name): owner = name
        case .intent(let intent): set(intent, for: intent.partitionIndex)
        case .settled(let partitionIndex): set(nil, for: partitionIndex)
        case .refusal(let offset, let reason):
            let before = refusals.count
            refusals[offset] = reason
            memoryBytes += (refusals.count - before) * Self.refusalBytes
        }
    }

    private mutating func set(_ intent: ForwardIntent?, for partitionIndex: Int32) {
        func bytes(_ intent: ForwardIntent?) -> Int { intent.map { Self.intentBytes + 8 * $0.offsets.count } ?? 0 }
        memoryBytes += bytes(intent) - bytes(intents[partitionIndex])
        intents[partitionIndex] = intent
    }

    /// Applies one record of the log.
    ///
    /// - Parameter value: null for a key that was deleted.
    /// - Throws: the record is damaged or newer than this code.
    public mutating func replay(_ key: ForwardKey, _ value: UnsafeRawBufferPointer?) throws(DecodeError) {
        apply(try ForwardChange(key, value))
    }
}

/// The key of a record of `ForwardState`, big-endian.
///
/// ```
/// version 1 (0x81) │ topic id 16 │ partition 4 │ kind 1 │ number 8
///   owner 0     0
///   intent 1    the destination's partition
///   refusal 2   the message's offset
/// ```
/// A key of a ledger begins with another byte.
public struct ForwardKey: Hashable, Sendable {
    enum Kind: UInt8 { case owner = 0, intent, refusal }

    private static let version: UInt8 = 0x81

    /// Of the queue's log.
    public var partition: TopicPartition
    var kind: Kind
    var number: Int64

    /// Whether bytes are such a key, of whatever version: those of a ledger are below.
    public static func isKey(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.first.map { $0 >= 0x80 } ?? false }

    init(_ partition: TopicPartition, _ kind: Kind, _ number: Int64) {
        self.partition = partition
        self.kind = kind
        self.number = number
    }

    public var bytes: [UInt8] {
        var out = ByteWriter(capacity: 32)
        out.integer(Self.version)
        out.integer(partition.topicID.high)
        out.integer(partition.topicID.low)
        out.int32(partition.partitionIndex)
        out.integer(kind.rawValue)
        out.int64(number)
        return out.array
    }

    /// - Throws: the bytes are no key of a forwarder, or a newer one.
    public init(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.integer(UInt8.self) == Self.version else {
            throw .invalid("version of a forwarder's key", position: 0)
        }
        let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
        partition = TopicPartition(topicID: topicID, partitionIndex: try reader.int32())
        guard let kind = Kind(rawValue: try reader.integer(UInt8.self)) else {
            throw .invalid("kind of a forwarder's key", position: reader.position)
        }
        self.kind = kind
        number = try reader.int64()
        guard reader.isAtEnd else { throw .invalid("bytes behind a forwarder's key", position: reader.position) }
    }
}

/// The bytes of a value, big-endian but for the varints, which are zigzag.
///
/// ```
/// version 1 │ fields
///   owner     the forwarder's name, UTF-8
///   intent    destination 16 │ producer id 8 │ producer epoch 2 │ base sequence 4 │ count │ first offset │ {offset − the one before}…
///   refusal   the error's name, UTF-8
/// ```
/// Offsets need not ascend: what came back into the queue is behind what is newer.
extension ForwardChange {
    private static let version: UInt8 = 1

    public func key(_ partition: TopicPartition) -> ForwardKey {
        switch self {
        case .owner: ForwardKey(partition, .owner, 0)
        case .intent(let intent): ForwardKey(partition, .intent, Int64(intent.partitionIndex))
        case .settled(let partitionIndex): ForwardKey(partition, .intent, Int64(partitionIndex))
        case .refusal(let offset, _): ForwardKey(partition, .refusal, offset.rawValue)
        }
    }

    /// Null: the key is deleted.
    public var value: [UInt8]? {
        var out = ByteWriter(capacity: 64)
        out.integer(Self.version)
        switch self {
        case .owner(nil), .settled, .refusal(_, nil): return nil
        case .owner(let name?): out.utf8(name)
        case .refusal(_, let reason?): out.utf8(reason)
        case .intent(let intent):
            out.bytes(intent.destination)
            out.int64(intent.producer.id.rawValue)
            out.int16(intent.producer.epoch.rawValue)
            out.int32(intent.baseSequence.rawValue)
            out.varlong(Int64(intent.offsets.count))
            var before: Int64 = 0
            for offset in intent.offsets {
                out.varlong(offset.rawValue - before)
                before = offset.rawValue
            }
        }
        return out.array
    }

    init(_ key: ForwardKey, _ value: UnsafeRawBufferPointer?) throws(DecodeError) {
        guard let value else {
            switch key.kind {
            case .owner: self = .owner(nil)
            case .intent: self = .settled(partitionIndex: try Self.partitionIndex(key))
            case .refusal: self = .refusal(Offset(key.number), nil)
            }
            return
        }
        var reader = ByteReader(value)
        guard try reader.integer(UInt8.self) == Self.version else {
            throw .invalid("version of a forwarder's record", position: 0)
        }
        switch key.kind {
        case .owner: self = .owner(try reader.string(reader.remaining))
        case .refusal: self = .refusal(Offset(key.number), try reader.string(reader.remaining))
        case .intent: self = .intent(try Self.intent(key, &reader))
        }
    }

    private static func partitionIndex(_ key: ForwardKey) throws(DecodeError) -> Int32 {
        guard let index = Int32(exactly: key.number), index >= 0 else {
            throw .invalid("partition of a forwarder's destination", position: 0)
        }
        return index
    }

    private static func intent(_ key: ForwardKey, _ reader: inout ByteReader) throws(DecodeError) -> ForwardIntent {
        let destination = Array(try reader.bytes(ForwardIntent.destinationBytes))
        let producer = ForwardProducer(
            id: ProducerID(try reader.int64()), epoch: ProducerEpoch(rawValue: try reader.int16()))
        let sequence = Sequence32(try reader.int32())
        let count = try reader.varlong()
        // Each offset takes a byte at least: nothing is allocated for what is not there.
        guard count >= 1, count <= Int64(ForwardIntent.maxMessages), count <= Int64(reader.remaining),
            sequence.rawValue >= 0
        else { throw .invalid("count or sequence of a forwarder's batch", position: reader.position) }
        var offsets: [Offset] = []
        offsets.reserveCapacity(Int(count))
        var before: Int64 = 0
        for _ in 0..<count {
            let (offset, isOver) = before.addingReportingOverflow(try reader.varlong())
            guard !isOver, offset >= 0 else { throw .invalid("offset of a message", position: reader.position) }
            offsets.append(Offset(offset))
            before = offset
        }
        guard reader.isAtEnd else { throw .invalid("bytes behind a forwarder's record", position: reader.position) }
        return ForwardIntent(
            destination: destination, partitionIndex: try partitionIndex(key), producer: producer,
            baseSequence: sequence, offsets: offsets)
    }
}
