import ByteBuffers
import KafkaModel

/// Text of streams that was made a moment ago, for others at the same place: of a thousand readers at the end of a topic one has the new
/// records read and written, the others are sent the same bytes.
struct SharedParts {
    /// Where a stream stands, and how it is written: from there all are sent the same.
    struct Place: Equatable {
        let topicID: TopicID
        /// -1: all.
        let partition: Int
        let form: RecordsReply.Form
        let next: [Offset]
    }

    struct Part {
        let from: Place
        let text: ByteSlice
        /// Where it leads to.
        let marks: [PartitionSource.Mark]
    }

    /// Newest last.
    private var parts: [Part] = []
    /// As many as topics grow within a turn or two; each is a slice.
    static let most = 8

    subscript(place: Place) -> Part? { parts.last { $0.from == place } }

    mutating func add(_ part: Part) {
        if parts.count == Self.most { parts.removeFirst() }
        parts.append(part)
    }

    mutating func removeAll() { if !parts.isEmpty { parts = [] } }
}
