import ByteBuffers
public import Forwarder
public import KafkaModel
public import RecordFormat

/// One message on its way, as its record is going to be.
public struct ForwardedRecord: Sendable {
    /// In the queue's log.
    public let offset: Offset
    public let key: [UInt8]?
    /// Nil: a tombstone, which a Kafka producer put into the queue.
    public let value: [UInt8]?
    /// Those of the sender; not the queue's own.
    public let headers: EncodedRecordHeaders
    /// Milliseconds since 1970 at which it was sent to the queue.
    public let timestampMs: Int64
    /// What chooses its partition; nil: any will do.
    let keyHash: UInt32?

    /// Bytes that it takes in a batch, at most.
    var sizeInBatch: Int {
        Self.overheadBytes + (key?.count ?? 0) + (value?.count ?? 0) + headers.bytes.count
    }

    /// Lengths of five bytes each of the record, its key, its value and the number of its headers, and ten each of time and offset.
    private static let overheadBytes = 41
}

/// A batch that is to be sent: the intent is on disk.
public struct ForwardedBatch: Sendable {
    public let intent: ForwardIntent
    /// In the intent's order. Of a batch from before a start those are missing that the queue's log has not any more.
    public let records: [ForwardedRecord]

    /// Its bytes, with the intent's producer and sequence. The same every time.
    ///
    /// Throws only if a codec's library fails.
    public func encoded(_ compression: Compression, _ builder: inout RecordBatchBuilder) throws(CompressionError)
        -> [UInt8]
    {
        let batch = try slice(compression, &builder)
        return withExtendedLifetime(batch) { batch.array }
    }

    func slice(_ compression: Compression, _ builder: inout RecordBatchBuilder) throws(CompressionError) -> ByteSlice {
        builder.begin()
        for record in records {
            record.headers.bytes.withUnsafeBytes { headers in
                (record.key ?? []).withUnsafeBytes { key in
                    (record.value ?? []).withUnsafeBytes { value in
                        builder.append(
                            key: record.key == nil ? nil : key, value: record.value == nil ? nil : value,
                            headers: headers, headerCount: record.headers.count, timestampMs: record.timestampMs)
                    }
                }
            }
        }
        var options = RecordBatchBuilder.Options(compression: compression)
        options.producerID = intent.producer.id
        options.producerEpoch = intent.producer.epoch
        options.baseSequence = intent.baseSequence
        return try builder.finish(options)
    }
}

/// What a destination is, as of now.
public struct ForwardTarget: Sendable, Equatable {
    /// Names the topic among all that there are: `ForwardIntent.destinationBytes` bytes.
    public var identity: [UInt8]
    public var partitionCount: Int32
    /// Of a batch that it takes, where that is known.
    public var maxBatchBytes: Int

    public init(identity: [UInt8], partitionCount: Int32, maxBatchBytes: Int = .max) {
        self.identity = identity
        self.partitionCount = partitionCount
        self.maxBatchBytes = maxBatchBytes
    }
}

/// Why a destination cannot be reached, for people.
public struct ForwardTrouble: Error, Sendable {
    /// What another broker says may be of any length: it is cut at `maxReasonBytes`.
    public let reason: String

    public static let maxReasonBytes = 1024

    public init(_ reason: String) {
        self.reason = String(decoding: reason.utf8.prefix(Self.maxReasonBytes), as: UTF8.self)
    }
}

/// A topic that a forwarder's batches go to. All calls are made by the forwarder's thread, and may wait; how long is the
/// destination's own limit, after which it answers that it does not know.
public protocol ForwardDestination: AnyObject, Sendable {
    /// Where it is, asked for again every now and then, and behind failures.
    func target() throws(ForwardTrouble) -> ForwardTarget
    /// A new producer session.
    func openProducer() throws(ForwardTrouble) -> ForwardProducer
    /// Sends batches, each to another partition, and gives what became of each, in their order.
    func send(_ batches: [ForwardedBatch]) -> [ForwardOutcome]
    /// The forwarder is being stopped: a call that waits ends soon. On any thread.
    func interrupt()
}
