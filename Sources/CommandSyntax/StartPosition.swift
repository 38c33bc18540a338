/// Where `consume --from` begins.
public enum StartPosition: Sendable, Equatable {
    case beginning
    case end
    case offset(Int64)
    /// This many records before the end of each partition.
    case last(Int64)
    /// The first record of this time (ms since 1970) or later.
    case time(Int64)

    /// `beginning`, `end`, `123`, `-5`, `@2026-01-31T12:00:00Z`, `@1700000000000`.
    public init?(_ text: String) {
        switch text {
        case "beginning", "earliest": self = .beginning
        case "end", "latest": self = .end
        default:
            if text.hasPrefix("@") {
                guard let time = TimeText.milliseconds(String(text.dropFirst())) else { return nil }
                self = .time(time)
            } else if let number = Int64(text), number > -1_000_000_000_000 {
                self = text.hasPrefix("-") ? .last(-number) : .offset(number)
            } else {
                return nil
            }
        }
    }
}

/// `TOPIC` or `TOPIC:0,3`, as `group reset-offsets --topic` takes it. A topic's name holds no colon.
public struct TopicSelection: Sendable, Equatable {
    public var topic: String
    /// `nil`: all of them.
    public var partitions: [Int32]?

    public init?(_ text: String) {
        let halves = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = halves.first, !name.isEmpty else { return nil }
        topic = String(name)
        guard halves.count == 2 else { return }
        var numbers: [Int32] = []
        for word in halves[1].split(separator: ",", omittingEmptySubsequences: false) {
            guard let number = Int32(word), number >= 0 else { return nil }
            numbers.append(number)
        }
        partitions = numbers
    }
}
