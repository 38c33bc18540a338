public import ByteBuffers
public import KafkaModel

/// A topic of a Produce or Fetch request, where it lies in the socket's buffer.
public struct TopicInPlace {
    /// The topic's name, not checked to be UTF-8; empty where the version has ids.
    public let name: UnsafeRawBufferPointer
    /// The topic's id; zero where the version has names.
    public let topicID: TopicID
    public let partitionCount: Int

    @inlinable
    init(name: UnsafeRawBufferPointer, topicID: TopicID, partitionCount: Int) {
        self.name = name
        self.topicID = topicID
        self.partitionCount = partitionCount
    }
}

/// A place in a list of topics, each of which is a head, its partitions, and tagged fields in flexible versions. What a
/// partition is, only the request knows: it reads them from `reader` and counts `partitionsLeft` down.
@usableFromInline
struct TopicCursor {
    @usableFromInline var reader: ByteReader
    @usableFromInline let byID: Bool
    @usableFromInline let isFlexible: Bool
    @usableFromInline var topicsLeft = 0
    @usableFromInline var partitionsLeft = 0
    /// A topic's partitions were begun and its end not yet passed.
    @usableFromInline var isInTopic = false

    @usableFromInline
    init(_ reader: ByteReader, topics: Int, byID: Bool, isFlexible: Bool) {
        self.reader = reader
        topicsLeft = topics
        self.byID = byID
        self.isFlexible = isFlexible
    }

    /// Passes the end of a topic, all of whose partitions were read, and reads the head of the next; nil behind the last.
    @inlinable @inline(__always)
    mutating func next() throws(DecodeError) -> TopicInPlace? {
        if isInTopic {
            if isFlexible { try reader.skipTaggedFields() }
            isInTopic = false
        }
        guard topicsLeft > 0 else { return nil }
        topicsLeft &-= 1
        var name = UnsafeRawBufferPointer(start: nil, count: 0)
        var id = TopicID.zero
        if byID {
            id = try reader.topicIDInPlace()
        } else {
            name = try reader.requiredStringInPlace(isFlexible)
        }
        let topic = TopicInPlace(name: name, topicID: id, partitionCount: try reader.countInPlace(isFlexible))
        partitionsLeft = topic.partitionCount
        isInTopic = true
        return topic
    }

    /// Walks to the end of the list over `partition`, which reads one. Stops, and returns false, where the list has more
    /// than `entries` topics and partitions, which are counted down.
    mutating func walk(
        _ entries: inout Int, _ partition: (inout ByteReader) throws(DecodeError) -> Void
    ) throws(DecodeError) -> Bool {
        entries -= topicsLeft
        if entries < 0 { return false }
        while let topic = try next() {
            entries -= topic.partitionCount
            if entries < 0 { return false }
            for _ in 0..<topic.partitionCount { try partition(&reader) }
            partitionsLeft = 0
        }
        return true
    }
}
