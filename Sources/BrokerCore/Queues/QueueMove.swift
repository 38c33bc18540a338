import ByteBuffers
import JobLedger
public import KafkaModel

/// A move of dead letters, and how far it is: a job (``Jobs``), so what is known of it outlives a restart, which ends it.
public struct QueueMove: Equatable, Sendable {
    public enum State: String, Sendable { case running, completed, cancelling, cancelled, failed }

    /// That of its job.
    public var id: String
    public var source: String
    /// Nil: each message goes to where it was.
    public var destination: String?
    public var perSecond: Int?
    public var state = State.running
    public var moved = 0
    /// Messages that it has looked at, and that stay.
    public var stayed = 0
    /// Messages that the source had to be received when it began.
    public var expected = 0
    /// Milliseconds since 1970.
    public var startedMs: Int64
    /// Why it failed.
    public var failure: String?

    /// Moves of one queue that are told of at most.
    public static let maxKept = 10

    public init(id: String, source: String, startedMs: Int64) {
        self.id = id
        self.source = source
        self.startedMs = startedMs
    }

    /// Nil: the job is another kind of work.
    init?(_ job: Job) {
        guard let redrive = job.redrive else { return nil }
        self.init(id: job.id.text, source: redrive.source, startedMs: job.createdMs)
        (destination, perSecond, expected) = (redrive.destination, redrive.perSecond, redrive.expected)
        (moved, stayed) = (Int(clamping: job.progress.accepted), Int(clamping: job.progress.rejected))
        failure = job.reason
        state =
            switch job.state {
            case .running: .running
            case .finished: .completed
            case .cancelled: .cancelled
            case .failed: .failed
            }
    }
}

/// What is to be moved, to where, and how.
public struct QueueMoveOrder: Sendable {
    public var source: String
    /// Nil: each message goes to where it was.
    public var destination: String?
    /// Messages a second, 1 to 500; nil: as fast as it goes.
    public var perSecond: Int?
    public var selection = MessageSelection()
    /// Messages that are moved at most; nil: all.
    public var most: Int?
    /// A message that was moved back so often stays, 1 to `QueueCoordinator.maxRedrives`.
    public var maxRedrives = QueueCoordinator.maxRedrives
    public var edit = MessageEdit()
    /// The queues that letters may go back to, as far as whoever orders it was asked for; nil: any whose dead letters they are.
    public var origins: Set<ExactString>?
    /// By which path it was asked for, and by whom; nil: nobody was asked.
    public var route = ""
    public var owner: String?

    public init(from source: String, to destination: String? = nil, perSecond: Int? = nil) {
        self.source = source
        self.destination = destination
        self.perSecond = perSecond
    }
}

/// Which messages of a queue are meant: those that all of it holds for.
public struct MessageSelection: Sendable, Equatable {
    /// Of these ids.
    public var ids: Set<ExactString>?
    /// Dead letters of this queue.
    public var queue: String?
    /// Dead letters for this reason, as `DeadLetterOrigin` has it.
    public var reason: String?
    /// Messages whose body has these bytes somewhere.
    public var contains: [UInt8]?

    /// Ids of one selection at most, and bytes that are looked for in a body.
    public static let maxIDs = 1000
    public static let maxContained = 1024

    public init() {}

    public var isAll: Bool { self == MessageSelection() }

    func selects(_ message: ReceivedMessage) -> Bool {
        if let ids, !ids.contains(ExactString(message.id)) { return false }
        if let queue, message.deadLetter?.queue.isExactly(queue) != true { return false }
        if let reason, message.deadLetter?.reason.isExactly(reason) != true { return false }
        if let contains { return message.body.contains(contains) }
        return true
    }

    /// What is wrong with it; nil: nothing.
    var problem: String? {
        if let ids, !(1...Self.maxIDs).contains(ids.count) { return "1 to \(Self.maxIDs) ids are named" }
        if let contains, !(1...Self.maxContained).contains(contains.count) {
            return "what bodies are to have is 1 to \(Self.maxContained) bytes"
        }
        return nil
    }
}

/// What becomes of each message that is moved, beside where it is.
public struct MessageEdit: Sendable, Equatable {
    /// Headers that it has from then on, in the place of all of the same names.
    public var set: [String: [UInt8]] = [:]
    /// Headers that it has not any more.
    public var removed: Set<String> = []
    /// Its body; nil: as it is.
    public var body: [UInt8]?

    public init() {}

    var problem: String? {
        let names = Array(set.keys) + Array(removed)
        if names.count > QueueMessage.maxHeaders {
            return "an edit names \(QueueMessage.maxHeaders) headers at most"
        }
        if let own = names.first(where: { QueueHeader.isOwn($0) }) {
            return "headers of the queue's own are not edited: \(own)"
        }
        if let body, body.count > QueueSettings.messageBytesLimits.upperBound {
            return "a body has \(QueueSettings.messageBytesLimits.upperBound) bytes at most"
        }
        return nil
    }
}

/// What a move would do with the messages that are there.
public struct QueueMoveRehearsal: Sendable {
    /// Messages that would be moved.
    public var moving = 0
    /// Those that are meant, and would stay: moved back too often, without their body, or from a queue that is gone.
    public var staying = 0
    /// Those that are not meant, and those that cannot be received now.
    public var others = 0
    /// All messages were looked at.
    public var isWhole = true
    /// Of the first that would be moved, `maxIDs` at most.
    public var ids: [String] = []

    public static let maxIDs = 100

    public init() {}
}

extension [UInt8] {
    /// Whether some bytes stand in it, one behind the other: two steps for each byte at most, whatever they are (Knuth, Morris and Pratt).
    fileprivate func contains(_ wanted: [UInt8]) -> Bool {
        // How much of the beginning of `wanted` ends at each of its places, and is not all up to there.
        var overlaps = [Int](repeating: 0, count: wanted.count)
        func next(_ matched: Int, _ byte: UInt8) -> Int {
            var matched = matched
            while matched > 0, wanted[matched] != byte { matched = overlaps[matched - 1] }
            return wanted[matched] == byte ? matched + 1 : 0
        }
        guard !wanted.isEmpty else { return true }
        for place in wanted.indices.dropFirst() { overlaps[place] = next(overlaps[place - 1], wanted[place]) }
        var matched = 0
        for byte in self {
            matched = next(matched, byte)
            if matched == wanted.count { return true }
        }
        return false
    }
}
