public import ByteBuffers

/// A place in each partition, as `consume --from`, `--to` and `topic trim --before` take it.
public enum StartPosition: Sendable, Equatable {
    case beginning
    case end
    case offset(Int64)
    /// This many records before the end of each partition.
    case last(Int64)
    /// The first record of this time (ms since 1970) or later.
    case time(Int64)

    /// What is allowed, for messages.
    public static let allowed = "beginning, end, an offset, -N, a time such as 2026-01-31T12:00:00Z or @MS, or -1h"

    /// `beginning`, `end`, `123`, `-5`, `-1h`, `2026-01-31T12:00:00Z`, `@1700000000000`.
    public init?(_ text: String, nowMs: Int64 = WallClock.milliseconds) {
        switch text {
        case "beginning", "earliest": self = .beginning
        case "end", "latest": self = .end
        default:
            if let number = Int64(text) {
                guard number > -1_000_000_000_000 else { return nil }
                self = text.hasPrefix("-") ? .last(-number) : .offset(number)
            } else {
                let time = text.hasPrefix("@") ? String(text.dropFirst()) : text
                guard let moment = TimeText.moment(time, nowMs: nowMs) else { return nil }
                self = .time(moment)
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
