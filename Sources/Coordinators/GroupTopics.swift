public import KafkaModel

/// A topic, as far as groups have to know it.
public struct GroupTopic: Equatable, Sendable {
    public var id: TopicID
    public var name: String
    public var partitionCount: Int32

    public init(id: TopicID, name: String, partitionCount: Int32) {
        self.id = id
        self.name = name
        self.partitionCount = partitionCount
    }
}

/// The topics that there are at one moment: consumer groups are assigned their partitions. Given by the caller, as coordinators know
/// of no catalog; a value that does not change.
public protocol GroupTopics: Sendable {
    /// Differs from that of every earlier moment at which anything was different.
    var version: Int64 { get }
    func topic(named name: String) -> GroupTopic?
    func topic(id: TopicID) -> GroupTopic?
    /// All names, in no order: for patterns.
    var names: [String] { get }
}

/// What a shard knows of topics before it is told.
struct NoTopics: GroupTopics {
    var version: Int64 { -1 }
    func topic(named name: String) -> GroupTopic? { nil }
    func topic(id: TopicID) -> GroupTopic? { nil }
    var names: [String] { [] }
}
