public import ByteBuffers

/// A Produce request, walked where it lies in the socket's buffer: no allocation, no copy, whatever its size.
///
/// `init` walks the whole request once and refuses what is malformed, so that nothing of a request takes effect whose
/// end is broken. After that walking cannot fail:
///
///     var request = try ProduceRequestReader(body, version: version)
///     while let topic = request.nextTopic() {
///         while let partition = request.nextPartition() { … }
///     }
///
/// Pointers and ranges are into the bytes of the reader given to `init`, which the caller keeps alive and unchanged.
/// Serves versions 3 to 13; tagged fields are passed over.
public struct ProduceRequestReader {
    public struct Partition {
        public let index: Int32
        /// Where the records lie, in positions of the reader given to `init`; nil: null.
        public let records: Range<Int>?

        @inlinable
        init(index: Int32, records: Range<Int>?) {
            self.index = index
            self.records = records
        }
    }

    public let version: Int16
    /// The transactional id's bytes, not checked to be UTF-8; nil: null.
    public let transactionalID: UnsafeRawBufferPointer?
    /// 0, 1, or -1 for all in-sync replicas.
    public let acks: Int16
    public let timeoutMs: Int32
    public let topicCount: Int
    /// Partitions of all topics.
    public private(set) var partitionCount = 0
    /// Bytes of records in all partitions.
    public private(set) var recordBytes = 0
    /// The request names more topics and partitions than the caller allows. Then the rest was not looked at, and there
    /// is nothing to walk.
    public private(set) var isTooLarge = false

    @usableFromInline var topics: TopicCursor

    /// Reads a request whose header ends where `body` stands. A request of more than `maxEntries` topics and partitions
    /// `isTooLarge`.
    public init(_ body: ByteReader, version: Int16, maxEntries: Int = .max) throws(DecodeError) {
        guard ProduceRequest.versions.contains(version) else {
            throw .invalid("version of the message is not known", position: body.position)
        }
        self.version = version
        var reader = body
        let flexible = version >= 9
        transactionalID = try reader.stringInPlace(flexible)
        acks = try reader.int16()
        timeoutMs = try reader.int32()
        topicCount = try reader.countInPlace(flexible)
        topics = TopicCursor(reader, topics: topicCount, byID: version >= 13, isFlexible: flexible)
        try validate(maxEntries)
    }

    /// Walks to the end of the request.
    private mutating func validate(_ maxEntries: Int) throws(DecodeError) {
        var left = maxEntries
        var walk = topics
        let isWhole = try walk.walk(&left) { (reader) throws(DecodeError) in
            partitionCount += 1
            recordBytes += try readPartition(&reader).records?.count ?? 0
        }
        guard isWhole else {
            isTooLarge = true
            topics.topicsLeft = 0
            return
        }
        if isFlexible { try walk.reader.skipTaggedFields() }
    }

    @inlinable var isFlexible: Bool { version >= 9 }

    /// Returns the next topic, or nil behind the last. Partitions of the topic before that were not asked for are
    /// passed over.
    @inlinable
    public mutating func nextTopic() -> TopicInPlace? {
        do throws(DecodeError) {
            while topics.partitionsLeft > 0 {
                topics.partitionsLeft &-= 1
                _ = try readPartition(&topics.reader)
            }
            return try topics.next()
        } catch {
            preconditionFailure("a produce request that was checked no longer decodes: \(error)")
        }
    }

    /// Returns the next partition of the topic, or nil behind its last.
    @inlinable
    public mutating func nextPartition() -> Partition? {
        guard topics.partitionsLeft > 0 else { return nil }
        topics.partitionsLeft &-= 1
        do throws(DecodeError) {
            return try readPartition(&topics.reader)
        } catch {
            preconditionFailure("a produce request that was checked no longer decodes: \(error)")
        }
    }

    @inlinable
    func readPartition(_ reader: inout ByteReader) throws(DecodeError) -> Partition {
        let index = try reader.int32()
        let records = try reader.rangeInPlace(isFlexible)
        if isFlexible { try reader.skipTaggedFields() }
        return Partition(index: index, records: records)
    }
}
