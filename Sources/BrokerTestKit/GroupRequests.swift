public import KafkaWire

extension OffsetCommitRequest {
    /// The same offset for some partitions of one topic, by a client that is in no generation.
    public init(
        group: String, topic: String = "t", partitions: some Sequence<Int32>, offset: Int64, metadata: String? = ""
    ) {
        self.init()
        groupID = group
        var named = OffsetCommitRequestTopic()
        named.name = topic
        named.partitions = partitions.map { index in
            var partition = OffsetCommitRequestPartition()
            (partition.partitionIndex, partition.committedOffset) = (index, offset)
            partition.committedMetadata = metadata
            return partition
        }
        topics = [named]
    }
}

extension OffsetDeleteRequest {
    /// Some partitions of one topic.
    public init(group: String, topic: String = "t", partitions: some Sequence<Int32>) {
        self.init()
        groupID = group
        var named = OffsetDeleteRequestTopic()
        named.name = topic
        named.partitions = partitions.map { index in
            var partition = OffsetDeleteRequestPartition()
            partition.partitionIndex = index
            return partition
        }
        topics = [named]
    }
}
