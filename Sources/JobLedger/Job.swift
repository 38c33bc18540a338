public import KafkaModel

/// What is known of one job.
public struct Job: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        /// A file that a client sends.
        case upload = 1
        /// Dead letters on their way back.
        case redrive
        /// A run of a pull: pages of rows that are asked for.
        case pull
        /// A file of a watched directory. It is taken up again by whoever watches that.
        case watch
    }

    /// What a redrive moves. Of its progress `accepted` are the messages that were moved, `rejected` those that stay.
    public struct Redrive: Equatable, Sendable {
        /// The queue whose messages are moved.
        public let source: String
        /// The queue that they go to; nil: each goes to where it was.
        public let destination: String?
        /// Messages a second at most; nil: as fast as it goes.
        public let perSecond: Int?
        /// Messages that the source had to be received when it began.
        public let expected: Int

        public init(source: String, destination: String?, perSecond: Int?, expected: Int) {
            self.source = source
            self.destination = destination
            self.perSecond = perSecond
            self.expected = expected
        }
    }

    /// ```
    ///   running ──► finished | failed | cancelled
    /// ```
    public enum State: UInt8, Sendable {
        case running = 1
        case finished, failed, cancelled
    }

    public let id: JobID
    public var kind: Kind { redrive != nil ? .redrive : pull != nil ? .pull : source != nil ? .watch : .upload }
    /// The path by which it was asked for, or the watcher; of a pull the address, without its query.
    public let route: String
    /// Where its rows go; of a redrive the topic of its source.
    public let topic: String
    /// Where rows go that are not acceptable; of a redrive empty.
    public let quarantine: String
    /// Nil: it is no redrive.
    public let redrive: Redrive?
    /// The name of the principal who has begun it; nil: nobody was asked.
    public let owner: String?
    /// As the client calls it; nil: it says no name.
    public let fileName: String?
    /// Of a watched file: which one it is.
    public let source: FileIdentity?
    /// Milliseconds since 1970.
    public let createdMs: Int64
    public internal(set) var state = State.running
    /// Milliseconds since 1970, of the newest change.
    public internal(set) var changedMs: Int64
    /// Of a job that runs: what is on disk for certain.
    public internal(set) var progress = JobProgress()
    /// Of a job that runs: behind these its topics may have more of it than `progress` tells. nil: the topic is not there yet.
    public internal(set) var floors = JobFloors()
    /// Of a pull: which, and how far it is.
    public internal(set) var pull: PullProgress?
    /// Why it did not finish; nil: it did, or runs.
    public internal(set) var reason: String?
    /// The first rows that were not acceptable, `JobLimits.listed` at most; once it has ended.
    public internal(set) var rejected: [RejectedRow] = []

    /// - Parameter source: makes it one of a watched directory.
    public init(
        id: JobID, route: String, topic: String, quarantine: String, owner: String?, fileName: String?,
        source: FileIdentity? = nil, createdMs: Int64, floors: JobFloors = JobFloors(), pull: PullProgress? = nil
    ) {
        self.id = id
        self.source = source
        self.pull = pull
        self.route = route
        self.topic = topic
        self.quarantine = quarantine
        self.owner = owner
        self.fileName = fileName
        self.createdMs = createdMs
        self.floors = floors
        redrive = nil
        changedMs = createdMs
    }

    /// - Parameter topic: that of its source.
    public init(
        id: JobID, _ redrive: Redrive, route: String, topic: String, owner: String?, createdMs: Int64
    ) {
        self.id = id
        (pull, source) = (nil, nil)
        self.redrive = redrive
        self.route = route
        self.topic = topic
        quarantine = ""
        self.owner = owner
        fileName = nil
        self.createdMs = createdMs
        changedMs = createdMs
    }

    /// Bytes of memory, about.
    var memoryBytes: Int {
        let texts =
            [route, topic, quarantine, owner ?? "", fileName ?? "", reason ?? "", pull?.name ?? "", pull?.place ?? ""]
            + (redrive.map { [$0.source, $0.destination ?? ""] } ?? [])
        let words = texts.reduce(0) { $0 + $1.utf8.count } + rejected.reduce(0) { $0 + $1.reason.utf8.count + 48 }
        return 400 + words + 8 * ((floors.topic?.offsets.count ?? 0) + (floors.quarantine?.offsets.count ?? 0))
    }
}

/// How far a run of a pull is. All rows of the pages before `place` are counted by the job's progress.
public struct PullProgress: Equatable, Sendable {
    public let name: String
    /// Pages all rows of which are counted.
    public var pages: Int64
    /// Where the next page is, in the words of whoever pulls; nil: it is the first one.
    public var place: String?

    public init(name: String, pages: Int64 = 0, place: String? = nil) {
        self.name = name
        self.pages = pages
        self.place = place
    }
}

/// What tells a file from another one of its name.
public struct FileIdentity: Hashable, Sendable {
    public let inode: UInt64
    /// Bytes.
    public let size: Int64
    /// When its bytes last changed, in nanoseconds since 1970, as its file system tells.
    public let modifiedNs: Int64

    public init(inode: UInt64, size: Int64, modifiedNs: Int64) {
        (self.inode, self.size, self.modifiedNs) = (inode, size, modifiedNs)
    }
}

/// How far a job is.
public struct JobProgress: Equatable, Sendable {
    /// Bytes of the file, unpacked, whose rows are counted; of a pull those of its pages.
    public var bytes: Int64 = 0
    /// Rows that are records of the topic, and rows that are not.
    public var accepted: Int64 = 0
    public var rejected: Int64 = 0
    /// The last line, from 1, up to which all rows are counted; 0: none. Of a pull each row is a line.
    public var line: Int64 = 0

    public init() {}

    public init(bytes: Int64, accepted: Int64, rejected: Int64, line: Int64) {
        self.bytes = bytes
        self.accepted = accepted
        self.rejected = rejected
        self.line = line
    }

    public var rows: Int64 { accepted + rejected }
}

/// Where a job's topics ended at a moment before which nothing of what it has beside its progress was appended.
public struct JobFloors: Equatable, Sendable {
    public struct Ends: Equatable, Sendable {
        public let topicID: TopicID
        /// By partition; exclusive.
        public let offsets: [Offset]

        public init(topicID: TopicID, offsets: [Offset]) {
            self.topicID = topicID
            self.offsets = offsets
        }
    }

    /// nil: it is not there.
    public var topic: Ends?
    public var quarantine: Ends?

    public init(topic: Ends? = nil, quarantine: Ends? = nil) {
        self.topic = topic
        self.quarantine = quarantine
    }
}

/// A row that is no record of the topic.
public struct RejectedRow: Equatable, Sendable {
    /// Where it begins, from 1; of an element of an array of JSON, where it is wrong, and of a pull its number among all rows.
    public let line: Int64
    /// The cell of a row, or the byte of a line, from 1, at which it is wrong; nil: as a whole.
    public let column: Int64?
    public let reason: String

    /// Bytes of a reason; a longer one is cut.
    public static let maxReasonBytes = 256

    public init(line: Int64, column: Int64?, reason: String) {
        self.line = line
        self.column = column
        guard reason.utf8.count > Self.maxReasonBytes else {
            self.reason = reason
            return
        }
        // No character is cut in the middle.
        var (count, kept) = (0, Substring())
        for index in reason.indices {
            count += reason[index].utf8.count
            if count > Self.maxReasonBytes - 3 {
                kept = reason[..<index]
                break
            }
        }
        self.reason = kept + "…"
    }
}
