public import ByteBuffers
public import KafkaModel

/// What a control batch's one record says; stands in its key as (version int16, type int16). Source: KIP-98, KIP-595.
public enum ControlRecordType: Int16, Sendable {
    case abort = 0
    case commit = 1
    case leaderChange = 2
    case snapshotHeader = 3
    case snapshotFooter = 4
    case kraftVersion = 5
    case kraftVoters = 6

    static let keyVersion: Int16 = 0
    static let keySize = 4

    /// The type in a control record's key. Later key versions only append fields. `nil` for a type that readers must
    /// pass over, or when `key` is none.
    public init?(key: UnsafeRawBufferPointer?) {
        guard let key, key.count >= Self.keySize else { return nil }
        self.init(rawValue: Int16(bigEndian: key.loadUnaligned(fromByteOffset: 2, as: Int16.self)))
    }
}

/// Where the records of an aborted transaction are, in one partition. It stands in a header of the marker, which Kafka's
/// has not and readers pass over: so a log tells by itself, segment by segment, what `read_committed` readers leave out.
///
/// ```
/// header "millrace.aborted": firstOffset i64 | lastStableOffset i64
/// ```
public struct AbortedExtent: Equatable, Sendable {
    /// Of the transaction's first batch.
    public var firstOffset: Int64
    /// What the last stable offset is once this marker counts: below it no record belongs to a transaction that ends later.
    public var lastStableOffset: Int64

    static let headerKey = "millrace.aborted"

    public init(firstOffset: Int64, lastStableOffset: Int64) {
        self.firstOffset = firstOffset
        self.lastStableOffset = lastStableOffset
    }

    /// What the marker's record says; nil when it has no such header, or one that is not whole.
    public init?(_ record: RecordView) {
        for header in record.headers where header.key.elementsEqual(Self.headerKey.utf8) {
            guard let value = header.value else { return nil }
            var reader = ByteReader(value)
            guard let first = try? reader.int64(), let stable = try? reader.int64() else { return nil }
            self.init(firstOffset: first, lastStableOffset: stable)
            return
        }
        return nil
    }

    fileprivate var header: RecordHeader {
        var value = ByteWriter(capacity: 16)
        value.int64(firstOffset)
        value.int64(lastStableOffset)
        return RecordHeader(key: Self.headerKey, value: value.array)
    }
}

/// The record that ends a transaction in one partition. Source: KIP-98.
public struct EndTransactionMarker: Equatable, Sendable {
    public var isCommit: Bool
    public var coordinatorEpoch: Int32

    static let valueVersion: Int16 = 0

    public init(isCommit: Bool, coordinatorEpoch: Int32) {
        self.isCommit = isCommit
        self.coordinatorEpoch = coordinatorEpoch
    }

    /// The marker in a control batch's record; `nil` when it is another kind of control record or cannot be read.
    public init?(_ record: RecordView) {
        guard let type = ControlRecordType(key: record.key), type == .commit || type == .abort, let value = record.value
        else { return nil }
        var reader = ByteReader(value)
        // A version, which may grow by appended fields, then the epoch.
        guard (try? reader.int16()) != nil, let epoch = try? reader.int32() else { return nil }
        self.init(isCommit: type == .commit, coordinatorEpoch: epoch)
    }

    /// Returns the control batch that ends the transaction of this producer. `aborted`: where the records are that it aborts.
    public func batch(
        producerID: ProducerID, producerEpoch: ProducerEpoch, timestampMs: Int64, baseOffset: Offset = .zero,
        partitionLeaderEpoch: LeaderEpoch = .none, aborted: AbortedExtent? = nil, pool: ChunkPool = .shared
    ) -> ByteSlice {
        var key = ByteWriter(capacity: ControlRecordType.keySize)
        key.int16(ControlRecordType.keyVersion)
        key.int16((isCommit ? ControlRecordType.commit : .abort).rawValue)
        var value = ByteWriter(capacity: 6)
        value.int16(Self.valueVersion)
        value.int32(coordinatorEpoch)

        var builder = RecordBatchBuilder(pool: pool)
        builder.append(
            key: key.array, value: value.array, headers: aborted.map { [$0.header] } ?? [], timestampMs: timestampMs)
        var options = RecordBatchBuilder.Options()
        options.baseOffset = baseOffset
        options.partitionLeaderEpoch = partitionLeaderEpoch
        options.producerID = producerID
        options.producerEpoch = producerEpoch
        options.attributes = [.transactional, .control]
        return builder.finishUncompressed(options)
    }
}
