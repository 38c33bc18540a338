import KafkaModel

/// The name of a partition's folder: `<topic>-<index>.<topicID>`. The id makes it unique; the topic's name is there for
/// people, so its end is left out where the whole would be longer than a file system takes.
///
/// A name that fits is never cut: folders have had their topic's full name since the first release, and are found by it.
enum PartitionFolder {
    /// Bytes of one name in a path (NAME_MAX of Linux). A topic's name has up to 249, which leaves too few for the rest.
    static let maxNameBytes = 255

    static func name(_ topicName: String, _ partitionIndex: Int32, _ topicID: TopicID) -> String {
        let rest = "-\(partitionIndex).\(topicID)"
        let room = maxNameBytes - rest.utf8.count
        // Topic names are ASCII, so no character is cut in two.
        return topicName.utf8.count <= room ? topicName + rest : String(topicName.prefix(room)) + rest
    }
}
