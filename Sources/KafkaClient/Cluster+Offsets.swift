internal import KafkaModel
internal import KafkaWire

/// One partition by its topic's name, as users and clients name it.
public struct PartitionName: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var topic: String
    public var partition: Int32

    public init(_ topic: String, _ partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    public static func < (lhs: PartitionName, rhs: PartitionName) -> Bool {
        (lhs.topic, lhs.partition) < (rhs.topic, rhs.partition)
    }

    public var description: String { "\(topic)-\(partition)" }
}

/// Where in a partition to look for an offset.
public enum OffsetQuery: Sendable, Equatable {
    /// The first readable record.
    case earliest
    /// Behind the last readable record (with read-committed: the last stable offset).
    case latest
    /// The first record of this time (ms since 1970) or later.
    case time(Int64)

    /// Whether a log may have no such offset.
    var mayHaveNone: Bool { if case .time = self { true } else { false } }

    var timestamp: Int64 {
        switch self {
        case .earliest: -2
        case .latest: -1
        // Negative ones are questions of their own on the wire; no record is older than 1970.
        case .time(let milliseconds): max(0, milliseconds)
        }
    }
}

extension Cluster {
    /// Returns where to read from, for each partition: as `offsets`, but a time after the last record is the end.
    func positions(
        _ queries: [PartitionName: OffsetQuery], readCommitted: Bool
    ) throws(ClientError) -> [PartitionName: Int64] {
        let found = try offsets(queries, readCommitted: readCommitted)
        let others = queries.keys.filter { found[$0] == nil }
        if others.isEmpty { return found }
        let ends = try offsets(of: others, .latest, readCommitted: readCommitted)
        return found.merging(ends) { $1 }
    }

    /// Returns the same kind of offset of each of `names`; which have none is as in `offsets(_:readCommitted:)`.
    public func offsets(
        of names: [PartitionName], _ query: OffsetQuery, readCommitted: Bool = false
    ) throws(ClientError) -> [PartitionName: Int64] {
        try offsets(Dictionary(uniqueKeysWithValues: names.map { ($0, query) }), readCommitted: readCommitted)
    }

    /// Returns the offsets asked for, one for each partition; a time after the last record has none and is left out.
    public func offsets(
        _ queries: [PartitionName: OffsetQuery], readCommitted: Bool = false
    ) throws(ClientError) -> [PartitionName: Int64] {
        var found: [PartitionName: Int64] = [:]
        try askLeaders(of: Set(queries.keys), for: "offsets") { names in
            Self.listOffsets(names, queries, readCommitted)
        } answers: { response in
            response.topics.flatMap { topic in
                topic.partitions.map { (PartitionName(topic.name, $0.partitionIndex), $0.errorCode, $0) }
            }
        } take: { (name, answer) throws(ClientError) in
            // A partition without a position would silently not be read.
            guard answer.offset >= 0 || queries[name]?.mayHaveNone ?? true else {
                throw .invalidAnswer("ListOffsets gives \(name) the offset \(answer.offset)")
            }
            if answer.offset >= 0 { found[name] = answer.offset }
        }
        return found
    }

    private static func listOffsets(
        _ names: [PartitionName], _ queries: [PartitionName: OffsetQuery], _ readCommitted: Bool
    ) -> ListOffsetsRequest {
        var request = ListOffsetsRequest()
        request.replicaID = -1
        request.isolationLevel = readCommitted ? 1 : 0
        for (topicName, partitions) in Dictionary(grouping: names, by: \.topic) {
            var topic = ListOffsetsRequest.ListOffsetsTopic()
            topic.name = topicName
            topic.partitions = partitions.map { name in
                var partition = ListOffsetsRequest.ListOffsetsPartition()
                partition.partitionIndex = name.partition
                partition.timestamp = queries[name]!.timestamp
                return partition
            }
            request.topics.append(topic)
        }
        return request
    }
}
