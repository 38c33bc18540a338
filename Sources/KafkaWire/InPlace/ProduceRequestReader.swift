public import ByteBuffers
public import KafkaModel

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
    public struct Topic {
        /// The topic's name, not checked to be UTF-8; empty from version 13 on.
        public let name: UnsafeRawBufferPointer
        /// The topic's id; zero up to version 12.
        public let topicID: TopicID
        public let partitionCount: Int

        @inlinable
        init(name: UnsafeRawBufferPointer, topicID: TopicID, partitionCount: Int) {
            self.name = name
            self.topicID = topicID
            self.partitionCount = partitionCount
        }
    }

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
    public private(set) var partitionCount: Int
    /// Bytes of records in all partitions.
    public private(set) var recordBytes: Int
    /// The request names more topics and partitions than the caller allows. Then the rest was not looked at, and there
    /// is nothing to walk.
    public private(set) var isTooLarge = false

    @usableFromInline var reader: ByteReader
    @usableFromInline var topicsLeft: Int
    @usableFromInline var partitionsLeft = 0
    /// A topic's partitions were begun and its end not yet passed.
    @usableFromInline var isInTopic = false

    /// `body` stands behind the request's header. With more than `maxEntries` topics and partitions it `isTooLarge`.
    public init(_ body: ByteReader, version: Int16, maxEntries: Int = .max) throws(DecodeError) {
        guard ProduceRequest.versions.contains(version) else {
            throw .invalid("version of the message is not known", position: body.position)
        }
        self.version = version
        reader = body
        let flexible = version >= 9
        transactionalID = try reader.stringInPlace(flexible)
        acks = try reader.int16()
        timeoutMs = try reader.int32()
        topicCount = try reader.countInPlace(flexible)
        topicsLeft = topicCount
        partitionCount = 0
        recordBytes = 0
        try validate(maxEntries)
    }

    /// Walks a copy to the end of the request.
    private mutating func validate(_ maxEntries: Int) throws(DecodeError) {
        var walk = self
        var left = maxEntries - topicCount
        for _ in 0..<(left < 0 ? 0 : topicCount) {
            let topic = try walk.readTopic()
            partitionCount += topic.partitionCount
            left -= topic.partitionCount
            if left < 0 { break }
            for _ in 0..<topic.partitionCount { recordBytes += try walk.readPartition().records?.count ?? 0 }
            if isFlexible { try walk.reader.skipTaggedFields() }
        }
        if left < 0 {
            isTooLarge = true
            topicsLeft = 0
            return
        }
        if isFlexible { try walk.reader.skipTaggedFields() }
    }

    @inlinable var isFlexible: Bool { version >= 9 }

    /// The next topic, or nil behind the last. Partitions of the topic before that were not asked for are passed over.
    @inlinable
    public mutating func nextTopic() -> Topic? {
        do throws(DecodeError) {
            if isInTopic {
                while partitionsLeft > 0 {
                    partitionsLeft &-= 1
                    _ = try readPartition()
                }
                if isFlexible { try reader.skipTaggedFields() }
                isInTopic = false
            }
            guard topicsLeft > 0 else { return nil }
            topicsLeft &-= 1
            let topic = try readTopic()
            partitionsLeft = topic.partitionCount
            isInTopic = true
            return topic
        } catch {
            preconditionFailure("a produce request that was checked no longer decodes: \(error)")
        }
    }

    /// The next partition of the topic, or nil behind its last.
    @inlinable
    public mutating func nextPartition() -> Partition? {
        guard partitionsLeft > 0 else { return nil }
        partitionsLeft &-= 1
        do throws(DecodeError) {
            return try readPartition()
        } catch {
            preconditionFailure("a produce request that was checked no longer decodes: \(error)")
        }
    }

    @inlinable
    mutating func readTopic() throws(DecodeError) -> Topic {
        var name = UnsafeRawBufferPointer(start: nil, count: 0)
        var id = TopicID.zero
        if version >= 13 {
            id = try reader.topicIDInPlace()
        } else {
            name = try reader.requiredStringInPlace(isFlexible)
        }
        return Topic(name: name, topicID: id, partitionCount: try reader.countInPlace(isFlexible))
    }

    @inlinable
    mutating func readPartition() throws(DecodeError) -> Partition {
        let index = try reader.int32()
        let records = try reader.rangeInPlace(isFlexible)
        if isFlexible { try reader.skipTaggedFields() }
        return Partition(index: index, records: records)
    }
}
