public import ByteBuffers
public import KafkaModel

/// A Fetch request, walked where it lies in the socket's buffer: no allocation, no copy, whatever its size.
///
/// `init` walks the whole request once, refuses what is malformed and finds the fields behind the topics. After that
/// walking cannot fail: `nextTopic` and `nextPartition` go through the topics, `nextForgottenTopic` and
/// `nextForgottenPartition` through those that leave the session, each pair independently of the other.
///
/// Pointers are into the bytes of the reader given to `init`, which the caller keeps alive and unchanged. Serves
/// versions 4 to 18; fields that a version does not have are at their defaults.
public struct FetchRequestReader {
    public struct Partition: Equatable {
        public var index: Int32 = 0
        /// -1: the client does not know the leader's epoch.
        public var currentLeaderEpoch: Int32 = -1
        public var fetchOffset: Int64 = 0
        /// -1 from consumers; else followers are told where their log diverges.
        public var lastFetchedEpoch: Int32 = -1
        /// A follower's log start offset; -1 from consumers.
        public var logStartOffset: Int64 = -1
        public var maxBytes: Int32 = 0
        public var replicaDirectoryID: TopicID = .zero
        /// A follower's high watermark; the largest number: it does not tell.
        public var highWatermark: Int64 = .max

        @inlinable init() {}
    }

    public let version: Int16
    /// -1 from consumers, whether it came as a field or in the tag of version 15.
    public private(set) var replicaID: Int32 = -1
    public private(set) var replicaEpoch: Int64 = -1
    /// The cluster that a follower means to reach; nil: it does not tell.
    public private(set) var clusterID: UnsafeRawBufferPointer?
    public let maxWaitMs: Int32
    public let minBytes: Int32
    public let maxBytes: Int32
    /// 0 read_uncommitted, 1 read_committed.
    public let isolationLevel: Int8
    public private(set) var sessionID: Int32 = 0
    /// -1: no session; 0: begin one.
    public private(set) var sessionEpoch: Int32 = -1
    /// The client's rack, not checked to be UTF-8; empty: none.
    public private(set) var rackID = UnsafeRawBufferPointer(start: nil, count: 0)
    public let topicCount: Int
    /// Partitions of all topics.
    public private(set) var partitionCount = 0
    public private(set) var forgottenTopicCount = 0
    /// The request names more topics and partitions than the caller allows, those it forgets included. Then the rest
    /// was not looked at, and there is nothing to walk.
    public private(set) var isTooLarge = false

    @usableFromInline var topics: TopicCursor
    @usableFromInline var forgotten: TopicCursor

    /// Reads a request whose header ends where `body` stands. A request of more than `maxEntries` topics and partitions
    /// `isTooLarge`.
    public init(_ body: ByteReader, version: Int16, maxEntries: Int = .max) throws(DecodeError) {
        guard FetchRequest.versions.contains(version) else {
            throw .invalid("version of the message is not known", position: body.position)
        }
        self.version = version
        var reader = body
        if version <= 14 { replicaID = try reader.int32() }
        maxWaitMs = try reader.int32()
        minBytes = try reader.int32()
        maxBytes = try reader.int32()
        isolationLevel = try reader.int8()
        if version >= 7 {
            sessionID = try reader.int32()
            sessionEpoch = try reader.int32()
        }
        topicCount = try reader.countInPlace(version >= 12)
        topics = TopicCursor(reader, topics: topicCount, byID: version >= 13, isFlexible: version >= 12)
        forgotten = topics
        try validate(maxEntries)
    }

    /// Walks to the end of the request and takes what stands behind the topics.
    private mutating func validate(_ maxEntries: Int) throws(DecodeError) {
        var left = maxEntries
        var walk = topics
        let isWhole = try walk.walk(&left) { (reader) throws(DecodeError) in
            partitionCount += 1
            _ = try readPartition(&reader)
        }
        guard isWhole else { return refuse() }
        var reader = walk.reader
        if version >= 7 { forgottenTopicCount = try reader.countInPlace(isFlexible) }
        forgotten = TopicCursor(reader, topics: forgottenTopicCount, byID: version >= 13, isFlexible: isFlexible)
        walk = forgotten
        guard try walk.walk(&left, { (reader) throws(DecodeError) in _ = try reader.int32() }) else { return refuse() }
        reader = walk.reader
        if version >= 11 { rackID = try reader.requiredStringInPlace(isFlexible) }
        if isFlexible { try readTags(&reader) }
    }

    private mutating func refuse() {
        isTooLarge = true
        topics.topicsLeft = 0
        forgotten.topicsLeft = 0
    }

    private mutating func readTags(_ reader: inout ByteReader) throws(DecodeError) {
        for _ in 0..<(try reader.unsignedVarint()) {
            let tag = try reader.tag()
            if tag.number == 0 {
                clusterID = try reader.stringInPlace(true)
            } else if tag.number == 1 && version >= 15 {
                replicaID = try reader.int32()
                replicaEpoch = try reader.int64()
                try reader.skipTaggedFields()
            } else {
                try reader.skip(tag.end - reader.position)
            }
            try reader.finish(tag)
        }
    }

    @inlinable var isFlexible: Bool { version >= 12 }

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
            preconditionFailure("a fetch request that was checked no longer decodes: \(error)")
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
            preconditionFailure("a fetch request that was checked no longer decodes: \(error)")
        }
    }

    /// Returns the next topic of which partitions leave the session, or nil behind the last.
    @inlinable
    public mutating func nextForgottenTopic() -> TopicInPlace? {
        do throws(DecodeError) {
            try forgotten.reader.skip(forgotten.partitionsLeft &* 4)
            forgotten.partitionsLeft = 0
            return try forgotten.next()
        } catch {
            preconditionFailure("a fetch request that was checked no longer decodes: \(error)")
        }
    }

    /// Returns the index of the next partition of the forgotten topic, or nil behind its last.
    @inlinable
    public mutating func nextForgottenPartition() -> Int32? {
        guard forgotten.partitionsLeft > 0 else { return nil }
        forgotten.partitionsLeft &-= 1
        do throws(DecodeError) {
            return try forgotten.reader.int32()
        } catch {
            preconditionFailure("a fetch request that was checked no longer decodes: \(error)")
        }
    }

    @inlinable
    func readPartition(_ reader: inout ByteReader) throws(DecodeError) -> Partition {
        var partition = Partition()
        partition.index = try reader.int32()
        if version >= 9 { partition.currentLeaderEpoch = try reader.int32() }
        partition.fetchOffset = try reader.int64()
        if version >= 12 { partition.lastFetchedEpoch = try reader.int32() }
        if version >= 5 { partition.logStartOffset = try reader.int64() }
        partition.maxBytes = try reader.int32()
        guard isFlexible else { return partition }
        var left = try reader.unsignedVarint()
        while left > 0 {
            left &-= 1
            let tag = try reader.unsignedVarint()
            let size = Int(try reader.unsignedVarint())
            let start = reader.position
            if tag == 0 && version >= 17 {
                partition.replicaDirectoryID = try reader.topicIDInPlace()
            } else if tag == 1 && version >= 18 {
                partition.highWatermark = try reader.int64()
            } else {
                try reader.skip(size)
            }
            guard reader.position &- start == size else {
                throw .invalid("length of a tagged field", position: reader.position)
            }
        }
        return partition
    }
}
